"""What typed outputs hold, said by pydantic and by hand: types of models, their values, and what fits."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from pydantic import BaseModel


def as_held(value: Any) -> Any:
    """A dumped value as Arrow gives it back: enums by value, tuples and sets as lists, objects as dicts."""
    if isinstance(value, enum.Enum):
        return as_held(value.value)
    if isinstance(value, BaseModel):
        return as_held(value.model_dump())
    if isinstance(value, Mapping):
        return {key: as_held(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(as_held(item) for item in value)
    if isinstance(value, list | tuple):
        return [as_held(item) for item in value]
    return value


def same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of one type all the way down; one NaN is another's equal."""
    if isinstance(value, dict) and isinstance(other, dict):
        return list(value) == list(other) and all(same(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, float) and isinstance(other, float):
        if math.isnan(value) or math.isnan(other):
            return math.isnan(value) and math.isnan(other)
        return value == other and math.copysign(1, value) == math.copysign(1, other)
    if isinstance(value, str) or isinstance(other, str):
        return type(value) is type(other) and bool(value == other)
    return isinstance(value, type(other)) and bool(value == other)


def fits(value: Any, kind: pa.DataType, is_json: bool = False) -> bool:
    """Whether a type holds a dumped value, by what the types say of themselves."""
    if value is None or is_json:
        return True
    types = pa.types
    if isinstance(value, enum.Enum):
        return fits(value.value, kind)
    if types.is_int64(kind):
        return isinstance(value, int) and -(2**63) <= value < 2**63
    if types.is_decimal(kind):
        if not value.is_finite():
            return False
        _, digits, exponent = value.normalize().as_tuple()
        before = len(digits) + exponent if any(digits) else 0
        return -exponent <= kind.scale and before <= kind.precision - kind.scale
    if types.is_timestamp(kind):
        return (value.utcoffset() is None) == (kind.tz is None) and in_utc_years(value)
    if types.is_time(kind):
        return value.tzinfo is None
    if types.is_duration(kind):
        return -(2**63) <= value // timedelta(microseconds=1) < 2**63
    if types.is_list(kind):
        return all(fits(item, kind.value_type) for item in value)
    if types.is_map(kind):
        return all(fits(item, kind.item_type) for item in value.values())
    if types.is_struct(kind):
        return all(fits(value[part.name], part.type) for part in kind)
    return True


def in_utc_years(value: datetime) -> bool:
    """Whether Python has the moment in UTC too."""
    if value.utcoffset() is None:
        return True
    try:
        value.astimezone(UTC)
    except OverflowError:
        return False
    return True
