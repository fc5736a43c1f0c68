"""Rows of a table or a query as blocks: what inputs that are databases share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from zoopipe.adapters.base import Block, FileRange
from zoopipe.adapters.tables import Table
from zoopipe.arrays import durations
from zoopipe.errors import DeclarationError, InputError

Whole = Callable[[], pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class ReadColumn:
    """A column: the field that it is read as, and how a SELECT asks for it."""

    field: pa.Field
    sql: str

    @property
    def name(self) -> str:
        return str(self.field.name)


def same(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch, for blocks that have all columns at hand."""
    return batch


def check_source(query: str | None, table_name: str | None) -> tuple[str | None, Table | None]:
    """What is read: a query or a table.

    Raises:
        DeclarationError: both or none were given, or one that cannot be one.
    """
    if (query is None) == (table_name is None):
        raise DeclarationError("give one of query= and table_name=")
    if table_name is not None:
        return None, Table.named(table_name)
    if not isinstance(query, str) or not query.strip():
        raise DeclarationError(f"query must be a SELECT, not {query!r}")
    return query.strip().rstrip(";"), None


def cut_evenly(start: int, end: int, shards: int) -> list[tuple[int, int]]:
    """At most `shards` ranges of whole numbers, which tile `[start, end)`."""
    size = end - start
    bounds = sorted({start, end, *(start + size * number // shards for number in range(1, shards))})
    return list(pairwise(bounds)) or [(start, end)]


def file_identity(path: Path, log: str) -> str:
    """What changes when a database's file does: its size and time, and those of what is not yet in it.

    Args:
        log: what the name of the file of the latter ends with.
    """
    found = []
    for each in (path, path.with_name(path.name + log)):
        if each.exists():
            stat = each.stat()
            found.append(f"{stat.st_size} bytes, mtime {stat.st_mtime_ns} ns")
    return "; log of ".join(found)


def durations_of(intervals: pa.Array, name: str) -> pa.Array:
    """Intervals of a column as durations.

    Raises:
        InputError: one has months.
    """
    try:
        return durations(intervals)
    except ValueError as error:
        raise InputError(
            f"{name} has an interval of months, which are not of one length: CAST it in a query="
        ) from error


def reading(rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The batches of a stream that hold rows."""
    return (batch for batch in rows if batch.num_rows)


def blocks_of(
    batches: Iterable[tuple[pa.RecordBatch, Whole | None]], part: FileRange, empty: pa.RecordBatch
) -> Iterator[Block]:
    """Batches of a range as blocks; the last one stands for the range.

    Args:
        batches: each with what gives its rows with all columns, where it has not all.
        part: what was asked for.
        empty: what the only block holds where there are no rows.
    """
    held: tuple[pa.RecordBatch, Whole | None] | None = None
    for each in batches:
        if held is not None:
            yield _block(held, part, part.start)
        held = each
    yield _block(held or (empty, None), part, part.end)


def _block(held: tuple[pa.RecordBatch, Whole | None], part: FileRange, end: int) -> Block:
    batch, whole = held
    return Block(
        batch=batch,
        source=part.path,
        records=batch.num_rows,
        row_records=None,
        unparsed=[],
        offsets=None,
        start=part.start,
        end=end,
        bytes_read=batch.nbytes,
        unit=part.unit,
        whole=whole,
    )
