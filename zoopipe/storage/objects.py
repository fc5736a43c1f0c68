"""Where attempts write whose target is a URL: objects under a prefix beside it.

`.<target>.zoopipe/<host>-<id>/` is of one run, and of those that go on with it. Who holds the target, and the
state of the run, is in a folder of the driver's machine, below `$XDG_STATE_HOME/zoopipe` (`~/.local/state`);
its name is a digest of URL and options. So of two runs on one machine the second is refused at once; of two
on two machines, the one that would publish later, where the store can tell.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import re
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

from zoopipe.errors import LedgerError, OutputError
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.parts import Part, PartFile, Upload, check_part, writing
from zoopipe.storage.publish import part_name, parts_beyond, resolve_target
from zoopipe.storage.staging import LOCK, Staging, checked_name, led, short_name, staging_folders
from zoopipe.storage.stores import Store, overtaken, store_of
from zoopipe.storage.urls import beside, is_local, local_path, name_of

logger = logging.getLogger(__name__)

_TARGET, _UPLOADS = "target.json", "uploads"


def state_home() -> Path:
    """The folder that has the state of runs whose targets are URLs."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "zoopipe"


class ObjectStaging(Staging):
    """The staging of a target that is a URL."""

    can_take_back = False
    _unused = frozenset({LOCK, _TARGET})

    def __init__(self, target: str, storage: Storage) -> None:
        self.storage = storage
        options = sorted(storage.options.items())
        digest = hashlib.sha256(json.dumps([target, options], default=repr).encode()).hexdigest()
        super().__init__(state_home() / digest[:32])
        self.target = target
        self._run = ""
        #: What was there when the run began, by target.
        self._seen: dict[str, str | None] = {}

    @property
    def _store(self) -> Store:
        return store_of(self.target, self.storage)

    @property
    def prefix(self) -> str:
        """The URL that all staged objects begin with."""
        name = f".{short_name(name_of(self.target))}.zoopipe/{self._run}/"
        return beside(self.target, name)

    def acquire(self) -> None:
        super().acquire()
        try:
            self._begin()
            self._seen = {self.target: self._store.seen(self.target)}
        except BaseException:
            self.release()
            raise

    def _begin(self) -> None:
        """Takes the name that an earlier run has staged under, or a new one."""
        path = self.folder / _TARGET
        with writing(self.target):
            if path.exists():
                self._run = json.loads(path.read_bytes())["run"]
                return
            host = re.sub(r"[^\w.-]", "_", platform.node())[:64] or "host"
            self._run = f"{host}-{uuid4().hex[:12]}"
            found = {"target": self.target, "options": dict(self.storage.options), "run": self._run}
            draft = path.with_name(f"{_TARGET}.draft")
            draft.write_text(json.dumps(found, default=str))
            os.replace(draft, path)

    def file(self, name: str) -> str:
        return beside(self.prefix, checked_name(name))

    def published_beyond(self, count: int) -> list[str]:
        name = name_of(self.target)
        start = part_name(name, 0).partition("_part_00000")[0]
        names = self._store.names(beside(self.target, ""), f"{start}_part_")
        return [self.beside(each) for each in parts_beyond(name, names, count)]

    def whole(self, leader: Part, target: str, codec: str | None) -> PartFile:
        store = self._store
        seen = self._seen.setdefault(target, store.seen(target) if target != self.target else None)
        staged = self.file(f"{name_of(leader.path)}.whole")
        sink = store.final(target, staged, seen, partial(self._note, target))
        return led(PartFile.into(staged, sink, self.storage, codec), leader)

    def _note(self, target: str, upload: str) -> None:
        """Remembers an upload: only who knows its id may end it."""
        with writing(self.target), open(self.folder / _UPLOADS, "a") as file:
            file.write(json.dumps([target, upload]) + "\n")

    def _noted(self) -> list[tuple[str, str]]:
        with suppress(FileNotFoundError):
            lines = (self.folder / _UPLOADS).read_text().split("\n")
            return [tuple(json.loads(line)) for line in lines if line.endswith("]")]
        return []

    def check(self, target: str) -> None:
        if self._store.seen(target) != self._seen.get(target):
            raise overtaken(target)

    def publish(self, staged: str, target: str, upload: Upload | None) -> None:
        self._store.publish(staged, target, upload)
        if target in self._seen:
            # Where a dead run's commit was finished, this run begins now.
            self._seen[target] = self._store.seen(target)

    def is_published(self, staged: str, target: str, upload: Upload | None) -> bool:
        return self._store.is_published(staged, target, upload)

    def unpublish(self, target: str) -> None:
        self._store.remove(target)

    @property
    def published_in(self) -> Path | None:
        return None

    def check_part(self, part: Part) -> None:
        holds = self._store.holds(part)
        if holds is None:
            check_part(part, self.storage)
        elif not holds:
            raise LedgerError(
                f"{part.path} is not what was written, or is gone: its size or etag is another"
            )

    def clear(self, keep: Collection[str] = ()) -> None:
        store, prefix = self._store, self.prefix
        for name in store.names(prefix):
            url = beside(prefix, name)
            if url not in keep:
                store.remove(url)
        store.forget(prefix, self._noted())
        super().clear(keep)

    def remove(self) -> None:
        if not self.is_held:
            return
        try:
            self.clear()
        except OutputError as error:
            # What is known of it stays, so that it can be removed later.
            logger.warning("%s; zoopipe clean %s removes what is left", error, self.target)
            self.release()
            return
        super().remove()


def target_of(output: str) -> str:
    """What writing to an output means: a resolved path, or the URL.

    Raises:
        OutputError: it is there and is no regular file.
    """
    return str(resolve_target(output)) if is_local(output) else output


def staging_of(output: str, storage: Storage) -> Staging:
    """The staging of an output's target. Raises as `target_of` does."""
    target = target_of(output)
    return Staging(target) if is_local(output) else ObjectStaging(target, storage)


def staging_at(folder: Path) -> Staging:
    """The staging of which only the folder is known.

    Raises:
        OutputError: what is known of its target cannot be read.
    """
    path = folder / _TARGET
    if folder.parent != state_home() or not path.exists():
        return Staging.at(folder)
    try:
        found = json.loads(path.read_bytes())
        staging = ObjectStaging(found["target"], Storage(found["options"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError(f"cannot read {path}: {error}") from error
    # The digest is of options as they were given, some of which JSON does not know.
    staging.folder = folder
    return staging


def staging_folders_of(output: str | os.PathLike[str]) -> list[Path]:
    """The folders with what runs have left of a target, or of those in a folder; of a URL those that this
    machine knows."""
    output = os.fspath(output)
    if is_local(output):
        return staging_folders(Path(local_path(output)))
    if not state_home().is_dir():
        return []
    found = []
    for folder in staging_folders(state_home()):
        with suppress(OutputError):
            target = staging_at(folder).target
            if target == output or target.startswith(output.rstrip("/") + "/"):
                found.append(folder)
    return found
