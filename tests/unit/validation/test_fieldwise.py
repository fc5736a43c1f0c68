"""Fields that need Python: their validators see what a row loop shows them, and answer the same."""

from __future__ import annotations

import contextlib
from datetime import time, timedelta
from typing import Annotated, Any

import pyarrow as pa
import pytest
from differential import check_plan, text_batch
from pydantic import BaseModel, Field, ValidationInfo, field_validator

from zoopipe.validation import compile_plan

CALLS: list[tuple[str, Any]] = []


class Recorded(BaseModel):
    id: int
    name: str
    code: str
    size: int

    @field_validator("name", mode="before")
    @classmethod
    def _note_name(cls, value: Any) -> Any:
        CALLS.append(("name", value))
        if value == "bad":
            raise ValueError("bad name")
        if value == "odd":
            raise KeyError(value)
        return value

    @field_validator("code")
    @classmethod
    def _note_code(cls, value: str) -> str:
        CALLS.append(("code", value))
        if value.startswith("x"):
            raise ValueError("code with an x")
        return value.upper()


ROWS = [
    {"id": str(number), "name": f"n{number}", "code": f"c{number}", "size": "1"}
    for number in range(9)
]


def rows_with(**cells: dict[int, str]) -> list[dict[str, str]]:
    return [
        {name: cells.get(name, {}).get(at, cell) for name, cell in row.items()}
        for at, row in enumerate(ROWS)
    ]


CASES = {
    "all good": rows_with(),
    "a field refused": rows_with(name={0: "bad", 4: "bad"}, code={4: "x", 8: "x"}),
    "rows deferred": rows_with(id={0: " 0", 3: "3_0", 8: "no"}),
    "both": rows_with(id={2: "no", 3: " 3"}, code={1: "x", 2: "x", 4: "x"}, name={3: "bad"}),
    "a validator raises anything": rows_with(name={1: "odd", 5: "odd"}, id={5: "no", 6: " 6"}),
    "everything deferred": [{**row, "size": " 1"} for row in ROWS],
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_validators_see_what_a_row_loop_shows_them(case: str) -> None:
    rows = CASES[case]
    assert compile_plan(Recorded).columnar
    CALLS.clear()
    for row in rows:
        try:
            Recorded.model_validate(row)
        except (ValueError, KeyError):
            continue
    expected = {
        field: [value for name, value in CALLS if name == field] for field in ("name", "code")
    }
    CALLS.clear()
    compile_plan(Recorded).columns(text_batch(rows, list(ROWS[0])))
    seen = {field: [value for name, value in CALLS if name == field] for field in ("name", "code")}
    assert seen == expected


@pytest.mark.parametrize("case", sorted(set(CASES) - {"a validator raises anything"}))
def test_plan_gives_what_a_row_loop_gives(case: str) -> None:
    check_plan(Recorded, CASES[case], list(ROWS[0]))


def test_row_is_refused_alone_when_a_validator_raises_anything() -> None:
    rows = CASES["a validator raises anything"]
    accepted = compile_plan(Recorded).columns(text_batch(rows, list(ROWS[0])))
    assert {at: reasons[0]["type"] for at, reasons in accepted.refused} == {
        1: "validator_error",
        5: "validator_error",
    }
    assert list(accepted.kept or ()) == [0, 2, 3, 4, 6, 7, 8]


class Timed(BaseModel):
    id: int
    at: Annotated[time, Field(ge=time(1))]
    took: Annotated[timedelta, Field(ge=timedelta(0))] | None
    tags: set[str] = set()


def test_types_without_a_kernel_do_not_cost_the_others_their_columns() -> None:
    plan = compile_plan(Timed)
    assert [(field.name, field.how) for field in plan.explain()] == [
        ("id", "columns"),
        ("at", "its column"),
        ("took", "its column"),
        ("tags", "its column"),
    ]
    rows = [
        {"id": "1", "at": "10:20", "took": "PT5S", "tags": "a"},
        {"id": "2", "at": "25:00", "took": "3 days", "tags": "b"},
        {"id": "3", "at": "10:20:30.5Z", "took": None, "tags": "c"},
    ]
    check_plan(Timed, rows, ["id", "at", "took", "tags"])


class SeesOthers(BaseModel):
    a: int
    b: int
    c: int

    @field_validator("b")
    @classmethod
    def _more_than_a(cls, value: int, info: ValidationInfo) -> int:
        if value <= info.data.get("a", 0):
            raise ValueError("not more than a")
        return value


def test_validator_sees_the_fields_before_its_own_when_it_looks_at_others() -> None:
    plan = compile_plan(SeesOthers)
    assert [field.how for field in plan.explain()] == ["with b", "with a", "columns"]
    cells = ("1", "2", "x", "", " 3")
    rows = [{"a": a, "b": b, "c": c} for a in cells for b in cells for c in ("1", "x")]
    check_plan(SeesOthers, rows, ["a", "b", "c"])


NAMED: list[tuple[str | None, str]] = []


class KnowsItsName(BaseModel):
    a: int
    b: str

    @field_validator("b", mode="before")
    @classmethod
    def _named(cls, value: str, info: ValidationInfo) -> str:
        NAMED.append((info.field_name, value))
        return value.strip()


def test_validator_runs_over_its_column_when_it_asks_for_the_fields_name_alone() -> None:
    plan = compile_plan(KnowsItsName)
    assert [field.how for field in plan.explain()] == ["columns", "its column"]
    rows = [{"a": "1", "b": " x"}, {"a": "y", "b": "z "}]
    NAMED.clear()
    accepted = plan.columns(text_batch(rows, ["a", "b"]))
    assert NAMED == [("b", " x"), ("b", "z ")]
    assert [at for at, _ in accepted.refused] == [1]
    check_plan(KnowsItsName, rows, ["a", "b"])


SHARED: list[str] = []


class Shares(BaseModel):
    a: str
    n: int
    b: str
    c: str

    @field_validator("a", "c")
    @classmethod
    def _both(cls, value: str) -> str:
        SHARED.append(value)
        if value == "bad":
            raise ValueError("bad")
        return value

    @field_validator("b")
    @classmethod
    def _between(cls, value: str) -> str:
        SHARED.append(f"b:{value}")
        return {"": "empty"}.get(value) or value[:1] + value.upper()[1:]


def test_shared_validator_sees_rows_one_after_the_other() -> None:
    rows = [
        {"a": "a0", "n": "0", "b": "b0", "c": "c0"},
        {"a": "bad", "n": "x", "b": "b1", "c": "bad"},
        {"a": "a2", "n": "2", "b": "b2", "c": "c2"},
    ]
    SHARED.clear()
    for row in rows:
        with contextlib.suppress(ValueError):
            Shares.model_validate(row)
    expected = list(SHARED)
    SHARED.clear()
    accepted = compile_plan(Shares).columns(text_batch(rows, ["a", "n", "b", "c"]))
    assert expected == SHARED
    assert [[reason["loc"] for reason in reasons] for _, reasons in accepted.refused] == [
        [["a"], ["n"], ["c"]]
    ]
    check_plan(Shares, rows, ["a", "n", "b", "c"])


class Unwritable(BaseModel):
    id: int
    thing: str

    @field_validator("thing")
    @classmethod
    def _odd(cls, value: str) -> Any:
        return {"odd": object(), "half": "\ud800"}.get(value, value)


def test_row_is_refused_when_its_value_cannot_be_written() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"id": ["1", "2", "3", "4"], "thing": ["a", "odd", "c", "half"]}
    )
    accepted = compile_plan(Unwritable).columns(batch)
    assert [at for at, _ in accepted.refused] == [1, 3]
    assert accepted.batch is not None
    assert accepted.batch.column("thing").to_pylist() == ["a", "c"]
