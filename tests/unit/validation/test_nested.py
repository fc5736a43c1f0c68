"""What kernels prove of lists and of models within models, and that a looser proof would be noticed."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pyarrow as pa
import pytest
from proofs import kernel_of
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    create_model,
)
from typed_columns import DAY_LAST, STRICT, Colour, check, days, decimals, ticks

from zoopipe.validation.kernels import Proof

UUID_TEXT = "0a1b2c3d-0000-4fff-8000-0123456789ab"


class Point(BaseModel):
    x: int
    label: str = "none"


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", title="A line", frozen=True)

    points: list[Point]
    start: Optional[Point] = None  # noqa: UP045
    width: Annotated[float, Field(gt=0)] = 1.5


class Aliased(BaseModel):
    value: int = Field(alias='the "value"', serialization_alias="other")
    day: date = date(2024, 2, 29)
    at: datetime = datetime(2024, 2, 29, 1, 2, 3)


class Trimmed(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    text: str


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)

    number: int


class Things(BaseModel):
    key: UUID
    price: Decimal
    colour: Colour
    kind: Literal["a", "b"]


def structs(*rows: Any, kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(list(rows), kind)


THINGS = {"key": UUID_TEXT, "price": Decimal("1.50"), "colour": "red", "kind": "a"}
LINE = {"points": [{"x": 1, "label": 'é"'}], "start": None, "width": 2.0}

# Each row: a type, values that are proved, and values of the same Arrow type that may not be.
PROOFS: list[Any] = [
    pytest.param(list[int], pa.array([[1, 2], [], [-3]]), None, id="ints"),
    pytest.param(
        list[int],
        pa.array([[1.0, 2.0], []]),
        pa.array([[1.5, 2.0], [0.5], [math.nan]]),
        id="doubles",
    ),
    pytest.param(list[int], pa.array([[1]], pa.large_list(pa.int8())), None, id="large-list"),
    pytest.param(
        list[int], pa.array([[], []], pa.list_(pa.null())), pa.array([[None]]), id="untyped"
    ),
    pytest.param(
        list[int], pa.array([["1", "22"], []]), pa.array([["1", "x"], ["007"]]), id="text"
    ),
    pytest.param(list[int], pa.array([[]], pa.list_(pa.binary())), pa.array([[b"1"]]), id="binary"),
    pytest.param(
        list[int | None],
        pa.array([[1, None], [None], []]),
        None,
        id="nullable",
    ),
    pytest.param(
        list[Optional[int]],  # noqa: UP045
        pa.array([["1", None], [None]]),
        pa.array([["x", None], [None, "x", "1"]]),
        id="nullable-text",
    ),
    pytest.param(list[int], None, pa.array([[1, None], [None]]), id="null-element"),
    pytest.param(list[str], pa.array([['a"b', "é\n"], [""], []]), None, id="strings"),
    pytest.param(
        list[str],
        pa.array([["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        None,
        id="dictionary",
    ),
    pytest.param(list[Colour], pa.array([["red"]]), pa.array([["blue", "red"]]), id="enums"),
    pytest.param(list[UUID], pa.array([[UUID_TEXT], []]), pa.array([["x"]]), id="uuids"),
    pytest.param(
        list[float], pa.array([[1.0, 1e16, 0.1]]), pa.array([[math.inf, 1.0]]), id="floats"
    ),
    pytest.param(
        list[date],
        pa.ListArray.from_arrays([0, 1, 2], days([0, DAY_LAST])),
        None,
        id="dates",
    ),
    pytest.param(
        list[datetime],
        pa.ListArray.from_arrays([0, 2], ticks("us", [0, 1], "UTC")),
        None,
        id="times",
    ),
    pytest.param(
        list[Decimal],
        pa.ListArray.from_arrays([0, 2], decimals(9, 2, [0, -5])),
        None,
        id="decimals",
    ),
    pytest.param(list[list[int]], pa.array([[[1], []], []]), pa.array([[[1, None]]]), id="lists"),
    pytest.param(
        Annotated[list[int], Field(min_length=1, max_length=2)],
        pa.array([[1], [1, 2]]),
        pa.array([[], [1, 2, 3]]),
        id="lengths",
    ),
    pytest.param(
        Annotated[list[int], Field(min_length=1, max_length=2**63 - 1)],
        pa.array([[1]]),
        pa.array([[]], pa.list_(pa.int64())),
        id="length-64-bits",
    ),
    pytest.param(
        list[int], None, pa.array([[True, False]]).cast(pa.list_(pa.bool_(), 2)), id="fixed"
    ),
    pytest.param(list[int], None, pa.array(["[1]", "x"]), id="list-of-text"),
    pytest.param(Point, None, pa.array(["{}", "x"]), id="model-of-text"),
    pytest.param(Point, structs({"x": 1, "label": "a"}, {"x": -1, "label": ""}), None, id="model"),
    pytest.param(
        Point,
        structs({"x": 1.0, "label": "a"}),
        structs({"x": 0.5, "label": "a"}, {"x": 1.0, "label": None}),
        id="model-unproved",
    ),
    pytest.param(Point, structs({"x": 1}, {"x": 2}), None, id="model-default"),
    pytest.param(Point, None, structs({"label": "a"}), id="model-missing"),
    pytest.param(Point, structs({"label": "a", "y": 1, "x": 1}), None, id="model-extra"),
    pytest.param(Point, None, structs({"x": None, "label": "a"}), id="model-null"),
    pytest.param(Line, structs(LINE, {**LINE, "start": {"x": 1, "label": ""}}), None, id="line"),
    pytest.param(Line, structs({"points": [{"x": 1}, {"x": 2}]}), None, id="line-defaults"),
    pytest.param(
        Line,
        None,
        structs({**LINE, "points": [{"x": 1, "label": None}], "width": 0.0}),
        id="line-odd",
    ),
    pytest.param(Line, None, structs({**LINE, "more": 1}), id="line-extra"),
    pytest.param(list[Line], structs([LINE], []), structs([{**LINE, "width": -1.0}]), id="lines"),
    pytest.param(Aliased, structs({'the "value"': 1}, {'the "value"': 2}), None, id="alias"),
    pytest.param(Aliased, None, structs({"value": 1}), id="alias-by-name"),
    pytest.param(Trimmed, structs({"text": "a"}), structs({"text": " a"}), id="inner-setting"),
    pytest.param(Exact, structs({"number": 1}), None, id="strict"),
    pytest.param(Exact, None, structs({"number": True}), id="strict-bool"),
    pytest.param(Things, structs(THINGS), structs({**THINGS, "kind": "c"}), id="things"),
    pytest.param(
        Point | None,
        structs({"x": 1}, None),
        structs({"x": None}),
        id="nullable-model",
    ),
    pytest.param(
        Optional[list[Optional[Point]]],  # noqa: UP045
        structs([{"x": 1}, None], None, []),
        structs([{"x": None}, None]),
        id="nullable-all",
    ),
    pytest.param(int, None, structs({"x": 1}), id="int-struct"),
]


@pytest.mark.parametrize(("annotation", "usual", "odd"), PROOFS)
def test_kernel_gives_pydantics_value_when_it_says_proved(
    annotation: Any, usual: pa.Array | None, odd: pa.Array | None
) -> None:
    assert usual is None or all(check(annotation, usual))
    if odd is not None:
        odd = odd if usual is None else odd.cast(usual.type)
        found = check(annotation, odd)
        assert not any(flag for flag, valid in zip(found, odd.is_valid(), strict=True) if valid)
    if usual is not None and odd is not None:
        check(annotation, pa.concat_arrays([usual, odd, usual]))


@pytest.mark.parametrize(("annotation", "usual", "odd"), PROOFS)
def test_kernel_proves_nulls_only_when_the_field_takes_them(
    annotation: Any, usual: pa.Array | None, odd: pa.Array | None
) -> None:
    column = odd if usual is None else usual
    with_nulls = pa.concat_arrays([pa.nulls(1, column.type), column, pa.nulls(1, column.type)])
    found = check(annotation, with_nulls)
    optional = check(Optional[annotation], with_nulls)  # noqa: UP045
    assert optional[1:-1] == found[1:-1]
    if usual is not None:
        assert optional[0] and optional[-1]
        assert check(Optional[annotation], pa.nulls(2)) == [True, True]  # noqa: UP045


def test_lists_keep_their_elements_when_nulls_hide_some() -> None:
    offsets, elements = pa.array([0, 2, 3, 5], pa.int32()), pa.array([1, 2, 3, 4, 5])
    column = pa.ListArray.from_arrays(offsets, elements, mask=pa.array([False, True, False]))
    assert check(list[int], column) == [True, False, True]
    assert check(list[int], column.cast(pa.list_(pa.string()))) == [True, False, True]


def test_structs_are_null_when_their_members_are_not() -> None:
    column = pa.StructArray.from_arrays(
        [pa.array([1, 2])], names=["x"], mask=pa.array([False, True])
    )
    assert check(Point, column) == [True, False]
    assert check(Optional[Point], column) == [True, True]  # noqa: UP045


@pytest.mark.parametrize(
    ("annotation", "column", "is_proved"),
    [
        (list[int], pa.array([[1]]), True),
        (list[int], pa.array([[True]]), False),
        (list[Point], structs([{"x": 1}]), True),
        (Point, structs({"x": True}), True),
        (Exact, structs({"number": True}), False),
    ],
)
def test_strict_kernel_is_as_strict_as_pydantic_with_what_is_nested(
    annotation: Any, column: pa.Array, is_proved: bool
) -> None:
    assert check(annotation, column, STRICT) == [is_proved]


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        *((int, 1), (int, None), (float, 1.5), (bool, False), (str, "é"), (date, date.max)),
        *((datetime, datetime.max), (int | None, None), (Colour, None), (list[int], None)),
        *((Literal["a"], "a"), (Decimal, None), (Annotated[int, Field(gt=0)], 1)),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_missing_keys_are_proved_when_their_default_is_of_the_type(
    annotation: Any, default: Any
) -> None:
    inner = create_model("Inner", a=(int, ...), b=(annotation, default))
    assert check(inner, structs({"a": 1}, {"a": 2})) == [True, True]


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        *((int, "1"), (int, True), (int, 1.0), (int, 2**70), (float, 1), (float, math.nan)),
        *((bool, 1), (str, "\ud800"), (Annotated[str, Field(max_length=1)], "long")),
        *((date, datetime.min), (Decimal, 1), (Decimal, Decimal(1)), (Colour, Colour.RED)),
        *((list[int], [1]), (UUID, UUID_TEXT), (datetime, date.min)),
        (int, Field(default_factory=int)),
        (int, Field(None, validate_default=True)),
        (Annotated[int, Field(gt=0)], 0),
    ],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_missing_keys_are_left_to_pydantic_when_their_default_may_be_written_otherwise(
    annotation: Any, default: Any
) -> None:
    inner = create_model("Inner", a=(int, ...), b=(annotation, default))
    assert check(inner, structs({"a": 1}, {"a": 2})) == [False, False]


def test_structs_are_left_to_pydantic_when_they_have_a_name_twice() -> None:
    column = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    assert kernel_of(Point).prove(column) is None


def test_cells_are_typed_unless_text_is_proved_inside() -> None:
    assert proof_of(list[int], pa.array([[1]])).cells.type == pa.list_(pa.int64())
    assert proof_of(list[int], pa.array([["1"]])).encoding == "json"
    found = proof_of(Line, structs(LINE)).cells
    point = pa.struct({"x": pa.int64(), "label": pa.string()})
    assert found.field("points").type == pa.list_(point)
    assert found.field("start").null_count == 1
    assert proof_of(Things, structs(THINGS)).encoding == "json"


def proof_of(annotation: Any, column: pa.Array) -> Proof:
    proof = kernel_of(annotation).prove(column)
    assert proof is not None
    return proof
