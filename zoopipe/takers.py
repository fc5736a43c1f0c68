"""What Arrow arrays are made of, one Python value at a time: what a type cannot hold exactly is a *misfit*,
never null and never rounded.

Text is taken for a value of another type where it is the text that pydantic writes for one: `12`, `1.5`,
`true`, `2024-02-29`, `PT1S`. So what a value becomes does not depend on how it travelled.
"""

from __future__ import annotations

import enum
import math
import re
from collections import deque
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel
from pydantic_core import (
    PydanticSerializationError,
    SchemaValidator,
    ValidationError,
    core_schema,
    to_jsonable_python,
)

from zoopipe.arrays import typed_array

#: What makes of a value what arrays of a type are made of, or raises `Misfit`.
Taker = Callable[[Any], Any]

#: Ticks a second of Arrow's units.
PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
FIRST_MICROSECOND = -62_135_596_800_000_000  # 0001-01-01T00:00:00
LAST_MICROSECOND = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999

_DAY_ZERO = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1)
_TICK = timedelta(microseconds=1)
_DAY_TICKS = 86_400_000_000
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
_TIME = re.compile(_CLOCK)
_DATETIME = re.compile(rf"{_DATE.pattern}[T ]{_CLOCK}(?:Z|[-+][0-9]{{2}}:[0-9]{{2}})?")
_DURATION = re.compile(r"[-+]?P[0-9DWMYTHS.]+")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# No number that Arrow holds has as many digits: a longer one is not even read.
_LONGEST_NUMBER = 1_000
_CONSTANTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
# Numbers of any size, without rounding: what does not fit raises.
_EXACT = Context(prec=400, traps=[Inexact, InvalidOperation])
# What is no text, whatever text it may be written as.
_NO_TEXT = (
    *(int, float, complex, Decimal, bytes, bytearray, memoryview, UUID),
    *(date, time, timedelta, Mapping, Set, list, tuple, deque, BaseModel),
)
_duration = SchemaValidator(core_schema.timedelta_schema()).validate_python


class Misfit(ValueError):
    """A value is none of a type; the message says why, without the value."""


def _bare(value: Any) -> Any:
    """The value of an enum's member or of numpy's scalar."""
    if isinstance(value, enum.Enum):
        return value.value
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    return value


def _integer(value: Any) -> int:
    value = _bare(value)
    if isinstance(value, bool):
        raise Misfit("no number")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float | Decimal):
        if math.isfinite(value) and value == (whole := int(value)):
            return whole
        raise Misfit("not whole")
    if isinstance(value, str) and len(value) < _LONGEST_NUMBER and _INT.fullmatch(value):
        return int(value)
    raise Misfit("no number")


def _int_taker(least: int, most: int) -> Taker:
    def take(value: Any) -> int:
        number = _integer(value)
        if least <= number <= most:
            return number
        raise Misfit("out of range")

    return take


def _float(value: Any) -> float:
    value = _bare(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        if value in _CONSTANTS:
            return _CONSTANTS[value]
        if not _NUMBER.fullmatch(value):
            raise Misfit("no number")
        number = float(value)
        if math.isinf(number):
            raise Misfit("out of range")
        return number
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Misfit("no number")
    try:
        number = float(value)
    except (OverflowError, ValueError):
        raise Misfit("out of range") from None
    if number != value and not (math.isnan(number) and value.is_nan()):  # type: ignore[union-attr]
        raise Misfit("not exact")
    return number


def _float_taker(kind: pa.DataType) -> Taker:
    largest = {16: 11, 32: 24}[kind.bit_width]

    def take(value: Any) -> float:
        number = _float(value)
        if math.isfinite(number):
            made = pc.cast(typed_array([number], float), kind, safe=False).cast(pa.float64())
            if made[0].as_py() != number:
                raise Misfit(f"not exact in {largest} bits")
        return number

    return take


def _bool(value: Any) -> bool:
    value = _bare(value)
    if isinstance(value, bool):
        return value
    if value == "true" or value == "false":
        return bool(value == "true")
    raise Misfit("no boolean")


def _text(value: Any) -> str:
    value = _bare(value)
    if not isinstance(value, str):
        value = _text_of_object(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit("no text that UTF-8 holds") from None
    return str(value)


def _text_of_object(value: Any) -> str:
    """The text of what is written as text alone: an URL, a path, an address, a secret's mask."""
    if not isinstance(value, _NO_TEXT):
        try:
            text = to_jsonable_python(value)
        except PydanticSerializationError:
            text = str(value) if _has_own_text(value) else None
        if isinstance(text, str):
            return text
    raise Misfit("no text")


def _has_own_text(value: object) -> bool:
    return getattr(type(value), "__str__", None) is not getattr(object, "__str__", None)


def _bytes(value: Any) -> bytes:
    value = _bare(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        return _text(value).encode()
    raise Misfit("no bytes")


def _fixed_bytes_taker(width: int) -> Taker:
    def take(value: Any) -> bytes:
        data = _bytes(value)
        if len(data) == width:
            return data
        raise Misfit(f"not of {width} bytes")

    return take


def _uuid(value: Any) -> bytes:
    value = _bare(value)
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value).bytes
    raise Misfit("no UUID")


def _days(value: Any) -> int:
    value = _bare(value)
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise Misfit("no date") from None
    if isinstance(value, datetime):
        if value.tzinfo is not None or value.time() != time():
            raise Misfit("no date alone")
        value = value.date()
    if isinstance(value, date):
        return value.toordinal() - _DAY_ZERO
    raise Misfit("no date")


def _timestamp_taker(unit: str, zone: str | None) -> Taker:
    scale = _scale_taker(unit)

    def take(value: Any) -> int:
        value = _bare(value)
        if isinstance(value, str) and _DATETIME.fullmatch(value):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                raise Misfit("no time") from None
        if not isinstance(value, datetime):
            if not isinstance(value, date) or zone is not None:
                raise Misfit("no date and time")
            value = datetime(value.year, value.month, value.day)
        offset = value.utcoffset()
        if (offset is None) != (zone is None):
            raise Misfit("it has a time zone" if zone is None else "it has no time zone")
        ticks = (value.replace(tzinfo=None) - _EPOCH) // _TICK
        if offset is not None:
            ticks -= offset // _TICK
        if not FIRST_MICROSECOND <= ticks <= LAST_MICROSECOND:
            raise Misfit("beyond the years 1 to 9999 in UTC")
        nanoseconds = getattr(value, "nanosecond", 0)
        if nanoseconds and unit != "ns":
            raise Misfit(f"finer than its unit, {unit}")
        return scale(ticks) + int(nanoseconds)

    return take


def _time_taker(unit: str) -> Taker:
    scale = _scale_taker(unit)

    def take(value: Any) -> int:
        value = _bare(value)
        if isinstance(value, str) and _TIME.fullmatch(value):
            try:
                value = time.fromisoformat(value)
            except ValueError:
                raise Misfit("no time of day") from None
        if not isinstance(value, time):
            raise Misfit("no time of day")
        if value.tzinfo is not None:
            raise Misfit("it has a time zone")
        seconds = (value.hour * 60 + value.minute) * 60 + value.second
        return scale(seconds * 1_000_000 + value.microsecond)

    return take


def _duration_taker(unit: str) -> Taker:
    scale = _scale_taker(unit)

    def take(value: Any) -> int:
        value = _bare(value)
        if isinstance(value, str) and _DURATION.fullmatch(value):
            try:
                value = _duration(value)
            except ValidationError:
                raise Misfit("no duration") from None
        if isinstance(value, timedelta):
            return scale(value // _TICK)
        raise Misfit("no duration")

    return take


def _scale_taker(unit: str) -> Callable[[int], int]:
    """Microseconds in a unit."""
    per_second = PER_SECOND[unit]

    def take(ticks: int) -> int:
        number, rest = divmod(ticks * per_second, 1_000_000)
        if rest:
            raise Misfit(f"finer than its unit, {unit}")
        if not -(2**63) <= number < 2**63:
            raise Misfit("out of range")
        return int(number)

    return take


def _decimal_taker(precision: int, scale: int) -> Taker:
    limit = 10**precision

    def take(value: Any) -> int:
        value = _bare(value)
        if isinstance(value, str):
            if len(value) >= _LONGEST_NUMBER or not _NUMBER.fullmatch(value):
                raise Misfit("no number")
        elif isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise Misfit("no number")
        try:
            number = Decimal(value)
            if not number.is_finite():
                raise Misfit("not finite")
            if number and not -scale <= number.adjusted() < precision - scale:
                raise Misfit("out of range")
            unscaled = int(_EXACT.to_integral_exact(_EXACT.scaleb(number, scale)))
        except (Inexact, InvalidOperation):
            raise Misfit("more digits than it has place for") from None
        if abs(unscaled) >= limit:
            raise Misfit("out of range")
        return unscaled

    return take


def nothing(value: Any) -> None:
    """Takes no value: the taker of types that no values are written to."""
    raise Misfit("not null")


@lru_cache(maxsize=256)
def taker(kind: pa.DataType) -> Taker:
    """A function from Python values to what `array_of` makes an array of a type of.

    It raises `Misfit` for a value that the type does not hold exactly.
    """
    types = pa.types
    if is_text(kind):
        return _text
    if kind in _INTEGERS:
        return _int_taker(*_INTEGERS[kind])
    if types.is_floating(kind):
        return _float if kind == pa.float64() else _float_taker(kind)
    if types.is_boolean(kind):
        return _bool
    if is_uuid(kind):
        return _uuid
    if types.is_fixed_size_binary(kind):
        return _fixed_bytes_taker(kind.byte_width)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return _bytes
    if types.is_date(kind):
        return _days if types.is_date32(kind) else lambda value: _days(value) * 86_400_000
    if types.is_timestamp(kind):
        return _timestamp_taker(kind.unit, kind.tz)
    if types.is_time(kind):
        return _time_taker(kind.unit)
    if types.is_duration(kind):
        return _duration_taker(kind.unit)
    if types.is_decimal(kind):
        return _decimal_taker(kind.precision, kind.scale)
    return nothing


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is of text of any kind."""
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_uuid(kind: pa.DataType) -> bool:
    """Whether a type is Arrow's of UUIDs."""
    return getattr(kind, "extension_name", None) == "arrow.uuid"


_INTEGERS: Mapping[pa.DataType, tuple[int, int]] = {
    **{getattr(pa, f"int{n}")(): (-(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)},
    **{getattr(pa, f"uint{n}")(): (0, (1 << n) - 1) for n in (8, 16, 32, 64)},
}
