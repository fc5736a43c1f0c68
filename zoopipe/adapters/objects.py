"""Blocks whose rows are Python values: typed columns where Arrow holds all of them exactly, else the values
themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
from pydantic_core import to_json

from zoopipe.adapters.base import Block
from zoopipe.arrays import nulls, text_array
from zoopipe.columns import encoded_field, record_batch
from zoopipe.rows import Row, columns_of, zip_rows
from zoopipe.values import from_columns, typed_values

Columns = Mapping[str, Sequence[Any]]


def rows_block(rows: Sequence[Row], records: int) -> Block:
    """A block of dicts, each with keys of its own.

    Args:
        rows: the records that are rows.
        records: how many records there are.
    """
    columns = columns_of(rows)
    batch = _typed_batch(columns) if columns else None
    if batch is not None:
        return _block(batch, records)
    return _values_block(rows, records, lambda: record_batch(text_array(list(map(row_json, rows)))))


def columns_block(columns: Columns, records: int) -> Block:
    """A block of rows that have the same columns, at least one.

    Args:
        columns: the values of the records that are rows.
        records: how many records there are.
    """
    batch = _typed_batch(columns)
    if batch is not None:
        return _block(batch, records)
    rows = zip_rows(tuple(columns), list(columns.values()))
    return _values_block(rows, records, lambda: from_columns(columns))


def _typed_batch(columns: Columns) -> pa.RecordBatch | None:
    """The columns with exact types; None where Arrow has none for the values of one."""
    made = []
    for name, values in columns.items():
        try:
            column = typed_values(name, values)
        except UnicodeEncodeError:
            column = None
        if column is None:
            return None
        made.append(column)
    schema = pa.schema([field for _, field in made])
    return pa.RecordBatch.from_arrays([column for column, _ in made], schema=schema)


def _values_block(rows: Sequence[Row], records: int, whole: Callable[[], pa.RecordBatch]) -> Block:
    block = _block(record_batch(nulls(len(rows))), records)
    block.values, block.whole = rows, whole
    return block


def _block(batch: pa.RecordBatch, records: int) -> Block:
    return Block(
        batch=batch,
        source="",
        records=records,
        row_records=None,
        unparsed=[],
        offsets=None,
        start=0,
        end=0,
        bytes_read=0,
    )


def row_json(value: Any) -> str:
    """A record as JSON, to be shown in a reject: what has no JSON is shown by its type or its text."""
    try:
        return to_json(value, inf_nan_mode="strings", serialize_unknown=True).decode()
    except (ValueError, RecursionError):
        pass
    try:
        return json.dumps(_plain_keys(value), default=repr)
    except Exception:
        # It holds itself, or raises when it is looked at.
        return json.dumps(f"<{type(value).__qualname__}>")


def _plain_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return value


def common_types(names: Sequence[str], blocks: Iterable[Block]) -> pa.Schema:
    """A type for each column that holds all of its values exactly; JSON text where they are of several types,
    or of one that has none, and where there is no value."""
    found: dict[str, set[pa.DataType | None]] = {name: set() for name in names}
    for block in blocks:
        if block.values is None:
            for field, column in zip(block.batch.schema, block.batch.columns, strict=True):
                if column.null_count < len(column):
                    found[field.name].add(field.type)
        else:
            for name in names:
                kinds = {type(row[name]) for row in block.values} - {type(None)}
                found[name].update(map(_TYPES.get, kinds))
    return pa.schema([_field(name, kinds) for name, kinds in found.items()])


def _field(name: str, kinds: set[pa.DataType | None]) -> pa.Field:
    if kinds == {pa.date32(), pa.timestamp("us")}:
        # A date is a datetime too, at midnight.
        return pa.field(name, pa.timestamp("us"))
    kind = kinds.pop() if len(kinds) == 1 else None
    return encoded_field(name, "json") if kind is None else pa.field(name, kind)


# Those without parameters; of an integer Arrow may not hold the value, so that it has to be looked at.
_TYPES: Mapping[type, pa.DataType] = {
    str: pa.string(),
    float: pa.float64(),
    bool: pa.bool_(),
    date: pa.date32(),
    datetime: pa.timestamp("us"),
    time: pa.time64("us"),
    timedelta: pa.duration("us"),
}
