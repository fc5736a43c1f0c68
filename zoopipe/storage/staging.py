"""Where attempts write: a folder beside each target, which one run at a time may hold.

`.<target>.zoopipe/` is on the target's own file system, so that publishing is a rename. Nothing under the
target's own name is touched before. The folder has the same name in every run, so that a run can find what
one before it left; who holds it has locked the file `lock` in it. The system takes the lock from a process
that ends, however it ends: a folder whose lock is free belongs to a run that is surely dead.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

from zoopipe.errors import OutputError
from zoopipe.storage.filesystems import LOCAL, Storage
from zoopipe.storage.parts import Disk, Part, PartFile, Upload, check_part, writing
from zoopipe.storage.publish import part_name, parts_beyond, publish, resolve_target
from zoopipe.storage.urls import beside, name_of

LOCK = "lock"
# A folder's name, and what is added to that of one that is being removed.
_NAME = re.compile(r"\.(?P<target>.+)\.zoopipe(?P<trash>-[0-9a-f]{12})?", re.DOTALL)

# Locks that this process holds. A forked worker has copies of them, and must not keep a lock that its
# driver has lost.
_held: set[int] = set()


def _drop_inherited() -> None:
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_drop_inherited)


class Staging:
    """The staging folder of one target.

    Attributes:
        target: the file that is published.
        storage: how staged files are opened.
        folder: what is locked, and has the run's state in it.
    """

    storage: Storage = LOCAL
    #: Whether what was published can be put back as it was.
    can_take_back = True
    # What is in a folder that no run was begun in.
    _unused = frozenset({LOCK})

    def __init__(self, target: str | Path) -> None:
        self.target = str(target)
        self.folder = Path(target).parent / f".{short_name(Path(target).name)}.zoopipe"
        self._lock: int | None = None

    @classmethod
    def at(cls, folder: Path) -> Staging:
        """The staging of which only the folder is known; a long target's name is not."""
        match = _NAME.fullmatch(folder.name)
        assert match is not None and match["trash"] is None, "it is a staging folder's name"
        return cls(folder.with_name(match["target"]))

    def acquire(self) -> None:
        """Makes the folder, and the target's parents, where they are missing, and locks it.

        Effect: what a dead run left in it is still there.

        Raises:
            OutputError: another run holds it, or it cannot be made or written to.
        """
        with writing(self.target):
            while self._lock is None:
                # The rows of a target that only its owner may read are not for others either.
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Its last holder may remove it at any moment: then it is made once more.
                with suppress(FileNotFoundError):
                    self._check_owner()
                    self._lock = self._locked()
            for path in _leftovers(self.folder.parent, self.folder.name):
                shutil.rmtree(path, ignore_errors=True)

    def _locked(self) -> int:
        """The lock's descriptor. Raises `FileNotFoundError` where the folder was removed meanwhile."""
        path = self.folder / LOCK
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), path.stat()):
                raise FileNotFoundError(path)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, _owner())
        except BlockingIOError as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise OutputError(
                f"cannot write {self.target}: another run is writing it{holder}; wait for its end"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        _held.add(descriptor)
        return descriptor

    def _check_owner(self) -> None:
        """Refuses a folder that somebody else has put where anybody may put one."""
        found, parent = self.folder.lstat(), self.folder.parent.stat()
        is_shared = bool(parent.st_mode & stat.S_ISVTX)
        if not stat.S_ISDIR(found.st_mode) or (is_shared and found.st_uid != os.geteuid()):
            raise OutputError(
                f"cannot write {self.target}: {self.folder} is no folder of this user's; remove it"
            )

    @property
    def is_held(self) -> bool:
        """Whether this process has locked it."""
        return self._lock is not None

    @property
    def is_own(self) -> bool:
        """Whether the folder is this user's, so that nobody else has put anything into it."""
        return self.folder.lstat().st_uid == os.geteuid()

    def part(self, shard: int, attempt: int) -> str:
        """The file that one attempt at one shard writes."""
        return self.file(f"shard-{shard:05d}.attempt-{attempt}")

    def file(self, name: str) -> str:
        """A staged file, by a name that was read from a file.

        Raises:
            ValueError: the name would lead out of the folder.
        """
        return str(self.folder / checked_name(name))

    def here(self, name: str) -> str:
        """A file of this machine's, which only the driver writes and reads."""
        return str(self.folder / name)

    def beside(self, name: str) -> str:
        """A file beside the target, by a name that was read from a file. Raises like `file`."""
        return beside(self.target, checked_name(name))

    def published(self, number: int | None) -> str:
        """What is published: the target, or its part `number` (1-based)."""
        name = name_of(self.target)
        return self.target if number is None else self.beside(part_name(name, number))

    def published_beyond(self, count: int) -> list[str]:
        """The published parts with a number above `count`."""
        with writing(self.target):
            names = os.listdir(os.path.dirname(self.target))
        return [self.beside(name) for name in parts_beyond(name_of(self.target), names, count)]

    def whole(self, leader: Part, target: str, codec: str | None) -> PartFile:
        """The file that will be published as `target`, with the part that leads in it.

        Args:
            leader: durable.
            target: what `published` says.
            codec: how it is compressed, or None.

        Raises:
            LedgerError: the part is not what its writer says.
        """
        if codec is None:
            return PartFile.reopened(leader)
        path = self.here(f"{name_of(leader.path)}.{codec}")
        with writing(path):
            # A merge that was cut short may have begun it.
            Path(path).unlink(missing_ok=True)
        return led(PartFile.into(path, Disk.created(path, True), self.storage, codec), leader)

    def check(self, target: str) -> None:
        """Looks at a target before it is published.

        Raises:
            OutputError: it cannot be.
        """
        resolve_target(target)

    def publish(self, staged: str, target: str, upload: Upload | None) -> None:
        """Publishes a file that `whole` gave, in one atomic step; safe to repeat."""
        publish(Path(staged), Path(target))

    def is_published(self, staged: str, target: str, upload: Upload | None) -> bool:
        """Whether that has happened."""
        with writing(staged):
            return not os.path.exists(staged)

    def unpublish(self, target: str) -> None:
        """Removes a published file that an earlier run left."""
        with writing(target):
            Path(target).unlink(missing_ok=True)

    @property
    def published_in(self) -> Path | None:
        """The folder whose names have to be made durable after publishing; None where a store does that."""
        return Path(self.target).parent

    def check_part(self, part: Part) -> None:
        """Reads a staged part.

        Raises:
            LedgerError: it is not what its writer says.
            OutputError: it is gone, or cannot be read.
        """
        check_part(part, self.storage)

    def clear(self, keep: Collection[str] = ()) -> None:
        """Removes all that is staged but the files to `keep`."""
        with writing(self.target):
            for path in self.folder.iterdir():
                if path.name not in self._unused and str(path) not in keep:
                    path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes the folder and all that is in it, and unlocks it; safe to call twice.

        Effect: what an attempt that was given up still begins to write fails.
        """
        if self._lock is None:
            return
        # At once, for all who know the path; from then on the next run may make its own.
        gone = self.folder.with_name(f"{self.folder.name}-{uuid4().hex[:12]}")
        try:
            os.rename(self.folder, gone)
        except OSError:
            gone = self.folder
        shutil.rmtree(gone, ignore_errors=True)
        self.release()

    def leave_unused(self) -> None:
        """Ends the hold on a folder that no run was begun in: what was there before stays."""
        if self._lock is not None and self._is_empty():
            self.remove()
        self.release()

    def _is_empty(self) -> bool:
        with suppress(OSError):
            return self._unused.issuperset(os.listdir(self.folder))
        return False

    def release(self) -> None:
        """Unlocks the folder and leaves it as it is, for a run that goes on; safe to call twice."""
        if self._lock is not None:
            _held.discard(self._lock)
            # A process that was forked at the wrong moment may have a copy of the descriptor.
            with suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None


def led(file: PartFile, leader: Part) -> PartFile:
    """A new file with the part that leads in it."""
    try:
        file.append(leader)
    except BaseException:
        file.discard()
        raise
    return file


def checked_name(name: str) -> str:
    """A name that leads nowhere else. Raises `ValueError` otherwise."""
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError("a staged file's name leads out of its folder")
    return name


def staging_folders(path: Path) -> list[Path]:
    """The staging folders that there are, or were about to be removed, of a target or in a folder; those of
    a database's tables are of the database too."""
    is_folder = path.is_dir()
    target = Path(os.path.realpath(path))
    wanted = None if is_folder else Staging(target).folder
    with writing(path):
        found = sorted((target if is_folder else target.parent).iterdir())
    folders = dict.fromkeys(
        each.with_name(f".{match['target']}.zoopipe")
        for each in found
        if (match := _NAME.fullmatch(each.name)) and _is_ours(each, bool(match["trash"]))
    )
    of_table = f".{target.name}@"
    return [
        folder for folder in folders if wanted in (None, folder) or folder.name.startswith(of_table)
    ]


def _is_ours(folder: Path, is_trash: bool) -> bool:
    return folder.is_dir() and not folder.is_symlink() and (is_trash or (folder / LOCK).is_file())


def _leftovers(parent: Path, folder: str) -> Iterator[Path]:
    """Folders that were about to be removed when their run was killed."""
    for path in parent.iterdir():
        if path.name.startswith(f"{folder}-") and _NAME.fullmatch(path.name):
            yield path


def _owner() -> bytes:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    return json.dumps({"host": platform.node(), "pid": os.getpid(), "since": since}).encode()


def _holder(descriptor: int) -> str:
    """Who holds a lock, as the end of a sentence; nothing where that is not known."""
    try:
        owner = json.loads(os.pread(descriptor, 1 << 10, 0))
        return f" (process {owner['pid']} on {owner['host']}, since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def short_name(name: str) -> str:
    """A name that leaves room for what a staging folder adds: file systems end names at 255 bytes."""
    if len(os.fsencode(name)) <= 200:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()
