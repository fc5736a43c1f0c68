"""Any nested column is proved as pydantic has it, and the comparison notices a proof that says too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, NamedTuple, Optional

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, create_model
from typed_columns import check

from zoopipe import columns
from zoopipe.validation import nested
from zoopipe.validation.kernels import Proof
from zoopipe.validation.nested import ListKernel, Member, StructKernel

QUICK = settings(max_examples=150, deadline=None, derandomize=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
WORDS = st.sampled_from(["1", "-2", "1.5", "true", "x", "", "2024-02-29"])


class Kind(NamedTuple):
    """A type of pydantic's beside an Arrow type, and values of that."""

    annotation: Any
    arrow: pa.DataType
    values: Any


LEAVES = [
    Kind(annotation, arrow, values)
    for annotation in (int, float, bool, str, Annotated[int, Field(gt=0)])
    for arrow, values in (
        (pa.int8(), st.integers(-2, 2)),
        (pa.float64(), st.floats() | st.integers(-2, 2).map(float)),
        (pa.bool_(), st.booleans()),
        (pa.string(), TEXT | WORDS),
        (pa.large_string(), WORDS),
        (pa.null(), st.none()),
    )
]


def kinds_of(inner: Any) -> Any:
    return (
        inner.map(listed)
        | inner.map(optional)
        | st.lists(inner, min_size=1, max_size=3).map(modelled)
    )


def listed(kind: Kind) -> Kind:
    return Kind(list[kind.annotation], pa.list_(kind.arrow), st.lists(kind.values, max_size=3))  # type: ignore[name-defined]


def optional(kind: Kind) -> Kind:
    return Kind(Optional[kind.annotation], kind.arrow, st.none() | kind.values)  # noqa: UP045


def modelled(kinds: list[Kind]) -> Kind:
    fields = {f"f{number}": kind for number, kind in enumerate(kinds)}
    model: Any = create_model("Inner", **{name: (k.annotation, ...) for name, k in fields.items()})
    arrow = pa.struct([(name, kind.arrow) for name, kind in fields.items()])
    values = st.fixed_dictionaries({name: kind.values for name, kind in fields.items()})
    return Kind(model, arrow, values)


KINDS = st.recursive(st.sampled_from(LEAVES), kinds_of, max_leaves=4)


@QUICK
@given(st.data())
def test_any_nested_column_is_proved_as_pydantic_has_it(data: st.DataObject) -> None:
    kind = data.draw(KINDS)
    values = data.draw(st.lists(kind.values, min_size=1, max_size=4))
    column = pa.array(values, kind.arrow)
    config = data.draw(st.sampled_from([None, ConfigDict(strict=True)]))
    check(kind.annotation, column, config)


class Point(BaseModel):
    x: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    x: int


class Aliased(BaseModel):
    x: int = Field(alias="y")


class Flagged(BaseModel):
    x: int
    flag: bool = 1  # type: ignore[assignment]


def _nothing_is_missing(self: Any, column: pa.Array) -> None:
    return None


def _as_kept(lists: pa.ListArray, elements: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(lists.offsets, elements)


def _all_rows(self: Any, column: pa.Array) -> Proof:
    proof = PROVE_STRUCT(self, column)
    return replace(proof, proved=None)


PROVE_STRUCT = StructKernel.prove_typed
SHORT = Annotated[list[int], Field(max_length=1)]
HIDDEN = pa.ListArray.from_arrays(
    pa.array([0, 2, 3]), pa.array([1, 2, 3]), mask=pa.array([True, False])
)
# Each row: what is put in the place of what, and a column of which that says more than pydantic does.
LOOSENED: list[Any] = [
    (nested, "_all_proved", lambda lists, proved: None, list[int], pa.array([[0.5], [1.0]])),
    (nested, "no_nulls", lambda mask: mask.fill_null(True), list[int], pa.array([["x"], [None]])),
    (ListKernel, "_fitting", _nothing_is_missing, list[int], pa.array([[1], None])),
    (ListKernel, "_fitting", lambda self, c: c.is_valid(), SHORT, pa.array([[1], [1, 2]])),
    (nested, "with_elements", _as_kept, list[int], HIDDEN),
    (columns, "with_elements", _as_kept, list[int], HIDDEN.cast(pa.list_(pa.string()))),
    (columns, "_COMMA", pa.scalar(", "), list[int], pa.array([[1, 2]])),
    (StructKernel, "prove_typed", _all_rows, Point, pa.array([{"x": 0.5}, {"x": 1.0}])),
    (StructKernel, "prove_typed", _all_rows, Point, pa.array([{"x": 1}, None])),
    (nested, "_and", lambda first, second: first, Point, pa.array([{"x": 0.5}])),
    (
        Member,
        "prove",
        lambda self, c, rows: self.kernel.prove(c["y"]),
        Point,
        pa.array([{"y": 1}]),
    ),
    (
        Member,
        "prove",
        lambda self, c, rows: self.kernel.prove(c["x"]),
        Aliased,
        pa.array([{"x": 1}]),
    ),
    (
        nested,
        "_default_cell",
        lambda value, kernel: pa.array([True]),
        Flagged,
        pa.array([{"x": 1}]),
    ),
]


@pytest.mark.parametrize(("owner", "name", "loose", "annotation", "column"), LOOSENED)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_comparison_fails_when_a_proof_is_loosened(
    owner: Any,
    name: str,
    loose: Any,
    annotation: Any,
    column: pa.Array,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(annotation, column)
    monkeypatch.setattr(owner, name, loose)
    with pytest.raises((AssertionError, pa.ArrowInvalid, KeyError)):
        check(annotation, column)


def test_comparison_fails_when_extra_keys_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.array([{"x": 1, "more": 2}])
    assert check(Closed, column) == [False]
    made = StructKernel.__init__
    monkeypatch.setattr(
        StructKernel, "__init__", lambda self, members, _: made(self, members, False)
    )
    with pytest.raises(AssertionError):
        check(Closed, column)
