"""Staged files: written once, in order, with a checksum, and read again only when that still fits."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import xxhash

from zoopipe.errors import LedgerError, OutputError

# 120 MB of cached pages on ext4: 35 ms by 1 to 4 MiB, 39 by 256 KiB, 44 by copy_file_range or sendfile,
# which go through a pipe of 64 KiB. To share blocks is no choice: a part begins inside of a block.
_COPY_BYTES = 1 << 21
# How much is written before the disk is given it. With 8 MiB the last fsync waits for 3 ms, not for 60
# (240 MB), at no more CPU; the pages stay cached.
_FLUSH_BYTES = 1 << 23


@dataclass(frozen=True, slots=True)
class Part:
    """A staged file that is whole: what its writer says of it. Small, and pickles.

    Attributes:
        path: where it is.
        rows: how many rows it holds.
        size_bytes: its size.
        checksum: the xxHash (XXH64) of its bytes, as 16 hexadecimal digits. A disk that loses or changes
            bytes is found by it at 11 GB/s; SHA-256 takes six times as long, and nobody has to be
            kept from making a file of the same sum in a folder of his own.
    """

    path: Path
    rows: int
    size_bytes: int
    checksum: str


class PartFile:
    """A staged file, written in order; whole once `close` returns, and on the disk if `durable`.

    Args:
        path: the file, which must not be there.
        durable: give the disk what is written as it comes, and wait for it in `close`. A part that is
            only copied into another file needs neither: mostly it is gone before it reaches the disk.

    Raises:
        OutputError: from every method, when the disk is full or fails; an error on close is
            one, never swallowed.
    """

    def __init__(self, path: Path, durable: bool = True) -> None:
        self.path = path
        self._durable = durable
        self._sum = xxhash.xxh64()
        self._size = self._flushed = 0
        with writing(path):
            self._file: IO[bytes] = open(path, "xb", buffering=0)  # noqa: SIM115

    @classmethod
    def reopened(cls, part: Part) -> PartFile:
        """A staged part, opened again to append to it.

        What is behind its end a merge has put there that was cut short; it is taken off.

        Raises:
            LedgerError: it is not what its writer says.
        """
        file = cls.__new__(cls)
        file.path, file._durable, file._size = part.path, True, part.size_bytes
        with writing(part.path):
            file._file = open(part.path, "r+b", buffering=0)  # noqa: SIM115
            try:
                file._sum = _checked(file._file, part)
                file._file.truncate(part.size_bytes)
                file._file.seek(part.size_bytes)
            except BaseException:
                file._file.close()
                raise
        file._flushed = part.size_bytes
        return file

    def replacement(self) -> PartFile:
        """An empty staged file beside this one, for a merge that writes everything anew.

        Effect: this one is closed and stays as it is. What an earlier merge left there is removed.
        """
        self.abandon()
        path = self.path.with_name(f"{self.path.name}.whole")
        with writing(path):
            path.unlink(missing_ok=True)
        return PartFile(path)

    def write(self, data: bytes | memoryview) -> None:
        """Writes all of `data`."""
        view = memoryview(data).cast("B")
        self._sum.update(view)
        with writing(self.path):
            while view.nbytes:
                written = self._file.write(view)
                self._size += written
                view = view[written:]
            self._flush()

    def append(self, part: Part, start: int = 0, stop: int | None = None) -> None:
        """Writes another part, or of its bytes those from `start` to `stop`.

        Raises:
            LedgerError: it is not what its writer says, be it there or elsewhere.
        """
        stop, at = part.size_bytes if stop is None else stop, 0

        def take(data: memoryview) -> None:
            nonlocal at
            wanted = data[max(start - at, 0) : max(stop - at, 0)]
            at += len(data)
            if len(wanted):
                self.write(wanted)

        with writing(part.path), open(part.path, "rb", buffering=0) as source:
            _checked(source, part, take)

    def _flush(self) -> None:
        """Gives the disk what it was not given yet, if that is much, and does not wait for it."""
        start, size = self._flushed, self._size - self._flushed
        if not self._durable or size < _FLUSH_BYTES or not hasattr(os, "posix_fadvise"):
            return
        # Linux begins to write dirty pages that it is told are not needed. It is advice: what goes
        # wrong, fsync says.
        with suppress(OSError):
            os.posix_fadvise(self._file.fileno(), start, size, os.POSIX_FADV_DONTNEED)
        self._flushed = self._size

    def close(self, rows: int) -> Part:
        """Closes the file, makes it durable if it is to be, and says what is in it.

        Args:
            rows: how many rows were written.
        """
        if not self._file.closed:
            with writing(self.path):
                if self._durable:
                    os.fsync(self._file.fileno())
                self._file.close()
        return Part(self.path, rows, self._size, self._sum.hexdigest())

    def discard(self) -> None:
        """Closes and removes the file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Closes the file and leaves it, cut short as it is."""
        with suppress(OSError):
            self._file.close()


def part_bytes(part: Part, start: int, stop: int) -> bytes:
    """Some bytes of a staged part, without a look at its checksum.

    Raises:
        OutputError: it is gone, or cannot be read.
    """
    with writing(part.path), open(part.path, "rb") as source:
        source.seek(start)
        return source.read(stop - start)


def check_part(part: Part) -> None:
    """Reads a staged part.

    Raises:
        LedgerError: it is not what its writer says.
        OutputError: it is gone, or cannot be read.
    """
    with writing(part.path), open(part.path, "rb", buffering=0) as source:
        _checked(source, part)


def _checked(source: IO[bytes], part: Part, take: Any = None) -> xxhash.xxh64:
    """Reads as many bytes as a part has; gives them to `take`, and their running checksum back."""
    buffer = memoryview(bytearray(min(_COPY_BYTES, part.size_bytes) or 1))
    digest, left = xxhash.xxh64(), part.size_bytes
    while left > 0:
        size = source.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        if not size:
            break
        digest.update(buffer[:size])
        if take is not None:
            take(buffer[:size])
        left -= size
    found = digest.hexdigest()
    if left or found != part.checksum:
        size = part.size_bytes - left
        raise LedgerError(
            f"{part.path} is not what was written: {size} bytes with the checksum {found}, instead of "
            f"{part.size_bytes} with {part.checksum}; did the disk fail, or did another process change it?"
        )
    return digest


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns the operating system's errors into one sentence with the path."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def sync_folder(folder: Path) -> None:
    """Makes names in a folder durable.

    Raises:
        OutputError: the disk failed.
    """
    with writing(folder):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems know no fsync of folders; they make names durable by themselves.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)
