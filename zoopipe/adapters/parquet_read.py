"""Reading row groups of a Parquet file, in batches of a bounded size."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from zoopipe.adapters.columnar import BLOCK_BYTES, BLOCK_ROWS, guarded, reading
from zoopipe.errors import InputError

# What is read ahead of a column: a row group of any size never is in memory as a whole. A map of the file
# would be no faster, and ends the process where the file is cut short meanwhile.
_AHEAD_BYTES = 1 << 20
_AHEAD_BYTES_ALL = 1 << 24
_AHEAD_BYTES_LEAST = 1 << 15
# Rows with all columns are read only where one was rejected, and may be larger.
_WHOLE_BYTES = 8 * BLOCK_BYTES


class ParquetSource:
    """An open Parquet file.

    Args:
        path: the file.
        name: how messages name it.

    Raises:
        InputError: it is missing, or is no Parquet file.
    """

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        with reading(name):
            self._file = pa.OSFile(path)
            try:
                self._reader = self._opened(_AHEAD_BYTES)
                columns = self._reader.metadata.num_columns
                if columns * _AHEAD_BYTES > _AHEAD_BYTES_ALL:
                    ahead = max(_AHEAD_BYTES_ALL // columns, _AHEAD_BYTES_LEAST)
                    self._reader = self._opened(ahead, self._reader.metadata)
            except BaseException:
                self._file.close()
                raise
        self.metadata: pq.FileMetaData = self._reader.metadata
        self._found: dict[tuple[str, ...], list[int]] = {}

    def _opened(self, ahead: int, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        return pq.ParquetFile(
            self._file,
            metadata=metadata,
            buffer_size=ahead,
            pre_buffer=False,
            page_checksum_verification=True,
        )

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> ParquetSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def schema(self) -> pa.Schema:
        """The columns, in Arrow's types.

        Raises:
            InputError: one has none.
        """
        with reading(self.name):
            return self._reader.schema_arrow

    def rows(self) -> list[int]:
        """The rows of each row group.

        Raises:
            InputError: the footer contradicts itself.
        """
        metadata = self.metadata
        counts = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        if sum(counts) != metadata.num_rows or min(counts, default=0) < 0:
            raise InputError(
                f"cannot read {self.name}: it is damaged: its footer counts {metadata.num_rows} rows, and "
                f"{sum(counts)} in its row groups"
            )
        return counts

    def size(self, group: int, names: Sequence[str]) -> int:
        """The compressed bytes that some columns have in a row group."""
        chunks = self.metadata.row_group(group)
        return sum(
            int(chunks.column(at).total_compressed_size) for at in self._leaves(tuple(names))
        )

    def _leaves(self, names: tuple[str, ...]) -> list[int]:
        """The places of what is stored of some columns: of nested ones, each part alone."""
        if names not in self._found:
            schema, wanted = self._reader.schema, set(names)
            paths = [schema.column(at).path for at in range(self.metadata.num_columns)]
            self._found[names] = [
                at
                for at, path in enumerate(paths)
                if path in wanted or path.partition(".")[0] in wanted
            ]
        return self._found[names]

    def batch_rows(self, group: int, names: Sequence[str]) -> int:
        """How many rows a batch of a row group may have.

        Args:
            group: the row group.
            names: the columns that are read; where they are not all, the others may have to be.
        """
        chunks = self.metadata.row_group(group)
        rows = max(chunks.num_rows, 1)
        leaves = self._leaves(tuple(names))
        stored = sum(chunks.column(at).total_uncompressed_size for at in leaves)
        by_stored = BLOCK_BYTES * rows // max(stored, 1)
        by_all = _WHOLE_BYTES * rows // max(chunks.total_byte_size, 1)
        return max(min(int(by_stored), int(by_all), BLOCK_ROWS), 1)

    def batches(self, group: int, names: Sequence[str], size: int) -> Iterator[pa.RecordBatch]:
        """The rows of a row group, in batches of `size` rows.

        Args:
            group: the row group.
            names: the columns, at least one.
            size: rows.

        Raises:
            InputError: the file is damaged: columns are missing, or rows, or there are too many.
        """
        self._check_values(group, tuple(names))
        with reading(self.name):
            found = self._reader.iter_batches(
                size, row_groups=[group], columns=list(names), use_threads=False
            )
        expected = self.metadata.row_group(group).num_rows
        seen = 0
        for batch in guarded(self.name, found):
            seen += batch.num_rows
            if seen > expected:
                break
            if batch.num_rows:
                yield batch.select(self._places(batch, names))
        if seen != expected:
            more = "more" if seen > expected else f"only {seen}"
            raise InputError(
                f"cannot read {self.name}: it is damaged: its footer counts {expected} rows in row group "
                f"{group}, and {more} were found"
            )

    def _check_values(self, group: int, names: tuple[str, ...]) -> None:
        """Compares a row group's count of rows with those of its columns: the reader ends with the smaller.

        Raises:
            InputError: they differ.
        """
        chunks = self.metadata.row_group(group)
        for at in self._leaves(names):
            column, values = self._reader.schema.column(at), chunks.column(at).num_values
            is_list = column.max_repetition_level > 0
            if values < chunks.num_rows or (values > chunks.num_rows and not is_list):
                raise InputError(
                    f"cannot read {self.name}: it is damaged: its footer counts {chunks.num_rows} rows in row "
                    f"group {group}, and {values} values in column {column.path!r}"
                )

    def _places(self, batch: pa.RecordBatch, names: Sequence[str]) -> list[int]:
        # pyarrow leaves out what it does not find, and takes parts of columns for columns.
        missing = [name for name in names if name not in batch.schema.names]
        if missing:
            raise InputError(
                f"cannot read {self.name}: it has no column {missing[0]!r} any more: did it change?"
            )
        return [batch.schema.get_field_index(name) for name in names]


class WholeRows:
    """All columns of the batches of a file that was read without some of them.

    They are asked for in order, mostly, and then are read once; from any thread.
    """

    def __init__(self, path: str, name: str, names: Sequence[str]) -> None:
        self._path, self._name, self._names = path, name, names
        self._lock = threading.Lock()
        self._source: ParquetSource | None = None
        self._group = self._at = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None

    def batch(self, group: int, number: int, size: int) -> pa.RecordBatch:
        """A batch of a row group, by its number there.

        Args:
            group: the row group.
            number: of the batch, from 0.
            size: how many rows the batches of the row group have.

        Raises:
            InputError: the file is damaged, or has changed.
        """
        with self._lock:
            if self._source is None:
                self._source = ParquetSource(self._path, self._name)
            if self._group != group or self._at > number:
                self._group, self._at = group, -1
                self._batches = self._source.batches(group, self._names, size)
            while self._at < number:
                self._batch = next(self._batches, None)
                self._at += 1
            if self._batch is None:
                raise InputError(f"cannot read {self._name}: it has fewer rows now: did it change?")
            return self._batch
