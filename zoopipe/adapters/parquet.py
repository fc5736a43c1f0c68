"""Parquet files, in and out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from zoopipe.adapters.base import Block, Encoded, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.columnar import (
    block_of,
    check_same_schema,
    chosen_columns,
    readable_schema,
)
from zoopipe.adapters.cutting import Units, cut_units
from zoopipe.adapters.hive import Keys, find_tables, key_column, key_fields, keys_of
from zoopipe.adapters.options import check_counts, check_names
from zoopipe.adapters.parquet_join import join_parts
from zoopipe.adapters.parquet_read import ParquetSource, WholeRows
from zoopipe.adapters.typed_output import PartSink, TypedOutputAdapter, encode_typed
from zoopipe.arrays import zeros
from zoopipe.checks import check_whole
from zoopipe.errors import DeclarationError, InputError
from zoopipe.storage.files import Source, source_patterns
from zoopipe.storage.parts import Part, PartFile

ParquetCompression = Literal["zstd", "snappy", "gzip", "brotli", "lz4"] | None

_COMPRESSIONS = ("zstd", "snappy", "gzip", "brotli", "lz4", None)
#: A few row groups a million rows: enough to be shared by workers, and each still some megabytes.
ROW_GROUP_ROWS = 1 << 17
# Columns of distinct values are given up as dictionaries earlier than by the default of 1 MiB: people's names,
# addresses and numbers take a tenth less space and no more time, texts of which 10,000 repeat as little.
_DICTIONARY_BYTES = 1 << 18
# A row group ends earlier where its rows are long.
_HELD_BYTES = 1 << 27


class ParquetInputAdapter(InputAdapter):
    """Reads Parquet files, with their types; of the columns only those that are needed.

    Of a folder all files are read, sorted by path, save those whose name, or whose folder's, begins with
    `.` or `_`; folders named `key=value` in it are columns. The rows that a row group has are compared with
    those that the footer counts.

    Unit of parallelism: a row group, of one file or of many.

    Args:
        source: a path, a glob, a folder, or a list of them; many files are one input, in order, and have the
            same columns.
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
        return f"ParquetInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        paths = find_tables(self._patterns)
        keys = {path: keys_of(path, self._patterns) for path in paths}
        schema: pa.Schema | None = None
        files = []
        for path in paths:
            with ParquetSource(path, path) as source:
                found = readable_schema(source.schema, path)
                if schema is None:
                    schema = found
                check_same_schema(path, found, paths[0], schema)
                wanted = set(self._columns or schema.names)
                stored = [name for name in schema.names if name in wanted]
                rows = source.rows()
                sizes = [source.size(group, stored) for group in range(len(rows))]
                files.append(Units(path, sizes, rows))
        assert schema is not None, "at least one file was found"
        schema = _with_keys(schema, key_fields(keys), paths[0])
        names = chosen_columns(schema.names, self._columns, paths[0])
        return cut_units(
            files,
            shards,
            unit="row groups",
            schema=pa.schema([schema.field(name) for name in names]),
            skip=self._skip_rows,
            limit=self._limit,
        )

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        assert shard.schema is not None and columns is not None, "a plan has columns"
        for part in shard.ranges:
            keys = keys_of(part.path, self._patterns)
            names = _Names(shard.schema, columns, keys)
            everything = _Names(shard.schema, shard.schema.names, keys)
            yield from _blocks(shard.file_of(part), part, names, everything)


def _with_keys(schema: pa.Schema, keys: Sequence[pa.Field], path: str) -> pa.Schema:
    for field in keys:
        if field.name in schema.names:
            raise InputError(
                f"{field.name!r} is a column of {path}, and its folder says it, too: name the files by a glob, "
                "and only the column counts"
            )
        schema = schema.append(field)
    return schema


class _Names:
    """Columns of an input: those that are in a file, and those that its folder says."""

    def __init__(self, schema: pa.Schema, names: Sequence[str], keys: Keys) -> None:
        self._fields = [schema.field(name) for name in names]
        self._keys = {
            field.name: key_column(keys[field.name], field.type)
            for field in self._fields
            if field.name in keys
        }
        self.in_file = [name for name in names if name not in keys]

    def __len__(self) -> int:
        return len(self._fields)

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of a file with what the folder says."""
        if not self._keys:
            return batch
        every = zeros(batch.num_rows)
        columns, fields = [], []
        for field in self._fields:
            key = self._keys.get(field.name)
            columns.append(batch.column(field.name) if key is None else key.take(every))
            fields.append(batch.schema.field(field.name) if key is None else field)
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

    def no_rows(self) -> pa.RecordBatch:
        """Nothing, in these columns."""
        none = [pa.nulls(0, field.type) for field in self._fields]
        return pa.RecordBatch.from_arrays(none, schema=pa.schema(self._fields))


def _blocks(path: str, part: FileRange, names: _Names, everything: _Names) -> Iterator[Block]:
    with ParquetSource(path, part.path) as source:
        groups = source.metadata.num_row_groups
        if part.end > groups:
            raise InputError(
                f"{source.name} has {groups} row groups, and number {part.end} was to be read: did it change?"
            )
        whole = None
        if len(names) < len(everything):
            whole = WholeRows(path, part.path, everything.in_file)
        if part.start == part.end:
            yield block_of(names.no_rows(), part, 0)
        for group in range(part.start, part.end):
            yield from _group_blocks(source, part, group, names, everything, whole)


def _group_blocks(
    source: ParquetSource,
    part: FileRange,
    group: int,
    names: _Names,
    everything: _Names,
    whole: WholeRows | None,
) -> Iterator[Block]:
    """The blocks of a row group, of which only the last one takes the place to the next.

    Progress counts a row group's bytes in all columns that the user wants, whatever is needed of them.
    """
    # Where the folder says all that is wanted, one column says how many rows there are.
    in_file = names.in_file or source.schema.names[:1]
    rows, size = source.metadata.row_group(group).num_rows, source.size(group, everything.in_file)
    batch_rows = source.batch_rows(group, in_file)
    seen = 0
    if not rows:
        yield block_of(names.no_rows(), replace(part, start=group, end=group + 1), size)
    for number, batch in enumerate(source.batches(group, in_file, batch_rows)):
        before, seen = seen, seen + batch.num_rows
        yield block_of(
            names.of(batch),
            replace(part, start=group, end=group + (seen == rows)),
            size * seen // rows - size * before // rows,
            None
            if whole is None
            else partial(_whole_rows, everything, whole, group, number, batch_rows),
        )


def _whole_rows(
    everything: _Names, whole: WholeRows, group: int, number: int, batch_rows: int
) -> pa.RecordBatch:
    return everything.of(whole.batch(group, number, batch_rows))


class ParquetOutputAdapter(TypedOutputAdapter):
    """Writes one Parquet file, with the types of the model, or else of the input.

    Workers write whole row groups; the driver copies them behind each other, without decoding, and writes
    one footer. Rows and their order are the same for any number of workers; where row groups end is not, for
    one ends with its shard.

    Delivery: the file appears whole, by a rename, or not at all.

    Args:
        output: the path.
        compression: `zstd`, `snappy`, `gzip`, `brotli`, `lz4` or None.
        row_group_rows: the most rows of a row group; fewer where they are long, since they are held in memory.
        schema: the columns and their types, in place of those of the model or the input.

    Raises:
        DeclarationError: an option is out of range.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        compression: ParquetCompression = "zstd",
        row_group_rows: int = ROW_GROUP_ROWS,
        schema: pa.Schema | None = None,
    ) -> None:
        super().__init__(output, schema)
        if compression not in _COMPRESSIONS:
            names = ", ".join(repr(name) for name in _COMPRESSIONS)
            raise DeclarationError(f"compression must be one of {names}, not {compression!r}")
        check_whole("row_group_rows", row_group_rows, 1)
        self._compression = compression
        self._row_group_rows = row_group_rows

    def check(self, schema: pa.Schema | None) -> None:
        assert schema is not None, "a typed output is given types"
        try:
            self._writer(pa.BufferOutputStream(), schema).close()
        except (pa.ArrowException, OSError) as error:
            raise DeclarationError(
                f"Parquet cannot hold the columns of {self.output}: {error}"
            ) from error

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> ParquetPart:
        assert schema is not None, "a typed output is given types"
        sink = PartSink(file)
        with sink.open():
            writer = self._writer(pa.PythonFile(sink, mode="w"), schema)
        return ParquetPart(file, sink, writer, schema, self._row_group_rows)

    def _writer(self, sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            sink,
            schema,
            compression=self._compression or "none",
            dictionary_pagesize_limit=_DICTIONARY_BYTES,
            write_page_checksum=True,
        )

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        rows = [part for part in others if part.rows]
        if rows:
            join_parts(file, leader, rows)
        return file.close(sum(part.rows for part in (leader, *rows)))


class ParquetPart:
    """A staged part of a Parquet output: a whole file."""

    def __init__(
        self,
        file: PartFile,
        sink: PartSink,
        writer: pq.ParquetWriter,
        schema: pa.Schema,
        row_group_rows: int,
    ) -> None:
        self._file, self._sink, self._writer = file, sink, writer
        self._schema = schema
        self._row_group_rows = row_group_rows
        self._held: list[pa.RecordBatch] = []
        self._held_rows = self._held_bytes = self._rows = 0

    def encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        return encode_typed(batch, selection, self._schema)

    def write(self, encoded: Encoded) -> None:
        for batch in encoded.payload:
            while batch.num_rows:
                head = batch.slice(0, self._row_group_rows - self._held_rows)
                batch = batch.slice(head.num_rows)
                self._held.append(head)
                self._held_rows += head.num_rows
                self._held_bytes += head.nbytes
                if self._held_rows == self._row_group_rows or self._held_bytes >= _HELD_BYTES:
                    self._write_group()

    def _write_group(self) -> None:
        """Writes what is held as one row group."""
        held = pa.Table.from_batches(self._held, self._schema)
        with self._sink.open():
            self._writer.write_table(held, row_group_size=self._row_group_rows)
        self._rows += self._held_rows
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def close(self) -> Part:
        if self._held:
            self._write_group()
        with self._sink.open():
            self._writer.close()
        return self._file.close(self._rows)
