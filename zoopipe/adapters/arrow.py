"""Arrow IPC files and streams, in and out; Feather of version 2 is the file format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import pyarrow as pa

from zoopipe.adapters.arrow_cut import Cutter
from zoopipe.adapters.arrow_read import ArrowSource, Whole
from zoopipe.adapters.base import Block, Encoded, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.columnar import (
    block_of,
    check_same_schema,
    chosen_columns,
    readable_schema,
    slices,
)
from zoopipe.adapters.cutting import Units, cut_units
from zoopipe.adapters.options import check_counts, check_names
from zoopipe.adapters.typed_output import PartSink, TypedOutputAdapter, encode_typed
from zoopipe.errors import DeclarationError, InputError
from zoopipe.storage.files import Source, find_files, source_patterns
from zoopipe.storage.parts import Part, PartFile, check_part

ArrowFormat = Literal["file", "stream"]
ArrowCompression = Literal["lz4", "zstd"] | None
NewWriter = Callable[[pa.NativeFile, pa.Schema], pa.ipc.RecordBatchStreamWriter]


class ArrowInputAdapter(InputAdapter):
    """Reads Arrow IPC files and streams, and Feather files of version 2; how a file begins says which it is.

    Files are mapped into memory, and their columns are used where they lie; compressed ones are decompressed
    batch by batch, and of a file only the columns that are needed.

    Unit of parallelism: a record batch.

    Args:
        source: a path, a glob, or a list of them; many files are one input, in order, and have the same
            columns.
        columns: those to be read, in this order; by default all.
        skip_rows: how many records to leave out from the start of the input.
        limit: read at most this many records of the whole input.

    Raises:
        DeclarationError: an option is out of range.
    """

    prunes = True

    def __init__(
        self,
        source: Source,
        columns: Sequence[str] | None = None,
        skip_rows: int = 0,
        limit: int | None = None,
    ) -> None:
        self._patterns = source_patterns(source)
        self._columns = None if columns is None else check_names(columns, "columns")
        check_counts(skip_rows=skip_rows, limit=limit)
        self._skip_rows = skip_rows
        self._limit = limit

    def __repr__(self) -> str:
        return f"ArrowInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        paths = find_files(self._patterns)
        schema: pa.Schema | None = None
        files = []
        # Rows are counted by looking at each batch; only where that is asked for.
        counts = bool(self._skip_rows or self._limit is not None)
        for path in paths:
            source = ArrowSource(path, path)
            found = readable_schema(source.schema, path)
            if schema is None:
                schema = found
            check_same_schema(path, found, paths[0], schema)
            batches = source.count()
            sizes = [_share(source.size, at, batches) for at in range(batches)]
            files.append(Units(path, sizes, source.rows() if counts else None))
        assert schema is not None, "at least one file was found"
        names = chosen_columns(schema.names, self._columns, paths[0])
        return cut_units(
            files,
            shards,
            unit="batches",
            schema=pa.schema([schema.field(name) for name in names]),
            skip=self._skip_rows,
            limit=self._limit,
        )

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        assert shard.schema is not None and columns is not None, "a plan has columns"
        for part in shard.ranges:
            source = ArrowSource(shard.file_of(part), part.path)
            if part.start == part.end:
                none = [pa.nulls(0, shard.schema.field(name).type) for name in columns]
                yield block_of(pa.RecordBatch.from_arrays(none, names=list(columns)), part, 0)
            else:
                yield from _blocks(source, part, columns, shard.schema.names)


def _share(size: int, at: int, of: int) -> int:
    """The bytes of the part `at` of `of` about equal ones."""
    return size * (at + 1) // of - size * at // of


def _blocks(
    source: ArrowSource, part: FileRange, names: Sequence[str], everything: Sequence[str]
) -> Iterator[Block]:
    """The blocks of a range's batches; the last one of a batch takes the place to the next."""
    total = source.count()
    if part.end > total:
        raise InputError(
            f"{source.name} has {total} batches, and number {part.end} was to be read: did it change?"
        )
    prunes = len(names) < len(everything)
    for at, batch, whole in source.batches(part.start, part.end, names, everything):
        start, size = 0, _share(source.size, at, total)
        for piece in slices(batch):
            end = start + piece.num_rows
            is_last = end == batch.num_rows
            place = replace(part, start=at, end=at + is_last)
            rest = _sliced(whole, start, piece.num_rows) if prunes else None
            yield block_of(piece, place, size if is_last else 0, rest)
            start = end


def _sliced(whole: Whole, start: int, length: int) -> Whole:
    return lambda: whole().slice(start, length)


class ArrowOutputAdapter(TypedOutputAdapter):
    """Writes one Arrow IPC file or stream, with the types of the model, or else of the input.

    Batches have 65,536 rows, or fewer where rows are long, wherever shards end: the bytes are the same for any
    number of workers.

    Delivery: the file appears whole, by a rename, or not at all.

    Args:
        output: the path.
        format: `file` or `stream`; by default from the extension, `.arrows` is a stream.
        compression: of the columns' buffers: `lz4`, `zstd` or None. Without, a file can be mapped into memory
            and used as it is.
        schema: the columns and their types, in place of those of the model or the input.

    Raises:
        DeclarationError: an option is out of range.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        format: ArrowFormat | None = None,
        compression: ArrowCompression = None,
        schema: pa.Schema | None = None,
    ) -> None:
        super().__init__(output, schema)
        if format not in (None, "file", "stream"):
            raise DeclarationError(f"format must be 'file' or 'stream', not {format!r}")
        if compression not in (None, "lz4", "zstd"):
            raise DeclarationError(
                f"compression must be 'lz4', 'zstd' or None, not {compression!r}"
            )
        by_extension = "stream" if self._output.lower().endswith(".arrows") else "file"
        self._format = format or by_extension
        self._compression = compression

    def check(self, schema: pa.Schema | None) -> None:
        assert schema is not None, "a typed output is given types"
        for field in schema:
            if _has_dictionary(field.type):
                # A file has one dictionary a column, and batches that come from anywhere have many.
                raise DeclarationError(
                    f"column {field.name!r} of {self.output} is to be a dictionary: give the type of its values"
                )
        try:
            self._writer(pa.BufferOutputStream(), schema).close()
        except pa.ArrowException as error:
            raise DeclarationError(
                f"Arrow IPC cannot hold the columns of {self.output}: {error}"
            ) from error

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> ArrowPart:
        assert schema is not None, "a typed output is given types"
        if leads:
            return ArrowPart(file, schema, self._writer, Cutter(schema))
        return ArrowPart(file, schema, pa.ipc.new_stream, None)

    def _writer(self, sink: pa.NativeFile, schema: pa.Schema) -> pa.ipc.RecordBatchStreamWriter:
        new = pa.ipc.new_file if self._format == "file" else pa.ipc.new_stream
        options = pa.ipc.IpcWriteOptions(compression=self._compression, use_threads=False)
        return new(sink, schema, options=options)

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        others = [part for part in others if part.rows]
        if not others:
            return file.close(leader.rows)
        assert schema is not None, "a typed output is given types"
        for part in others:
            check_part(part)
        whole = file.replacement()
        try:
            written = ArrowPart(whole, schema, self._writer, Cutter(schema))
            for part in (leader, *others):
                for batch in ArrowSource(str(part.path), str(part.path)).all_batches():
                    written.append(batch)
            return written.close()
        except BaseException:
            whole.discard()
            raise


def _has_dictionary(kind: pa.DataType) -> bool:
    inner = (kind.field(at).type for at in range(kind.num_fields))
    return pa.types.is_dictionary(kind) or any(map(_has_dictionary, inner))


class ArrowPart:
    """A staged part of an Arrow output.

    One that leads is a whole file. Others are streams of batches as they come: they are cut anew when they
    are put behind it.
    """

    def __init__(
        self, file: PartFile, schema: pa.Schema, new: NewWriter, cutter: Cutter | None
    ) -> None:
        self._file, self._schema, self._cutter = file, schema, cutter
        self._sink = PartSink(file)
        self._rows = 0
        with self._sink.open():
            self._writer = new(pa.PythonFile(self._sink, mode="w"), schema)

    def encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        return encode_typed(batch, selection, self._schema)

    def write(self, encoded: Encoded) -> None:
        for batch in encoded.payload:
            self.append(batch)

    def append(self, batch: pa.RecordBatch) -> None:
        """Appends rows of exactly the schema."""
        if batch.num_rows:
            self._write([batch] if self._cutter is None else self._cutter.add(batch))

    def close(self) -> Part:
        if self._cutter is not None:
            self._write(self._cutter.rest())
        with self._sink.open():
            self._writer.close()
        return self._file.close(self._rows)

    def _write(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            with self._sink.open():
                self._writer.write_batch(batch)
            self._rows += batch.num_rows
