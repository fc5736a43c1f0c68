"""Models of random fields, made by hypothesis, with the kind of cells that each of their columns holds."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, NamedTuple, Optional
from uuid import UUID

from hostile import HARD, UUID_TEXT
from hypothesis import strategies as st
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    NaiveDatetime,
    StringConstraints,
    UrlConstraints,
    create_model,
)
from row_models import ROW_MODELS


class Made(NamedTuple):
    """A model, the kind of each column's cells, and the columns that the input has."""

    model: type[BaseModel]
    kinds: dict[str, str]
    names: list[str]


TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "aware": AwareDatetime,
    "naive": NaiveDatetime,
    "time": time,
    "timedelta": timedelta,
    "bytes": bytes,
    "decimal": Decimal,
    "uuid": UUID,
    "email": EmailStr,
    "url": HttpUrl,
}
DEFAULTS: dict[str, list[Any]] = {
    "str": ["", "x", 'q"uo\\te\n', None],
    "int": [0, -7, 10**30, None, True, 1.5],
    "float": [0.0, -0.0, 1e16, 1e-7, 0.1, None, 3, float("inf")],
    "bool": [True, False, None, 1],
    "date": [date(2024, 2, 29), None, "2024-01-01"],
    "datetime": [datetime(2024, 2, 29, 1, 2, 3), None],
    "aware": [datetime(2024, 2, 29, tzinfo=UTC), None],
    "naive": [datetime(2024, 2, 29, 1, 2, 3), None],
    "time": [time(1, 2, 3, 4), None],
    "timedelta": [timedelta(days=-1, seconds=2), None],
    "bytes": [b"x", None],
    "decimal": [Decimal("1.50"), None],
    "uuid": [UUID(UUID_TEXT), None],
    "email": ["not checked", None],
    "url": [None],
}


@st.composite
def columnar_models(draw: st.DrawFn) -> Made:
    """A model of plain types, some optional, with defaults and aliases."""
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
    return Made(create_model("Random", **fields), kinds, draw(st.permutations(present)))


Letters = enum.Enum("Letters", {"A": "a", "SHARP": "ß", "EMPTY": "", "ONE": "1"})
Words = enum.StrEnum("Words", {"LOW": "low", "HIGH": "High"})
Numbers = enum.IntEnum("Numbers", {"ZERO": 0, "ONE": 1, "MINUS": -5})
MixedEnum = enum.Enum("MixedEnum", {"A": "a", "ONE": 1, "TWO": "2", "HALF": 0.5, "NONE": None})


class Rates(float, enum.Enum):
    HALF = 0.5
    TWO = 2.0


class Forgiving(enum.Enum):
    LOW = "low"
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Forgiving | None:
        return cls.ONE if value == "a" else None


CHOICES: list[Any] = [
    Literal["a"],
    Literal["a", "A", "", " a", "ß"],
    Literal["1", 1, True, None, "true"],
    Literal["a", Words.LOW],
    Literal[1, 2],
    *(Letters, Words, MixedEnum, Forgiving),
]
PATTERNS = [
    *("^a", "a$", r"^\d+$", r"^\w{1,3}$", r"^(a|bc|\d)+$", "[a-f0-9]", "^[^a-c]*$", r"\W", r"^\D$"),
    *("^$", ".", "^.$", r"^[A-Z][a-z]+(-\d{2})?$", "a|b$", "(?i)^ABC$", r"\bab", r"^\s*$", "a**"),
]
URLS: list[Any] = [
    *(HttpUrl, AnyUrl),
    Annotated[AnyUrl, UrlConstraints(max_length=12)],
    Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "ws", "foo"])],
    Annotated[HttpUrl, UrlConstraints(default_port=8080)],
]
IN_UNIONS: list[Any] = [
    *(int, float, bool, date, datetime, time, timedelta, bytes, Decimal, UUID, HttpUrl, EmailStr),
    *(str, Letters, Words, Numbers, MixedEnum, Rates, Literal["a", "1"], Literal[1], list[int]),
    *(Annotated[int, Field(gt=0)], Annotated[float, Field(strict=True)], dict[str, int]),
    Annotated[str, StringConstraints(max_length=3, to_lower=True)],
]
_LENGTHS = {"min_length": st.integers(0, 3), "max_length": st.integers(0, 3)}


def _bounds(numbers: st.SearchStrategy[Any], multiples: list[Any]) -> dict[str, Any]:
    bounds: dict[str, Any] = dict.fromkeys(("gt", "ge", "lt", "le"), numbers)
    return {**bounds, "multiple_of": st.sampled_from(multiples)}


_NUMBERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "int": (int, _bounds(st.integers(-3, 10), [1, 2, 3, 7])),
    "float": (float, _bounds(st.sampled_from([-3.0, 0.0, 0.5, 3, 10.0]), [0.5, 3.0])),
    "decimal": (
        Decimal,
        {
            **_bounds(st.sampled_from([Decimal("-1.5"), 0, Decimal("0.1"), 10]), [Decimal("0.5")]),
            "max_digits": st.integers(0, 12),
            "decimal_places": st.integers(0, 8),
        },
    ),
}


@st.composite
def constrained_types(draw: st.DrawFn, kind: str) -> Any:
    """A type of `kind` with constraints, some through `Field`, some through `StringConstraints`."""
    several = {"choice": CHOICES, "number": [Numbers, Rates], "url": URLS}
    if kind in several:
        return draw(st.sampled_from(several[kind]))
    if kind == "union":
        members = draw(st.lists(st.sampled_from(IN_UNIONS), min_size=2, max_size=3, unique_by=repr))
        return reduce(or_, members)
    if kind in _NUMBERS:
        number, options = _NUMBERS[kind]
        # More than two bounds leave hardly a number.
        names = draw(st.lists(st.sampled_from(sorted(options)), unique=True, max_size=2))
        return Annotated[number, Field(**{name: draw(options[name]) for name in names})]
    if kind == "str":
        return draw(_texts())
    if kind == "bytes":
        return Annotated[bytes, Field(**draw(st.fixed_dictionaries({}, optional=_LENGTHS)))]
    return TYPES[kind]


@st.composite
def _texts(draw: st.DrawFn) -> Any:
    flag = st.booleans()
    options = {"pattern": st.sampled_from(PATTERNS), **_LENGTHS}
    if draw(flag):
        cases = {"strip_whitespace": flag, "to_lower": flag, "to_upper": flag}
        made = draw(st.fixed_dictionaries({}, optional={**options, **cases}))
        return Annotated[str, StringConstraints(**made)]
    return Annotated[str, Field(**draw(st.fixed_dictionaries({}, optional=options)))]


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
        "use_enum_values": st.booleans(),
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
    "number": lambda: Numbers.ONE,
    "bytes": lambda: b"b",
    "union": lambda: None,
}


@st.composite
def constrained_models(draw: st.DrawFn) -> Made:
    """A model of constrained fields, choices and unions, with defaults and settings."""
    fields: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    names: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        name, kind = f"f{number}", draw(st.sampled_from(sorted(HARD)))
        annotation = draw(constrained_types(kind))
        if draw(st.booleans()):
            annotation = Optional[annotation]  # noqa: UP045
        made = ["value", "factory"] if kind in FACTORIES else []
        default = draw(st.sampled_from(["none", "none", "null", *made]))
        options: dict[str, Any] = {"none": {}, "null": {"default": None}}.get(default, {})
        if default == "value":
            options = {"default": FACTORIES[kind]()}
        elif default == "factory":
            options = {"default_factory": FACTORIES[kind]}
        fields[name] = (annotation, Field(**options))
        kinds[name] = kind
        if default == "none" or draw(st.booleans()):
            names.append(name)
    # A batch without any column would have no rows; extra='forbid' is met with and without one.
    if not names or draw(st.integers(0, 5)) == 0:
        kinds["extra"] = "str"
        names.append("extra")
    config: Any = draw(st.one_of(st.just({}), CONFIGS))
    model = create_model("Constrained", __config__=ConfigDict(**config), **fields)
    return Made(model, kinds, names)


def row_models() -> st.SearchStrategy[Made]:
    """The models with a feature of their own."""
    return st.sampled_from(sorted(ROW_MODELS)).map(_row_model)


def _row_model(name: str) -> Made:
    model, kinds = ROW_MODELS[name]
    return Made(model, kinds, list(kinds))
