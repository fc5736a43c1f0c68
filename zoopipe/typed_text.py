"""Columns of text as columns of another Arrow type, for text that provably is a value of it.

It is the fast half of `zoopipe.takers`, and takes no text that the other half would refuse or read
otherwise: Arrow's own parsers take more, `0x10` and `1` for true, and some of them overflow in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import (
    int32_scalar,
    int64_scalar,
    no_nulls,
    only_where,
    text_array,
    text_bytes,
    text_scalar,
    within,
)
from zoopipe.columns import concat
from zoopipe.takers import FIRST_MICROSECOND, LAST_MICROSECOND, PER_SECOND, is_uuid

Parse = Callable[[pa.StringArray, pa.DataType], pa.Array]

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_OFFSET = r"(?:Z|[-+][0-9]{2}:[0-9]{2})"
_FIRST_DAY = -719_162  # 0001-01-01
_MICROSECOND, _UTC = pa.timestamp("us"), pa.timestamp("us", "UTC")
_EPOCH_DAY = text_scalar("1970-01-01T")
_TRUE = text_scalar("true")
_NOT_FINITE = text_array(["NaN", "Infinity", "-Infinity"])
_HYPHENS = (8, 13, 18, 23)


class _Unsure(ValueError):
    """Not all of some text is sure to be of a type."""


@dataclass(frozen=True, slots=True)
class _Form:
    """How text of a type is read.

    Attributes:
        pattern: what text has to look like.
        parse: reads such text; raises `_Unsure` or `pa.ArrowInvalid` where some is no value.
        is_sure: whether `parse` takes nothing else than such text.
        logical: the Python type whose text, as kernels prove it, is sure to look so.
    """

    pattern: str
    parse: Parse
    is_sure: bool = False
    logical: str | None = None


def parsed(
    text: pa.StringArray, kind: pa.DataType, logical: str | None
) -> tuple[pa.Array, pa.BooleanArray | None] | None:
    """Text as values of a type.

    Args:
        text: the cells.
        kind: the type.
        logical: the Python type of whose values all cells are the text, where kernels said so.

    Returns:
        The values, and where they are not to be relied on (None: nowhere); None where no text of the
        type is known.
    """
    form = _form_of(kind)
    if form is None:
        return None
    matched = None
    if not form.is_sure and (logical is None or logical != form.logical):
        matched = no_nulls(pc.match_substring_regex(text, pattern=f"^(?:{form.pattern})$"))
        if matched.true_count == len(text) - text.null_count:
            matched = None
    values = _parsed_or_none(text if matched is None else only_where(text, matched), kind, form)
    if values is None and matched is None:
        matched = no_nulls(pc.match_substring_regex(text, pattern=f"^(?:{form.pattern})$"))
        values = _parsed_or_none(only_where(text, matched), kind, form)
    if values is None:
        return pa.nulls(len(text), kind), text.is_valid()
    unsure = None if matched is None else pc.and_not(text.is_valid(), matched)
    return values, unsure


def _parsed_or_none(text: pa.StringArray, kind: pa.DataType, form: _Form) -> pa.Array | None:
    try:
        return form.parse(text, kind)
    except (pa.ArrowInvalid, _Unsure):
        return None


def _form_of(kind: pa.DataType) -> _Form | None:
    types = pa.types
    if types.is_integer(kind):
        return _INT
    if types.is_float64(kind):
        return _FLOAT
    if types.is_boolean(kind):
        return _BOOL
    if types.is_date32(kind):
        return _DATES
    if types.is_timestamp(kind):
        return _NAIVE if kind.tz is None else _AWARE
    if types.is_time(kind):
        return _TIMES
    if is_uuid(kind):
        return _UUIDS
    if types.is_decimal(kind) and kind.scale >= 0:
        return _DECIMALS
    return None


def _cast(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    return text.cast(kind)


def _floats(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Arrow takes a number that is too large for an infinity."""
    values = text.cast(kind)
    if not pc.all(pc.is_finite(values)).as_py() and len(values) > values.null_count:
        odd = no_nulls(pc.invert(pc.is_finite(values)))
        if not pc.all(pc.is_in(text.filter(odd), value_set=_NOT_FINITE)).as_py():
            raise _Unsure
    return values


def _bools(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    # Arrow's cast takes other spellings; the pattern has left none.
    return pc.equal(text, _TRUE)


def _dates(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Arrow parses YYYY-MM-DD alone, but has a year zero."""
    days = text.cast(kind)
    first = pc.min(days.view(pa.int32())).as_py()
    if first is not None and first < _FIRST_DAY:
        raise _Unsure
    return days


def _timestamps(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Arrow takes dates and hours alone, which are shorter, and years that Python has not."""
    shortest = pc.min(pc.binary_length(text)).as_py()
    if shortest is not None and shortest < len("2024-02-29T12:00:00"):
        raise _Unsure
    ticks = text.cast(_MICROSECOND if kind.tz is None else _UTC).view(pa.int64())
    _check_years(ticks)
    return in_unit(ticks, "us", kind.unit).view(kind)


def _check_years(ticks: pa.Int64Array) -> None:
    if within(ticks, FIRST_MICROSECOND, LAST_MICROSECOND).null_count > ticks.null_count:
        raise _Unsure


def _times(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    # Arrow has no parser of times of day alone.
    ticks = concat(_EPOCH_DAY, text).cast(_MICROSECOND).view(pa.int64())
    ticks = in_unit(ticks, "us", kind.unit)
    return (ticks.cast(pa.int32()) if kind.bit_width == 32 else ticks).view(kind)


def in_unit(ticks: pa.Int64Array, unit: str, wanted: str) -> pa.Int64Array:
    """Ticks of a unit in another one.

    Raises:
        ValueError: the other one does not hold some of them exactly.
    """
    have, want = PER_SECOND[unit], PER_SECOND[wanted]
    if have == want:
        return ticks
    if want > have:
        try:
            return pc.multiply_checked(ticks, int64_scalar(want // have))
        except pa.ArrowInvalid:
            raise _Unsure from None
    factor = int64_scalar(have // want)
    whole = pc.divide(ticks, factor)
    exact = pc.equal(pc.multiply(whole, factor), ticks)
    if exact.true_count < len(ticks) - ticks.null_count:
        raise _Unsure
    return whole


def _uuids(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """UUIDs with hyphens, all of them by one `bytes.fromhex`."""
    valid = text.drop_null() if text.null_count else text
    data = bytes(text_bytes(valid))
    rows = len(valid)
    lengths = pc.equal(pc.binary_length(valid), int32_scalar(36))
    hyphens = data.count(b"-")
    if lengths.true_count < rows or hyphens != 4 * rows or not data.isascii():
        raise _Unsure
    if any(data[at::36].count(b"-") < rows for at in _HYPHENS):
        raise _Unsure
    try:
        octets = bytes.fromhex(data.replace(b"-", b"").decode())
    except ValueError:
        raise _Unsure from None
    if len(octets) != 16 * rows:
        # White space is none to `fromhex`.
        raise _Unsure
    storage = pa.Array.from_buffers(kind.storage_type, rows, [None, pa.py_buffer(octets)])
    if text.null_count:
        at = pc.subtract(pc.cumulative_sum(text.is_valid().cast(pa.int64())), int64_scalar(1))
        storage = storage.take(only_where(at, text.is_valid()))
    return pa.ExtensionArray.from_storage(kind, storage)


def _decimals(text: pa.StringArray, kind: pa.DataType) -> pa.Array:
    """Arrow's cast overflows in silence: only text that is too short for that is given to it."""
    largest = 38 if kind.bit_width <= 128 else 76
    longest = pc.max(pc.binary_length(text)).as_py()
    if longest is not None and longest > largest - kind.scale:
        raise _Unsure
    wide = (pa.decimal128 if largest == 38 else pa.decimal256)(largest, kind.scale)
    return text.cast(wide).cast(kind)


_INT = _Form(r"-?(?:0|[1-9][0-9]*)", _cast, logical="int")
_FLOAT = _Form(
    r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|NaN|-?Infinity", _floats, logical="float"
)
_BOOL = _Form(r"true|false", _bools, logical="bool")
_DATES = _Form(_DATE, _dates, is_sure=True)
_NAIVE = _Form(rf"{_DATE}[T ]{_CLOCK}", _timestamps, logical="datetime")
_AWARE = _Form(rf"{_DATE}[T ]{_CLOCK}{_OFFSET}", _timestamps, logical="datetime")
_TIMES = _Form(_CLOCK, _times)
_UUIDS = _Form(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", _uuids, is_sure=True)
_DECIMALS = _Form(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", _decimals)
