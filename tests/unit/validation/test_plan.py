"""Which models are proved over columns, and what a plan does with the rows that are not."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Optional, Union

import pyarrow as pa
import pytest
from differential import check_plan, text_batch
from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator
from row_models import ROW_MODELS

from zoopipe.errors import DeclarationError
from zoopipe.validation import compile_plan
from zoopipe.values import rows_of


class User(BaseModel):
    id: int
    name: str
    score: Optional[float] = None  # noqa: UP045
    active: bool | None
    born: date
    seen: datetime


GOOD = {
    "id": "7",
    "name": "Zoë",
    "score": "1.50",
    "active": "yes",
    "born": "2024-02-29",
    "seen": "2024-02-29 10:00:00",
}


def plain(**fields: Any) -> type[BaseModel]:
    return create_model("Plain", **fields)


class Titled(BaseModel):
    model_config = ConfigDict(title="T", frozen=True)
    a: int


class Documented(BaseModel):
    """With a description."""

    a: Annotated[int, Field(title="A", description="what", examples=[1])]


class Inherited(Titled):
    b: str


class Methods(BaseModel):
    a: int

    @property
    def twice(self) -> int:
        return 2 * self.a


@pytest.mark.parametrize(
    "model",
    [
        User,
        Titled,
        Documented,
        Inherited,
        Methods,
        plain(a=(int, 1), b=(str, "x"), c=(float, -0.0), d=(bool, True)),
        plain(a=(Optional[date], None), b=(Union[str, None], "")),  # noqa: UP007, UP045
        plain(a=(int, Field(alias="A")), b=(int, Field(validation_alias="B"))),
        plain(a=(int, Field(serialization_alias="A"))),
    ],
)
def test_plan_is_columnar_when_fields_are_plain(model: type[BaseModel]) -> None:
    assert compile_plan(model).columnar


# Models that stand among those for whole rows since their fields have more than a type.
PROVED = {
    "Bytes",
    "Choices",
    "Constrained",
    "DefaultFactory",
    "Excluded",
    "ExtraAllow",
    "FrozenField",
    "Nested",
    "PlainSerialized",
    "PopulateByName",
    "Seconds",
    "SecondsAsFloat",
    "SerializeByAlias",
    "Strict",
    "EnumValues",
    "FieldValidator",
    "RaisesAnything",
    "StrictField",
    "ExtraForbid",
    "NoInfinity",
    "Stripped",
    "Unions",
    "WithDecimal",
    "WithEnum",
    "WithLiteral",
}


@pytest.mark.parametrize("name", sorted(ROW_MODELS))
def test_plan_takes_whole_rows_when_the_model_needs_them(name: str) -> None:
    assert compile_plan(ROW_MODELS[name][0]).columnar == (name in PROVED)


@pytest.mark.filterwarnings("ignore:`json_encoders` is deprecated")
@pytest.mark.parametrize(
    "config",
    [
        {"strict": True},
        {"extra": "forbid"},
        {"extra": "allow"},
        {"str_strip_whitespace": True},
        {"str_to_lower": True},
        {"str_max_length": 3},
        {"coerce_numbers_to_str": True},
        {"allow_inf_nan": False},
        {"ser_json_inf_nan": "constants"},
        {"validate_default": True},
        {"serialize_by_alias": True},
        {"validate_by_name": True},
        {"hide_input_in_errors": True},
        {"val_temporal_unit": "seconds"},
        {"json_encoders": {int: str}},
    ],
)
def test_plan_never_trusts_config_when_it_may_change_an_answer(config: dict[str, Any]) -> None:
    model = create_model("Configured", __config__=ConfigDict(**config), a=(int, ...), b=(str, "x"))  # type: ignore[call-overload]
    compile_plan(model)
    rows = [{"a": cell, "b": text} for cell in ("1", " 1", "x", "1.0") for text in ("Abcd", " ")]
    check_plan(model, rows, ["a", "b"])


@pytest.mark.parametrize(
    "default", [None, 0, 10**30, -1, True, 1.5, "5", "no number", [1], {"a": 1}, date(2024, 1, 1)]
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("kind", [str, int, float, bool, date, datetime])
def test_plan_gives_the_default_when_the_column_is_missing(kind: type, default: Any) -> None:
    model = plain(a=(kind, default), b=(str, ...))
    check_plan(model, [{"b": "x"}, {"b": None}, {"b": ""}], ["b"])


def test_plan_rejects_every_row_when_a_required_column_is_missing() -> None:
    rows = [{"id": "1"}, {"id": "x"}]
    accepted = check_plan(User, rows, ["id"])
    assert len(accepted.refused) == 2


def test_plan_sends_only_unproved_rows_to_pydantic() -> None:
    rows = [dict(GOOD) for _ in range(1000)]
    rows[3]["id"], rows[500]["id"], rows[999]["born"] = "007", "x", "2023-02-29"
    accepted = check_plan(User, rows, list(GOOD))
    assert accepted.deferred == 3
    assert [position for position, _ in accepted.refused] == [500, 999]


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 2000])
@pytest.mark.parametrize("bad_every", [1, 2, 7, 3000])
def test_plan_keeps_order_when_bad_rows_are_mixed_in(count: int, bad_every: int) -> None:
    rows = [
        {**GOOD, "id": "bad" if number % bad_every == 0 else str(number)} for number in range(count)
    ]
    check_plan(User, rows, list(GOOD))


def test_plan_takes_any_column_order_and_ignores_extra_columns() -> None:
    names = ["other", *reversed(GOOD)]
    check_plan(User, [{**GOOD, "other": "x"}], names)


def test_plan_uses_aliases_and_not_names_when_both_are_columns() -> None:
    model = plain(a=(int, Field(alias="b")), b=(str, Field(alias="a")))
    check_plan(model, [{"a": "text", "b": "12"}, {"a": "1", "b": "text"}], ["a", "b"])


def test_plan_validates_values_when_columns_are_typed_already() -> None:
    class Model(BaseModel):
        a: int
        b: str

    batch = pa.RecordBatch.from_pydict({"a": [1, 2, None], "b": ["x", "y", "z"]})
    accepted = compile_plan(Model).columns(batch)
    assert rows_of(accepted.batch) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert [position for position, _ in accepted.refused] == [2]


def test_plan_refuses_only_the_row_when_a_validator_raises_no_value_error() -> None:
    class Model(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def _inverse(cls, value: int) -> int:
            return 12 // value

    accepted = compile_plan(Model).columns(text_batch([{"a": "3"}, {"a": "0"}, {"a": "4"}], ["a"]))
    assert accepted.batch.column(0).to_pylist() == ['{"a":4}', '{"a":3}']
    assert [(position, reasons[0]["type"]) for position, reasons in accepted.refused] == [
        (1, "validator_error")
    ]
    assert "ZeroDivisionError" in accepted.refused[0][1][0]["msg"]


def test_plan_refuses_the_row_when_its_json_text_cannot_be_made() -> None:
    class Loose(BaseModel):
        a: Any

    for nonfinite in ("null", "constants"):
        accepted = compile_plan(Loose, nonfinite).whole.lines([{"a": "\ud800"}, {"a": 1}])
        assert accepted.batch.column(0).to_pylist() == ['{"a":1}']
        assert [position for position, _ in accepted.refused] == [0]


@pytest.mark.parametrize("kind", [ValueError, KeyError])
def test_plan_gives_reasons_that_utf8_holds_when_a_value_is_a_lone_surrogate(
    kind: type[Exception],
) -> None:
    class Picky(BaseModel):
        a: Any

        @field_validator("a")
        @classmethod
        def _refuse(cls, value: Any) -> Any:
            raise kind(f"not {value}")

    ((_, reasons),) = compile_plan(Picky).whole.lines([{"a": "\ud800"}]).refused
    assert reasons[0]["msg"].encode()


def test_plan_says_why_when_there_is_no_complete_model() -> None:
    with pytest.raises(DeclarationError, match="BaseModel class"):
        compile_plan(dict)  # type: ignore[arg-type]

    class Unfinished(BaseModel):
        a: "Undefined"  # type: ignore[name-defined]  # noqa: F821, UP037

    with pytest.raises(DeclarationError, match="Unfinished is not fully defined"):
        compile_plan(Unfinished)
