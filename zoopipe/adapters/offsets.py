"""Where the records of a block begin, out of what was read of it; asked only when a row is rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa


class _SummedOffsets(Sequence[int]):
    """Where lines begin, out of the lengths of their cells."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._count = int(batch.num_rows)
        self._width = int(batch.num_columns)
        self._ends = [
            memoryview(column.buffers()[1]).cast("i")[column.offset :] for column in batch.columns
        ]
        self._first = int(sum(ends[0] for ends in self._ends))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return list(map(self.start_of, range(*index.indices(self._count))))
        if index >= self._count:
            raise IndexError(index)
        return self.start_of(index)

    def start_of(self, row: int) -> int:
        """The first byte of a row; each cell has a delimiter or a newline behind it."""
        return int(sum([ends[row] for ends in self._ends])) - self._first + row * self._width


def summed_offsets(data: bytes, batch: pa.RecordBatch) -> Sequence[int] | None:
    """Where the records of UTF-8 text without quotes begin, out of what was parsed of it; None where
    the text has more in it than cells, delimiters and a newline a record."""
    if not batch.num_rows or any(column.null_count for column in batch.columns):
        return None
    offsets = _SummedOffsets(batch)
    length = len(data) + (not data.endswith(b"\n"))
    return offsets if offsets.start_of(batch.num_rows) == length else None
