"""Places for objects: where outputs are staged and published that are no local files."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import pyarrow as pa

from zoopipe.errors import OutputError, ZooPipeError
from zoopipe.storage.connections import pa_fs
from zoopipe.storage.filesystems import LOCAL, Storage
from zoopipe.storage.parts import Part, PartFile, Sink, Upload
from zoopipe.storage.urls import beside, is_local, scheme_of

Note = Callable[[str], None]


class Store(Protocol):
    """What a file system of objects can do; every path is a URL.

    Raises:
        OutputError: from every method, when the store refuses or is not there.
    """

    def create(self, url: str) -> Sink:
        """A staged object; it is there once the sink is closed."""

    def final(self, url: str, staged: str, seen: str | None, note: Note) -> Sink:
        """What will be published as `url`, if then there still is what was `seen`.

        Args:
            staged: where it is until then, where the store publishes by moving.
            seen: what `seen` said.
            note: is told the id of each upload, so that it can be ended.
        """

    def publish(self, staged: str, url: str, upload: Upload | None) -> None:
        """Makes what was written with `final` the object, whole; safe to repeat."""

    def is_published(self, staged: str, url: str, upload: Upload | None) -> bool:
        """Whether that has happened."""

    def seen(self, url: str) -> str | None:
        """A text that changes with what is there; None where nothing is.

        Raises:
            OutputError: it is a folder.
        """

    def names(self, folder: str, start: str = "") -> list[str]:
        """The objects below a folder whose paths in it begin so; not those in folders where `start` is
        given."""

    def remove(self, url: str) -> None:
        """Removes an object, if it is there."""

    def forget(self, folder: str, uploads: Sequence[tuple[str, str]]) -> None:
        """Ends uploads that nobody will complete: those below a folder, and the named ones (url, id)."""

    def holds(self, part: Part) -> bool | None:
        """Whether a staged part is as it was written; None where only its bytes can tell."""


class Overtaken(OutputError):
    """Another run has published since this one began."""


def overtaken(url: str) -> Overtaken:
    """The error of a run that came too late."""
    return Overtaken(
        f"cannot publish {url}: another run has written it since this one began, and what that wrote is "
        "left as it is; run again if yours has to follow"
    )


def store_of(url: str, storage: Storage) -> Store:
    """The store that a URL is in.

    Raises:
        MissingExtraError: a package is missing.
    """
    if scheme_of(url) == "s3":
        from zoopipe.storage.s3 import S3Store

        return S3Store(url, storage)
    return FileStore(url, storage)


def create_part(path: str, storage: Storage = LOCAL, durable: bool = True) -> PartFile:
    """A staged file, by its path or URL, on the worker that writes it."""
    if is_local(path):
        return PartFile(path, durable)
    return PartFile.into(path, store_of(path, storage).create(path), storage)


@contextmanager
def storing(url: str) -> Iterator[None]:
    """Turns errors of file systems into one sentence with the URL."""
    try:
        yield
    except ZooPipeError:
        raise
    except (OSError, ValueError, NotImplementedError, pa.ArrowException) as error:
        text = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise OutputError(f"cannot write {url}: {text or type(error).__name__}") from error


class FileStore:
    """Any file system of pyarrow's or fsspec's: an object is staged, and moved or copied to be published."""

    def __init__(self, url: str, storage: Storage) -> None:
        self._storage = storage
        self._scheme = scheme_of(url)

    def _at(self, url: str) -> tuple[Any, str]:
        with storing(url):
            return self._storage.at(url)

    def create(self, url: str) -> Sink:
        files, inner = self._at(url)
        with storing(url), suppress(NotImplementedError):
            if self._scheme not in ("gs", "az"):
                files.create_dir(posixpath.dirname(inner), recursive=True)
        return _Stream(url, files, inner)

    def final(self, url: str, staged: str, seen: str | None, note: Note) -> Sink:
        return self.create(staged)

    def publish(self, staged: str, url: str, upload: Upload | None) -> None:
        (files, source), (_, target) = self._at(staged), self._at(url)
        with storing(url):
            if self._scheme in ("gs", "az"):
                # A copy in the store, which appears whole.
                files.copy_file(source, target)
                files.delete_file(source)
                return
            if self._scheme == "hdfs" and self._is_there(files, target):
                # It renames onto nothing that is there.
                files.delete_file(target)
            files.move(source, target)

    def is_published(self, staged: str, url: str, upload: Upload | None) -> bool:
        files, source = self._at(staged)
        with storing(url):
            return not self._is_there(files, source)

    def _is_there(self, files: Any, inner: str) -> bool:
        return bool(files.get_file_info(inner).type == pa_fs().FileType.File)

    def seen(self, url: str) -> str | None:
        files, inner = self._at(url)
        with storing(url):
            info = files.get_file_info(inner)
            if info.type == pa_fs().FileType.Directory:
                raise OutputError(f"cannot write {url}: it is a folder")
            if info.type == pa_fs().FileType.NotFound:
                return None
            return f"{info.size} bytes, mtime {info.mtime_ns} ns"

    def names(self, folder: str, start: str = "") -> list[str]:
        files, inner = self._at(folder)
        inner = inner.rstrip("/")
        with storing(folder):
            selector = pa_fs().FileSelector(inner, recursive=not start, allow_not_found=True)
            found = files.get_file_info(selector)
        kind, skip = pa_fs().FileType.File, len(f"{inner}/") if inner else 0
        names = [info.path[skip:] for info in found if info.type == kind]
        return [name for name in names if name.startswith(start)]

    def remove(self, url: str) -> None:
        files, inner = self._at(url)
        with storing(url):
            if self._is_there(files, inner):
                files.delete_file(inner)

    def forget(self, folder: str, uploads: Sequence[tuple[str, str]]) -> None:
        # Object stores have no folders; elsewhere one that is empty is not left behind.
        for url in (beside(folder, ""), beside(beside(folder, "").rstrip("/"), "")):
            files, inner = self._at(url)
            with suppress(OutputError, OSError, NotImplementedError, pa.ArrowException):
                if not self.names(url):
                    files.delete_dir(inner.rstrip("/"))

    def holds(self, part: Part) -> bool | None:
        return None


class _Stream:
    """An object that is written through pyarrow."""

    def __init__(self, url: str, files: Any, inner: str) -> None:
        self._url, self._files, self._inner = url, files, inner
        with storing(url):
            self._stream = files.open_output_stream(inner, compression=None)

    def write(self, data: memoryview) -> None:
        with storing(self._url):
            self._stream.write(data)

    def join(self, part: Part, start: int, stop: int) -> bool:
        return False

    def replaced(self) -> tuple[str, Sink]:
        self.abandon()
        return self._url, _Stream(self._url, self._files, self._inner)

    def close(self) -> tuple[None, None]:
        with storing(self._url):
            self._stream.close()
        return None, None

    def discard(self) -> None:
        self.abandon()
        with suppress(OSError, ValueError, pa.ArrowException):
            self._files.delete_file(self._inner)

    def abandon(self) -> None:
        with suppress(OSError, ValueError, pa.ArrowException):
            self._stream.close()
