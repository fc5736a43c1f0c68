"""Arrow columns of strings and of times as text, which is what pydantic writes for their values."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import EMPTY, text_scalar

_UTC = ("UTC", "+00:00")
_Z = text_scalar("Z")


def plain_text(column: pa.Array) -> pa.StringArray | None:
    """A column of strings as one of Arrow's type `string`; None for a column of anything else."""
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_dictionary(kind):
        return plain_text(column.dictionary_decode()) if _is_text(kind.value_type) else None
    return column.cast(pa.string()) if _is_text(kind) else None


def _is_text(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    )


def is_plain_timestamp(kind: pa.DataType) -> bool:
    """Whether a type is of timestamps that Python's `datetime` holds, naive or in UTC."""
    return pa.types.is_timestamp(kind) and kind.unit != "ns" and kind.tz in (None, *_UTC)


def timestamp_text(column: pa.TimestampArray) -> pa.StringArray:
    """Plain timestamps as `2024-02-29T12:00:00` or `2024-02-29T12:00:00.500000Z`."""
    zone, naive = column.type.tz, pa.timestamp("us")
    column = column.cast(pa.timestamp("us", zone)).view(naive)
    text = _with_fractions(column, column.cast(pa.timestamp("s"), safe=False))
    text = pc.binary_replace_slice(text, start=10, stop=11, replacement="T")
    return text if zone is None else pc.binary_join_element_wise(text, _Z, EMPTY)


def is_plain_time(kind: pa.DataType) -> bool:
    """Whether a type is of times of day that Python's `time` holds."""
    return bool(pa.types.is_time(kind) and kind.unit != "ns")


def time_text(column: pa.Array) -> pa.StringArray:
    """Plain times of day as `12:00:00` or `12:00:00.500000`."""
    column = column.cast(pa.time64("us"))
    return _with_fractions(column, column.cast(pa.time32("s"), safe=False))


def _with_fractions(column: pa.Array, seconds: pa.Array) -> pa.StringArray:
    """Microseconds as text, with a fraction where the same in seconds is not the same."""
    whole = pc.equal(seconds.cast(column.type), column)
    if whole.true_count == len(whole) - whole.null_count:
        return seconds.cast(pa.string())
    if not whole.true_count:
        return column.cast(pa.string())
    return pc.if_else(whole, seconds.cast(pa.string()), column.cast(pa.string()))
