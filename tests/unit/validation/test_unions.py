"""What the kernels of unions prove, and that a looser proof would be noticed."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hostile import HOSTILE
from proofs import check_noticed, check_proofs, compare, has_no_kernel, kernel_of, model_of, proved
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    PlainSerializer,
    StrictInt,
    StringConstraints,
)

from zoopipe.validation import unions
from zoopipe.validation.kernels import StrKernel
from zoopipe.validation.unions import UnionKernel


class Colour(enum.Enum):
    RED = "red"
    DAY = "2024-01-01"
    SECONDS = "86400"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


class Odd(enum.Enum):
    A = "a"

    @classmethod
    def _missing_(cls, value: object) -> Odd:
        return cls.A


class Rate(float, enum.Enum):
    HALF = 0.5
    TWO = 2.0


class Names(enum.Enum):
    QUOTE = 'quo"te'
    LINE = "line\nend"
    E = "é"
    NAN = "nan"
    INFINITY = "Infinity"


KEY = "0a1b2c3d-0000-4fff-8000-0123456789ab"
TEXTS = ["", "a", "1", "1.5", "true", "2024-01-01", "12:34:56", "PT1S", KEY, "red", "http://A"]
# Each row: a type, cells that are proved, and cells that are left to pydantic.
PROOFS: list[Any] = [
    pytest.param(
        int | float, ["1", "-2", "1.5", "0.25", "1.50"], ["3.0", "1e5", "nan", "x"], id="n"
    ),
    pytest.param(float | int, ["1", "1.5", "3.0"], ["1e5", "x", "1_0"], id="float-first"),
    pytest.param(
        int | bool, ["0", "1", "7", "true", "Off", "n"], ["tRue", "1.0", "on "], id="int-bool"
    ),
    pytest.param(bool | int, ["0", "1", "true", "7", "-3"], ["00", "2.0"], id="bool-int"),
    pytest.param(int | float | bool, ["1", "1.5", "yes"], ["1.0", "x"], id="three"),
    pytest.param(bool | float | int, ["1", "0", "2.5", "on", "3"], ["1e0", "x"], id="three-others"),
    pytest.param(Number | int, ["1", "3"], ["01", "x"], id="int-enum"),
    pytest.param(Number | float, ["1", "1.5"], ["3", "3.0", "x"], id="int-enum-float"),
    pytest.param(Number | bool, ["1", "2", "true"], ["0", "x"], id="int-enum-bool"),
    pytest.param(
        Annotated[int, Field(gt=5)] | float, ["6", "1.5"], ["5", "5.0", "-1", "x"], id="bounds"
    ),
    pytest.param(
        date | datetime,
        ["2024-01-01", "2024-01-01T12:00:00", "2024-01-01 00:01", "2024-01-01T09:00:00.5+02:00"],
        ["2024-01-01T00:00:00", "2024-01-01 00:00:01", "86400", "x", "2024-02-30"],
        id="date-datetime",
    ),
    pytest.param(
        datetime | date, ["2024-01-01", "2024-01-01T00:00:00"], ["86400", "x"], id="datetime-date"
    ),
    pytest.param(
        date | time | UUID | HttpUrl,
        ["2024-01-01", "12:34", KEY, "http://a"],
        ["2024-01-01T00:00:00", "86400", "x", KEY.upper()],
        id="text",
    ),
    pytest.param(
        Colour | date, ["red", "2024-01-01", "2024-01-02", "86400"], ["x", "172800"], id="enum-date"
    ),
    pytest.param(
        date | Colour, ["2024-01-02", "red"], ["2024-01-01T00:00:00", "86400", "x"], id="date-enum"
    ),
    pytest.param(
        date | Literal["never", "0"], ["2024-01-01", "never", "0"], ["86400", "x"], id="literal"
    ),
    pytest.param(
        Decimal | datetime, ["1.5", "2024-01-01T00:00:00"], ["1e5", "NaN", "x"], id="decimal"
    ),
    pytest.param(timedelta | UUID, ["PT1S", "1:02:03"], ["P1Y", KEY, "x"], id="timedelta"),
    pytest.param(
        float | Literal["NA", "n/a", "1e5"], ["1.5", "NA", "n/a", "3", "1e5"], ["x", "nan"], id="NA"
    ),
    pytest.param(
        int | date | Colour, ["1", "2024-01-02", "red"], ["1.0", "x", "01"], id="number-date-enum"
    ),
    pytest.param(
        float | Names, ["1.5", 'quo"te', "line\nend"], ["é", "nan", "Infinity", "x"], id="names"
    ),
    pytest.param(date | int, ["2024-01-01"], ["1", "86400"], id="date-number"),
    pytest.param(int | Decimal, ["1", "1.5"], ["1.0", "x"], id="int-decimal"),
    pytest.param(UUID | float, [KEY, "1.5"], ["3", "1" * 32], id="uuid-float"),
    pytest.param(Rate | int, ["0.5", "2.0"], ["2", "3", "0.50"], id="float-enum"),
    pytest.param(StrictInt | float, ["1", "1.5"], ["x", "1e5"], id="strict"),
]


@pytest.mark.parametrize(("annotation", "sure", "unsure"), PROOFS)
def test_kernel_proves_the_sure_and_leaves_the_rest_when_types_are_joined(
    annotation: Any, sure: list[str], unsure: list[str]
) -> None:
    assert type(kernel_of(annotation)) is UnionKernel
    check_proofs(annotation, sure, [cell for cell in unsure if cell not in sure])


@pytest.mark.parametrize(
    "other",
    [
        *(int, float, bool, date, datetime, time, timedelta, Decimal, UUID, bytes, HttpUrl),
        *(Colour, Number, Literal["a", "x"], Literal[1], list[int], dict[str, int], set[str]),
        *(tuple[int, str], StrictInt, Annotated[Decimal, Field(multiple_of=2)]),
    ],
)
def test_text_stays_text_when_str_is_in_the_union(other: Any) -> None:
    for annotation in (str | other, other | str, int | other | str):
        assert type(kernel_of(annotation)) is StrKernel
        check_proofs(annotation, TEXTS, [])
    cells = [*HOSTILE, None]
    assert len(proved(kernel_of(str | other | None), cells)) == len(cells)
    values = ConfigDict(use_enum_values=True)
    check_proofs(other | str, TEXTS, [], values)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Annotated[int | str, Field(union_mode="left_to_right")], "smart mode"),
        (Annotated[str, StringConstraints(max_length=3)] | date, "constrained str"),
        (EmailStr | str, "cannot tell"),
        (Odd | str, "_missing_"),
        (BaseModel | str, "cannot tell"),
        (object | str, "cannot tell"),
        (Annotated[int, AfterValidator(abs)] | str, "cannot tell"),
        (Annotated[int, PlainSerializer(str)] | str, "cannot tell"),
        (Annotated[int | None, Field(gt=1)] | str, "cannot tell"),
        (StrictInt | list[int], "type list"),
    ],
)
def test_kernel_is_none_when_members_cannot_be_told_apart(annotation: Any, reason: str) -> None:
    assert reason in has_no_kernel(annotation)
    compare(model_of(annotation), [*TEXTS, None])


def test_plan_equals_pydantic_when_a_union_is_strict() -> None:
    config = ConfigDict(strict=True)
    for annotation in (int | str, int | float, date | datetime, Colour | Literal["a"]):
        compare(model_of(annotation, config), [*TEXTS, None])


LOOSENED: list[Any] = [
    pytest.param(int | float, "_with_fraction", ["3.0", "2.00"], id="whole-float"),
    pytest.param(date | datetime, "_with_time_of_day", ["2024-01-01T00:00:00"], id="midnight"),
]


@pytest.mark.parametrize(("annotation", "name", "cells"), LOOSENED)
def test_comparison_fails_when_a_condition_is_loosened(
    annotation: Any, name: str, cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loosen() -> None:
        loose = {
            pair: unions._always if rule is getattr(unions, name) else rule
            for pair, rule in unions._REFUSED.items()
        }
        monkeypatch.setattr(unions, "_REFUSED", loose)

    check_noticed(annotation, cells, loosen)


@pytest.mark.parametrize(
    ("annotation", "pair", "cells"),
    [
        (datetime | Decimal, ("datetime", "decimal"), ["86400"]),
        (date | Colour, ("date", "choice"), ["86400"]),
        (bool | int, ("bool", "int"), ["1", "0"]),
        (Number | bool, ("int-enum", "bool"), ["1"]),
        (Rate | int, ("float-enum", "int"), ["2"]),
        (UUID | float, ("uuid", "float"), ["1" * 32]),
        (float | Names, ("float", "choice"), ["Infinity"]),
        (time | timedelta, ("time", "timedelta"), ["12:34:56"]),
    ],
)
def test_comparison_fails_when_a_type_is_said_to_refuse_what_it_takes(
    annotation: Any, pair: tuple[str, str], cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def loosen() -> None:
        monkeypatch.setattr(unions, "_REFUSED", {**unions._REFUSED, pair: unions._always})
        # The first member proves what both take, so that it has to be silent.
        monkeypatch.setattr(unions.UnionKernel, "__init__", _last_only(unions.UnionKernel.__init__))

    check_noticed(annotation, cells, loosen)


def _last_only(init: Any) -> Any:
    def only(kernel: UnionKernel, members: Any) -> None:
        init(kernel, members)
        kernel._ways = kernel._ways[-1:]

    return only
