"""Staged files: written once, in order, with a checksum, and read again only when that still fits."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import xxhash

from zoopipe.cpus import usable_cpus
from zoopipe.errors import InputError, LedgerError, OutputError
from zoopipe.storage.compress import Compressor
from zoopipe.storage.filesystems import LOCAL, RawFile, Storage
from zoopipe.storage.urls import is_local

# 120 MB of cached pages on ext4: 35 ms by 1 to 4 MiB, 39 by 256 KiB, 44 by copy_file_range or sendfile,
# which go through a pipe of 64 KiB. To share blocks is no choice: a part begins inside of a block.
_COPY_BYTES = 1 << 21
# How much is written before the disk is given it. With 8 MiB the last fsync waits for 3 ms, not for 60
# (240 MB), at no more CPU; the pages stay cached.
_FLUSH_BYTES = 1 << 23


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that is whole and that nobody sees: to complete the upload is what publishes it.

    Attributes:
        id: the store's name for it.
        etags: those of its pieces, in order.
        stamp: what the object will be known by.
        seen: the etag of what was there when the run began; None for nothing.
    """

    id: str
    etags: tuple[str, ...]
    stamp: str
    seen: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A staged file that is whole: what its writer says of it. Small, and pickles.

    Attributes:
        path: where it is, a path or a URL.
        rows: how many rows it holds.
        size_bytes: its size.
        checksum: the xxHash (XXH64) of its bytes, as 16 hexadecimal digits. A disk that loses or changes
            bytes is found by it at 11 GB/s; SHA-256 takes six times as long, and nobody has to be
            kept from making a file of the same sum in a folder of his own. Empty where an object store has
            joined it of others, whose etags were compared.
        etag: what an object store says of its content.
        upload: what is left to do to publish it.
    """

    path: str
    rows: int
    size_bytes: int
    checksum: str
    etag: str | None = None
    upload: Upload | None = None


class Sink(Protocol):
    """Where the bytes of a staged file go."""

    def write(self, data: memoryview) -> None:
        """Writes all of `data`, whose buffer may change afterwards."""

    def join(self, part: Part, start: int, stop: int) -> bool:
        """Appends the bytes of a staged part without reading them; False where that cannot be done."""

    def replaced(self) -> tuple[str, Sink]:
        """Ends it, and gives an empty one for the same file, and its path."""

    def close(self) -> tuple[str | None, Upload | None]:
        """Ends the file; says its etag, and what is left to do to publish it."""

    def discard(self) -> None:
        """Ends and removes it."""

    def abandon(self) -> None:
        """Ends it, and leaves what is there."""


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

    def __init__(self, path: str | Path, durable: bool = True) -> None:
        self._begin(str(path), Disk.created(str(path), durable), LOCAL)

    def _begin(self, path: str, sink: Sink, storage: Storage) -> None:
        self.path = path
        self._sink = sink
        self.storage = storage
        self._sum = xxhash.xxh64()
        self._size = 0
        self._compressor: Compressor | None = None
        self._is_joined = self._is_closed = False

    @classmethod
    def into(cls, path: str, sink: Sink, storage: Storage, codec: str | None = None) -> PartFile:
        """A file that goes elsewhere, or is compressed on its way.

        Args:
            path: its path or URL.
            sink: where its bytes go.
            storage: where parts that are appended to it are read.
            codec: how it is compressed, or None.
        """
        file = cls.__new__(cls)
        file._begin(path, sink, storage)
        if codec is not None:
            file._compressor = Compressor(codec, file._pass_on, usable_cpus())
        return file

    @classmethod
    def reopened(cls, part: Part) -> PartFile:
        """A staged part, opened again to append to it.

        What is behind its end a merge has put there that was cut short; it is taken off.

        Raises:
            LedgerError: it is not what its writer says.
        """
        file = cls.__new__(cls)
        sink, digest = Disk.reopened(part)
        file._begin(part.path, sink, LOCAL)
        file._sum, file._size = digest, part.size_bytes
        return file

    def replacement(self) -> PartFile:
        """An empty staged file in place of this one, for a merge that writes everything anew.

        Effect: this one is closed and stays as it is. What an earlier merge left there is removed.
        """
        path, sink = self._sink.replaced()
        return PartFile.into(path, sink, self.storage)

    def write(self, data: bytes | memoryview) -> None:
        """Writes all of `data`."""
        view = memoryview(data).cast("B")
        if self._compressor is not None:
            self._compressor.write(view)
        else:
            self._pass_on(view)

    def _pass_on(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        self._sum.update(view)
        self._sink.write(view)
        self._size += view.nbytes

    def append(self, part: Part, start: int = 0, stop: int | None = None) -> None:
        """Writes another part, or of its bytes those from `start` to `stop`.

        Raises:
            LedgerError: it is not what its writer says, be it there or elsewhere.
        """
        stop, at = part.size_bytes if stop is None else stop, 0
        if self._compressor is None and self._sink.join(part, start, stop):
            self._size += stop - start
            self._is_joined = True
            return

        def take(data: memoryview) -> None:
            nonlocal at
            wanted = data[max(start - at, 0) : max(stop - at, 0)]
            at += len(data)
            if len(wanted):
                self.write(wanted)

        with opened(part, self.storage) as source:
            _checked(source, part, take)

    def close(self, rows: int) -> Part:
        """Closes the file, makes it durable if it is to be, and says what is in it.

        Args:
            rows: how many rows were written.
        """
        if not self._is_closed:
            if self._compressor is not None:
                self._compressor.close()
            self._said = self._sink.close()
            self._is_closed = True
        checksum = "" if self._is_joined else self._sum.hexdigest()
        return Part(self.path, rows, self._size, checksum, *self._said)

    def discard(self) -> None:
        """Closes and removes the file."""
        self._end_threads()
        self._sink.discard()

    def abandon(self) -> None:
        """Closes the file and leaves it, cut short as it is."""
        self._end_threads()
        self._sink.abandon()

    def _end_threads(self) -> None:
        if self._compressor is not None:
            self._compressor.abandon()


class Disk:
    """A sink that is a file of this machine's."""

    def __init__(self, path: str, file: IO[bytes], durable: bool, size: int = 0) -> None:
        self._path = path
        self._file = file
        self._durable = durable
        self._size = self._flushed = size

    @classmethod
    def created(cls, path: str, durable: bool) -> Disk:
        """A new file."""
        with writing(path):
            return cls(path, open(path, "xb", buffering=0), durable)

    @classmethod
    def reopened(cls, part: Part) -> tuple[Disk, xxhash.xxh64]:
        """A part, to go on at its end; and its running checksum."""
        with writing(part.path):
            file = open(part.path, "r+b", buffering=0)  # noqa: SIM115
            try:
                digest = _checked(file, part)
                file.truncate(part.size_bytes)
                file.seek(part.size_bytes)
            except BaseException:
                file.close()
                raise
        return cls(part.path, file, True, part.size_bytes), digest

    def write(self, data: memoryview) -> None:
        with writing(self._path):
            while data.nbytes:
                written = self._file.write(data)
                self._size += written
                data = data[written:]
            self._flush()

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

    def join(self, part: Part, start: int, stop: int) -> bool:
        return False

    def replaced(self) -> tuple[str, Sink]:
        self.abandon()
        path = f"{self._path}.whole"
        with writing(path):
            Path(path).unlink(missing_ok=True)
        return path, Disk.created(path, True)

    def close(self) -> tuple[None, None]:
        with writing(self._path):
            if self._durable:
                self._sync()
            self._file.close()
        return None, None

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError:
            # What is read of it now is what is in memory, and the next fsync says nothing of what this one
            # has lost: nobody is to take it for whole.
            with suppress(OSError):
                os.unlink(self._path)
            raise

    def discard(self) -> None:
        self.abandon()
        with suppress(OSError):
            Path(self._path).unlink(missing_ok=True)

    def abandon(self) -> None:
        with suppress(OSError):
            self._file.close()


@contextmanager
def opened(part: Part, storage: Storage) -> Iterator[RawFile]:
    """A staged part, to read.

    Raises:
        OutputError: it is gone, or cannot be read.
    """
    with writing(part.path):
        source: RawFile
        if is_local(part.path):
            source = open(part.path, "rb", buffering=0)  # noqa: SIM115
        else:
            try:
                source = storage.open(part.path)
            except InputError as error:
                raise OutputError(str(error)) from error
        try:
            yield source
        finally:
            source.close()


def part_bytes(part: Part, start: int, stop: int, storage: Storage) -> bytes:
    """Some bytes of a staged part, without a look at its checksum.

    Raises:
        OutputError: it is gone, or cannot be read.
    """
    found = b""
    with opened(part, storage) as source:
        source.seek(start)
        while len(found) < stop - start and (more := source.read(stop - start - len(found))):
            found += more
    return found


def check_part(part: Part, storage: Storage = LOCAL) -> None:
    """Reads a staged part.

    Raises:
        LedgerError: it is not what its writer says.
        OutputError: it is gone, or cannot be read.
    """
    with opened(part, storage) as source:
        _checked(source, part)


def _checked(
    source: RawFile, part: Part, take: Callable[[memoryview], None] | None = None
) -> xxhash.xxh64:
    """Reads as many bytes as a part has; gives them to `take`, and their running checksum back."""
    buffer = memoryview(bytearray(min(_COPY_BYTES, part.size_bytes) or 1))
    digest, left = xxhash.xxh64(), part.size_bytes
    while left > 0:
        data = _some(source, buffer[: min(left, len(buffer))])
        if not data:
            break
        digest.update(data)
        if take is not None:
            take(data)
        left -= len(data)
    found = digest.hexdigest()
    if left or found != part.checksum:
        size = part.size_bytes - left
        raise LedgerError(
            f"{part.path} is not what was written: {size} bytes with the checksum {found}, instead of "
            f"{part.size_bytes} with {part.checksum}; did the disk fail, or did another process change it?"
        )
    return digest


def _some(source: RawFile, buffer: memoryview) -> memoryview:
    """Some bytes of a file, in a buffer that is used again where that is faster."""
    if hasattr(source, "readinto"):
        return buffer[: source.readinto(buffer)]
    return memoryview(source.read(len(buffer)))


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
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
