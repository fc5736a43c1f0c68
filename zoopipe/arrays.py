"""Small Arrow arrays made straight from buffers.

Where pandas is installed, pyarrow's first conversion of a Python object (`pa.array`, `pa.scalar`, a
`str` given to a kernel) imports pandas: about a second, in every fresh worker. Arrays built from
buffers never take that path, so the package makes its masks, literals and patches here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)
_TICK = timedelta(microseconds=1)
# No text of a string array is longer. Without an end Arrow's `binary_slice` computes the size of its
# output beyond 64 bits, and fails ("Negative buffer resize").
_LONGEST = (1 << 31) - 1


def _validity(flags: Sequence[bool]) -> pa.Buffer | None:
    """A validity bitmap for `flags` (True is valid), or None where all are valid."""
    if all(flags):
        return None
    return _bitmap(flags)


def _bitmap(flags: Sequence[bool]) -> pa.Buffer:
    return _bits(len(flags), (position for position, flag in enumerate(flags) if flag))


def _bits(length: int, positions: Iterable[int]) -> pa.Buffer:
    """`length` bits, set at `positions`."""
    bits = bytearray((length + 7) // 8)
    for position in positions:
        bits[position >> 3] |= 1 << (position & 7)
    return pa.py_buffer(bytes(bits))


def text_array(values: Sequence[str | None]) -> pa.StringArray:
    """A string array of `values`, None as null.

    Raises:
        UnicodeEncodeError: a value holds a lone surrogate, which UTF-8 cannot.
    """
    try:
        joined = "".join(values)  # type: ignore[arg-type]
    except TypeError:
        encoded = [b"" if value is None else value.encode() for value in values]
        return utf8_array(encoded, _validity([value is not None for value in values]))
    if joined.isascii():
        # As many bytes as characters: one text is encoded in place of many.
        return _text_array(map(len, values), joined.encode(), None)  # type: ignore[arg-type]
    return utf8_array(list(map(str.encode, values)))  # type: ignore[arg-type]


def utf8_array(values: Sequence[bytes], validity: pa.Buffer | None = None) -> pa.StringArray:
    """A string array of `values`, which are UTF-8; `validity` is a bitmap of those that are not null."""
    return _text_array(map(len, values), b"".join(values), validity)


def _text_array(lengths: Iterable[int], data: bytes, validity: pa.Buffer | None) -> pa.StringArray:
    offsets = array("i", list(accumulate(lengths, initial=0)))
    buffers = [validity, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


def text_scalar(value: str) -> pa.StringScalar:
    """`value` as an Arrow scalar."""
    return text_array([value])[0]


def text_of(data: bytes) -> pa.StringArray:
    """A string array of one value, the text that `data` is, uncopied.

    Raises:
        pa.ArrowInvalid: `data` is not UTF-8.
    """
    bounds = array("i", (0, len(data)))
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(bounds.tobytes()), pa.py_buffer(data)]
    )
    text.validate(full=True)
    return text


def text_bytes(lines: pa.StringArray) -> memoryview:
    """The bytes of a string array's values, one after the other, uncopied."""
    _, offsets, data = lines.buffers()
    bounds = memoryview(offsets).cast("i")
    start, end = bounds[lines.offset], bounds[lines.offset + len(lines)]
    return memoryview(data)[start:end] if data is not None else memoryview(b"")


def least_byte(text: pa.StringArray) -> int:
    """The smallest byte in a string array's values; 255 where there is none."""
    data = text_bytes(text)
    if not len(data):
        return 255
    octets = pa.Array.from_buffers(pa.uint8(), len(data), [None, pa.py_buffer(data)])
    return int(pc.min_max(octets)["min"].as_py())


def int64_array(values: Sequence[int | None]) -> pa.Int64Array:
    """A 64-bit integer array of `values`, None as null."""
    data = array("q", [0 if value is None else value for value in values])
    validity = _validity([value is not None for value in values])
    return pa.Array.from_buffers(pa.int64(), len(data), [validity, pa.py_buffer(data.tobytes())])


def typed_array(values: Sequence[Any], kind: type) -> pa.Array | None:
    """An array of the values of one Python type, None as null; None where Arrow has no exact type.

    `int`, `float`, `bool`, `date` and naive `datetime` become `int64`, `double`, `bool`, `date32` and
    `timestamp[us]`; integers beyond 64 bits and datetimes with an offset have none.
    """
    valid = [value is not None for value in values]
    if kind is bool:
        data = _bitmap([bool(value) for value in values])
        return pa.Array.from_buffers(pa.bool_(), len(values), [_validity(valid), data])
    if kind is float:
        floats = array("d", [0.0 if value is None else value for value in values])
        buffers = [_validity(valid), pa.py_buffer(floats.tobytes())]
        return pa.Array.from_buffers(pa.float64(), len(values), buffers)
    try:
        if kind is int:
            return int64_array(values)
        if kind is date:
            days = [None if value is None else (value - _EPOCH_DAY).days for value in values]
            return int64_array(days).cast(pa.int32()).view(pa.date32())
        if kind is datetime:
            # A datetime with an offset does not subtract from one without.
            since = [None if value is None else (value - _EPOCH) // _TICK for value in values]
            return int64_array(since).view(pa.timestamp("us"))
    except (OverflowError, TypeError):
        return None
    return None


def int64_scalar(value: int) -> pa.Int64Scalar:
    """`value` as an Arrow scalar."""
    return int64_array([value])[0]


def int32_scalar(value: int) -> pa.Int32Scalar:
    """`value` as an Arrow scalar of 32 bits, the type of lengths in bytes."""
    return int64_scalar(value).cast(pa.int32())


def counted_array(start: int, length: int) -> pa.Int64Array:
    """The 64-bit integers from `start` on, `length` of them."""
    data = array("q", range(start, start + length))
    return pa.Array.from_buffers(pa.int64(), length, [None, pa.py_buffer(data)])


def nulls(length: int) -> pa.StringArray:
    """A string array of `length` nulls."""
    return pa.nulls(length, pa.string())


def zeros(length: int) -> pa.Int64Array:
    """`length` zeros."""
    return pa.Array.from_buffers(pa.int64(), length, [None, pa.py_buffer(bytes(8 * length))])


def mask_of(length: int, positions: Iterable[int]) -> pa.BooleanArray:
    """A mask of `length` rows that is true at `positions`."""
    return pa.Array.from_buffers(pa.bool_(), length, [None, _bits(length, positions)])


def positions_of(mask: pa.BooleanArray) -> list[int]:
    """The positions at which `mask` is true, ascending."""
    positions: list[int] = pc.indices_nonzero(mask).to_pylist()
    return positions


class LazyPositions(Sequence[int]):
    """Positions that are made a list when first looked at."""

    def __init__(self, positions: pa.Array) -> None:
        self._array = positions

    @cached_property
    def _positions(self) -> list[int]:
        positions: list[int] = self._array.to_pylist()
        return positions

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, at: Any) -> Any:
        return self._positions[at]


def byte_slice(texts: pa.StringArray, start: int, stop: int = _LONGEST) -> pa.StringArray:
    """A slice of each text, counted in bytes, for a seventh of what characters cost.

    What was cut within a character is no UTF-8: such texts can be compared, but never shown.
    """
    return pc.binary_slice(texts.view(pa.binary()), start=start, stop=stop).view(pa.string())


def only_where(values: pa.Array, mask: pa.BooleanArray) -> pa.Array:
    """`values` where `mask` is true, elsewhere null."""
    if mask.true_count == len(mask):
        return values
    return pc.if_else(mask, values, pa.nulls(len(values), values.type))


def within(values: pa.Array, least: int, most: int) -> pa.Array:
    """The integers from `least` to `most`, which their type holds; null in place of all others."""
    found = pc.min_max(values).as_py()
    if found["min"] is None or (found["min"] >= least and found["max"] <= most):
        return values
    bounds = int64_array([least, most]).cast(values.type)
    enough = pc.greater_equal(values, bounds[0])
    return only_where(values, pc.and_(enough, pc.less_equal(values, bounds[1])))


def list_offsets(lists: pa.ListArray) -> pa.Int32Array:
    """Where each list begins, and the last one ends, in `lists.flatten()`."""
    lengths = pc.list_value_length(lists).cast(pa.int32())
    ends = pc.cumulative_sum(pc.fill_null(lengths, _NO_LENGTH) if lengths.null_count else lengths)
    return pa.concat_arrays([_FIRST_OFFSET, ends])


def with_elements(lists: pa.ListArray, elements: pa.Array) -> pa.ListArray:
    """Lists of the same lengths, and null where `lists` are, with other elements.

    Args:
        lists: lists or large lists.
        elements: an element for each of `lists.flatten()`.
    """
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(list_offsets(lists), elements, mask=mask)


def durations(intervals: pa.Array) -> pa.Array:
    """Intervals of days and less as microseconds.

    Raises:
        ValueError: one has months, which are not of one length.
    """
    spans: list[int | None] = []
    for value in intervals.to_pylist():
        if value is not None and value.months:
            raise ValueError("months are not of one length")
        spans.append(
            None if value is None else value.days * 86_400_000_000 + value.nanoseconds // 1000
        )
    return int64_array(spans).view(pa.duration("us"))


def map_parts(maps: pa.MapArray) -> tuple[pa.Int32Array, pa.Array, pa.Array]:
    """Where each map begins and the last one ends, and all keys and items that these count."""
    kind = maps.type
    # Of a map alone nothing leaves out what nulls and slices hide; of a list `flatten` does.
    lists = maps.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
    keys, items = lists.flatten().flatten()
    return list_offsets(lists), keys, items


def no_nulls(mask: pa.BooleanArray) -> pa.BooleanArray:
    """`mask` with its nulls false."""
    return pc.fill_null(mask, FALSE) if mask.null_count else mask


FALSE: pa.BooleanScalar = mask_of(1, ())[0]
_FIRST_OFFSET = int64_array([0]).cast(pa.int32())
_NO_LENGTH = _FIRST_OFFSET[0]
EMPTY: pa.StringScalar = text_scalar("")
