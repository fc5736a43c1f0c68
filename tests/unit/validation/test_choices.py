"""What the kernels of enums, literals, bytes and bounded decimals prove, and that a looser proof would be
noticed."""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from proofs import check_noticed, check_proofs, compare, has_no_kernel, kernel_of, model_of
from pydantic import ConfigDict, Field

from zoopipe.arrays import text_array
from zoopipe.validation import choices, constraints, types
from zoopipe.validation.choices import ChoiceKernel, SpellingKernel
from zoopipe.validation.constraints import BoundsKernel
from zoopipe.validation.kernels import BytesKernel


class Colour(enum.Enum):
    RED = "red"
    DARK = "Dark Red"


class Level(enum.StrEnum):
    LOW = "low"

    def __str__(self) -> str:
        return "shown"


class Number(enum.IntEnum):
    ZERO = 0
    ONE = 1
    MINUS = -5
    HUGE = 2**70


class Rate(float, enum.Enum):
    HALF = 0.5
    TWO = 2.0


class Flag(enum.IntFlag):
    A = 1
    B = 2


class Plain(enum.Enum):
    ONE = 1
    TWO = 2


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1
    NOTHING = None


class Forgiving(enum.Enum):
    A = "a"
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Forgiving:
        return cls.ONE


VALUES = ConfigDict(use_enum_values=True)
ODD = ["01", "+1", " 1", "1.0", "1_0", "1e0", "-0", "3", "true", "ONE", "", str(2**70), "null"]
# Each row: a type, its kernel, settings, cells that are proved, and cells that are left to pydantic.
PROOFS: list[Any] = [
    pytest.param(Number, SpellingKernel, {}, ["0", "1", "-5"], ODD, id="int-enum"),
    pytest.param(Number, SpellingKernel, VALUES, ["0", "1", "-5"], ODD, id="values-of-int-enum"),
    pytest.param(
        Rate, SpellingKernel, {}, ["0.5", "2.0"], ["2", ".5", "0.50", "1"], id="float-enum"
    ),
    pytest.param(Rate, SpellingKernel, VALUES, ["0.5"], ["2"], id="values-of-float-enum"),
    pytest.param(Colour, ChoiceKernel, VALUES, ["red", "Dark Red"], ["RED", "DARK"], id="values"),
    pytest.param(Level, ChoiceKernel, {}, ["low"], ["shown", "LOW"], id="str-enum"),
    pytest.param(Level, ChoiceKernel, VALUES, ["low"], ["shown", "LOW"], id="values-of-str-enum"),
    pytest.param(Mixed, ChoiceKernel, VALUES, ["a"], ["1", "None", ""], id="values-of-mixed-enum"),
    pytest.param(
        Literal[Level.LOW, "b", 1, True, None, Number.ONE, b"c"],
        ChoiceKernel,
        {},
        ["low", "b"],
        ["shown", "1", "True", "true", "None", "c", ""],
        id="literal",
    ),
    pytest.param(bytes, BytesKernel, {}, ["", "a", "é", "\x00", "\u2028", "=="], [], id="bytes"),
    pytest.param(
        Annotated[bytes, Field(min_length=2, max_length=3)],
        BytesKernel,
        {},
        ["ab", "é", "abc", "日", "\r\n"],
        ["", "a", "日本", "éé", "abcd", "😀"],
        id="bytes-length",
    ),
    pytest.param(
        bytes, BytesKernel, {"str_strip_whitespace": True, "str_max_length": 1}, [" a "], [], id="b"
    ),
    pytest.param(
        Annotated[Decimal, Field(gt=0, le=10)],
        BoundsKernel,
        {},
        ["0.000001", "1", "9.999999", "10", "10.000000"],
        ["0", "0.0", "-1", "10.000001", "1e1", "NaN", "Infinity", "-0", "11", "9.9999999"],
        id="decimal-bounds",
    ),
    pytest.param(
        Annotated[Decimal, Field(ge=Decimal("-123456789.123456"), lt=Decimal("0.1"))],
        BoundsKernel,
        {},
        ["-123456789.123456", "0", "0.099999", "-1.5"],
        ["0.1", "0.10", "-123456789.123457", "1", "sNaN"],
        id="decimal-close-bounds",
    ),
    pytest.param(
        Annotated[Decimal, Field(ge=1, max_digits=3, decimal_places=1)],
        BoundsKernel,
        {},
        ["1", "99.9"],
        ["0.9", "100", "1.25"],
        id="decimal-digits-and-bounds",
    ),
]


@pytest.mark.parametrize(("annotation", "kind", "config", "sure", "unsure"), PROOFS)
def test_kernel_proves_the_sure_and_leaves_the_rest_when_values_are_chosen(
    annotation: Any, kind: type, config: ConfigDict, sure: list[str], unsure: list[str]
) -> None:
    assert type(kernel_of(annotation, config)) is kind
    check_proofs(annotation, sure, unsure, config)


@pytest.mark.parametrize(
    ("annotation", "config", "reason"),
    [
        (Plain, {}, "no strings"),
        (Plain, VALUES, "no strings"),
        (Literal[1, True, None], {}, "no strings"),
        (enum.IntEnum("Huge", {"HUGE": 2**70}), {}, "no text stands for"),
        (Flag, {}, "its own _missing_"),
        (Forgiving, {}, "its own _missing_"),
        (Forgiving, VALUES, "its own _missing_"),
        (Literal[Level.LOW], VALUES, "a validator of its own"),
        (bytes, {"ser_json_bytes": "base64"}, "ser_json_bytes"),
        (bytes, {"val_json_bytes": "hex"}, "val_json_bytes"),
        (Annotated[bytes, Field(max_length=2**63)], {}, "62 bits"),
        (Annotated[Decimal, Field(gt=Decimal("0.1234567890123456"))], {}, "15 digits"),
        (Annotated[Decimal, Field(gt=Decimal("1e-20"))], {}, "15 digits"),
        (Annotated[Decimal, Field(multiple_of=Decimal("0.5"))], {}, "multiple_of of decimal"),
    ],
)
def test_kernel_is_none_when_no_column_can_tell(annotation: Any, config: Any, reason: str) -> None:
    assert reason in has_no_kernel(annotation, config)
    compare(model_of(annotation, config), ["1", "a", "low", "0", "", "0.5", None])


def _keeps_any_case(kernel: ChoiceKernel, column: pa.StringArray) -> Any:
    lower = text_array([choice.lower() for choice in kernel._choices.to_pylist()])
    return kernel.proof(column, pa.compute.is_in(pa.compute.utf8_lower(column), value_set=lower))


LOOSENED: list[Any] = [
    pytest.param(Colour, VALUES, ChoiceKernel, "prove_text", _keeps_any_case, ["RED"], id="case"),
    pytest.param(
        Number, {}, choices, "spellings", lambda *_: {"01": 1, "1": 2}, ["01", "1"], id="number"
    ),
    pytest.param(Number, {}, choices, "spellings", lambda *_: {"x": 1}, ["x"], id="no-number"),
    pytest.param(
        Annotated[bytes, Field(max_length=1)],
        {},
        pa.compute,
        "binary_length",
        pa.compute.utf8_length,
        ["é"],
        id="bytes-as-characters",
    ),
    pytest.param(
        Annotated[Decimal, Field(gt=0)],
        {},
        BoundsKernel,
        "_kept",
        lambda _, proof: proof.cells.is_valid(),
        ["0"],
        id="decimal-bound",
    ),
    pytest.param(
        Annotated[Decimal, Field(gt=Decimal("0.1"))],
        {},
        constraints,
        "decimal_bounds_of",
        lambda schema: {"gt": 0.05},
        ["0.1"],
        id="decimal-bound-rounded",
    ),
]


@pytest.mark.parametrize(("annotation", "config", "where", "name", "loose", "cells"), LOOSENED)
def test_comparison_fails_when_a_proof_of_choices_is_loosened(
    annotation: Any,
    config: ConfigDict,
    where: Any,
    name: str,
    loose: Any,
    cells: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loosen() -> None:
        monkeypatch.setattr(where, name, loose)
        # The table of types has its own name for a function.
        if hasattr(types, name):
            monkeypatch.setattr(types, name, loose)

    check_noticed(annotation, cells, loosen, config)
