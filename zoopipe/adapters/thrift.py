"""Thrift's compact protocol: a struct opened as deep as is asked for, all else in it left as the bytes it is.

What a Parquet footer is made of. A struct that is written again without a change gives the same bytes, so that
fields which we do not know are kept. To leave closed what nobody looks at takes a tenth of the time.

Source: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE = range(1, 8)
_BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = range(8, 14)
_SIZES = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_DEEPEST = 64


class ThriftError(ValueError):
    """The bytes are no struct of the compact protocol."""


class Field(NamedTuple):
    """A field of a struct.

    Attributes:
        kind: its type, as the protocol numbers them.
        value: an integer; a `Struct`, or a list of them, where they were to be opened; else bytes, as
            they stand.
    """

    kind: int
    value: Any


#: The fields of a struct by their ids, in the order in which they stand.
Struct = dict[int, Field]
#: Which fields of a struct, structs themselves or lists of them, are opened, and which in these.
Opened = Mapping[int, "Opened"]


def read_struct(data: bytes, opened: Opened) -> Struct:
    """The struct that all of `data` is.

    Raises:
        ThriftError: it is none, or goes on behind it.
    """
    try:
        found, at = _read_struct(data, 0, opened)
    except IndexError:
        raise ThriftError("cut short") from None
    if at != len(data):
        raise ThriftError("not as long as it says")
    return found


def write_struct(struct: Struct) -> bytes:
    """A struct's bytes."""
    out = bytearray()
    _write_struct(out, struct)
    return bytes(out)


def _read_struct(data: bytes, at: int, opened: Opened) -> tuple[Struct, int]:
    fields: Struct = {}
    number = 0
    while head := data[at]:
        at += 1
        kind = head & 15
        if head >> 4:
            number += head >> 4
        else:
            number, at = _zigzag(data, at)
        value: Any
        if kind in (_I16, _I32, _I64):
            value, at = _zigzag(data, at)
        elif number in opened and kind == _STRUCT:
            value, at = _read_struct(data, at, opened[number])
        elif number in opened and kind == _LIST:
            value, at = _read_structs(data, at, opened[number])
        else:
            end = _skip(data, at, kind, 0)
            value, at = data[at:end], end
        fields[number] = Field(kind, value)
    return fields, at + 1


def _read_structs(data: bytes, at: int, opened: Opened) -> tuple[list[Struct], int]:
    count, kind, at = _list_head(data, at)
    if kind != _STRUCT and count:
        raise ThriftError(f"a list of type {kind} where structs were expected")
    found = []
    for _ in range(count):
        struct, at = _read_struct(data, at, opened)
        found.append(struct)
    return found, at


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """How many items a list has, their type, and where the first one stands."""
    head = data[at]
    if head < 0xF0:
        return head >> 4, head & 15, at + 1
    count, at = _varint(data, at + 1)
    return count, head & 15, at


def _skip(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a field's value ends."""
    if kind == _BINARY:
        size, at = _varint(data, at)
        at += size
    elif kind in (_I16, _I32, _I64):
        while data[at] > 127:
            at += 1
        at += 1
    elif kind == _STRUCT:
        at = _skip_struct(data, at, depth + 1)
    elif kind in (_LIST, _SET):
        count, inner, at = _list_head(data, at)
        at = _skip_items(data, at, count, (inner,), depth + 1)
    elif kind == _MAP:
        count, at = _varint(data, at)
        if count:
            kinds = (data[at] >> 4, data[at] & 15)
            at = _skip_items(data, at + 1, count, kinds, depth + 1)
    elif kind in _SIZES:
        at += _SIZES[kind]
    elif kind not in (_TRUE, _FALSE):
        raise ThriftError(f"type {kind} at byte {at}")
    if at > len(data):
        raise ThriftError("cut short")
    return at


def _skip_struct(data: bytes, at: int, depth: int) -> int:
    if depth > _DEEPEST:
        raise ThriftError("nested too deeply")
    while head := data[at]:
        at += 1
        if not head >> 4:
            _, at = _varint(data, at)
        at = _skip(data, at, head & 15, depth)
    return at + 1


def _skip_items(data: bytes, at: int, count: int, kinds: tuple[int, ...], depth: int) -> int:
    for _ in range(count):
        for kind in kinds:
            # A boolean among items is a byte; as a field it is a type.
            at = at + 1 if kind in (_TRUE, _FALSE) else _skip(data, at, kind, depth)
        if at > len(data):
            raise ThriftError("cut short")
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = data[at] & 127
    shift = 0
    while data[at] > 127:
        at += 1
        shift += 7
        value |= (data[at] & 127) << shift
    return value, at + 1


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in struct.items():
        if before < number < before + 16:
            out.append(number - before << 4 | kind)
        else:
            out.append(kind)
            _write_zigzag(out, number)
        before = number
        if isinstance(value, bytes):
            out += value
        elif isinstance(value, int):
            _write_zigzag(out, value)
        elif isinstance(value, dict):
            _write_struct(out, value)
        else:
            _write_structs(out, value)
    out.append(0)


def _write_structs(out: bytearray, structs: list[Struct]) -> None:
    if len(structs) < 15:
        out.append(len(structs) << 4 | _STRUCT)
    else:
        out.append(0xF0 | _STRUCT)
        _write_varint(out, len(structs))
    for struct in structs:
        _write_struct(out, struct)


def _write_zigzag(out: bytearray, value: int) -> None:
    _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
