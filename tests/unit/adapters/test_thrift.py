"""Thrift's compact protocol: bytes by hand from its specification, and footers that pyarrow wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parquet_files import footer, numbered, write

from zoopipe.adapters.thrift import Field, ThriftError, read_struct, write_struct

# Field 1, i32 150 (zigzag 300); field 3, a binary "ab"; field 20 in the long form, true; the end.
BY_HAND = bytes([0x15, 0xAC, 0x02, 0x28, 0x02, 0x61, 0x62, 0x01, 0x28, 0x00])
# Field 1, a list of two structs, each with a field 2: i64 -1 and 1.
LIST = bytes([0x19, 0x2C, 0x26, 0x01, 0x00, 0x26, 0x02, 0x00, 0x00])


def test_fields_are_read_as_the_specification_has_them() -> None:
    assert read_struct(BY_HAND, {}) == {
        1: Field(5, 150),
        3: Field(8, b"\x02ab"),
        20: Field(1, b""),
    }
    assert write_struct(read_struct(BY_HAND, {})) == BY_HAND


def test_lists_of_structs_are_opened_where_that_is_asked() -> None:
    assert read_struct(LIST, {1: {}}) == {1: Field(9, [{2: Field(6, -1)}, {2: Field(6, 1)}])}
    assert read_struct(LIST, {}) == {1: Field(9, LIST[1:-1])}
    assert write_struct(read_struct(LIST, {1: {}})) == LIST


@pytest.mark.parametrize(
    "value",
    [
        bytes([0x17, *range(8), 0]),  # a double
        bytes([0x13, 0x80, 0]),  # a byte
        bytes([0x1A, 0x21, 0x01, 0x02, 0]),  # a set of two booleans
        bytes([0x1B, 0x00, 0]),  # an empty map
        bytes([0x1B, 0x01, 0x58, 0x02, 0x01, 0x61, 0]),  # a map of an i32 to a binary
        bytes([0x1D, *range(16), 0]),  # a UUID
        bytes([0x19, 0xF5, 0x10, *[2] * 16, 0]),  # a list of sixteen integers
        bytes([0x1C, 0x1C, 0x15, 0x02, 0x00, 0x00, 0]),  # structs within each other
    ],
)
def test_values_that_nobody_opens_stay_as_they_are(value: bytes) -> None:
    (field,) = read_struct(value, {}).values()
    assert field.value == value[1:-1]
    assert write_struct(read_struct(value, {})) == value


@settings(deadline=None)
@given(st.dictionaries(st.integers(1, 32767), st.integers(-(2**63), 2**63 - 1)))
def test_integers_of_any_size_come_back(values: dict[int, int]) -> None:
    struct = {number: Field(6, value) for number, value in values.items()}
    assert read_struct(write_struct(struct), {}) == struct


@pytest.mark.parametrize("columns", [1, 20])
@pytest.mark.parametrize("rows", [0, 5, 500])
def test_footer_is_the_same_bytes_when_it_is_written_again(
    tmp_path: Path, rows: int, columns: int
) -> None:
    column = numbered(0, rows).column("text")
    write(tmp_path / "f", pa.table({f"c{n}": column for n in range(columns)}))
    data = footer(tmp_path / "f")
    for opened in ({}, {4: {}}, {4: {1: {3: {}}}}, {2: {}, 4: {1: {}}}):
        assert write_struct(read_struct(data, opened)) == data


@pytest.mark.parametrize("size", range(len(BY_HAND)))
def test_struct_that_is_cut_short_is_refused(size: int) -> None:
    with pytest.raises(ThriftError):
        read_struct(BY_HAND[:size], {})


@pytest.mark.parametrize(
    "data",
    [
        BY_HAND + b"\x00",
        bytes([0x1E, 0]),  # a type that is none
        b"\x1c" * 100 + b"\x00" * 101,  # too deep
        bytes([0x18, 0xFF, 0xFF, 0xFF, 0x07, 0]),  # longer than all
        bytes([0x19, 0xF3, 0xFF, 0xFF, 0xFF, 0x7F, 1, 0]),  # more items than bytes
        LIST.replace(b"\x2c", b"\x26", 1),
    ],
)
def test_damaged_struct_is_refused(data: bytes) -> None:
    with pytest.raises(ThriftError):
        read_struct(data, {1: {}})


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_struct_or_refused(data: bytes) -> None:
    try:
        struct = read_struct(data, {1: {1: {}}})
    except ThriftError:
        return
    assert read_struct(write_struct(struct), {1: {1: {}}}) == struct
