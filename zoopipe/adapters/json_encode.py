"""RecordBatches to JSON objects, one line each or indented."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from zoopipe.adapters.base import Encoded
from zoopipe.arrays import text_array, text_bytes, text_scalar
from zoopipe.columns import concat, is_record_batch, json_cells


class JSONEncoder:
    """RecordBatches to JSON objects, each followed by `between`, save the last of an array's batch."""

    def __init__(self, between: str, indent: int | None = None) -> None:
        self._between = between
        self._indent = indent

    def __call__(self, batch: pa.RecordBatch) -> Encoded:
        if not batch.num_rows:
            return Encoded((), 0)
        rows = self._objects(batch)
        if self._indent is not None:
            rows = text_array([self._indented(row) for row in rows.to_pylist()])
        data = text_bytes(concat(rows, text_scalar(self._between)))
        if self._between != "\n":
            data = data[: -len(self._between)]
        return Encoded([data], batch.num_rows)

    def _indented(self, row: str) -> str:
        return json.dumps(json.loads(row), ensure_ascii=False, indent=self._indent)

    def _objects(self, batch: pa.RecordBatch) -> pa.StringArray:
        if not is_record_batch(batch.schema):
            return _joined(batch.columns, batch.schema)
        records = batch.column(0)
        if batch.num_columns == 1:
            return records
        rest = _joined(batch.columns[1:], pa.schema(list(batch.schema)[1:]))
        merged = [
            _with_members(record, tail)
            for record, tail in zip(records.to_pylist(), rest.to_pylist(), strict=True)
        ]
        return text_array(merged)


def _with_members(record: str | None, members: str) -> str:
    """An object with the members of another after its own, on one line."""
    if record is None or not record[1:-1].strip():
        return members
    # Newlines of valid JSON stand between tokens, never inside of a string.
    line = record.replace("\n", " ").replace("\r", " ")
    return f"{line[:-1]},{members[1:]}"


def _joined(columns: Sequence[Any], schema: pa.Schema) -> pa.StringArray:
    """Columns as objects: literals and cells side by side, joined in one pass."""
    pieces: list[Any] = []
    literal = "{"
    for column, field in zip(columns, schema, strict=True):
        literal += json.dumps(field.name, ensure_ascii=False) + ":"
        text, quotes = json_cells(column, field)
        pieces += [text_scalar(literal + '"' if quotes else literal), text]
        literal = '",' if quotes else ","
    closing = literal.rstrip(",") + "}" if pieces else "{}"
    return concat(*pieces, text_scalar(closing))
