"""Where attempts write, and the one step that makes their work visible.

Each run has a staging folder beside each target, on the same file system, so that publishing is
a rename: `.<target>.zoopipe-<run>/`. Nothing under the target's own name is touched before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from zoopipe.errors import OutputError

# 120 MB of cached pages on ext4: 35 ms by 1 to 4 MiB, 39 by 256 KiB, 44 by copy_file_range or sendfile,
# which go through a pipe of 64 KiB. To share blocks is no choice: a part begins inside of a block.
_COPY_BYTES = 1 << 21
# How much is written before the disk is given it. With 8 MiB the last fsync waits for 3 ms, not for 60
# (240 MB), at no more CPU; the pages stay cached.
_FLUSH_BYTES = 1 << 23

_MOST_REMOVALS = 5


def resolve_target(output: str) -> Path:
    """The file that writing to `output` means: absolute, symbolic links followed.

    Raises:
        OutputError: it is there and is not a regular file, so that a rename would destroy it.
    """
    target = Path(os.path.realpath(output))
    with writing(target):
        # /dev/stdout may lead to a regular file, which a rename would take from under its writer.
        if os.path.abspath(output).startswith("/dev/") and not output.startswith("/dev/shm/"):
            raise OutputError(f"cannot write {output}: it is a device, not a regular file")
        if target.is_dir():
            raise OutputError(f"cannot write {output}: it is a folder")
        if target.exists() and not target.is_file():
            raise OutputError(
                f"cannot write {output}: it is a device or a pipe, not a regular file"
            )
    return target


class Staging:
    """The staging folder of one target in one run."""

    def __init__(self, target: Path, run_id: str) -> None:
        self.target = target
        self.folder = target.parent / f".{_short(target.name)}.zoopipe-{run_id}"

    def create(self) -> None:
        """Makes the folder, and the target's parents.

        Raises:
            OutputError: it cannot be made or written to.
        """
        with writing(self.target):
            # The rows of a target that only its owner may read are not for others either.
            self.folder.mkdir(mode=0o700, parents=True)
            probe = self.folder / "probe"
            probe.touch()
            probe.unlink()

    def part(self, shard: int, attempt: int) -> Path:
        """The file that one attempt at one shard writes."""
        return self.folder / f"shard-{shard:05d}.attempt-{attempt}"

    def remove(self) -> None:
        """Removes the folder and all that is in it; safe to call twice."""
        # A worker that was given up may begin a file while the folder is emptied; afterwards it cannot.
        for _ in range(_MOST_REMOVALS):
            shutil.rmtree(self.folder, ignore_errors=True)
            if not self.folder.exists():
                return


def _short(name: str) -> str:
    """A name that leaves room for what a staging folder adds: file systems end names at 255 bytes."""
    if len(os.fsencode(name)) <= 200:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()


class PartFile:
    """A staged file, written in order; whole once `close` returns, and on the disk if `durable`.

    Args:
        path: the file.
        append: go on with a file that is there, instead of making one.
        durable: give the disk what is written as it comes, and wait for it in `close`. A part that is
            only copied into another file needs neither: mostly it is gone before it reaches the disk.

    Raises:
        OutputError: from every method, when the disk is full or fails; an error on close is
            one, never swallowed.
    """

    def __init__(self, path: Path, append: bool = False, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        with writing(path):
            mode = "r+b" if append else "xb"
            self._file: IO[bytes] = open(path, mode, buffering=0)  # noqa: SIM115
            self.bytes_written = self._file.seek(0, os.SEEK_END)
        self._bytes_flushed = self.bytes_written

    def write(self, data: bytes | memoryview) -> None:
        """Writes all of `data`."""
        view = memoryview(data).cast("B")
        with writing(self.path):
            while view.nbytes:
                written = self._file.write(view)
                self.bytes_written += written
                view = view[written:]
            self._flush()

    def append_file(self, path: Path) -> None:
        """Writes all of another file."""
        buffer = memoryview(bytearray(_COPY_BYTES))
        with writing(self.path), open(path, "rb", buffering=0) as source:
            left = os.fstat(source.fileno()).st_size
            while left > 0:
                size = source.readinto(buffer)
                if not size:
                    raise OSError(errno.EIO, "a staged part shrank while it was merged")
                self.write(buffer[:size])
                left -= size

    def _flush(self) -> None:
        """Gives the disk what it was not given yet, if that is much, and does not wait for it."""
        start, size = self._bytes_flushed, self.bytes_written - self._bytes_flushed
        if not self._durable or size < _FLUSH_BYTES or not hasattr(os, "posix_fadvise"):
            return
        # Linux begins to write dirty pages that it is told are not needed. It is advice: what goes
        # wrong, fsync says.
        with suppress(OSError):
            os.posix_fadvise(self._file.fileno(), start, size, os.POSIX_FADV_DONTNEED)
        self._bytes_flushed = self.bytes_written

    def close(self) -> None:
        """Closes the file, and makes it durable if it is to be."""
        if not self._file.closed:
            with writing(self.path):
                if self._durable:
                    os.fsync(self._file.fileno())
                self._file.close()

    def discard(self) -> None:
        """Closes and removes the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def reopen(path: Path) -> PartFile:
    """A closed part, opened again to append to it."""
    return PartFile(path, append=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the operating system's errors into one sentence with the path."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def publish(staged: Path, target: Path) -> None:
    """Makes a durable staged file the target, in one atomic step, and makes that step durable.

    A file that was there hands its permissions on, as it would if it were opened and written to.

    Effect: readers see the old file or the new one, whole. If this raises it is the old one, unless
    what failed was making the rename durable.
    """
    with writing(target):
        with suppress(FileNotFoundError):
            shutil.copymode(target, staged)
        _rename(staged, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _rename(staged: Path, target: Path) -> None:
    """Renames, and where the outcome is unknown looks: a network file system may do what was asked and
    lose the answer."""
    ours = staged.stat()
    try:
        os.replace(staged, target)
    except OSError:
        with suppress(OSError):
            if os.path.samestat(ours, target.stat()):
                return
        raise


def part_target(target: Path, number: int) -> Path:
    """The published name of part `number` (1-based) of a target that is not merged."""
    return target.with_name(f"{target.stem}_part_{number:05d}{target.suffix}")


def remove_parts_beyond(target: Path, count: int) -> None:
    """Removes the parts with a number above `count` that an earlier, wider run left behind."""
    pattern = re.compile(re.escape(target.stem) + r"_part_(\d{5})" + re.escape(target.suffix))
    with writing(target):
        for path in target.parent.iterdir():
            match = pattern.fullmatch(path.name)
            if match and int(match[1]) > count:
                path.unlink()
