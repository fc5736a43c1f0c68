"""Which values a cell of a workbook holds, and what stands for the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import positions_of
from zoopipe.arrow_text import plain_text
from zoopipe.columns import cell_text, cells, encoding_of
from zoopipe.reasons import Reason

#: Characters of a cell, in UTF-16.
MAX_TEXT = 32_767
# A number of a cell is a double; Excel shows 15 digits of it, and whole numbers up to 2^53 are exact.
_MOST_WHOLE = 1 << 53
_EXACT_DIGITS = 15
# Day 1 of Excel's calendar. Its time of day is exact to the millisecond.
_FIRST_DAY = date(1900, 1, 1)
_MILLISECOND = 1000

_types = pa.types
Misfits = dict[int, Reason]


def cell_schema(schema: pa.Schema) -> pa.Schema:
    """The types that columns are staged in: those that cells have values for; all others are text."""
    return pa.schema([(field.name, _cell_type(field)) for field in schema])


def _cell_type(field: pa.Field) -> pa.DataType:
    kind = field.type
    if encoding_of(field) != "plain":
        return pa.string()
    if _types.is_boolean(kind) or _types.is_integer(kind) or _types.is_decimal(kind):
        return kind
    if _types.is_floating(kind):
        return pa.float64()
    if _types.is_date(kind):
        return pa.date32()
    if _types.is_timestamp(kind) and kind.tz is None:
        return pa.timestamp("us")
    if _types.is_time(kind):
        return pa.time64("us")
    if _types.is_duration(kind):
        return pa.duration("us")
    return pa.string()


def staged(batch: pa.RecordBatch, schema: pa.Schema) -> tuple[pa.RecordBatch, Misfits]:
    """A batch in the types of `cell_schema`, and the rows that a sheet cannot hold, by their positions."""
    misfits: Misfits = {}
    columns = []
    for column, field, wanted in zip(batch.columns, batch.schema, schema, strict=True):
        column = _as(column, field, wanted.type, misfits)
        if _types.is_string(wanted.type):
            _check_lengths(column, field.name, misfits)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema), misfits


def _as(column: pa.Array, field: pa.Field, kind: pa.DataType, misfits: Misfits) -> pa.Array:
    if column.type == kind and encoding_of(field) == "plain":
        return column
    if not _types.is_string(kind):
        made = column.cast(kind, safe=False)
        # Of times in nanoseconds those that are no whole microseconds.
        differs = pc.not_equal(made.cast(column.type, safe=False), column)
        for row in positions_of(pc.fill_null(differs, False)):
            misfits.setdefault(row, _misfit(field.name, "it is no whole number of microseconds"))
        return made
    text = plain_text(column) if encoding_of(field) == "plain" else None
    return cells(column, field) if text is None else text


def _check_lengths(column: pa.StringArray, name: str, misfits: Misfits) -> None:
    lengths = pc.binary_length(column)
    if (pc.max(lengths).as_py() or 0) <= MAX_TEXT:
        return
    for row in positions_of(pc.fill_null(pc.greater(lengths, MAX_TEXT), False)):
        size = len(column[row].as_py().encode("utf-16-le")) // 2
        if size > MAX_TEXT:
            message = f"it has {size:,} characters, and a cell holds {MAX_TEXT:,}"
            misfits.setdefault(row, _misfit(name, message))


def _misfit(name: str, why: str) -> Reason:
    return {"loc": [name], "type": "not_in_cell", "msg": f"a cell cannot hold the value: {why}"}


def cell_value(kind: pa.DataType) -> Callable[[Any], Any]:
    """What a cell holds for a value of a staged type: a text, a boolean, a number, or a time, which is a number
    too; text, as JSON has it, where no cell holds the value."""
    if _types.is_integer(kind):
        return lambda value: value if -_MOST_WHOLE <= value <= _MOST_WHOLE else str(value)
    if _types.is_decimal(kind):
        return _decimal
    if _types.is_floating(kind):
        return lambda value: value if value - value == 0 else cell_text(value) or ""
    if _types.is_date(kind):
        return lambda value: value if value >= _FIRST_DAY else value.isoformat()
    if _types.is_timestamp(kind):
        return _datetime
    if _types.is_time(kind):
        return lambda value: value if value.microsecond % _MILLISECOND == 0 else value.isoformat()
    if _types.is_duration(kind):
        return _duration
    return _same


def _same(value: Any) -> Any:
    return value


def _decimal(value: Decimal) -> Any:
    digits = value.normalize().as_tuple().digits
    number = float(value)
    return number if len(digits) <= _EXACT_DIGITS and Decimal(repr(number)) == value else str(value)


def _datetime(value: datetime) -> Any:
    is_exact = value.date() >= _FIRST_DAY and value.microsecond % _MILLISECOND == 0
    return value if is_exact else value.isoformat()


def _duration(value: timedelta) -> Any:
    # Excel shows no negative times.
    is_exact = value >= timedelta(0) and value.microseconds % _MILLISECOND == 0
    return value if is_exact else cell_text(value) or ""
