"""Rows that a Python program has or makes, and rows for it to iterate: dicts of values."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from zoopipe.adapters.base import (
    SAMPLE_ROWS,
    Block,
    FileRange,
    InputAdapter,
    InputPlan,
    OutputAdapter,
    PartWriter,
    Shard,
    Unparsed,
)
from zoopipe.adapters.objects import row_json, rows_block
from zoopipe.adapters.options import check_counts
from zoopipe.adapters.python_feed import Feed, RowsPart, StreamPart
from zoopipe.adapters.python_rows import NoRow, as_row, row_source, taken
from zoopipe.checks import check_seconds, check_whole
from zoopipe.rows import Row
from zoopipe.storage.parts import Part, PartFile
from zoopipe.values import from_rows


@dataclass(frozen=True, slots=True)
class _Call(Shard):
    """A part of the rows, of `shards`; its range counts calls."""

    shards: int = 1


class PyGeneratorInputAdapter(InputAdapter):
    """Reads rows from a Python iterable, or from a function that gives one.

    A row is a mapping, a pydantic model, a dataclass or a named tuple; its values reach the model as they are:
    Decimals, datetimes, sets, nested dicts. Anything else is a rejected row.

    Unit of parallelism: a call of the function. One that has parameters named `shard` and `shards` is called
    for each shard, with its number, from 0, and how many there are, and gives that part of the rows; any other
    function, and an iterable, is one shard. A generator, or any other iterator, stays in the process that made
    it (`Pipe.run()`) and gives its rows once; a list can be read again, and is sent to workers.

    Args:
        rows: an iterable, or a function. A function is called where its rows are read, never to look at them
            first, and again when its worker is lost.
        skip_rows: how many records to leave out from the start.
        limit: read at most this many records; no more are asked for.
        block_rows: how many are taken at a time.

    Raises:
        DeclarationError: `rows` is neither, or an option is out of range.
    """

    reads_files = False
    has_columns = False

    def __init__(
        self,
        rows: Iterable[Any] | Callable[..., Iterable[Any]],
        skip_rows: int = 0,
        limit: int | None = None,
        block_rows: int = 5_000,
    ) -> None:
        check_counts(skip_rows=skip_rows, limit=limit)
        check_whole("block_rows", block_rows, 1)
        self._source = row_source(rows)
        self._skip_rows = skip_rows
        self._limit = limit
        self._block_rows = block_rows

    def __repr__(self) -> str:
        return f"PyGeneratorInputAdapter({self._source.name})"

    def plan(self, shards: int) -> InputPlan:
        why = None
        if shards > 1 and not self._source.takes_shards:
            why = "only a function with parameters shard and shards gives parts of its rows"
        elif shards > 1 and (self._skip_rows or self._limit is not None):
            why = "skip_rows and limit are of all rows"
        shards = 1 if why else shards
        first = self._rows(self._source.head(1))
        return InputPlan(
            shards=tuple(
                _Call(
                    number,
                    (FileRange(self._source.name, number, number + 1, unit="calls"),),
                    self._skip_rows,
                    self._limit,
                    shards=shards,
                )
                for number in range(shards)
            ),
            columns=None,
            bytes_total=None,
            first_record=self._skip_rows,
            why_whole=why,
            head=tuple(first[0]) if first else None,
        )

    def sample(self, plan: InputPlan) -> pa.RecordBatch | None:
        rows = self._rows(self._source.head(self._skip_rows + SAMPLE_ROWS)[self._skip_rows :])
        return from_rows(rows) if rows else None

    def _rows(self, values: Sequence[Any]) -> list[Row]:
        """Those of some values that are rows."""
        rows = []
        for value in values:
            with contextlib.suppress(NoRow):
                rows.append(as_row(value))
        return rows

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        (part,) = shard.ranges
        shards = shard.shards if isinstance(shard, _Call) else 1
        values = self._source.values(part.start, shards)
        left = None if self._limit is None else self._skip_rows + self._limit
        before, at_end = 0, False
        try:
            while not at_end:
                wanted = self._block_rows if left is None else min(left - before, self._block_rows)
                found = taken(values, wanted, part.path, before)
                before += len(found)
                at_end = len(found) < self._block_rows
                block = _block(found)
                block.source, block.unit = part.path, part.unit
                # Where a call ends is all that is known of it.
                block.start, block.end = part.start, part.end if at_end else part.start
                yield block
        finally:
            # A generator that is left early may hold a file or a cursor.
            if callable(close := getattr(values, "close", None)):
                close()


def _block(values: Sequence[Any]) -> Block:
    rows, kept, unparsed = [], [], []
    for record, value in enumerate(values):
        try:
            rows.append(as_row(value))
        except NoRow as error:
            unparsed.append(Unparsed(record, [error.reason], row_json(value)))
        else:
            kept.append(record)
    block = rows_block(rows, len(values))
    block.row_records = kept if unparsed else None
    block.unparsed = unparsed
    return block


class PyGeneratorOutputAdapter(OutputAdapter):
    """Gives the accepted rows to a loop, as dicts of Python values (`model_dump()`), while the run goes on.

    ```python
    output = PyGeneratorOutputAdapter()
    with Pipe(source, output, schema_model=User):
        for row in output:
            ...
    ```

    `start()` of a pipe alone gives rows as they are validated, and waits where `buffer_rows` are not taken yet.
    A run of several shards or on an engine gives each shard's rows when it and all before it are done.

    Delivery: each row once, in the order of the input. All rows have been given only where the loop ends
    without an exception: a run that fails raises `RunFailed` in the loop, after rows that it has given before.
    A loop that is left early stops the run. A run's rows can be iterated once.

    Args:
        buffer_rows: about how many rows may wait in memory to be taken.
        buffer_shards: how many shards may be ahead of the one whose rows are taken, on disk.
        folder: where shards are staged; for workers on other machines one that all of them reach. By default
            that of the system for temporary files.
        patience_s: how many seconds a run that has to wait waits for a loop to begin, before it fails.

    Raises:
        DeclarationError: an option is out of range.
    """

    takes_rows = True

    def __init__(
        self,
        buffer_rows: int = 10_000,
        buffer_shards: int = 64,
        folder: str | os.PathLike[str] | None = None,
        patience_s: float = 60.0,
    ) -> None:
        check_whole("buffer_rows", buffer_rows, 1)
        check_whole("buffer_shards", buffer_shards, 1)
        check_seconds("patience_s", patience_s)
        own = Path(folder or tempfile.gettempdir()) / f"zoopipe-{uuid4().hex}"
        self._output = os.path.abspath(own / "rows")
        self._feed: Feed | None = Feed(own, buffer_rows, buffer_shards, patience_s)

    def __repr__(self) -> str:
        return "PyGeneratorOutputAdapter()"

    def __iter__(self) -> Iterator[Row]:
        """The rows of the run that goes on, or that has ended.

        Raises:
            RunFailed: from the loop: the run failed, or was stopped; not all rows were given.
            OutputError: no run has begun, or its rows were iterated before.
        """
        assert self._feed is not None, "rows are iterated where the adapter was made"
        return self._feed.rows()

    @property
    def output(self) -> str:
        return self._output

    @property
    def taker(self) -> Feed | None:  # type: ignore[override]
        return self._feed

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> PartWriter:
        if self._feed is not None and self._feed.is_here:
            return StreamPart(file, self._feed)
        return RowsPart(file)

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        # The rows are given already; what is published goes with the folder.
        return file.close(sum(part.rows for part in (leader, *others)))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_feed": None}
