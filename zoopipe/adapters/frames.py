"""Data frames in memory: pyarrow's, pandas', Polars' and any other, through the Arrow C data interface."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import xxhash

from zoopipe.adapters.arrow import ArrowOutputAdapter
from zoopipe.adapters.base import Block, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.columnar import block_of, readable_schema
from zoopipe.adapters.options import check_counts
from zoopipe.errors import DeclarationError, InputError, OutputError

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
        schema = readable_schema(table.schema, self._name)
        first = min(self._skip_rows, table.num_rows)
        end = table.num_rows if self._limit is None else min(table.num_rows, first + self._limit)
        shards = max(min(shards, end - first), 1)
        bounds = [first + (end - first) * number // shards for number in range(shards + 1)]
        ranges = [FileRange(self._name, low, high, unit="rows") for low, high in pairwise(bounds)]
        return InputPlan(
            shards=tuple(
                Shard(number, (part,), schema=schema) for number, part in enumerate(ranges)
            ),
            columns=tuple(table.column_names),
            bytes_total=None,
            first_record=first,
            why_whole="it has one row at most" if shards == 1 else None,
            schema=schema,
            identity={self._name: _identity(table)},
        )

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        table = self._table
        needed = table if columns is None else table.select(list(columns))
        for part in shard.ranges:
            for low in range(part.start, max(part.end, part.start + 1), _BLOCK_ROWS):
                place = replace(part, start=low, end=min(low + _BLOCK_ROWS, part.end))
                yield block_of(_rows(needed, place), place, 0, partial(_rows, table, place))

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
    return table.drop_columns(index) if index else table


def _rows(table: pa.Table, place: FileRange) -> pa.RecordBatch:
    """Some rows in one batch; copied only where they are of several chunks."""
    rows = table.slice(place.start, place.end - place.start)
    columns = [
        column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        for column in rows.columns
    ]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _identity(table: pa.Table) -> str:
    """A text that changes with the rows, at the speed of memory."""
    digest = xxhash.xxh64(table.schema.remove_metadata().to_string().encode())
    for batch in table.to_batches():
        digest.update(batch.serialize())
    return f"{table.num_rows} rows, xxh64 {digest.hexdigest()}"


class FrameOutputAdapter(ArrowOutputAdapter):
    """Collects the rows in memory: `table` is a `pyarrow.Table` once the run has ended.

    pandas and Polars take it as it is: `output.table.to_pandas()`, `polars.from_arrow(output.table)`. It can be
    an error output too.

    Delivery: all rows of a run that was completed, or none.

    Args:
        schema: the columns and their types, in place of those of the model or the input.
        folder: where the rows are staged; for workers on other machines one that all of them reach. By default
            that of the system for temporary files.
    """

    def __init__(
        self, schema: pa.Schema | None = None, folder: str | os.PathLike[str] | None = None
    ) -> None:
        own = Path(folder or tempfile.gettempdir()).absolute() / f"zoopipe-{uuid4().hex}"
        super().__init__(own / "rows.arrows", format="stream", schema=schema)
        self._found: pa.Table | None = None
        weakref.finalize(self, _remove, own, os.getpid())

    def __repr__(self) -> str:
        return "FrameOutputAdapter()"

    @property
    def table(self) -> pa.Table:
        """The rows of the last run that was completed.

        Raises:
            OutputError: there was none.
        """
        with contextlib.suppress(FileNotFoundError), pa.memory_map(self._output) as file:
            self._found = pa.ipc.open_stream(file).read_all()
            # The memory stays mapped as long as the table needs it.
            shutil.rmtree(Path(self._output).parent, ignore_errors=True)
        if self._found is None:
            raise OutputError("no run has been completed whose rows could be in the table")
        return self._found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_found": None}


def _remove(folder: Path, process: int) -> None:
    """Removes a folder, but for a forked process, which has no share in it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
