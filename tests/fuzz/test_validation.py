"""Random models and hostile rows: a plan's answers are a pydantic loop's, to the byte."""

from __future__ import annotations

import enum
import random
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from differential import HOSTILE, Row, check_plan, random_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, create_model
from row_models import ROW_MODELS

from zoopipe.validation import compile_plan

TYPES: dict[str, type] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
}
DEFAULTS: dict[str, list[Any]] = {
    "str": ["", "x", 'q"uo\\te\n', None],
    "int": [0, -7, 10**30, None, True, 1.5],
    "float": [0.0, -0.0, 1e16, 1e-7, 0.1, None, 3, float("inf")],
    "bool": [True, False, None, 1],
    "date": [date(2024, 2, 29), None, "2024-01-01"],
    "datetime": [datetime(2024, 2, 29, 1, 2, 3), None],
}
BATCHES = st.builds(
    lambda rows, hostile, null, seed: {
        "count": rows,
        "hostile_share": hostile,
        "null_share": null,
        "seed": seed,
    },
    rows=st.sampled_from([1, 2, 3, 10, 63, 64, 65, 300, 1000, 2000]),
    hostile=st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.1, 0.5, 1.0]),
    null=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    seed=st.integers(0, 2**32),
)


def repeatable(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def columnar_models(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, str], list[str]]:
    """A model, the type of each input column's cells, and the columns that the input has."""
    fields: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    present: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(TYPES)))
        annotation: Any = TYPES[kind]
        if draw(st.booleans()):
            annotation = Optional[annotation]  # noqa: UP045
        name, source, options = f"f{number}", f"f{number}", {}
        alias = draw(st.sampled_from([None, None, "alias", "validation_alias"]))
        if alias is not None:
            source = f"Col {number}"
            options[alias] = source
        has_default = draw(st.booleans())
        if has_default:
            options["default"] = draw(st.sampled_from(DEFAULTS[kind]))
        fields[name] = (annotation, Field(**options))
        if not has_default or draw(st.booleans()):
            present.append(source)
        kinds[source] = kind
    # A batch without any column would have no rows.
    if not present or draw(st.booleans()):
        kinds["extra"] = "str"
        present.append("extra")
    return create_model("Random", **fields), kinds, draw(st.permutations(present))


# A default that is no value of its type is written all the same, and pydantic warns.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@repeatable(400)
@given(columnar_models(), BATCHES)
def test_plan_equals_pydantic_when_models_are_random(
    made: tuple[type[BaseModel], dict[str, str], list[str]], batch: dict[str, Any]
) -> None:
    model, kinds, names = made
    rows = [{name: row[name] for name in names} for row in random_rows(kinds, **batch)]
    check_plan(model, rows, names)


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("kind", sorted(TYPES))
@repeatable(15)
@given(BATCHES)
def test_plan_proves_valid_rows_when_a_field_is_alone(
    kind: str, optional: bool, batch: dict[str, Any]
) -> None:
    annotation: Any = Optional[TYPES[kind]] if optional else TYPES[kind]  # noqa: UP045
    model = create_model("Single", value=(annotation, ...))
    assert compile_plan(model).columnar
    check_plan(model, random_rows({"value": kind}, **batch), ["value"])


@pytest.mark.parametrize("name", sorted(ROW_MODELS))
@repeatable(12)
@given(batch=BATCHES)
def test_plan_equals_pydantic_when_rows_are_validated_whole(
    name: str, batch: dict[str, Any]
) -> None:
    model, kinds = ROW_MODELS[name]
    rows = random_rows(kinds, **{**batch, "count": min(batch["count"], 300)})
    check_plan(model, rows, list(kinds))


Letters = enum.Enum("Letters", {"A": "a", "SHARP": "ß", "EMPTY": "", "ONE": "1"})
Words = enum.StrEnum("Words", {"LOW": "low", "HIGH": "High"})
Numbers = enum.IntEnum("Numbers", {"ZERO": 0, "ONE": 1})
MixedEnum = enum.Enum("MixedEnum", {"A": "a", "ONE": 1, "TWO": "2", "HALF": 0.5, "NONE": None})
CHOICES: list[Any] = [
    Literal["a"],
    Literal["a", "A", "", " a", "ß"],
    Literal["1", 1, True, None, "true"],
    Literal["a", Words.LOW],
    Literal[1, 2],
    *(Letters, Words, Numbers, MixedEnum),
]
PATTERNS = [
    *("^a", "a$", r"^\d+$", r"^\w{1,3}$", r"^(a|bc|\d)+$", "[a-f0-9]", "^[^a-c]*$", r"\W", r"^\D$"),
    *("^$", ".", "^.$", r"^[A-Z][a-z]+(-\d{2})?$", "a|b$", "(?i)^ABC$", r"\bab", r"^\s*$", "a**"),
]
UUID_TEXT = "0a1b2c3d-0000-4fff-8000-0123456789ab"
HARD: dict[str, list[str]] = {
    "int": [
        "0",
        "1",
        "-1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "-3",
        "9",
        "10",
        "11",
        "+3",
        "3.0",
        " 3",
        "03",
    ],
    "float": [
        *(
            "0.0",
            "-0.0",
            "0.5",
            "0.50",
            "0.49999999999999994",
            "1.0",
            "3",
            "3.0",
            "3.5",
            "2.9999999",
        ),
        *("10.0", "10.000000000000002", "-3.0", "1e1", "nan", "inf", "-inf", "NaN", "1e400", "3."),
    ],
    "str": [
        *(
            "",
            "a",
            "A",
            "ab",
            "abc",
            "abcd",
            "bc1",
            "Abc-12",
            " a",
            "a ",
            "a\n",
            "\na",
            "12\n",
            "a b",
        ),
        *("\u00a0a", "a\u3000", "\u2028", "a\x85", "\x1fa", "\ufeffa", "\u200ba", "\x00", "a\x0b"),
        *("ß", "ẞ", "İ", "ı", "ǅ", "Ǆ", "ŉ", "ﬁ", "Σ", "ΑΣ", "ς", "\u212a", "e\u0301", "i\u0307"),
        *(
            "😀",
            "a😀",
            "😀😀",
            "😀😀😀",
            "👩\u200d👧",
            "é",
            "éa",
            "٣",
            "１２",
            "²",
            "日本",
            "_",
            "~",
            "\x7f",
        ),
    ],
    "choice": [
        *("a", "A", "ß", "SS", "", " a", "a ", "low", "LOW", "High", "high", "0", "1", "2", "1.0"),
        *("0.5", "true", "True", "None", "Letters.A", "ONE"),
    ],
    "uuid": [
        *(UUID_TEXT, UUID_TEXT.upper(), UUID_TEXT.title(), UUID_TEXT.replace("-", "")),
        *(f"{{{UUID_TEXT}}}", f"urn:uuid:{UUID_TEXT}", f"URN:UUID:{UUID_TEXT}", f" {UUID_TEXT}"),
        *(f"{UUID_TEXT}\n", UUID_TEXT[1:], UUID_TEXT[:-1] + "g", UUID_TEXT.replace("-", "_")),
        *("-" * 36, UUID_TEXT.replace("0", "٠"), "0" * 32, UUID_TEXT[:9] + "-" + UUID_TEXT[9:]),
    ],
    "decimal": [
        *(
            "0",
            "0.0",
            "-0",
            "-0.0",
            "0.000000",
            "0.0000000",
            "0.000001",
            "0.0000001",
            "1E-7",
            "1e3",
        ),
        *(
            "1E+3",
            "1_000",
            " 1",
            "1 ",
            "1\n",
            ".5",
            "5.",
            "NaN",
            "-NaN",
            "sNaN",
            "Infinity",
            "-inf",
        ),
        *("1" * 30, "0." + "1" * 30, "1" * 29 + ".5", "99.9", "99.99", "100", "100.00", "999.99"),
        *("1000", "12345", "0.1", "0.01", "0.001", "1.10", "-1.5", "+1", "00.1", "٣", "1,5", "0x1"),
    ],
}


@st.composite
def constrained_types(draw: st.DrawFn, kind: str) -> Any:
    """A type of `kind` with constraints, some through `Field`, some through `StringConstraints`."""
    if kind == "choice":
        return draw(st.sampled_from(CHOICES))
    if kind == "uuid":
        return UUID
    numbers = {"int": st.integers(-3, 10), "float": st.sampled_from([-3.0, 0.0, 0.5, 3, 10.0])}
    options: dict[str, st.SearchStrategy[Any]]
    if kind == "decimal":
        options = {"max_digits": st.integers(0, 12), "decimal_places": st.integers(0, 8)}
    elif kind == "str":
        flag, length = st.booleans(), st.integers(0, 3)
        options = {"pattern": st.sampled_from(PATTERNS), "min_length": length, "max_length": length}
        if draw(flag):
            cases = {"strip_whitespace": flag, "to_lower": flag, "to_upper": flag}
            made = draw(st.fixed_dictionaries({}, optional={**options, **cases}))
            return Annotated[str, StringConstraints(**made)]
    else:
        options = dict.fromkeys(("gt", "ge", "lt", "le"), numbers[kind])
        options["multiple_of"] = st.sampled_from([1, 2, 3, 7] if kind == "int" else [0.5, 3.0])
        # More than two bounds leave hardly a number.
        names = draw(st.lists(st.sampled_from(sorted(options)), unique=True, max_size=2))
        number: Any = int if kind == "int" else float
        return Annotated[number, Field(**{name: draw(options[name]) for name in names})]
    made = draw(st.fixed_dictionaries({}, optional=options))
    annotation: Any = str if kind == "str" else Decimal
    return Annotated[annotation, Field(**made)]


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "str_strip_whitespace": st.booleans(),
        "str_to_lower": st.booleans(),
        "str_to_upper": st.booleans(),
        "str_min_length": st.integers(0, 2),
        "str_max_length": st.integers(1, 4),
        # pydantic takes True for no model with a constrained Decimal; it is the default for floats.
        "allow_inf_nan": st.just(False),
        "coerce_numbers_to_str": st.booleans(),
        "extra": st.sampled_from(["ignore", "forbid"]),
    },
)
FACTORIES: dict[str, Any] = {
    "int": lambda: 7,
    "float": lambda: 0.5,
    "str": lambda: " A ",
    "choice": lambda: Words.LOW,
    "uuid": lambda: UUID(UUID_TEXT),
    "decimal": lambda: Decimal("1E-7"),
}


@st.composite
def constrained_models(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, str], list[str]]:
    """A model of constrained fields, the kind of each column's cells, and the input's columns."""
    fields: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    names: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        name, kind = f"f{number}", draw(st.sampled_from(sorted(HARD)))
        annotation = draw(constrained_types(kind))
        if draw(st.booleans()):
            annotation = Optional[annotation]  # noqa: UP045
        default = draw(st.sampled_from(["none", "none", "null", "value", "factory"]))
        options: dict[str, Any] = {
            "none": {},
            "null": {"default": None},
            "value": {"default": FACTORIES[kind]()},
            "factory": {"default_factory": FACTORIES[kind]},
        }[default]
        fields[name] = (annotation, Field(**options))
        kinds[name] = kind
        if default == "none" or draw(st.booleans()):
            names.append(name)
    # A batch without any column would have no rows; extra='forbid' is met with and without one.
    if not names or draw(st.integers(0, 5)) == 0:
        kinds["extra"] = "str"
        names.append("extra")
    config: Any = draw(st.one_of(st.just({}), CONFIGS))
    return create_model("Constrained", __config__=ConfigDict(**config), **fields), kinds, names


def hard_rows(kinds: dict[str, str], count: int, seed: int) -> list[Row]:
    """Rows of cells that are hard for the kind of their column, and some that are for any."""
    chance = random.Random(seed)
    nulls, anything = chance.choice((0.0, 0.1)), chance.choice((0.0, 0.05))

    def cell(kind: str) -> str | None:
        roll = chance.random()
        if roll < nulls:
            return None
        return chance.choice(HOSTILE if roll < nulls + anything else HARD[kind])

    return [{name: cell(kind) for name, kind in kinds.items()} for _ in range(count)]


# A default that is no value of its type is written all the same, and pydantic warns.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@repeatable(1200)
@given(constrained_models(), st.sampled_from([1, 5, 60, 150]), st.integers(0, 2**32))
def test_plan_equals_pydantic_when_fields_are_constrained(
    made: tuple[type[BaseModel], dict[str, str], list[str]], count: int, seed: int
) -> None:
    model, kinds, names = made
    rows = hard_rows({name: kinds[name] for name in names}, count, seed)
    check_plan(model, rows, names)
