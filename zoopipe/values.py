"""Columns as Python values, and Python values as columns; the encodings are those of `zoopipe.columns`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import positions_of, text_array, typed_array
from zoopipe.columns import (
    LOGICAL_TYPES,
    NonFinite,
    cell_text,
    cells,
    encoded_field,
    encoding_of,
    is_record_batch,
    json_texts,
    logical_of,
)
from zoopipe.rows import Row, columns_of, zip_rows

# Those that `typed_values` makes.
_VALUE_TYPES = frozenset(
    (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.date32(), pa.timestamp("us"))
)


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """A batch's rows as dicts of Python values.

    Encoded columns give what their JSON text stands for; dates in them stay ISO text.
    """
    if is_record_batch(batch.schema):
        return [{} if text is None else json.loads(text) for text in batch.column(0).to_pylist()]
    columns = [
        python_values(column, field)
        for column, field in zip(batch.columns, batch.schema, strict=True)
    ]
    if not columns:
        return [{} for _ in range(batch.num_rows)]
    return zip_rows(batch.schema.names, columns)


def python_values(column: pa.Array, field: pa.Field) -> list[Any]:
    """A column's cells as Python values: maps as dicts, and JSON text, wherever it is, as what it stands
    for. A map that has a key twice stays a list of pairs."""
    if encoding_of(field) == "json":
        return [None if text is None else json.loads(text) for text in column.to_pylist()]
    if not pa.types.is_nested(column.type):
        return _flat_values(column)
    try:
        values: list[Any] = column.to_pylist(maps_as_pydicts="strict")
    except KeyError:
        values = column.to_pylist()
    return [_decoded(value, field) for value in values] if holds_encoded(field) else values


def _flat_values(column: pa.Array) -> list[Any]:
    """Values that are not nested. A time that no Python object holds, finer than microseconds or beyond
    the year 9999, is text."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        rounded = column.cast(pa.timestamp("us", kind.tz), safe=False)
        values: list[Any] = rounded.to_pylist()
        for at in positions_of(pc.not_equal(rounded.cast(kind, safe=False), column)):
            values[at] = _text_of(column.slice(at, 1))
        return values
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (OverflowError, ValueError):
        return [_value_or_text(column.slice(at, 1)) for at in range(len(column))]


def _value_or_text(one: pa.Array) -> Any:
    try:
        return one[0].as_py()
    except (OverflowError, ValueError):
        return _text_of(one)


def _text_of(one: pa.Array) -> str:
    text: str = one.cast(pa.string())[0].as_py()
    return text


def holds_encoded(field: pa.Field) -> bool:
    """Whether a field's cells, or some within them, are text in an encoding."""
    if encoding_of(field) != "plain":
        return True
    kind = field.type
    if not pa.types.is_nested(kind):
        return False
    return any(holds_encoded(kind.field(at)) for at in range(kind.num_fields))


def _decoded(value: Any, field: pa.Field) -> Any:
    """A nested value with what JSON text in it stands for."""
    if value is None:
        return None
    if encoding_of(field) == "json":
        return json.loads(value)
    kind = field.type
    if pa.types.is_struct(kind):
        return {part.name: _decoded(value[part.name], part) for part in kind}
    if pa.types.is_map(kind):
        if isinstance(value, dict):
            return {key: _decoded(item, kind.item_field) for key, item in value.items()}
        return [(key, _decoded(item, kind.item_field)) for key, item in value]
    if pa.types.is_nested(kind) and isinstance(value, list):
        return [_decoded(item, kind.field(0)) for item in value]
    return value


def typed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with every encoded column cast to its Arrow type, where all its values fit.

    An integer beyond 64 bits, or datetimes with different offsets, leave their column as it is:
    exact text rather than a value that lost something.
    """
    if is_record_batch(batch.schema):
        return from_rows(rows_of(batch))
    columns, fields = [], []
    for column, field in zip(batch.columns, batch.schema, strict=True):
        column, field = _typed_column(column, field)
        columns.append(column)
        fields.append(field)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _typed_column(column: pa.Array, field: pa.Field) -> tuple[pa.Array, pa.Field]:
    logical = logical_of(field)
    if encoding_of(field) == "plain" or logical is None:
        return column, field
    kind = LOGICAL_TYPES[logical]
    if logical == "datetime" and (in_utc := pc.ends_with(column, pattern="Z").true_count):
        # Arrow would take any offset for its moment in UTC, which is another text.
        if in_utc < len(column) - column.null_count:
            return column, field
        kind = pa.timestamp("us", tz="UTC")
    try:
        values = column.cast(kind)
    except pa.ArrowInvalid:
        return column, field
    if logical == "int":
        exact = values.cast(pa.string()).equals(column)
        return (values, pa.field(field.name, kind)) if exact else (column, field)
    return values, pa.field(field.name, kind)


def from_rows(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    """Rows of Python values as a batch: a column a key (first seen first), typed where Arrow can.

    A column of mixed types, or of values that Arrow has no type for, is `json`.
    """
    columns = columns_of(rows)
    if columns is None:
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
    return from_columns(columns)


def from_columns(
    columns: Mapping[str, Sequence[Any]], nonfinite: NonFinite = "null"
) -> pa.RecordBatch:
    """Columns of Python values as a batch, typed where Arrow can."""
    made = [from_values(name, values, nonfinite) for name, values in columns.items()]
    schema = pa.schema([field for _, field in made])
    return pa.RecordBatch.from_arrays([column for column, _ in made], schema=schema)


def holds_values(batch: pa.RecordBatch) -> bool:
    """Whether a batch has only columns that Python values come back from as they were put in."""
    names = batch.schema.names
    return len(set(names)) == len(names) and all(
        field.type in _VALUE_TYPES and encoding_of(field) == "plain" for field in batch.schema
    )


def updated(batch: pa.RecordBatch, changes: Sequence[Row]) -> pa.RecordBatch | None:
    """A batch whose rows are updated as by `{**row, **change}`, its other columns untouched.

    Returns:
        None where columns would not do: changes with different keys, or values that Arrow has no
        exact type for.
    """
    columns = columns_of(changes)
    if columns is None or not all(type(name) is str for name in columns):
        return None
    for name, values in columns.items():
        try:
            made = typed_values(name, values)
        except UnicodeEncodeError:
            return None
        if made is None:
            return None
        column, field = made
        if name in batch.schema.names:
            batch = batch.set_column(batch.schema.get_field_index(name), field, column)
        else:
            batch = batch.append_column(field, column)
    return batch


def from_values(
    name: str, values: Sequence[Any], nonfinite: NonFinite = "null"
) -> tuple[pa.Array, pa.Field]:
    """One column of Python values, typed where Arrow holds them exactly, else `json`."""
    typed_column = typed_values(name, values)
    if typed_column is not None:
        return typed_column
    return json_texts(values, nonfinite), encoded_field(name, "json")


def typed_values(name: str, values: Sequence[Any]) -> tuple[pa.Array, pa.Field] | None:
    """One column of Python values, where they are of one type that Arrow holds exactly."""
    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str}:
        return text_array(values), pa.field(name, pa.string())
    if len(kinds) == 1:
        column = typed_array(values, kinds.pop())
        if column is not None:
            return column, pa.field(name, column.type)
    return None


def value_cells(values: Sequence[Any]) -> pa.StringArray:
    """Python values as the text of CSV cells; None as null."""
    made = typed_values("", values)
    return cells(*made) if made is not None else text_array([cell_text(value) for value in values])
