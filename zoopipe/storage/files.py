"""Input files: what a source names, and reading a byte range of one of them in chunks."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa

from zoopipe.checks import check_unicode
from zoopipe.errors import DeclarationError, InputError

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Compression = Literal["infer", "gzip", "bz2", "zstd"] | None

#: The end of a range that goes to the end of its file, whatever its size.
END = (1 << 63) - 1

#: Read size. Whole-record blocks of about this size stay in the cache and keep memory flat.
BLOCK_BYTES = 1 << 20

# So much may come of any file: what is small, and all the same, is compressed to next to nothing.
_RATIO_FROM_BYTES = 1 << 26

_EXTENSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".zstd": "zstd"}
_CODECS = ("gzip", "bz2", "zstd")


def source_patterns(source: Source) -> tuple[str, ...]:
    """The paths or globs that a source names, as text.

    Raises:
        DeclarationError: the source is empty or of another type.
    """
    items = [source] if isinstance(source, str | os.PathLike) else source
    if not isinstance(items, Sequence) or not items:
        raise DeclarationError(f"source must be a path, a glob or a list of them, not {source!r}")
    for item in items:
        if not isinstance(item, str | os.PathLike) or not os.fspath(item):
            raise DeclarationError(f"source must name paths, and {item!r} is none")
    return tuple(os.fspath(item) for item in items)


def find_files(patterns: Sequence[str]) -> tuple[str, ...]:
    """The files that `patterns` name: globs sorted by name, in the order of the patterns.

    Raises:
        InputError: a path is missing, is a folder or cannot be read; a glob matches nothing.
    """
    files: list[str] = []
    for pattern in patterns:
        if glob.has_magic(pattern) and not os.path.exists(pattern):
            matches = sorted(
                path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)
            )
            if not matches:
                raise InputError(f"no file matches {pattern!r}")
            files += matches
        else:
            files.append(pattern)
    for path in files:
        _check_readable(path)
    return tuple(files)


def _check_readable(path: str) -> None:
    if os.path.isdir(path):
        raise InputError(f"cannot read {path}: it is a folder; name its files, or use a glob")
    check_unicode(path, InputError)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def check_compression(compression: Compression) -> None:
    """Refuses a compression that no reader knows."""
    if compression not in ("infer", None, *_CODECS):
        raise DeclarationError(
            f"compression must be 'infer', None, 'gzip', 'bz2' or 'zstd', not {compression!r}"
        )


def compression_of(path: str, compression: Compression) -> str | None:
    """The codec a file is to be read with; `infer` goes by the extension."""
    if compression == "infer":
        return _EXTENSIONS.get(Path(path).suffix.lower())
    return compression


def check_encoding(encoding: str) -> None:
    """Refuses an encoding that Python does not know."""
    try:
        # Only bytes that are there make Python tell text encodings from its others.
        b" ".decode(encoding, "replace")
    except (LookupError, TypeError, ValueError) as error:
        raise DeclarationError(f"encoding {encoding!r} is not a text encoding of Python") from error


@lru_cache
def is_ascii_transparent(encoding: str) -> bool:
    """Whether every byte below 128 of a text in `encoding` is the ASCII character it looks like.

    Then newlines, quotes and delimiters can be found in the bytes, and a file can be cut. UTF-8 and
    the single-byte code pages are; UTF-16, Shift-JIS, GBK and the stateful encodings are not.
    """
    if codecs.lookup(encoding).name.startswith("iso2022"):
        # After an escape sequence, pairs of ASCII bytes are kanji.
        return False
    ascii_bytes = bytes(range(128))
    try:
        if ascii_bytes.decode(encoding) != ascii_bytes.decode("ascii"):
            return False
    except UnicodeDecodeError:
        return False
    for lead in range(128, 256):
        for trail in (10, 13, 34, 44, *range(32, 127)):
            text = bytes((lead, trail)).decode(encoding, "replace")
            if len(text) < 2 or text[-1] != chr(trail):
                return False
    return True


def is_utf8(encoding: str) -> bool:
    """Whether bytes in `encoding` are UTF-8 as they stand."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def _as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Bytes that do not decode, as lone surrogates, which are not UTF-8 either.

    So the record that holds them is found, and rejected, where all others are. Python's own
    `surrogateescape` gives up on bytes below 128, of which broken UTF-16 has many.
    """
    assert isinstance(error, UnicodeDecodeError), "only decoders are given this handler"
    undecodable = error.object[error.start : error.end]
    return "".join(chr(0xDC00 + byte) for byte in undecodable), error.end


_UNDECODABLE = "zoopipe.undecodable"
codecs.register_error(_UNDECODABLE, _as_surrogates)


class ByteSource:
    """A file's bytes, as the record readers see them.

    Compressed files are decompressed (all members of a multi-member file), and text in an encoding
    whose bytes cannot be searched is turned into UTF-8; offsets then count the bytes seen here.

    Args:
        path: the file.
        codec: how it is compressed, or None.
        transcode: the encoding that is turned into UTF-8, or None.
        max_ratio: how many times its own size a file may be decompressed to; None for any.
    """

    def __init__(
        self,
        path: str,
        codec: str | None,
        transcode: str | None = None,
        max_ratio: int | None = None,
    ) -> None:
        self.path = path
        self.codec = codec
        self._max_ratio = max_ratio
        self._given = 0
        try:
            self._raw: IO[bytes] = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        self._stream: Any = self._raw
        if codec is not None:
            self._stream = pa.CompressedInputStream(pa.PythonFile(self._raw, mode="r"), codec)
        self._decoder = None
        if transcode is not None:
            self._decoder = codecs.getincrementaldecoder(transcode)(_UNDECODABLE)
            self._decoded = b""

    def seek(self, offset: int) -> None:
        """Goes to `offset`, in bytes of an uncompressed file."""
        self._raw.seek(offset)

    @property
    def is_raw(self) -> bool:
        """Whether the bytes that are seen here are those of the file."""
        return self.codec is None and self._decoder is None

    @property
    def consumed(self) -> int:
        """How many bytes of the file itself have been read so far."""
        return self._raw.tell()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end of the file; empty when there are no more.

        Raises:
            InputError: the disk failed, or the compressed data is damaged or cut short.
        """
        try:
            if self._decoder is None:
                return self._fill(size)
            while len(self._decoded) < size:
                data = self._fill(size)
                text = self._decoder.decode(data, final=not data)
                self._decoded += text.encode("utf-8", "surrogatepass")
                if not data:
                    break
            result, self._decoded = self._decoded[:size], self._decoded[size:]
            return result
        except (OSError, ValueError, pa.ArrowException) as error:
            kind = f"{self.codec} data is damaged or cut short" if self.codec else "read failed"
            raise InputError(f"cannot read {self.path}: {kind}: {error}") from error

    def _fill(self, size: int) -> bytes:
        parts = []
        while size > 0:
            part = self._stream.read(size)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            if self.codec is not None:
                self._check_ratio(len(part))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _check_ratio(self, size: int) -> None:
        """Refuses what grows without end out of a small file."""
        self._given += size
        if self._max_ratio is None or self._given <= _RATIO_FROM_BYTES:
            return
        if self._given > self._max_ratio * max(self.consumed, 1):
            raise InputError(
                f"cannot read {self.path}: it is decompressed to more than {self._max_ratio:,} times its size; "
                "give max_decompression_ratio= if that is right"
            )

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        self._raw.close()

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def bom_length(head: bytes) -> int:
    """How many bytes of `head` are a UTF-8 byte order mark."""
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def encodes(text: str) -> bool:
    """Whether UTF-8 can hold `text`: it has no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
