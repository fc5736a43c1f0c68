"""RecordBatches to CSV text, quoted as `csv.writer` quotes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import Encoded
from zoopipe.adapters.csv_records import Dialect
from zoopipe.adapters.unwritable import encoded_or_refused
from zoopipe.arrays import EMPTY, int64_array, text_bytes, text_scalar
from zoopipe.columns import cells, concat, is_record_batch
from zoopipe.reasons import Reason
from zoopipe.values import rows_of, value_cells

_NEWLINE = text_scalar("\n")


class CSVEncoder:
    """RecordBatches to CSV lines, with the columns `names`."""

    def __init__(self, dialect: Dialect, names: tuple[str, ...]) -> None:
        self._names = names
        self._delimiter = text_scalar(dialect.delimiter)
        self._quote = dialect.quotechar
        self._quote_scalar = text_scalar(dialect.quotechar)
        special = "".join(f"\\x{{{ord(char):x}}}" for char in dialect.delimiter + dialect.quotechar)
        self._needs_quotes = f"[{special}\\r\\n]"
        self._odd = [char.encode() for char in (dialect.delimiter, dialect.quotechar, "\r", "\n")]

    def __call__(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        return encoded_or_refused(self._encoded, batch, selection)

    def _encoded(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None) -> Encoded:
        if selection is not None:
            batch = batch.filter(selection)
        if is_record_batch(batch.schema):
            batch, refused = self._spread(batch)
        elif refused := self._unknown_columns(batch):
            return Encoded((), 0, refused)
        columns = [
            cells(batch.column(name), batch.schema.field(name))
            if name in batch.schema.names
            else pa.nulls(batch.num_rows, pa.string())
            for name in self._names
        ]
        return Encoded([self.lines(columns, batch.num_rows)], batch.num_rows, refused)

    def lines(self, columns: list[pa.StringArray], rows: int) -> memoryview:
        """The bytes of `rows` lines."""
        if rows == 0:
            return memoryview(b"")
        quoted = [self._quoted(column) for column in columns]
        if len(quoted) == 1:
            # An empty line would not read back as a row, so csv.writer quotes it.
            blank = pc.equal(quoted[0], EMPTY)
            if blank.true_count:
                quoted[0] = pc.if_else(blank, text_scalar(self._quote * 2), quoted[0])
        quoted[-1] = concat(quoted[-1], _NEWLINE)
        joined = (
            pc.binary_join_element_wise(*quoted, self._delimiter) if len(quoted) > 1 else quoted[0]
        )
        return text_bytes(joined)

    def _quoted(self, column: pa.StringArray) -> pa.StringArray:
        if column.null_count:
            column = pc.fill_null(column, EMPTY)
        data = bytes(text_bytes(column))
        if not any(odd in data for odd in self._odd):
            return column
        needs = pc.match_substring_regex(column, pattern=self._needs_quotes)
        if not needs.true_count:
            return column
        doubled = pc.replace_substring(column, pattern=self._quote, replacement=self._quote * 2)
        return pc.if_else(needs, concat(self._quote_scalar, doubled, self._quote_scalar), column)

    def _unknown_columns(self, batch: pa.RecordBatch) -> list[tuple[int, Reason]]:
        unknown = [name for name in batch.schema.names if name not in self._names]
        if not unknown:
            return []
        return [(row, self._unknown(unknown)) for row in range(batch.num_rows)]

    def _unknown(self, names: Sequence[str]) -> Reason:
        return {
            "loc": list(names),
            "type": "unknown_column",
            "msg": f"not among the columns of the CSV output: {', '.join(names)}; name them in fieldnames=",
        }

    def _spread(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, Reason]]]:
        """Whole rows, and the typed columns beside them, as columns of cells."""
        rows = rows_of(batch.select([0]))
        beside = batch.schema.names[1:]
        known = set(self._names)
        refused, kept = [], []
        for position, row in enumerate(rows):
            unknown = [name for name in row if name not in known]
            if unknown:
                refused.append((position, self._unknown(unknown)))
            else:
                kept.append(position)
        columns: dict[str, Any] = {
            name: value_cells([rows[position].get(name) for position in kept])
            for name in self._names
            if name not in beside
        }
        for name in beside:
            column = cells(batch.column(name), batch.schema.field(name))
            columns[name] = column.take(int64_array(kept)) if refused else column
        schema = pa.schema([(name, pa.string()) for name in columns])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema), refused
