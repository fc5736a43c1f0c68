"""Batches cut anew, so that where they end depends on the rows alone."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache

import pyarrow as pa

#: The most rows of a batch, and the most bytes that are written of one that has more than one row.
BATCH_ROWS = 1 << 16
BATCH_BYTES = 1 << 25

_types = pa.types


class Cutter:
    """Rows, taken in batches as they come, and given in batches that are the same however they came: of
    `BATCH_ROWS` rows, or of as many as `BATCH_BYTES` hold.

    Args:
        schema: of all batches.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Takes rows, and gives the batches that are full."""
        self._hold(batch)
        while self._rows >= BATCH_ROWS or self._bytes > BATCH_BYTES:
            whole = self._joined()
            rows = _full(whole)
            if rows is None:
                # It takes less in a file than it does in memory.
                self._hold(whole)
                self._bytes = _written(whole, whole.num_rows)
                return
            yield self._plain(whole.slice(0, rows))
            self._hold(whole.slice(rows))

    def rest(self) -> Iterator[pa.RecordBatch]:
        """The batches that are left at the end."""
        while self._rows:
            whole = self._joined()
            rows = _full(whole) or whole.num_rows
            yield self._plain(whole.slice(0, rows))
            self._hold(whole.slice(rows))

    def _hold(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._held.append(batch)
            self._rows += batch.num_rows
            self._bytes += batch.nbytes

    def _joined(self) -> pa.RecordBatch:
        """All that is held, which is held no more, as one batch."""
        held, self._held, self._rows, self._bytes = self._held, [], 0, 0
        (whole,) = pa.Table.from_batches(held, self._schema).combine_chunks().to_batches()
        return whole

    def _plain(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The same rows; what lies below nulls, and behind the last bit of a byte, is nothing."""
        columns = [
            column.take(_numbers(len(column))) if _may_hide(column) else column
            for column in batch.columns
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)


def _full(batch: pa.RecordBatch) -> int | None:
    """How many rows the batch has that begins with these; None where more may belong to it."""
    most = min(batch.num_rows, BATCH_ROWS)
    if _written(batch, most) <= BATCH_BYTES:
        return most if most == BATCH_ROWS else None
    fits, exceeds = 1, most
    while fits + 1 < exceeds:
        middle = (fits + exceeds) // 2
        if _written(batch, middle) <= BATCH_BYTES:
            fits = middle
        else:
            exceeds = middle
    return fits


def _written(batch: pa.RecordBatch, rows: int) -> int:
    """The bytes that so many rows take in a file, uncompressed."""
    return int(pa.ipc.get_record_batch_size(batch.slice(0, rows)))


def _may_hide(column: pa.Array) -> bool:
    return bool(
        column.null_count or _types.is_boolean(column.type) or _types.is_nested(column.type)
    )


@lru_cache(maxsize=4)
def _numbers(length: int) -> pa.Int64Array:
    """The numbers from 0 up to `length`."""
    data = array("q", range(length)).tobytes()
    return pa.Array.from_buffers(pa.int64(), length, [None, pa.py_buffer(data)])
