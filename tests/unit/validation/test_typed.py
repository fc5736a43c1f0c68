"""What kernels prove of typed columns, and that a looser proof would be noticed."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import kernel_of
from pydantic import ConfigDict, Field, StringConstraints
from typed_columns import (
    DAY_LAST,
    DAY_ONE,
    MANY,
    NEVER,
    PRICE,
    SECOND_LAST,
    SECOND_ONE,
    STRICT,
    Colour,
    Level,
    Share,
    check,
    clock,
    days,
    decimals,
    ticks,
)

QUICK = settings(max_examples=40, deadline=None, derandomize=True)
TEXTS = ["", "a", 'say "hi"\\', "Ω\n\x00", "12"]
WHOLE = [0, 1, -1, 127, -128]
STAMPS = [0, -1, 1, 951_782_400, SECOND_ONE, SECOND_LAST]
MICROS = [
    0,
    -1,
    1,
    500_000,
    1_700_000_000_123_456,
    SECOND_ONE * 10**6,
    (SECOND_LAST + 1) * 10**6 - 1,
]

# Each row: a type, values that are proved, and values of the same Arrow type that may not be.
PROOFS: list[Any] = [
    pytest.param(str, pa.array(TEXTS, pa.large_string()), None, id="str-large"),
    pytest.param(str, pa.array(TEXTS, pa.string_view()), None, id="str-view"),
    pytest.param(str, pa.array(TEXTS).dictionary_encode(), None, id="str-dictionary"),
    pytest.param(
        Annotated[str, StringConstraints(max_length=2)],
        pa.array(["", "éé"], pa.large_string()),
        pa.array(["abc"], pa.large_string()),
        id="str-length",
    ),
    pytest.param(
        Literal["a", "b"],
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array(["c"]).dictionary_encode(),
        id="literal",
    ),
    pytest.param(
        Colour,
        pa.array(["red"], pa.large_string()),
        pa.array(["RED"], pa.large_string()),
        id="enum",
    ),
    pytest.param(int, pa.array(["1", "-2"], pa.large_string()), None, id="int-text"),
    *(
        pytest.param(int, pa.array(WHOLE, kind), None, id=f"int-{kind}")
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())
    ),
    *(
        pytest.param(int, pa.array([0, 255], kind), None, id=f"int-{kind}")
        for kind in (pa.uint8(), pa.uint16(), pa.uint32())
    ),
    pytest.param(int, pa.array([2**63 - 1, -(2**63)]), None, id="int-64"),
    pytest.param(
        int,
        pa.array([0, 2**63 - 1], pa.uint64()),
        pa.array([2**63, 2**64 - 1], pa.uint64()),
        id="int-uint64",
    ),
    pytest.param(int, pa.array([True, False]), None, id="int-bool"),
    pytest.param(
        int,
        pa.array([0.0, -0.0, -3.0, float(MANY)]),
        pa.array([0.5, 1e16, 9.3e18, 1e300, *NEVER]),
        id="int-double",
    ),
    pytest.param(
        int,
        pa.array([1.0, -7.0], pa.float32()),
        pa.array([1.5, 3e38, *NEVER], pa.float32()),
        id="int-float",
    ),
    pytest.param(
        Annotated[int, Field(gt=0, le=10)],
        pa.array([1, 10]),
        pa.array([0, 11, -1]),
        id="int-bounds",
    ),
    pytest.param(
        Annotated[int, Field(gt=0)],
        pa.array([1, 2**63 - 1], pa.uint64()),
        pa.array([0, 2**64 - 1], pa.uint64()),
        id="int-bounds-uint64",
    ),
    pytest.param(
        Annotated[int, Field(multiple_of=3)],
        pa.array([0, -3, 9]),
        pa.array([1, -1, -(2**63)]),
        id="int-multiple",
    ),
    pytest.param(
        float,
        pa.array([0.1, -0.0, 3.0, 1e16, 1e-7, 5e-324, 1.7976931348623157e308]),
        pa.array(NEVER),
        id="float",
    ),
    pytest.param(
        float,
        pa.array([0.5, 0.1, 16777216.0, 1e-40], pa.float32()),
        pa.array(NEVER, pa.float32()),
        id="float-32",
    ),
    pytest.param(
        float, pa.array([0, -5, MANY, -MANY]), pa.array([MANY + 1, -(2**63)]), id="float-int"
    ),
    pytest.param(
        float, pa.array([0, 5], pa.uint64()), pa.array([2**64 - 1], pa.uint64()), id="float-uint64"
    ),
    pytest.param(
        Annotated[float, Field(gt=0.5, allow_inf_nan=False)],
        pa.array([0.6, 1e300]),
        pa.array([0.5, -1.0, *NEVER]),
        id="float-bounds",
    ),
    pytest.param(float, None, pa.array([True, False]), id="float-bool"),
    pytest.param(bool, pa.array([True, False]), None, id="bool"),
    pytest.param(bool, pa.array([0, 1], pa.int8()), pa.array([2, -1], pa.int8()), id="bool-int8"),
    pytest.param(
        bool, pa.array([0, 1], pa.uint64()), pa.array([2, 2**64 - 1], pa.uint64()), id="bool-uint64"
    ),
    pytest.param(date, days([0, -1, 11016, DAY_ONE, DAY_LAST]), None, id="date"),
    pytest.param(date, pa.array([date(2024, 2, 29)], pa.date64()), None, id="date-64"),
    pytest.param(date, None, ticks("us", [0, 1]), id="date-timestamp"),
    pytest.param(datetime, ticks("s", STAMPS), None, id="datetime-s"),
    pytest.param(datetime, ticks("ms", [*STAMPS[:4], 1500]), None, id="datetime-ms"),
    pytest.param(datetime, ticks("us", MICROS), None, id="datetime-us"),
    pytest.param(datetime, ticks("s", STAMPS, "UTC"), None, id="datetime-utc-s"),
    pytest.param(datetime, ticks("us", MICROS, "UTC"), None, id="datetime-utc"),
    pytest.param(datetime, ticks("us", MICROS, "+00:00"), None, id="datetime-zero"),
    pytest.param(datetime, None, ticks("us", [0, 1], "Europe/Paris"), id="datetime-zone"),
    pytest.param(datetime, None, days([0]), id="datetime-date"),
    pytest.param(time, clock("s", [0, 86_399]), None, id="time-s"),
    pytest.param(time, clock("ms", [0, 1500, 86_399_999]), None, id="time-ms"),
    pytest.param(time, clock("us", [0, 1, 86_399_999_999, 60_000_000]), None, id="time-us"),
    pytest.param(time, None, ticks("us", [0]), id="time-timestamp"),
    pytest.param(bytes, pa.array([b"", b'\xc3\xa9"'], pa.binary()), None, id="bytes"),
    pytest.param(bytes, pa.array([b"a"], pa.large_binary()), None, id="bytes-large"),
    pytest.param(
        Annotated[bytes, Field(min_length=2, max_length=3)],
        pa.array([b"\xc3\xa9", b"abc"]),
        pa.array([b"a", b"abcd"]),
        id="bytes-length",
    ),
    pytest.param(Level, pa.array([1, -2]), pa.array([0, 3]), id="enum-int"),
    pytest.param(
        Level, pa.array([1], pa.uint64()), pa.array([2**64 - 1], pa.uint64()), id="enum-uint64"
    ),
    pytest.param(Level, None, pa.array([True]), id="enum-bool"),
    pytest.param(Share, None, pa.array([1, 0]), id="enum-float"),
    pytest.param(Decimal, decimals(9, 2, [0, 5, -5, 150, -99999]), None, id="decimal"),
    pytest.param(Decimal, decimals(38, 10, [0, 1, -10, 25, 10**30]), None, id="decimal-places"),
    pytest.param(Decimal, decimals(12, 0, [0, 10, -25]), None, id="decimal-whole"),
    pytest.param(
        Decimal, pa.array([Decimal(10**60)], pa.decimal256(70, 3)), None, id="decimal-256"
    ),
    pytest.param(PRICE, decimals(5, 2, [0, 12345, -99999]), None, id="decimal-digits"),
    pytest.param(
        PRICE, decimals(9, 2, [0, 12345, -99999]), decimals(9, 2, [100000]), id="decimal-bounded"
    ),
    pytest.param(PRICE, None, decimals(6, 3, [0, 12345]), id="decimal-many-places"),
    pytest.param(
        Annotated[Decimal, Field(gt=0, le=Decimal("10.5"))],
        decimals(38, 20, [1, 10**20, 105 * 10**19]),
        decimals(38, 20, [0, -1, 105 * 10**19 + 1]),
        id="decimal-bounds",
    ),
    pytest.param(
        Annotated[Decimal, Field(lt=Decimal("0.125"))],
        None,
        decimals(9, 2, [12, 13]),
        id="decimal-bound",
    ),
    pytest.param(
        Annotated[Decimal, Field(ge=1)], pa.array([1, 10]), pa.array([0]), id="decimal-int-bounds"
    ),
    pytest.param(Decimal, pa.array([0, 5, -12]), pa.array([2**62]), id="decimal-int"),
    pytest.param(Decimal, None, pa.array([True]), id="decimal-bool"),
    pytest.param(
        Decimal,
        pa.array([0.1, 5.0, -12.25, 0.0001, 0.00001]),
        pa.array([-0.0, 1e16, 1e-7, 0.1 + 0.2, *NEVER]),
        id="decimal-double",
    ),
    pytest.param(Decimal, None, pa.array([0.1], pa.float32()), id="decimal-float"),
    pytest.param(str, None, pa.array([1, 2]), id="str-int"),
]


@pytest.mark.parametrize(("annotation", "usual", "odd"), PROOFS)
def test_kernel_gives_pydantics_value_when_it_says_proved(
    annotation: Any, usual: pa.Array | None, odd: pa.Array | None
) -> None:
    assert usual is None or all(check(annotation, usual))
    if odd is not None:
        assert not any(check(annotation, odd))
    if usual is not None and odd is not None:
        check(annotation, pa.concat_arrays([usual, odd, usual]))


@pytest.mark.parametrize(("annotation", "usual", "odd"), PROOFS)
def test_kernel_proves_nulls_only_when_the_field_takes_them(
    annotation: Any, usual: pa.Array | None, odd: pa.Array | None
) -> None:
    column = odd if usual is None else usual
    optional: Any = Optional[annotation]  # noqa: UP045
    with_nulls = pa.concat_arrays([pa.nulls(1, column.type), column, pa.nulls(1, column.type)])
    for part in (with_nulls, pa.nulls(3, column.type)):
        null = part.is_null().to_pylist()
        found = check(annotation, part)
        assert not any(flag and nothing for flag, nothing in zip(found, null, strict=True))
        if usual is not None:
            assert found == [not nothing for nothing in null]
            assert all(check(optional, part))


def test_kernel_proves_a_column_without_type_when_the_field_takes_nulls() -> None:
    column = pa.nulls(3)
    assert check(int, column) == [False] * 3
    for annotation in (int, str, date, Decimal, Annotated[int, Field(gt=0)]):
        assert check(Optional[annotation], column) == [True] * 3  # noqa: UP045
    assert check(Optional[int], column, STRICT) == [True] * 3  # noqa: UP045


@pytest.mark.parametrize(
    ("annotation", "column"),
    [
        (date, days([DAY_ONE - 1, DAY_LAST + 1])),
        (datetime, ticks("s", [SECOND_ONE - 1, SECOND_LAST + 1])),
        (datetime, ticks("us", [SECOND_ONE * 10**6 - 1, (SECOND_LAST + 1) * 10**6])),
        (datetime, ticks("ms", [2**63 - 1, -(2**63)])),
    ],
)
def test_kernel_proves_no_time_that_python_has_not(annotation: Any, column: pa.Array) -> None:
    assert check(annotation, column) == [False, False]


def test_kernel_proves_no_day_when_its_milliseconds_are_no_day() -> None:
    column = pa.array([86_400_001], pa.int64()).view(pa.date64())
    assert check(date, column) == [False]


def test_kernel_proves_no_bytes_when_some_are_no_text() -> None:
    column = pa.array([b"a", b"\xff"])
    assert kernel_of(bytes).prove(column) is None


def test_kernel_proves_no_time_when_it_is_after_midnight() -> None:
    assert check(time, clock("us", [86_400_000_000, -1])) == [False, False]
    assert check(time, pa.array([0], pa.time64("ns"))) == [False]


def test_kernel_proves_no_nanoseconds() -> None:
    assert check(datetime, ticks("ns", [0, 1])) == [False, False]


EXACT: list[Any] = [
    *((int, pa.array([1, 2], kind), True) for kind in (pa.int8(), pa.uint64(), pa.int64())),
    (int, pa.array([True, False]), False),
    (int, pa.array([1.0]), False),
    (int, pa.array(["1"]), False),
    (Annotated[int, Field(gt=0)], pa.array([1]), True),
    (Annotated[int, Field(ge=0)], pa.array([True]), False),
    (float, pa.array([0.5, 1.0]), True),
    (float, pa.array([0.5], pa.float32()), True),
    (float, pa.array([1, MANY]), True),
    (Annotated[float, Field(ge=0)], pa.array([1]), True),
    (bool, pa.array([True]), True),
    (bool, pa.array([0, 1]), False),
    (str, pa.array(["a"]).dictionary_encode(), True),
    (date, days([0]), True),
    (datetime, ticks("us", [0]), True),
    (datetime, ticks("us", [0], "UTC"), True),
    (Decimal, decimals(5, 2, [1]), True),
    (Decimal, pa.array([1]), False),
    (Decimal, pa.array([0.5]), False),
    (Colour, pa.array(["red"]), False),
    (time, clock("us", [0]), True),
    (bytes, pa.array([b"a"]), True),
]


@pytest.mark.parametrize(("annotation", "column", "is_proved"), EXACT)
def test_strict_kernel_proves_values_of_its_own_type_alone(
    annotation: Any, column: pa.Array, is_proved: bool
) -> None:
    assert check(annotation, column, STRICT) == [is_proved] * len(column)
    optional: Any = Optional[annotation]  # noqa: UP045
    with_null = pa.concat_arrays([column, pa.nulls(1, column.type)])
    assert check(optional, with_null, STRICT)[: len(column)] == [is_proved] * len(column)


def test_numbers_are_left_to_pydantic_when_they_may_become_text() -> None:
    config = ConfigDict(coerce_numbers_to_str=True)
    assert check(str, pa.array([1, 2]), config) == [False, False]


ARROW = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float32": (pa.float32(), st.floats(width=32)),
    "float64": (pa.float64(), st.floats() | st.integers(-(2**60), 2**60).map(float)),
    "bool": (pa.bool_(), st.booleans()),
    "date32": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "binary": (pa.binary(), st.text(st.characters(exclude_categories=["Cs"])).map(str.encode)),
    "datetime": (pa.timestamp("us"), st.datetimes()),
    "datetime-utc": (pa.timestamp("us", "UTC"), st.datetimes()),
    "datetime-s": (pa.timestamp("s"), st.datetimes().map(lambda d: d.replace(microsecond=0))),
    "decimal": (pa.decimal128(20, 12), st.decimals(-(10**7), 10**7, places=12)),
    "large_string": (pa.large_string(), st.text()),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), st.sampled_from(["", "1", "true", "é"])),
}
FIELDS: list[Any] = [
    *(Level, str, int, float, bool, date, datetime, Decimal, PRICE, Colour, time, bytes),
    Annotated[int, Field(gt=-5, lt=2**61, multiple_of=2)],
    Annotated[float, Field(ge=-1e10)],
]


@pytest.mark.parametrize("kind", sorted(ARROW))
@pytest.mark.parametrize("config", [None, STRICT], ids=["lax", "strict"])
@QUICK
@given(data=st.data())
def test_any_column_is_proved_as_pydantic_has_it(
    kind: str, config: ConfigDict | None, data: st.DataObject
) -> None:
    arrow, values = ARROW[kind]
    cells = data.draw(st.lists(st.none() | values, min_size=1, max_size=6))
    try:
        column = pa.array(cells, arrow)
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return  # Lone surrogates.
    # An enum of numbers has no kernel in strict models.
    annotation = data.draw(st.sampled_from(FIELDS if config is None else FIELDS[1:]))
    check(annotation, column, config)
    check(Optional[annotation], column, config)  # noqa: UP045
