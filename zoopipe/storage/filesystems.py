"""Where files are: local paths, and URLs of object stores and other file systems, behind one door.

`file://` is a local path. `s3://`, `gs://`, `az://` and `hdfs://` go through pyarrow's own file systems, every
other URL through fsspec. A URL is opened on the worker that needs it; what is sent there is the URL and the
options as they were given, with references to secrets in place of secrets.
"""

from __future__ import annotations

import errno
import glob
import os
from typing import Any, Protocol

import pyarrow as pa

from zoopipe.errors import InputError, ZooPipeError
from zoopipe.storage import globs
from zoopipe.storage.connections import filesystem_of, pa_fs
from zoopipe.storage.options import NO_OPTIONS, StorageOptions
from zoopipe.storage.urls import is_local, local_path

# A request takes some 30 ms wherever it goes. The first ones are small, for heads of files; who reads on gets
# 8 MiB at a time, which take some 100 ms more.
_FIRST_BYTES = 1 << 18
_MOST_BYTES = 1 << 23


class RawFile(Protocol):
    """An open file that is read from any place on."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, /) -> object: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class Storage:
    """The files that an adapter names by path or URL. Small, and pickles; its repr shows no option.

    Args:
        options: the storage options of URLs, with `${NAME}` for what is in the environment of the process that
            opens a file.
    """

    def __init__(self, options: StorageOptions = NO_OPTIONS) -> None:
        self._options = dict(options)

    def __repr__(self) -> str:
        return "Storage()"

    @property
    def options(self) -> StorageOptions:
        """The options as they were given."""
        return self._options

    def at(self, path: str) -> tuple[Any, str]:
        """pyarrow's file system for a path or URL, and the path in it.

        Raises:
            MissingExtraError: a package is missing.
            DeclarationError: there is no such scheme, or an option is wrong.
            InputError: a variable that an option refers to is not set.
        """
        return filesystem_of(path, self._options)

    def open(self, path: str) -> RawFile:
        """Opens a file to read.

        Raises:
            InputError: it is missing or cannot be read.
        """
        with reading(path):
            if is_local(path):
                return open(local_path(path), "rb", buffering=0)
            files, inner = self.at(path)
            return _RemoteFile(files.open_input_file(inner), files)

    def native(self, path: str) -> Any:
        """A file as Arrow's readers take it, with random access. Raises like `open`."""
        with reading(path):
            if is_local(path):
                return pa.OSFile(local_path(path))
            files, inner = self.at(path)
            return files.open_input_file(inner)

    def mapped(self, path: str) -> Any:
        """The same, mapped into memory where it is local."""
        with reading(path):
            return pa.memory_map(local_path(path)) if is_local(path) else self.native(path)

    def size(self, path: str) -> int:
        """A file's size in bytes. Raises like `open`."""
        with reading(path):
            if is_local(path):
                return os.path.getsize(local_path(path))
            files, inner = self.at(path)
            with files.open_input_file(inner) as file:
                return int(file.size())

    def identity(self, path: str) -> str:
        """A text that changes with a file's content: its size, and its etag or when it was written.

        Raises like `open`.
        """
        with reading(path):
            if is_local(path):
                file = os.stat(local_path(path))
                return f"{file.st_size} bytes, mtime {file.st_mtime_ns} ns"
            files, inner = self.at(path)
            etag = _etag(files, inner)
            info = files.get_file_info(inner)
            when = f"mtime {info.mtime_ns} ns" if etag is None else f"etag {etag}"
            return f"{info.size} bytes, {when}"

    def matches(self, pattern: str) -> list[str] | None:
        """The files that a glob names, sorted; None where it is no glob, or there is a file of just that name.

        Raises:
            InputError: a folder cannot be listed.
        """
        if not glob.has_magic(pattern):
            return None
        with reading(pattern):
            if is_local(pattern):
                path = local_path(pattern)
                if os.path.exists(path):
                    return None
                found = glob.glob(path, recursive=True)
                return sorted(each for each in found if os.path.isfile(each))
            files, inner = self.at(pattern)
            if files.get_file_info(inner).type == pa_fs().FileType.File:
                return None
            start, end = _around(pattern, inner)
            return sorted(f"{start}{each}{end}" for each in globs.find(files, inner))

    def files_in(self, folder: str) -> tuple[str, ...]:
        """The files in a folder and in those below it, sorted; hidden ones (`.`, `_`) are left out.

        Raises:
            InputError: there is no such folder, or it cannot be read.
        """
        with reading(folder):
            files, inner = self.at(folder)
            names = globs.files_below(files, inner.rstrip("/"))
        prefix = folder.rstrip("/")
        return tuple(
            f"{prefix}/{name}"
            for name in sorted(names)
            if not any(step.startswith((".", "_")) for step in name.split("/"))
        )

    def is_folder(self, path: str) -> bool:
        """Whether a path or URL names a folder. Raises like `open`, but not where nothing is there."""
        with reading(path):
            if is_local(path):
                return os.path.isdir(local_path(path))
            files, inner = self.at(path)
            return bool(files.get_file_info(inner).type == pa_fs().FileType.Directory)


#: Local paths, and URLs without options.
LOCAL = Storage()


class reading:
    """Turns errors of file systems into one sentence with the path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ZooPipeError):
            return
        if isinstance(error, OSError | pa.ArrowException):
            text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            if isinstance(error, FileNotFoundError):
                text = os.strerror(errno.ENOENT)
            raise InputError(f"cannot read {self._path}: {text}") from error


def _etag(files: Any, inner: str) -> str | None:
    """What an object store says of an object's content."""
    with files.open_input_stream(inner, compression=None) as stream:
        if isinstance(files, pa_fs().PyFileSystem):
            return None
        found = {str(name).lower(): value for name, value in stream.metadata().items()}
    etag = found.get("etag")
    return etag.decode() if isinstance(etag, bytes) else etag


def _around(pattern: str, inner: str) -> tuple[str, str]:
    """What a URL has before and after the path in its file system."""
    start, found, end = pattern.rpartition(inner.lstrip("/"))
    if not found:
        raise InputError(f"cannot look for the files of {pattern}: name them one by one")
    return (start[: len(start) - 1] if inner.startswith("/") else start), end


class _RemoteFile:
    """A file that is read by requests, each for more than the one before while it is read on."""

    def __init__(self, file: Any, files: Any) -> None:
        self._file = file
        # An archive is closed with the last reference to its file system.
        self._files = files
        self._held = b""
        self._start = self._at = 0
        self._next_bytes = _FIRST_BYTES

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def read(self, size: int = -1, /) -> bytes:
        """Some bytes, at most `size`; none only at the end of the file."""
        offset = self._at - self._start
        if offset == len(self._held):
            self._held = self._file.read_at(max(size, self._next_bytes), self._at)
            self._start, offset = self._at, 0
            self._next_bytes = min(self._next_bytes * 2, _MOST_BYTES)
        found = self._held[offset:] if size < 0 else self._held[offset : offset + size]
        self._at += len(found)
        return found

    def seek(self, offset: int, /) -> int:
        if not self._start <= offset <= self._start + len(self._held):
            self._held, self._start = b"", offset
            self._next_bytes = _FIRST_BYTES
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
