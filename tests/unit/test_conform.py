"""Batches and rows in the schema of a typed output, held against pydantic's `model_dump()`."""

from __future__ import annotations

import io
import json
import math
import random
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cells import hard_rows, random_rows, uniform_rows
from hostile import HARD, HOSTILE, UUID_TEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import model_of
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    EmailStr,
    Field,
    HttpUrl,
    NaiveDatetime,
    SecretStr,
    ValidationError,
)
from pydantic_core import to_json
from random_models import Letters, MixedEnum, Numbers, Words
from typed_outputs import as_held, fits, same

from zoopipe.arrays import text_array
from zoopipe.columns import encoded_field, encoding_of, record_batch
from zoopipe.conform import Conformed, conform, conform_rows
from zoopipe.validation import compile_plan
from zoopipe.validation.arrow_schema import arrow_schema
from zoopipe.values import from_rows, rows_of

QUICK = settings(max_examples=25, deadline=None, derandomize=True)


class Point(BaseModel):
    x: int
    when: date | None = None
    anything: Any = None


# Each row: a type, and the kind of the cells of text that are given to it.
TEXT_TYPES: dict[str, tuple[Any, str]] = {
    "str": (str, "str"),
    "int": (int, "int"),
    "optional-int": (int | None, "int"),
    "float": (float, "float"),
    "bool": (bool, "bool"),
    "date": (date, "date"),
    "naive": (NaiveDatetime, "datetime"),
    "aware": (AwareDatetime, "datetime"),
    "time": (time, "time"),
    "timedelta": (timedelta, "timedelta"),
    "uuid": (UUID, "uuid"),
    "decimal": (Decimal, "decimal"),
    "money": (Annotated[Decimal, Field(max_digits=10, decimal_places=2)], "decimal"),
    "tiny": (Annotated[Decimal, Field(max_digits=5)], "decimal"),
    "bytes": (bytes, "bytes"),
    "letters": (Letters, "choice"),
    "words": (Words, "choice"),
    "numbers": (Numbers, "number"),
    "mixed": (MixedEnum, "choice"),
    "email": (EmailStr, "email"),
    "url": (HttpUrl, "url"),
    "union": (int | float | str, "float"),
    "wide-union": (date | float | None, "union"),
}


def oracle(
    model: type[BaseModel], rows: list[Any], schema: pa.Schema
) -> tuple[list[Any], list[int]]:
    """What a row loop would hand to a typed output: the held rows, and which of the accepted are not held."""
    held: list[Any] = []
    refused = []
    accepted = 0
    for row in rows:
        try:
            dump = model.model_validate(row).model_dump()
        except ValidationError:
            continue
        if all(_fits(dump[field.name], field) for field in schema):
            held.append({name: _held(value, schema.field(name)) for name, value in dump.items()})
        else:
            refused.append(accepted)
        accepted += 1
    return held, refused


def _fits(value: Any, field: pa.Field) -> bool:
    return fits(value, field.type, encoding_of(field) == "json")


def _held(value: Any, field: pa.Field) -> Any:
    value = as_held(value)
    if encoding_of(field) == "json":
        return json.loads(to_json(value, inf_nan_mode="constants"))
    if pa.types.is_string(field.type) and value is not None and not isinstance(value, str):
        return json.loads(to_json(value))
    return value


def compare(found: Conformed, held: list[Any], refused: list[int], schema: pa.Schema) -> None:
    assert [at for at, _ in found.refused] == refused
    assert found.batch.schema.equals(schema, check_metadata=True)
    found.batch.validate(full=True)
    rows = rows_of(found.batch)
    assert len(rows) == len(held)
    for row, expected in zip(rows, held, strict=True):
        assert same(row, expected), (row, expected)


def text_batch(cells: list[str | None], name: str = "value") -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([text_array(cells)], names=[name])


def accepted_batch(model: type[BaseModel], batch: pa.RecordBatch) -> pa.RecordBatch:
    accepted = compile_plan(model, "constants").columns(batch).batch
    assert accepted is not None
    return accepted


@pytest.mark.parametrize("name", TEXT_TYPES)
@pytest.mark.parametrize("seed", range(3))
def test_checked_text_is_what_the_model_dumps_when_cells_are_hostile(name: str, seed: int) -> None:
    annotation, kind = TEXT_TYPES[name]
    model = model_of(annotation)
    schema = arrow_schema(model)
    makers = (
        lambda: random_rows({"value": kind}, 300, 0.3, 0.1, seed),
        lambda: random_rows({"value": kind}, 300, 0.0, 0.0, seed),
        lambda: hard_rows({"value": kind}, 300, seed),
        lambda: uniform_rows({"value": kind}, 100, seed),
    )
    for make in makers:
        rows: list[Any] = make()
        held, refused = oracle(model, rows, schema)
        batch = accepted_batch(model, text_batch([row["value"] for row in rows]))
        compare(conform(batch, schema), held, refused, schema)


@pytest.mark.parametrize("name", TEXT_TYPES)
def test_checked_text_is_refused_alone_as_it_is_among_others(name: str) -> None:
    annotation, kind = TEXT_TYPES[name]
    model = model_of(annotation)
    schema = arrow_schema(model)
    plan = compile_plan(model, "constants")
    for cell in dict.fromkeys((*HARD[kind], *HOSTILE)):
        held, refused = oracle(model, [{"value": cell}], schema)
        batch = plan.columns(text_batch([cell])).batch
        if batch is None or not batch.num_rows:
            assert held == refused == []
        else:
            compare(conform(batch, schema), held, refused, schema)


@pytest.mark.parametrize("name", TEXT_TYPES)
def test_dumped_rows_are_held_as_columns_of_them_are(name: str) -> None:
    annotation, kind = TEXT_TYPES[name]
    model = model_of(annotation)
    schema = arrow_schema(model)
    rows: list[Any] = [{"value": cell} for cell in dict.fromkeys((*HARD[kind], *HOSTILE))]
    held, refused = oracle(model, rows, schema)
    dumps = compile_plan(model, "constants").rows(rows).values
    compare(conform_rows(dumps, schema), held, refused, schema)


AWARE = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5, minutes=30))]))
VALUES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "str": (str, st.text()),
    "int": (int, st.integers()),
    "float": (float, st.floats()),
    "bool": (bool, st.booleans()),
    "bytes": (bytes, st.binary()),
    "date": (date, st.dates()),
    "naive": (datetime, st.datetimes()),
    "aware": (AwareDatetime, AWARE),
    "time": (time, st.times()),
    "zoned-time": (time, st.times(timezones=st.just(UTC) | st.none())),
    "timedelta": (timedelta, st.timedeltas()),
    "uuid": (UUID, st.uuids()),
    "decimal": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "money": (
        Annotated[Decimal, Field(max_digits=12, decimal_places=3)],
        st.decimals(-(10**8), 10**8, places=3),
    ),
    "list": (list[int | None], st.lists(st.none() | st.integers())),
    "lists": (list[list[float]], st.lists(st.lists(st.floats()))),
    "set": (set[str], st.sets(st.text())),
    "tuple": (tuple[date, ...], st.lists(st.dates())),
    "map": (dict[str, Decimal], st.dictionaries(st.text(), st.decimals(-9, 9, places=4))),
    "point": (
        Point,
        st.builds(dict, x=st.integers(), when=st.none() | st.dates(), anything=st.booleans()),
    ),
    "points": (
        dict[str, list[Point | None]],
        st.dictionaries(st.text(), st.lists(st.none() | st.builds(dict, x=st.integers()))),
    ),
    "any": (Any, st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())),
    "enum": (Numbers, st.sampled_from(list(Numbers))),
}


@pytest.mark.parametrize("name", VALUES)
@QUICK
@given(data=st.data())
def test_values_come_back_through_files_and_the_same_model(name: str, data: st.DataObject) -> None:
    """Dumped, conformed, written as Arrow and as Parquet, read, validated by columns and by rows, and
    conformed again: each time the same."""
    annotation, strategy = VALUES[name]
    model = model_of(annotation | None)
    schema = arrow_schema(model)
    values = data.draw(st.lists(st.none() | strategy, min_size=1, max_size=8))
    rows = [{"value": value} for value in values]
    held, refused = oracle(model, rows, schema)
    dumps = [model.model_validate(row).model_dump() for row in rows]
    first = conform_rows(dumps, schema)
    compare(first, held, refused, schema)
    for back in (through_arrow(first.batch), through_parquet(first.batch)):
        assert same(rows_of(back), held)
        plan = compile_plan(model, "constants")
        by_rows = plan.rows(rows_of(back), back)
        assert by_rows.refused == []
        compare(conform_rows(by_rows.values, schema), held, [], schema)
        if name in ("bytes", "set"):
            continue  # `json_says_all` says no of these.
        by_columns = plan.columns(back)
        assert by_columns.refused == []
        assert by_columns.batch is not None
        compare(conform(by_columns.batch, schema), held, [], schema)


def through_arrow(batch: pa.RecordBatch) -> pa.RecordBatch:
    file = io.BytesIO()
    with pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_file(file.getvalue()).get_batch(0) if batch.num_rows else batch


def through_parquet(batch: pa.RecordBatch) -> pa.RecordBatch:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_batches([batch]), file)
    table = pq.read_table(io.BytesIO(file.getvalue()))
    assert table.num_rows == batch.num_rows
    return table.combine_chunks().to_batches()[0] if batch.num_rows else batch


def records(rows: list[Any]) -> pa.RecordBatch:
    return record_batch(text_array([json.dumps(row) for row in rows]))


def test_whole_records_are_held_as_rows_are() -> None:
    model = model_of(dict[str, list[datetime]] | None)
    schema = arrow_schema(model)
    rows: list[Any] = [
        {"value": {"a": ["2024-01-01T00:00:00", "0001-01-01T00:00:00"]}},
        {"value": {"a": ["2024-01-01T00:00:00Z"]}},
        {},
        {"value": None, "other": None},
        {"value": None, "other": 1},
    ]
    found = conform(records(rows), schema)
    assert [at for at, _ in found.refused] == [1, 4]
    assert [reason["type"] for _, reason in found.refused] == ["not_in_schema", "unknown_column"]
    assert rows_of(found.batch) == [
        {"value": {"a": [datetime(2024, 1, 1), datetime(1, 1, 1)]}},
        {"value": None},
        {"value": None},
    ]


def test_columns_beside_records_are_held_too() -> None:
    batch = records([{"a": 1}, {"a": 2}]).append_column("b", pa.array([date(2024, 1, 1), None]))
    schema = pa.schema([("b", pa.date32()), ("a", pa.int64())])
    assert conform(batch, schema).batch.to_pylist() == [
        {"b": date(2024, 1, 1), "a": 1},
        {"b": None, "a": 2},
    ]


NOON = datetime(2024, 1, 1, 12)
CENTURIES = timedelta(days=10**8)

# Each row: the wanted type, values it holds with what they become, and values that it does not hold.
EXACT: list[tuple[pa.DataType, dict[Any, Any], list[Any]]] = [
    (
        pa.int64(),
        {"12": 12, "-0": 0, 2.0: 2, Decimal("3.0"): 3, Numbers.ONE: 1, np.int32(7): 7},
        ["012", "+1", " 1", "1.0", "0x10", "1_0", "٣", "", 2.5, True, 2**63, 1e300, math.nan,
         str(2**63), "1" * 5000, Decimal("NaN"), b"1", [1], date(2024, 1, 1)],
    ),
    (pa.int8(), {127: 127, "-128": -128}, [128, -129, "128"]),
    (pa.uint64(), {2**64 - 1: 2**64 - 1, "0": 0}, [-1, 2**64]),
    (
        pa.float64(),
        {"1.5": 1.5, "1e5": 1e5, 3: 3.0, "NaN": math.nan, "-Infinity": -math.inf, "1e-400": 0.0,
         Decimal("0.5"): 0.5, 2**60: float(2**60), "1": 1.0, np.float32(0.5): 0.5},
        ["1e400", "inf", "nan", ".5", "5.", "0x1p3", " 1", "1_0", 2**53 + 1, Decimal("0.1"), True,
         "01", 10**400],
    ),
    (pa.float32(), {0.5: 0.5, "0.25": 0.25, math.inf: math.inf}, [0.1, 1e300, "0.1"]),
    (pa.float16(), {0.5: 0.5, math.nan: math.nan}, [0.1, 70000.0]),
    (pa.bool_(), {True: True, "false": False, np.bool_(True): True}, ["True", "1", 1, 0.0, "t"]),
    (
        pa.string(),
        {"é\0": "é\0", Words.LOW: "low", Path("a/b"): "a/b", IPv4Address("1.2.3.4"): "1.2.3.4",
         AnyUrl("http://a.b/"): "http://a.b/", SecretStr("pw"): "**********"},
        ["\ud800", 1, 1.5, True, b"x", date(2024, 1, 1), Decimal(1), UUID(int=1), (1,), object()],
    ),
    (pa.large_string(), {"x": "x"}, [1]),
    (pa.binary(), {b"\xff": b"\xff", "é": "é".encode()}, [1, "\ud800"]),
    (pa.binary(2), {b"ab": b"ab", "é": "é".encode()}, [b"a", "abc"]),
    (
        pa.date32(),
        {date(2024, 2, 29): date(2024, 2, 29), "0001-01-01": date(1, 1, 1),
         datetime(2024, 1, 1): date(2024, 1, 1)},
        ["2023-02-29", "0000-01-01", "2024-1-1", "20240101", datetime(2024, 1, 1, 1),
         datetime(2024, 1, 1, tzinfo=UTC), 5, "2024-01-01T00:00:00", "2024-W01-1"],
    ),
    (pa.date64(), {date(2024, 2, 29): date(2024, 2, 29)}, ["x"]),
    (
        pa.timestamp("us"),
        {"2024-01-01T00:00:00": datetime(2024, 1, 1), date(2024, 1, 1): datetime(2024, 1, 1),
         "2024-01-01 00:00:00.5": datetime(2024, 1, 1, 0, 0, 0, 500_000)},
        ["2024-01-01", "2024-01-01T00", "2024-01-01T00:00", "2024-01-01T00:00:00Z", "0000-01-01T00:00:00",
         "2024-01-01T24:00:00", "2024-01-01T00:00:60", "2024-02-30T00:00:00", "2024-01-01T00:00:00.1234567",
         datetime(2024, 1, 1, tzinfo=UTC), 0, time(1)],
    ),
    (
        pa.timestamp("us", "UTC"),
        {"2024-01-01T00:00:00+02:00": datetime(2023, 12, 31, 22, tzinfo=UTC),
         datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1))): datetime(2023, 12, 31, 23, tzinfo=UTC)},
        ["2024-01-01T00:00:00", datetime(2024, 1, 1), date(2024, 1, 1), "0001-01-01T00:00:00+01:00",
         "9999-12-31T23:59:59-01:00", "2024-01-01T00:00:00+0200"],
    ),
    (pa.timestamp("s"), {NOON: NOON}, [NOON.replace(microsecond=1)]),
    (pa.timestamp("ns"), {NOON: NOON}, [datetime(9999, 1, 1), "9999-01-01T00:00:00"]),
    (
        pa.time64("us"),
        {"01:02:03.5": time(1, 2, 3, 500_000), time(23, 59, 59, 999_999): time(23, 59, 59, 999_999)},
        ["01:02", "24:00:00", "01:02:03Z", time(1, tzinfo=UTC), "1:02:03", datetime(2024, 1, 1)],
    ),
    (pa.time32("s"), {time(1, 2): time(1, 2), "01:02:03": time(1, 2, 3)}, [time(1, 2, 3, 1)]),
    (
        pa.duration("us"),
        {"PT1.5S": timedelta(seconds=1.5), "-P1D": timedelta(days=-1), CENTURIES: CENTURIES},
        ["1:02:03", "1 day", "P", "PT1.5", 5, "5", timedelta.max],
    ),
    (pa.duration("ms"), {timedelta(milliseconds=1): timedelta(milliseconds=1)}, [timedelta(microseconds=1)]),
    (
        pa.uuid(),
        {UUID_TEXT: UUID(UUID_TEXT), UUID(int=3): UUID(int=3), UUID_TEXT.upper(): UUID(UUID_TEXT)},
        [UUID_TEXT.replace("-", ""), f"{{{UUID_TEXT}}}", UUID_TEXT[:-1], UUID_TEXT[:-1] + "g",
         UUID_TEXT.replace("-0", "0-"), UUID_TEXT[:-1] + " ", b"x" * 16],
    ),
    (
        pa.decimal128(5, 2),
        {"1.5": Decimal("1.50"), 999: Decimal(999), 0.25: Decimal("0.25"), "0.000": Decimal(0),
         Decimal("-999.99"): Decimal("-999.99"), "1e2": Decimal(100), Decimal("0E+90"): Decimal(0)},
        ["1.555", 1000, Decimal("NaN"), Decimal("Infinity"), 0.1, "9" * 30, "1e30", "1E-400", True,
         Decimal("1E+999999"), "1" * 2000, " 1", "+1", ".5", "1_0", "٣", Decimal("sNaN")],
    ),
    (pa.decimal128(38, 18), {"1" * 20: Decimal("1" * 20)}, ["1" * 21, "1" * 25, "0." + "1" * 19]),
    (pa.decimal256(60, 2), {"1" * 58: Decimal("1" * 58)}, ["1" * 59]),
    (pa.decimal128(3, -2), {"1200": Decimal(1200)}, ["1250", 5]),
    (pa.list_(pa.int64()), {(1, None): [1, None], frozenset({2, 1}): [1, 2], "[1]": [1]}, ["x", 1, ("a",)]),
    (pa.list_(pa.int8(), 2), {(1, 2): [1, 2]}, [(1,), (1, 2, 3)]),
    (pa.large_list(pa.string()), {("a",): ["a"]}, [(1,)]),
    (pa.dictionary(pa.int8(), pa.string()), {"a": "a"}, [1]),
    (pa.null(), {}, [1, "x", False]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "takes", "refuses"), EXACT, ids=lambda item: str(item)[:20])
def test_value_is_held_exactly_or_refused(
    kind: pa.DataType, takes: dict[Any, Any], refuses: list[Any]
) -> None:
    schema = pa.schema([pa.field("v", kind)])
    values = [None, *takes, *refuses]
    found = conform_rows([{"v": value} for value in values], schema)
    found.batch.validate(full=True)
    assert [at for at, _ in found.refused] == list(range(len(takes) + 1, len(values)))
    assert same(rows_of(found.batch), [{"v": value} for value in (None, *takes.values())])
    for at, value in enumerate(values):
        alone = conform_rows([{"v": value}], schema)
        assert bool(alone.refused) == (at > len(takes))


@pytest.mark.parametrize(("kind", "takes", "refuses"), EXACT, ids=lambda item: str(item)[:20])
def test_text_is_held_in_a_column_as_it_is_in_rows(
    kind: pa.DataType, takes: dict[Any, Any], refuses: list[Any]
) -> None:
    """Whole columns, columns of which some are refused, and cells alone take the same text."""
    schema = pa.schema([pa.field("v", kind)])
    texts = [text for text in (*takes, *refuses) if isinstance(text, str) and text.isprintable()]
    texts = [text for text in (*texts, *HOSTILE) if _is_utf8(text)]
    for some in (texts, [text for text in takes if isinstance(text, str)], *([t] for t in texts)):
        by_rows = conform_rows([{"v": text} for text in some], schema)
        by_column = conform(text_batch(list(some), "v"), schema)
        assert [at for at, _ in by_column.refused] == [at for at, _ in by_rows.refused]
        assert same(rows_of(by_column.batch), rows_of(by_rows.batch))


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


# Each row: a typed column, the wanted type, and which of its rows are refused.
CASTS: list[tuple[pa.Array, pa.DataType, list[int]]] = [
    (pa.array([1, None, 300], pa.int16()), pa.int64(), []),
    (pa.array([1, None, 300], pa.int16()), pa.int8(), [2]),
    (pa.array([-1, 2**62]), pa.uint64(), [0]),
    (pa.array([2**53, 2**53 + 1]), pa.float64(), [1]),
    (pa.array([1.0, 1.5, math.nan, 2.0**63, None]), pa.int64(), [1, 2, 3]),
    (pa.array([0.5, 0.1]), pa.float32(), [1]),
    (pa.array([0.5, 0.25], pa.float32()), pa.float64(), []),
    (pa.array([1, 99999]), pa.decimal128(6, 2), [1]),
    (pa.array([Decimal("1.50"), Decimal("1.25")]), pa.decimal128(3, 1), [1]),
    (pa.array([Decimal("1.00"), Decimal("1.25")]), pa.int64(), [1]),
    (pa.array([True, False]), pa.int64(), [0, 1]),
    (pa.array([1, 0]), pa.bool_(), [0, 1]),
    (pa.array([1, 2]), pa.string(), [0, 1]),
    (pa.array([b"x"]), pa.string(), [0]),
    (pa.array(["x", None], pa.large_string()), pa.string(), []),
    (pa.array(["x", None, "x"]).dictionary_encode(), pa.string(), []),
    (pa.array([1, 2, 1]).dictionary_encode(), pa.int64(), []),
    (pa.array([0, 1_500], pa.timestamp("ms")), pa.timestamp("us"), []),
    (pa.array([0, 1_500], pa.timestamp("ms")), pa.timestamp("s"), [1]),
    (pa.array([0, 2**62], pa.timestamp("s")), pa.timestamp("us"), [1]),
    (pa.array([0, 1_001], pa.timestamp("ns")), pa.timestamp("us"), [1]),
    (pa.array([0], pa.timestamp("us")), pa.timestamp("us", "UTC"), [0]),
    (pa.array([0], pa.timestamp("us", "UTC")), pa.timestamp("us"), [0]),
    (pa.array([0], pa.timestamp("us", "Europe/Paris")), pa.timestamp("us", "UTC"), []),
    (pa.array([date(2024, 1, 1)]), pa.timestamp("us"), []),
    (pa.array([datetime(2024, 1, 1), datetime(2024, 1, 1, 1)]), pa.date32(), [1]),
    (pa.array([1, 1_500], pa.time32("ms")), pa.time64("us"), []),
    (pa.array([1_000, 1_500], pa.time32("ms")), pa.time32("s"), [1]),
    (pa.array([1_000, 1_500], pa.duration("ms")), pa.duration("s"), [1]),
    (pa.array([None, None], pa.null()), pa.list_(pa.int8()), []),
    (pa.array([[1, 2], None, [], [None]]), pa.list_(pa.float64()), []),
    (pa.array([[1], [300], None]), pa.list_(pa.int8()), [1]),
    (pa.array([[1], None, [None]]), pa.list_(pa.field("item", pa.int64(), False)), [2]),
    (pa.array([[1], None], pa.large_list(pa.int8())), pa.list_(pa.int64()), []),
    (pa.array([[1], None], pa.list_(pa.int8())), pa.large_list(pa.int64()), []),
    (
        pa.array([{"b": 1, "a": 2}, None, {"b": 300}]),
        pa.struct([("a", pa.int64()), ("b", pa.int16())]),
        [],
    ),
    (
        pa.array([{"a": 1}, None, {"a": None}]),
        pa.struct([pa.field("a", pa.int64(), False)]),
        [2],
    ),
    (pa.array([{"a": 1, "b": 2}, {"a": 1}]), pa.struct([("a", pa.int64())]), [0]),
    (
        pa.array([[("a", 1)], None, [("b", 300)]], pa.map_(pa.string(), pa.int16())),
        pa.map_(pa.string(), pa.int8()),
        [2],
    ),
    (
        pa.array([[("a", 1)], None], pa.map_(pa.large_string(), pa.int16())),
        pa.map_(pa.string(), pa.field("value", pa.int64(), False)),
        [],
    ),
]


@pytest.mark.parametrize(("column", "kind", "refused"), CASTS, ids=lambda item: str(item)[:40])
def test_typed_column_is_cast_exactly_or_refused(
    column: pa.Array, kind: pa.DataType, refused: list[int]
) -> None:
    schema = pa.schema([pa.field("v", kind)])
    longer = pa.concat_arrays([column, column, column])
    for some in (column, longer.slice(len(column), len(column))):
        batch = pa.RecordBatch.from_arrays([some], names=["v"])
        found = conform(batch, schema)
        found.batch.validate(full=True)
        assert found.batch.schema == schema
        assert [at for at, _ in found.refused] == refused
        kept = batch.take(
            pa.array([at for at in range(len(some)) if at not in refused], pa.int64())
        )
        assert [_widened(row["v"]) for row in rows_of(found.batch)] == [
            _widened(row["v"]) for row in rows_of(kept)
        ]


def _widened(value: Any) -> Any:
    """A date is the midnight it begins with; members of objects in order, save those that are null."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    if not isinstance(value, dict):
        return value
    return {name: value[name] for name in sorted(value) if value[name] is not None}


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None]),
        pa.array([math.nan, math.inf, 1.5]),
        pa.array(['"', "é\n", None]),
        pa.array([date(2024, 1, 1), None]),
        pa.array([[1, None], None]),
        pa.array([{"a": "x"}, None]),
        pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
        pa.array([timedelta(seconds=1.5), None]),
    ],
    ids=lambda column: str(column.type),
)
def test_any_column_becomes_json_text_when_the_schema_asks_for_it(column: pa.Array) -> None:
    schema = pa.schema([encoded_field("v", "json")])
    found = conform(pa.RecordBatch.from_arrays([column], names=["v"]), schema)
    assert found.refused == []
    values = column.to_pylist(maps_as_pydicts="strict")
    expected = [json.loads(to_json(value, inf_nan_mode="constants")) for value in values]
    assert same(rows_of(found.batch), [{"v": value} for value in expected])


def test_encoded_column_is_read_as_what_its_text_stands_for() -> None:
    texts = text_array(["1", '"x"', "[1]", None])
    batch = pa.RecordBatch.from_arrays([texts], schema=pa.schema([encoded_field("v", "json")]))
    found = conform(batch, pa.schema([("v", pa.string())]))
    assert found.batch.to_pylist() == [{"v": "x"}, {"v": None}]
    assert [at for at, _ in found.refused] == [0, 2]
    found = conform(batch, pa.schema([("v", pa.list_(pa.int64()))]))
    assert found.batch.to_pylist() == [{"v": [1]}, {"v": None}]


@pytest.mark.parametrize(
    ("logical", "kind", "text"),
    [
        ("datetime", pa.timestamp("us"), "2024-01-01"),
        ("datetime", pa.timestamp("us", "UTC"), "2024-01-01T00Z"),
        ("date", pa.date32(), "0000-01-01"),
        ("float", pa.float64(), "1e400"),
        ("int", pa.int64(), "9223372036854775808"),
    ],
)
def test_text_is_refused_even_when_it_is_said_to_be_of_the_type(
    logical: str, kind: pa.DataType, text: str
) -> None:
    schema = pa.schema([encoded_field("v", "bare", logical)])
    batch = pa.RecordBatch.from_arrays([text_array([text, None])], schema=schema)
    found = conform(batch, pa.schema([("v", kind)]))
    assert [at for at, _ in found.refused] == [0]
    assert found.batch.to_pylist() == [{"v": None}]


def test_null_is_refused_when_the_column_takes_none() -> None:
    schema = pa.schema([pa.field("a", pa.int64(), False), pa.field("b", pa.int64())])
    batch = pa.RecordBatch.from_pydict({"a": [1, None], "b": [None, 2]})
    for found in (conform(batch, schema), conform_rows(rows_of(batch), schema)):
        assert found.batch.to_pylist() == [{"a": 1, "b": None}]
        ((at, reason),) = found.refused
        assert (at, reason["loc"], reason["type"]) == (1, ["a"], "not_in_schema")


def test_missing_column_is_null_or_refused() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1, 2]})
    schema = pa.schema([("b", pa.map_(pa.string(), pa.uuid())), ("a", pa.int64())])
    assert conform(batch, schema).batch.to_pylist() == [{"b": None, "a": 1}, {"b": None, "a": 2}]
    strict = pa.schema([pa.field("b", pa.int64(), False), pa.field("a", pa.int64())])
    found = conform(batch, strict)
    assert (found.batch.num_rows, [at for at, _ in found.refused]) == (0, [0, 1])


def test_unknown_column_refuses_the_rows_that_have_a_value_in_it() -> None:
    schema = pa.schema([("a", pa.int64())])
    rows: list[Any] = [{"a": 1, "b": None}, {"a": 2, "b": 5}, {"a": 3}]
    for found in (
        conform(from_rows(rows), schema),
        conform_rows(rows, schema),
        conform(records(rows), schema),
    ):
        assert found.batch.to_pylist() == [{"a": 1}, {"a": 3}]
        ((at, reason),) = found.refused
        assert (at, reason["loc"], reason["type"]) == (1, ["b"], "unknown_column")


def test_row_is_refused_once_and_for_the_first_column_that_does_not_hold_it() -> None:
    schema = pa.schema([("a", pa.int8()), ("b", pa.date32())])
    found = conform_rows([{"a": 1000, "b": "secret"}, {"a": 1, "b": "secret"}], schema)
    assert [(at, reason["loc"]) for at, reason in found.refused] == [(0, ["a"]), (1, ["b"])]
    assert "secret" not in str(found.refused)
    assert "1000" not in str(found.refused)


def test_empty_batch_has_the_schema() -> None:
    schema = arrow_schema(model_of(dict[str, Point]))
    assert conform(text_batch([]), schema).batch.schema == schema
    assert conform_rows([], schema).batch.schema == schema


def test_set_is_written_in_order_whatever_the_order_of_its_members() -> None:
    members = [f"{number}" for number in range(50)]
    schema = arrow_schema(model_of(set[str]))
    for seed in range(3):
        random.Random(seed).shuffle(members)
        found = conform_rows([{"value": set(members)}], schema)
        assert found.batch.to_pylist() == [{"value": sorted(members)}]
    mixed = pa.schema([encoded_field("value", "json")])
    found = conform_rows([{"value": {"a", 1, "b"}}], mixed)
    assert rows_of(found.batch) == [{"value": ["a", "b", 1]}]


def test_map_with_a_key_twice_stays_pairs() -> None:
    twice = pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    batch = pa.RecordBatch.from_arrays([twice], names=["value"])
    assert rows_of(batch) == [{"value": [("a", 1), ("a", 2)]}]
    refused = compile_plan(model_of(dict[str, int])).columns(batch).refused
    assert [at for at, _ in refused] == [0]


def test_timestamp_finer_than_microseconds_is_text() -> None:
    stamps = pa.array([1_000, None, 1_001], pa.timestamp("ns"))
    rows = rows_of(pa.RecordBatch.from_arrays([stamps], names=["v"]))
    assert rows == [
        {"v": datetime(1970, 1, 1, 0, 0, 0, 1)},
        {"v": None},
        {"v": "1970-01-01 00:00:00.000001001"},
    ]


def test_values_are_refused_when_a_dictionary_cannot_count_them() -> None:
    schema = pa.schema([("v", pa.dictionary(pa.int8(), pa.string()))])
    found = conform_rows([{"v": str(number % 130)} for number in range(140)], schema)
    assert [at for at, _ in found.refused] == [128, 129]
    assert found.batch.column(0).to_pylist() == [
        str(n % 130) for n in range(140) if n not in (128, 129)
    ]


def test_pandas_is_not_imported() -> None:
    script = """
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from pydantic import BaseModel
from zoopipe.conform import conform, conform_rows
from zoopipe.validation import compile_plan
from zoopipe.validation.arrow_schema import arrow_schema
from zoopipe.arrays import text_array
import pyarrow as pa

class Model(BaseModel):
    a: int
    b: Decimal
    c: UUID
    d: datetime
    e: list[float] = []
    f: dict[str, timedelta | None] = {}
    g: Any = None
    h: bytes = b""

row = {"a": "1", "b": "1.5", "c": "0a1b2c3d-0000-4fff-8000-0123456789ab", "d": "2024-01-01T00:00:00"}
schema = arrow_schema(Model)
other = {**row, "e": [1.5], "f": {"x": "PT1S", "y": None}, "g": {"k": 1}, "a": 2**70}
found = conform_rows([Model(**row).model_dump(), Model(**other).model_dump()], schema)
assert found.batch.num_rows == 1 and len(found.refused) == 1
batch = pa.RecordBatch.from_arrays([text_array([value]) for value in row.values()], names=list(row))
checked = compile_plan(Model, "constants").columns(batch).batch
assert conform(checked, schema).batch.num_rows == 1
assert "pandas" not in sys.modules, "imported"
import pandas
"""
    subprocess.run([sys.executable, "-c", script], check=True)
