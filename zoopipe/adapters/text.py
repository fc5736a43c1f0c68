"""What the text formats share: parts are bytes, framed, joined by copying."""

from __future__ import annotations

import copy
import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from zoopipe.adapters.base import Encoded, OutputAdapter
from zoopipe.errors import DeclarationError
from zoopipe.storage.files import Compression, check_compression, check_path, compression_of
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.options import StorageOptions
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.urls import check_urls, is_url, name_of


@dataclass(frozen=True, slots=True)
class Framing:
    """The bytes around the rows of a file: before the first, between two, after the last."""

    begin: bytes = b""
    between: bytes = b""
    end: bytes = b""
    end_empty: bytes = b""


class Encoder(Protocol):
    """Turns a batch into bytes, the rows joined by the framing's `between`."""

    def __call__(
        self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None
    ) -> Encoded: ...


class TextOutputAdapter(OutputAdapter):
    """A file of text rows, which may be compressed."""

    def __init__(
        self,
        output: str | os.PathLike[str],
        compression: Compression = "infer",
        storage_options: StorageOptions | None = None,
    ) -> None:
        if not isinstance(output, str | os.PathLike) or not os.fspath(output):
            raise DeclarationError(f"output must be a path, not {output!r}")
        check_path(output)
        self._output = os.fspath(output)
        check_compression(compression)
        self._compression: Compression = compression
        self.storage = Storage(check_urls([self._output], storage_options))
        self.codec = compression_of(self._output, compression)
        if compression == "infer" and self._output.lower().endswith(".xz"):
            raise DeclarationError(
                f"cannot write {self._output}: outputs are compressed as .gz, .bz2, .zst or .lz4; "
                "give compression=None if the name is right"
            )

    @property
    def output(self) -> str:
        return self._output

    def _extension(self) -> str:
        """The extension of the name, without that of how it is compressed."""
        stem, extension = os.path.splitext(name_of(self._output))
        if compression_of(self._output, "infer") is not None:
            extension = os.path.splitext(stem)[1]
        return extension.lower()

    def at(self, output: str | os.PathLike[str]) -> TextOutputAdapter:
        made = copy.copy(self)
        options = self.storage.options if is_url(os.fspath(output)) else None
        # Only what the class itself checks of a path, for the options are known to be right.
        TextOutputAdapter.__init__(made, output, self._compression, options)
        return made

    @abstractmethod
    def framing(self, columns: tuple[str, ...] | None) -> Framing:
        """The bytes around the rows."""

    @abstractmethod
    def encoder(self, columns: tuple[str, ...] | None) -> Encoder:
        """The function that turns batches into bytes."""

    def check(self, schema: pa.Schema | None) -> None:
        self.framing(_names(schema))

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> TextPart:
        names = _names(schema)
        return TextPart(file, self.encoder(names), self.framing(names), leads)

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        framing, rows = self.framing(_names(schema)), leader.rows
        for part in others:
            if part.rows and rows and framing.between:
                file.write(framing.between)
            file.append(part)
            rows += part.rows
        if end := framing.end if rows else framing.end_empty:
            file.write(end)
        return file.close(rows)


def _names(schema: pa.Schema | None) -> tuple[str, ...] | None:
    return None if schema is None else tuple(schema.names)


class TextPart:
    """A staged part of a text output."""

    def __init__(self, file: PartFile, encoder: Encoder, framing: Framing, leads: bool) -> None:
        self.encode = encoder
        self._between = framing.between
        self._rows = 0
        self._file = file
        if leads and framing.begin:
            self._file.write(framing.begin)

    def write(self, encoded: Encoded) -> None:
        if not encoded.rows:
            return
        if self._rows and self._between:
            self._file.write(self._between)
        for piece in encoded.payload:
            self._file.write(piece)
        self._rows += encoded.rows

    def close(self) -> Part:
        return self._file.close(self._rows)
