"""Arrays made from buffers are those that pyarrow makes of the same values."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from zoopipe import arrays

QUICK = settings(max_examples=60, deadline=None, derandomize=True)


@QUICK
@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"))))
def test_text_array_is_that_of_pyarrow_when_values_are_any(values: list[str | None]) -> None:
    array = arrays.text_array(values)
    array.validate(full=True)
    assert array.equals(pa.array(values, pa.string()))


@QUICK
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_int64_array_is_that_of_pyarrow_when_values_are_any(values: list[int | None]) -> None:
    array = arrays.int64_array(values)
    array.validate(full=True)
    assert array.equals(pa.array(values, pa.int64()))


@QUICK
@given(st.lists(st.booleans()))
def test_mask_is_that_of_pyarrow_when_positions_are_any(flags: list[bool]) -> None:
    positions = [position for position, flag in enumerate(flags) if flag]
    mask = arrays.mask_of(len(flags), positions)
    assert mask.equals(pa.array(flags, pa.bool_()))
    assert arrays.positions_of(mask) == positions


def test_text_array_is_refused_when_a_value_is_no_unicode() -> None:
    with pytest.raises(UnicodeEncodeError):
        arrays.text_array(["\ud800"])


@QUICK
@given(st.text(st.characters(codec="utf-8")), st.binary(max_size=4))
@example("", b"\xed\xa0\x80")
@example("a", b"\xc0\x80")
@example("a", b"\xf4\x90\x80\x80")
@example("\0\U0010ffff", b"\xef\xbf\xbf")
def test_bytes_are_a_text_when_they_decode(text: str, tail: bytes) -> None:
    data = text.encode() + tail
    try:
        expected = [data.decode()]
    except UnicodeDecodeError:
        with pytest.raises(pa.ArrowInvalid):
            arrays.text_of(data)
    else:
        assert arrays.text_of(data).to_pylist() == expected


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (1, 3), (3, 4), (2, 2), (4, 4)])
def test_text_bytes_are_those_of_the_rows_when_an_array_is_a_slice(start: int, stop: int) -> None:
    values = ["é", "", "abc", "\n"]
    found = arrays.text_bytes(pa.array(values).slice(start, stop - start))
    assert bytes(found) == "".join(values[start:stop]).encode()


@pytest.mark.parametrize("length", [0, 1, 9])
def test_repeated_values_are_as_many_when_a_length_is_given(length: int) -> None:
    assert arrays.counted_array(-3, length).to_pylist() == list(range(-3, length - 3))
    assert arrays.nulls(length).to_pylist() == [None] * length
    assert arrays.zeros(length).to_pylist() == [0] * length
    assert arrays.text_scalar("x").as_py() == "x"
    assert arrays.int64_scalar(-5).as_py() == -5


@QUICK
@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_utf8_array_is_that_of_pyarrow_when_values_are_any(values: list[str]) -> None:
    array = arrays.utf8_array([value.encode() for value in values])
    array.validate(full=True)
    assert array.equals(pa.array(values, pa.string()))
