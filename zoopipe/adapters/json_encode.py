"""RecordBatches to JSON objects, one line each or indented."""

from __future__ import annotations

import json

import pyarrow as pa

from zoopipe.adapters.base import Encoded
from zoopipe.adapters.unwritable import encoded_or_refused
from zoopipe.arrays import text_array, text_bytes, text_scalar
from zoopipe.columns import concat, is_record_batch, json_objects


class JSONEncoder:
    """RecordBatches to JSON objects, each followed by `between`, save the last of an array's batch."""

    def __init__(self, between: str, indent: int | None = None) -> None:
        self._between = between
        self._indent = indent

    def __call__(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        return encoded_or_refused(self._encoded, batch, selection)

    def _encoded(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None) -> Encoded:
        if not batch.num_rows:
            return Encoded((), 0)
        lines = self._lines(batch)
        if selection is not None:
            # To leave rows out of one column of lines costs a fifth of doing so in seven.
            lines = lines.filter(selection)
        if not len(lines):
            return Encoded((), 0)
        data = text_bytes(lines)
        if self._between != "\n":
            data = data[: -len(self._between)]
        return Encoded([data], len(lines))

    def _lines(self, batch: pa.RecordBatch) -> pa.StringArray:
        """Each row as an object, followed by `between`."""
        if is_record_batch(batch.schema):
            records = batch.column(0)
            if batch.num_columns > 1:
                rest = json_objects(batch.columns[1:], pa.schema(list(batch.schema)[1:]))
                pairs = zip(records.to_pylist(), rest.to_pylist(), strict=True)
                records = text_array([_with_members(record, tail) for record, tail in pairs])
        elif self._indent is None:
            return json_objects(batch.columns, batch.schema, after=self._between)
        else:
            records = json_objects(batch.columns, batch.schema)
        if self._indent is not None:
            records = text_array([self._indented(record) for record in records.to_pylist()])
        return concat(records, text_scalar(self._between))

    def _indented(self, row: str) -> str:
        return json.dumps(json.loads(row), ensure_ascii=False, indent=self._indent)


def _with_members(record: str | None, members: str) -> str:
    """An object with the members of another after its own, on one line."""
    if record is None or not record[1:-1].strip():
        return members
    # Newlines of valid JSON stand between tokens, never inside of a string.
    line = record.replace("\n", " ").replace("\r", " ")
    return f"{line[:-1]},{members[1:]}"
