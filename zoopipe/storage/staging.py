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
from zoopipe.storage.parts import writing

_LOCK = "lock"
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
    """The staging folder of one target."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = target.parent / f".{_short(target.name)}.zoopipe"
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
            for path in _leftovers(self.target.parent, self.folder.name):
                shutil.rmtree(path, ignore_errors=True)

    def _locked(self) -> int:
        """The lock's descriptor. Raises `FileNotFoundError` where the folder was removed meanwhile."""
        path = self.folder / _LOCK
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

    def part(self, shard: int, attempt: int) -> Path:
        """The file that one attempt at one shard writes."""
        return self.folder / f"shard-{shard:05d}.attempt-{attempt}"

    def file(self, name: str) -> Path:
        """A file of the folder, by a name that was read from a file.

        Raises:
            ValueError: the name would lead out of the folder.
        """
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise ValueError("a staged file's name leads out of its folder")
        return self.folder / name

    def beside(self, name: str) -> Path:
        """A file beside the target, by a name that was read from a file. Raises like `file`."""
        return self.target.parent / self.file(name).name

    def clear(self, keep: Collection[Path] = ()) -> None:
        """Removes all that is in the folder but the lock and the files to `keep`."""
        with writing(self.target):
            for path in self.folder.iterdir():
                if path.name != _LOCK and path not in keep:
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
            return os.listdir(self.folder) == [_LOCK]
        return False

    def release(self) -> None:
        """Unlocks the folder and leaves it as it is, for a run that goes on; safe to call twice."""
        if self._lock is not None:
            _held.discard(self._lock)
            os.close(self._lock)
            self._lock = None


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
    return folder.is_dir() and not folder.is_symlink() and (is_trash or (folder / _LOCK).is_file())


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


def _short(name: str) -> str:
    """A name that leaves room for what a staging folder adds: file systems end names at 255 bytes."""
    if len(os.fsencode(name)) <= 200:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()
