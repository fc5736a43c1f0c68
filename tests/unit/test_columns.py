"""Values in columns: their JSON text is pydantic's, and nothing is lost on the way."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from zoopipe.arrays import text_array
from zoopipe.columns import (
    cell_text,
    cells,
    encoded_field,
    encoding_of,
    float_text,
    is_record_batch,
    json_cells,
    record_batch,
)
from zoopipe.values import (
    from_rows,
    from_values,
    holds_values,
    rows_of,
    typed,
    updated,
    value_cells,
)

QUICK = settings(max_examples=150, deadline=None, derandomize=True)


@QUICK
@given(st.lists(st.none() | st.floats(), min_size=1))
@example([1e15, 1e16, 1e-5, 0.00001234, -0.0, 123456789012345680.0, 5e-324])
@example([1.0, None, -3.0])
@example([0.1, 2.0])
def test_floats_are_written_as_pydantic_does_when_they_are_a_column(
    values: list[float | None],
) -> None:
    texts = float_text(pa.array(values, pa.float64())).to_pylist()
    expected = [to_json(value, inf_nan_mode="null").decode() for value in values]
    assert ["null" if text is None else text for text in texts] == expected


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner)
)


@QUICK
@given(st.lists(VALUES.filter(lambda value: "inf" not in repr(value)), min_size=1, max_size=6))
def test_values_come_back_when_they_went_through_a_column(values: list[Any]) -> None:
    try:
        to_json(values)
    except ValueError:
        return  # Lone surrogates.
    column, field = from_values("v", values)
    batch = pa.RecordBatch.from_arrays([column], schema=pa.schema([field]))
    found = [row["v"] for row in rows_of(batch)]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, None),
        ("text", "text"),
        ("null", "null"),
        ('"', '"'),
        (True, "true"),
        (12345678901234567890, "12345678901234567890"),
        (1.0, "1.0"),
        (Decimal("1.10"), "1.10"),
        (date(2020, 1, 2), "2020-01-02"),
        (datetime(2020, 1, 2, 3), "2020-01-02T03:00:00"),
        ([1, None, "é"], '[1,null,"é"]'),
        ({"a": {"b": []}}, '{"a":{"b":[]}}'),
        (b"x", "x"),
    ],
)
def test_cell_is_the_text_of_the_json_value_when_it_is_a_value(value: Any, cell: str) -> None:
    assert cell_text(value) == cell


def test_cell_is_the_same_when_a_number_is_not_finite_in_a_column_or_alone() -> None:
    values = [float("nan"), float("inf"), float("-inf"), None, 1.0]
    found = cells(pa.array(values), pa.field("v", pa.float64())).to_pylist()
    assert found == [cell_text(value) for value in values]
    assert found == ["NaN", "Infinity", "-Infinity", None, "1.0"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (['"x"', "null", None, "1", "[1]"], ["x", None, None, "1", "[1]"]),
        (["1", "true"], ["1", "true"]),
        (['"null"', '"\\u00e9\\""'], ["null", 'é"']),
    ],
)
def test_cells_are_decoded_when_a_column_holds_json(
    texts: list[str | None], expected: list[str | None]
) -> None:
    assert cells(text_array(texts), encoded_field("v", "json")).to_pylist() == expected


_STRUCT = pa.struct([("a", pa.float64())])
_BYTES_MAP = pa.map_(pa.string(), pa.binary())


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None], pa.int8()),
        pa.array([1, 2**64 - 1], pa.uint64()),
        pa.array([True, None]),
        pa.array(["é\n", None], pa.large_string()),
        pa.array(["a", "b", "a"]).dictionary_encode(),
        pa.array([date(2020, 1, 2), None]),
        pa.array([[1, None], None]),
        pa.array([{"a": "x"}]),
        pa.array([None, None], pa.null()),
        pa.array([0.5, 0.1, None], pa.float32()),
        pa.array(["a", "b"], pa.large_string()).dictionary_encode(),
        pa.array([0, None, 1], pa.timestamp("s")),
        pa.array([0, None, 1500], pa.timestamp("ms")),
        pa.array([0, None, 1_000_000], pa.timestamp("us")),
        pa.array([1, None, 500_000, -1], pa.timestamp("us")),
        pa.array([1_000_000, None, 1], pa.timestamp("us", "UTC")),
        pa.array([None], pa.timestamp("us", "+00:00")),
        pa.array([0, None], pa.timestamp("us", "Europe/Paris")),
        pa.array([0, None, 86_399], pa.time32("s")),
        pa.array([1, None, 1000], pa.time32("ms")),
        pa.array([1_000_000, None, 1, 86_399_999_999], pa.time64("us")),
        pa.array([Decimal("0E-10"), None, Decimal("-1.5"), Decimal(9)], pa.decimal128(12, 10)),
        pa.array([Decimal("1E+2")], pa.decimal128(3, -2)),
        pa.array([["é\n", None], [], None], pa.large_list(pa.large_string())),
        pa.array([[[1.5, math.nan]], [None, []]]),
        pa.array([[None], []], pa.list_(pa.null())),
        pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
        pa.array([{'a"b': [1], "c": date(2020, 1, 2)}, {'a"b': None}, None]),
        pa.array([[{"a": "x", "b": {"c": None}}], None]),
        pa.array([{}, None], pa.struct([])),
        pa.array([[("a", 1)], None, [], [('"', 2), ("", None)]], pa.map_(pa.string(), pa.int8())),
        pa.array([[(1, [0.5])], [], [(-2, None)]], pa.map_(pa.int8(), pa.list_(pa.float64()))),
        pa.array([[(date(2020, 1, 2), {"a": math.inf})]], pa.map_(pa.date32(), _STRUCT)),
        pa.array([[[(True, "x")], None], None], pa.list_(pa.map_(pa.bool_(), pa.string()))),
        pa.array([{"a": [("k", b"x")]}, None], pa.struct([("a", _BYTES_MAP)])),
        pa.array([UUID(int=5).bytes, None], pa.uuid()),
        pa.array([timedelta(days=-1, microseconds=5), None], pa.duration("us")),
        pa.array([b"\xc3\xa9", None], pa.binary()),
        pa.array([Decimal("1.50"), None, Decimal("0E-18"), Decimal(-3)], pa.decimal128(38, 18)),
        pa.array([Decimal("12345678901234567890.5")], pa.decimal256(50, 1)),
    ],
    ids=lambda column: str(column.type),
)
def test_json_is_that_of_pydantic_when_a_column_has_an_arrow_type(column: pa.Array) -> None:
    for start in range(len(column) + 1):
        compare_json(column.slice(start))
        compare_json(column.slice(0, start))


def compare_json(column: pa.Array) -> None:
    text, needs_quotes = json_cells(column, pa.field("v", column.type))
    quote = '"' if needs_quotes else ""
    values = column.to_pylist(maps_as_pydicts="strict")
    expected = [to_json(value, inf_nan_mode="null").decode() for value in values]
    assert [f"{quote}{cell}{quote}" for cell in text.to_pylist()] == expected


@QUICK
@given(st.lists(st.none() | st.datetimes()), st.sampled_from([None, "UTC"]))
@example([datetime.min, datetime.max, datetime(999, 1, 1)], "UTC")
@example([datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(1970, 1, 1)], None)
def test_times_are_written_as_pydantic_does_when_they_are_a_column(
    values: list[datetime | None], zone: str | None
) -> None:
    compare_json(pa.array(values, pa.timestamp("us", zone)))


@QUICK
@given(st.integers(0, 38), st.lists(st.integers(-(10**38) + 1, 10**38 - 1)))
def test_decimals_are_written_as_pydantic_does_when_they_are_a_column(
    scale: int, digits: list[int]
) -> None:
    values = [Decimal((number < 0, tuple(map(int, str(abs(number)))), -scale)) for number in digits]
    compare_json(pa.array([None, *values], pa.decimal128(38, scale)))


NESTED = st.recursive(
    st.none() | st.floats() | st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.fixed_dictionaries({"a": inner, 'b"': inner}),
)


@QUICK
@given(st.lists(NESTED, min_size=1, max_size=4))
def test_nested_values_are_written_as_pydantic_does_when_they_are_a_column(
    values: list[Any],
) -> None:
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return  # Values of many types.
    compare_json(column)


def test_cells_spell_numbers_that_are_not_finite_when_they_are_nested() -> None:
    column = pa.array([[{"a": math.inf}], [{"a": math.nan}], None])
    found = cells(column, pa.field("v", column.type)).to_pylist()
    assert found == ['[{"a":Infinity}]', '[{"a":NaN}]', None]


@pytest.mark.parametrize(
    ("logical", "texts", "expected"),
    [
        ("int", ["1", None, "-5"], [1, None, -5]),
        ("int", ["1", "99999999999999999999"], ["1", "99999999999999999999"]),
        ("float", ["1.5", "1e3"], [1.5, 1000.0]),
        ("bool", ["true", "false", None], [True, False, None]),
        ("date", ["2020-02-29"], [date(2020, 2, 29)]),
    ],
)
def test_columns_are_typed_when_all_their_values_fit(
    logical: str, texts: list[str | None], expected: list[Any]
) -> None:
    field = encoded_field("v", "bare" if logical == "date" else "json", logical)
    batch = pa.RecordBatch.from_arrays([text_array(texts)], schema=pa.schema([field]))
    assert typed(batch).column(0).to_pylist() == expected


@pytest.mark.parametrize("others", ["2024-01-01T02:00:00+02:00", "2024-01-01T00:00:00"])
def test_datetimes_stay_text_when_their_offsets_differ(others: str) -> None:
    texts = ["2024-01-01T00:00:00Z", others, None]
    schema = pa.schema([encoded_field("v", "bare", "datetime")])
    batch = typed(pa.RecordBatch.from_arrays([text_array(texts)], schema=schema))
    assert batch.column(0).to_pylist() == texts


def test_batch_is_of_whole_rows_when_it_holds_records() -> None:
    rows = [{"a": 1}, {"b": [None]}, {}]
    batch = record_batch(text_array([json.dumps(row) for row in rows]))
    assert is_record_batch(batch.schema)
    assert rows_of(batch) == rows
    assert not is_record_batch(from_rows(rows[:1]).schema)
    assert typed(batch).schema.names == ["a", "b"]


def test_column_is_json_when_its_values_are_of_many_types() -> None:
    _, field = from_values("v", [1, "a"])
    assert encoding_of(field) == "json"
    _, field = from_values("v", [2**70])
    assert encoding_of(field) == "json"
    _, field = from_values("v", [1, None])
    assert (encoding_of(field), field.type) == ("plain", pa.int64())


VALUES = (
    st.none()
    | st.text(st.characters(codec="utf-8"))
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.dates()
    # Arrow's times have no fold.
    | st.datetimes().map(lambda time: time.replace(fold=0))
    | st.decimals(allow_nan=False)
)
CHANGES = st.lists(
    st.fixed_dictionaries({}, optional={"a": st.integers(), "b": VALUES, "new": VALUES}),
    min_size=3,
    max_size=3,
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CHANGES | st.tuples(*[st.fixed_dictionaries({"b": VALUES, "new": VALUES})] * 3).map(list))
def test_updated_batch_has_the_rows_of_dicts_when_it_is_one(changes: list[dict[str, Any]]) -> None:
    before = [{"a": "1", "b": 1.5, "c": date(1, 1, 1)}, {"a": "é", "b": None, "c": None}]
    before.append({"a": None, "b": 0.0, "c": date.max})
    batch = from_rows(before)
    after = updated(batch, changes)
    if after is None:
        return
    assert holds_values(after)
    expected = [{**row, **change} for row, change in zip(before, changes, strict=True)]
    found = rows_of(after)
    # The repr tells 1 from True, 0.0 from -0.0, and holds the order of the keys.
    assert list(map(repr, found)) == list(map(repr, expected))
    assert list(map(repr, rows_of(batch))) == list(map(repr, before))


@pytest.mark.parametrize(
    "value", [Decimal(1), 2**63, b"a", [1], "\ud800", datetime(2024, 1, 1, tzinfo=UTC)]
)
def test_batch_is_not_updated_when_a_value_has_no_type_of_arrows(value: Any) -> None:
    assert updated(from_rows([{"a": 1}]), [{"a": value}]) is None


def test_batch_is_updated_in_place_and_at_the_end_when_changes_are_alike() -> None:
    after = updated(from_rows([{"a": 1, "b": 2}]), [{"c": "x", "a": True}])
    assert after is not None and list(rows_of(after)[0].items()) == [
        ("a", True),
        ("b", 2),
        ("c", "x"),
    ]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(VALUES, max_size=3) | st.lists(st.floats(), max_size=3))
def test_cells_are_those_of_each_value_when_a_column_is_written(values: list[Any]) -> None:
    assert value_cells(values).to_pylist() == list(map(cell_text, values))
