"""Data frames in memory: pyarrow's, pandas', Polars' and any other, through the Arrow C data interface."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import pyarrow as pa
import xxhash

from zoopipe.adapters.base import Block, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.options import check_counts
from zoopipe.errors import DeclarationError, InputError

# With 10 columns of numbers 2 MiB, about as much as a block of other formats.
_BLOCK_ROWS = 20_000


class FrameInputAdapter(InputAdapter):
    """Reads the rows of a frame in memory: a `pyarrow.Table`, `RecordBatch` or `RecordBatchReader`, a pandas or
    Polars `DataFrame`, or any object that exports the Arrow C data interface, without a copy of what is Arrow's
    already.

    The index of a pandas frame is no column: `reset_index()` makes it one. A `RecordBatchReader` is read to
    its end, into memory, when the first run is planned.

    Unit of parallelism: a range of rows. Forked workers have the frame for free; to others all of it is sent,
    once a worker, as Arrow IPC.

    Args:
        frame: the rows; looked at when the first run is planned, and kept from then on.
        skip_rows: how many records to leave out from the start.
        limit: read at most this many records.

    Raises:
        DeclarationError: `frame` does not export Arrow data, or an option is out of range.
    """

    prunes = True
    reads_files = False

    def __init__(self, frame: Any, skip_rows: int = 0, limit: int | None = None) -> None:
        if isinstance(frame, type) or not (
            hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__")
        ):
            raise DeclarationError(
                "frame must be a pyarrow.Table, a pandas or Polars DataFrame, or another object with "
                f"__arrow_c_stream__ or __arrow_c_array__, not {type(frame).__name__}"
            )
        check_counts(skip_rows=skip_rows, limit=limit)
        self._name = f"{type(frame).__module__.partition('.')[0]}.{type(frame).__qualname__}"
        self._frame = frame
        self._skip_rows = skip_rows
        self._limit = limit

    def __repr__(self) -> str:
        return f"FrameInputAdapter({self._name})"

    @cached_property
    def _table(self) -> pa.Table:
        """The rows as Arrow has them."""
        try:
            table = _imported(self._frame)
        except Exception as error:
            raise InputError(f"{self._name} cannot be read as Arrow data: {error}") from error
        # The table has what is needed of it; a reader is used up.
        self._frame = None
        return table

    def plan(self, shards: int) -> InputPlan:
        table = self._table
        _check_names(table.column_names, self._name)
        first = min(self._skip_rows, table.num_rows)
        end = table.num_rows if self._limit is None else min(table.num_rows, first + self._limit)
        shards = max(min(shards, end - first), 1)
        bounds = [first + (end - first) * number // shards for number in range(shards + 1)]
        ranges = [FileRange(self._name, low, high, unit="rows") for low, high in pairwise(bounds)]
        return InputPlan(
            shards=tuple(Shard(number, (part,)) for number, part in enumerate(ranges)),
            columns=tuple(table.column_names),
            bytes_total=None,
            first_record=first,
            why_whole="it has one row at most" if shards == 1 else None,
            schema=_settled_schema(table.schema),
            identity={self._name: _identity(table)},
        )

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        table = self._table
        needed = table if columns is None else table.select(list(columns))
        for part in shard.ranges:
            for low in range(part.start, max(part.end, part.start + 1), _BLOCK_ROWS):
                high = min(low + _BLOCK_ROWS, part.end)
                yield self._block(needed, table, low, high)

    def _block(self, needed: pa.Table, table: pa.Table, low: int, high: int) -> Block:
        return Block(
            batch=self._batch(needed, low, high),
            source=self._name,
            records=high - low,
            row_records=None,
            unparsed=[],
            offsets=None,
            start=low,
            end=high,
            bytes_read=0,
            unit="rows",
            whole=lambda: self._batch(table, low, high),
        )

    def _batch(self, table: pa.Table, low: int, high: int) -> pa.RecordBatch:
        """Some rows, in one batch; copied only where they are of several chunks, or of a type to be settled."""
        rows = table.slice(low, high - low)
        schema = _settled_schema(rows.schema)
        if schema != rows.schema:
            rows = rows.cast(schema)
        columns = [
            column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
            for column in rows.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def __getstate__(self) -> dict[str, Any]:
        # A slice of a frame is sent as what it shows, not with what is around it.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._table.schema) as stream:
            stream.write_table(self._table)
        return {**self.__dict__, "_table": sink.getvalue().to_pybytes()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["_table"] = pa.ipc.open_stream(state["_table"]).read_all()

    @property
    def __wrapped__(self) -> object:
        """What the fingerprint of a plan shows of it; the rows have an identity of their own."""
        return (self._name, self._skip_rows, self._limit)


def _imported(frame: Any) -> pa.Table:
    if isinstance(frame, pa.Table):
        table = frame
    elif hasattr(frame, "__arrow_c_stream__"):
        table = pa.RecordBatchReader.from_stream(frame).read_all()
    else:
        table = pa.Table.from_batches([pa.record_batch(frame)])
    # An older pandas exports the index of the rows too, and says so.
    index = (table.schema.pandas_metadata or {}).get("index_columns", ())
    index = [name for name in index if isinstance(name, str) and name in table.column_names]
    table = table.drop_columns(index) if index else table
    for at, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(at, field.name, _settled_categories(table.column(at)))
    return table


def _settled_categories(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of categories, these in a type that they can be taken from."""
    kind = column.type
    wanted = pa.dictionary(kind.index_type, _settled(kind.value_type), kind.ordered)
    chunks = [
        pa.DictionaryArray.from_arrays(
            chunk.indices, chunk.dictionary.cast(wanted.value_type), ordered=kind.ordered
        )
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, wanted)


def _settled_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_settled(field.type)) for field in schema])


def _settled(kind: pa.DataType) -> pa.DataType:
    """A type in place of one that Arrow's kernels do not all know: views, which Polars exports."""
    types = pa.types
    if types.is_string_view(kind):
        return pa.string()
    if types.is_binary_view(kind):
        return pa.binary()
    if types.is_list_view(kind) or types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_settled(kind.value_type)))
    if types.is_large_list_view(kind) or types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_settled(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_settled(field.type)) for field in kind])
    return kind


def _check_names(names: list[str], frame: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{frame} has several columns named {', '.join(map(repr, twice))}")
    if not names:
        raise InputError(f"{frame} has no columns")


def _identity(table: pa.Table) -> str:
    """A text that changes with the rows, at the speed of memory."""
    digest = xxhash.xxh64(table.schema.remove_metadata().to_string().encode())
    for batch in table.to_batches():
        digest.update(batch.serialize())
    return f"{table.num_rows} rows, xxh64 {digest.hexdigest()}"
