"""What the kernels of constrained values prove, and that a looser proof would be noticed."""

from __future__ import annotations

import enum
import math
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pyarrow as pa
import pytest
from proofs import check_proofs, compare, kernel_of, model_of
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    create_model,
    field_serializer,
    field_validator,
)

from zoopipe.validation import compile_plan, constraints, kernels
from zoopipe.validation.choices import ChoiceKernel
from zoopipe.validation.constraints import BoundsKernel, TextKernel, bounds_of, is_plain_pattern
from zoopipe.validation.kernels import Kernel, Proof, UUIDKernel
from zoopipe.validation.numbers import DecimalKernel

UUID_TEXT = "0a1b2c3d-0000-4fff-8000-0123456789ab"


class Colour(enum.Enum):
    RED = "red"
    DARK = "Dark Red"


class Mixed(enum.Enum):
    TEXT = "a"
    NUMBER = 1
    DIGIT = "2"


class Level(enum.StrEnum):
    LOW = "low"


Text = StringConstraints
# Each row: a type, the kernel that proves it, cells it proves, and cells that it leaves to pydantic,
# whatever pydantic then says of them.
PROOFS: list[Any] = [
    pytest.param(
        Annotated[int, Field(gt=0, le=10)],
        BoundsKernel,
        ["1", "10"],
        ["0", "11", "-1", "007", "+5", " 5", "5.0", "9223372036854775808", ""],
        id="int-bounds",
    ),
    pytest.param(
        Annotated[int, Field(ge=0, lt=10)],
        BoundsKernel,
        ["0", "9"],
        ["-1", "10", "-0"],
        id="int-other-bounds",
    ),
    pytest.param(
        Annotated[int, Field(multiple_of=3)],
        BoundsKernel,
        ["0", "3", "-9", "999999999999999999"],
        [
            "1",
            "-1",
            "-10",
            "9223372036854775806",
            "9223372036854775807",
            "-9223372036854775808",
            "03",
        ],
        id="int-multiple",
    ),
    pytest.param(
        Annotated[int, Field(ge=-(2**62) + 1, le=2**62 - 1)],
        BoundsKernel,
        [str(2**62 - 1), str(1 - 2**62)],
        [str(2**62), str(-(2**62))],
        id="int-large-bounds",
    ),
    pytest.param(
        Annotated[float, Field(gt=0.5, le=1e16)],
        BoundsKernel,
        ["0.6", "1.0", "10000000000000000.0"],
        ["0.5", "-1.5", "nan", "inf", "10000000000000002", "1e5", "x"],
        id="float-bounds",
    ),
    pytest.param(
        Annotated[float, Field(ge=0)],
        BoundsKernel,
        ["-0.0", "0.0", "0.1"],
        ["-0.1", "-inf"],
        id="float-zero",
    ),
    pytest.param(
        Annotated[float, Field(gt=math.nan)], BoundsKernel, [], ["1.0", "nan"], id="float-nan"
    ),
    pytest.param(
        Annotated[str, Text(min_length=2, max_length=3)],
        TextKernel,
        ["ab", "abc", "é😀", "e\u0301x", "  ", "\n\n"],
        ["", "a", "😀", "abcd", "😀😀😀😀", "e\u0301e\u0301"],
        id="length",
    ),
    pytest.param(
        Annotated[str, Field(max_length=2**63)], TextKernel, ["", "a"], [], id="length-64-bits"
    ),
    pytest.param(
        Annotated[str, Field(min_length=2**63)], TextKernel, [], ["", "a"], id="length-too-long"
    ),
    pytest.param(
        Annotated[str, Text(strip_whitespace=True, min_length=1)],
        TextKernel,
        ["a", "a b", "a\nb", "a\u00a0b", "aéb"],
        ["", " a", "a ", "a\n", "\u00a0a", "a\u3000", "\x1fa", "a\x85", "\ufeffa", "é"],
        id="strip",
    ),
    pytest.param(
        Annotated[str, Text(to_lower=True)],
        TextKernel,
        ["", "ABC", "aB c!"],
        ["ß", "İ", "ǅ", "ΑΣ", "\u212a", "A\n", "\x7f", "é"],
        id="lower",
    ),
    pytest.param(
        Annotated[str, Text(to_upper=True)],
        TextKernel,
        ["", "abc", "ABc"],
        ["ß", "ŉ", "ǆ", "ﬁ", "ı", "a\t"],
        id="upper",
    ),
    pytest.param(
        Annotated[str, Field(pattern=r"^\d+$")],
        TextKernel,
        ["0", "123"],
        ["", "1\n", "٣", "１", "1a", "1\x00"],
        id="digits",
    ),
    pytest.param(
        Annotated[str, Field(pattern=r"^(?:a|b)$|^[^x-z]{2}$")], None, [], ["a", "xx"], id="group"
    ),
    pytest.param(
        Annotated[str, Field(pattern=r"^(a|b)$|^[^x-z]{2}$")],
        TextKernel,
        ["a", "b", "cd", "a "],
        ["c", "xx", "éa", "a\n", "ab\n"],
        id="alternation",
    ),
    pytest.param(
        Literal["a", "B", "", "é"], ChoiceKernel, ["a", "B", "", "é"], ["A", "b", " a"], id="choice"
    ),
    pytest.param(
        Literal["a", 1, True, None, "1"], ChoiceKernel, ["a", "1"], ["True", "0"], id="choice-mixed"
    ),
    pytest.param(Colour, ChoiceKernel, ["red", "Dark Red"], ["RED", "DARK", "red "], id="enum"),
    pytest.param(Mixed, ChoiceKernel, ["a", "2"], ["1", "TEXT", "b"], id="enum-mixed"),
    pytest.param(Level, ChoiceKernel, ["low"], ["LOW", ""], id="enum-of-str"),
    pytest.param(
        UUID,
        UUIDKernel,
        [UUID_TEXT, "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12],
        [
            UUID_TEXT.upper(),
            UUID_TEXT.replace("-", ""),
            f"{{{UUID_TEXT}}}",
            f"urn:uuid:{UUID_TEXT}",
            f" {UUID_TEXT}",
            f"{UUID_TEXT}\n",
            UUID_TEXT[:-1],
            UUID_TEXT.replace("a", "g"),
            UUID_TEXT.replace("0", "٠"),
        ],
        id="uuid",
    ),
    pytest.param(
        Decimal,
        DecimalKernel,
        ["0", "0.000000", "0.000001", "-1.50", "100", "123456789.123456"],
        [
            *(
                "-0",
                "-0.5",
                "0.0000001",
                "1E-7",
                "1e5",
                "00",
                "01",
                "+1",
                " 1",
                "1 ",
                "1_000",
                ".5",
            ),
            *("5.", "NaN", "sNaN", "Infinity", "-inf", "1" * 30, "٣", "1\n", ""),
        ],
        id="decimal",
    ),
    pytest.param(
        Annotated[Decimal, Field(max_digits=5, decimal_places=2)],
        DecimalKernel,
        ["0", "0.01", "999.99", "-1.5", "100"],
        ["1000", "0.001", "1.500", "999.990", "1E3"],
        id="decimal-digits-and-places",
    ),
    pytest.param(
        Annotated[Decimal, Field(max_digits=3)],
        DecimalKernel,
        ["0.01", "1", "9.99"],
        ["10", "0.001", "1.000", "1234", "0.0001"],
        id="decimal-digits",
    ),
    pytest.param(
        Annotated[Decimal, Field(max_digits=1)],
        DecimalKernel,
        ["0", "7", "-7"],
        ["0.1", "10", "1.0"],
        id="decimal-one-digit",
    ),
    pytest.param(
        Annotated[Decimal, Field(max_digits=0)], None, [], ["0", "1"], id="decimal-no-digit"
    ),
    pytest.param(
        Annotated[Decimal, Field(decimal_places=0)],
        DecimalKernel,
        ["0", "-7", "100"],
        ["1.0", "1.5", "1."],
        id="decimal-whole",
    ),
]


@pytest.mark.parametrize(("annotation", "kind", "sure", "unsure"), PROOFS)
def test_kernel_proves_the_sure_and_leaves_the_rest_when_values_are_constrained(
    annotation: Any, kind: type | None, sure: list[str], unsure: list[str]
) -> None:
    if kind is None:
        compare(model_of(annotation), [*sure, *unsure, None])
        return
    assert type(kernel_of(annotation)) is kind
    check_proofs(annotation, sure, unsure)


SETTINGS: list[Any] = [
    ({"str_strip_whitespace": True}, str, ["a", " a", "a\u2003", "é"]),
    ({"str_strip_whitespace": True}, Annotated[str, Text(strip_whitespace=False)], [" a", "a"]),
    ({"str_to_lower": True}, str, ["A", "É", "İ"]),
    ({"str_to_lower": True}, Annotated[str, Text(to_lower=False)], ["A", "É"]),
    ({"str_to_upper": True}, str, ["a", "ß"]),
    ({"str_to_lower": True, "str_to_upper": True}, str, ["a", "A"]),
    ({"str_to_lower": True}, Annotated[str, Text(to_upper=True)], ["aB"]),
    ({"str_to_lower": True}, Annotated[str, Text(pattern="^[A-Z]+$")], ["A", "a"]),
    ({"str_min_length": 2}, str, ["", "a", "ab", "😀"]),
    ({"str_min_length": 2}, Annotated[str, Field(min_length=1)], ["", "a"]),
    ({"str_max_length": 2}, Annotated[str, Field(max_length=3)], ["ab", "abc", "abcd"]),
    ({"str_max_length": 2**63}, str, ["ab"]),
    ({"allow_inf_nan": False}, Annotated[float, Field(ge=0)], ["nan", "inf", "1.5", "-1"]),
    ({"allow_inf_nan": False}, Decimal, ["NaN", "Infinity", "1.5"]),
    ({"str_strip_whitespace": True, "str_to_lower": True}, Literal["a"], ["a", " a", "A"]),
    ({"regex_engine": "python-re"}, Annotated[str, Field(pattern="^a$")], ["a", "a\n"]),
]


@pytest.mark.parametrize(("config", "annotation", "cells"), SETTINGS)
def test_plan_equals_pydantic_when_settings_constrain_values(
    config: ConfigDict, annotation: Any, cells: list[str]
) -> None:
    compare(model_of(annotation, config), cells)


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "a",
            "^a$",
            r"^\d{3}-\d{4}$",
            r"^\w+@\w+\.[a-z]{2,6}$",
            "^(a|b|)$",
            "a|^b",
            "[^a-z_]",
        ),
        *(r"[\w.+-]", "a{2,}", "a+?", r"\\", r"[$\^]", "[a-c-]", "^*", "x{0}"),
    ],
)
def test_pattern_is_plain_and_matched_alike_when_it_is_usual(pattern: str) -> None:
    assert is_plain_pattern(pattern)
    texts = ["", "a", "b", "ab", "aa", "A", "_", "123-4567", "x@y.org", "\\", "$", "^", "-", "a\n"]
    compare(model_of(Annotated[str, Field(pattern=pattern)]), [*texts, "é", "٣", "~", " ", "c d"])


@pytest.mark.parametrize(
    "pattern",
    [
        *("(?i)a", "(?:a)", "a(?=b)", r"a\b", r"\s", r"\Aa", r"\p{L}", r"\x41", "é", "a\n"),
        *("[a&&b]", "[a--b]", "[a~~b]", "[[:alpha:]]", "[[a]b]", r"[\s]", "a{,3}", "}", "{"),
        # Arrow cannot compile these; pydantic can, some of them.
        *(
            "a**",
            "a+*",
            "a????",
            "a{2}{3}",
            "(a",
            "[z-a]",
            "a{2,1}",
            "(a{999}){999}",
            "(a{99}){99}",
        ),
        *(None, 1, b"a"),
    ],
)
def test_pattern_is_not_plain_when_arrow_may_read_it_differently(pattern: object) -> None:
    assert not is_plain_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a**", "a+*", "a????", "^(a{2}){3}$", "a{2}{3}", r"^a\b"])
def test_plan_equals_pydantic_when_a_pattern_is_odd(pattern: str) -> None:
    compare(model_of(Annotated[str, Field(pattern=pattern)]), ["", "a", "aa", "aaaaaa", "b", "a\n"])


@pytest.mark.parametrize(
    ("bounds", "kind", "known"),
    [
        ({"gt": 0, "le": 5, "multiple_of": 5}, int, True),
        ({}, int, True),
        ({"gt": 2**62 - 1}, int, True),
        ({"gt": 2**62}, int, False),
        ({"lt": -(2**62)}, int, False),
        ({"gt": 1.5}, int, False),
        ({"gt": True}, int, False),
        ({"multiple_of": 0}, int, False),
        ({"multiple_of": -2}, int, False),
        ({"gt": 0, "le": 0.5}, float, True),
        ({"gt": -math.inf}, float, True),
        ({"multiple_of": 0.5}, float, False),
        ({"gt": Decimal(1)}, float, False),
    ],
)
def test_bounds_are_known_when_columns_can_compare_with_them(
    bounds: dict[str, Any], kind: type, known: bool
) -> None:
    assert bounds_of({"type": kind.__name__, **bounds}, kind) == (bounds if known else None)


@pytest.mark.parametrize(("digits", "places"), [(2, 2), (2, 5), (0, None), (0, 0)])
def test_decimal_kernel_refuses_to_be_made_when_no_whole_digit_is_left(
    digits: int, places: int | None
) -> None:
    with pytest.raises(ValueError, match="before the point"):
        DecimalKernel(digits, places)


def _drop_multiple(kernel: BoundsKernel) -> None:
    kernel._multiple = None


def _drop_bounds(kernel: BoundsKernel) -> None:
    kernel._bounds = []


def _attribute(name: str, loose: Any) -> Any:
    return lambda kernel: setattr(kernel, name, loose)


def _another_choice(kernel: ChoiceKernel) -> None:
    kernel._choices = pa.array([*kernel._choices.to_pylist(), "RED"])


BELOW = constraints._COMPARISONS["le"]
# Each row: a type, what loosens its kernel, and the cells that then get a wrong answer.
LOOSENED: list[Any] = [
    pytest.param(Annotated[int, Field(gt=3)], _drop_bounds, ["3", "4"], id="bounds"),
    pytest.param(Annotated[float, Field(lt=3)], _drop_bounds, ["3.0", "2.5"], id="float-bounds"),
    pytest.param(Annotated[int, Field(multiple_of=3)], _drop_multiple, ["4", "3"], id="multiple"),
    pytest.param(
        Annotated[int, Field(lt=3)],
        lambda kernel: setattr(kernel, "_bounds", [(BELOW, bound) for _, bound in kernel._bounds]),
        ["3", "2"],
        id="bound-taken-in",
    ),
    pytest.param(
        Annotated[str, Text(min_length=2)], _attribute("_lengths", []), ["a"], id="length"
    ),
    pytest.param(
        Annotated[str, Text(strip_whitespace=True)],
        _attribute("_strip", False),
        [" a", "a"],
        id="strip",
    ),
    pytest.param(
        Annotated[str, Text(strip_whitespace=True)],
        _attribute("_STRIPPED", r"^(?:\S(?:(?s:.)*\S)?)?$"),
        ["\u3000a"],
        id="strip-unicode",
    ),
    pytest.param(
        Annotated[str, Text(to_lower=True)],
        _attribute("_ASCII", r"(?s)^.*$"),
        ["É", "İ"],
        id="lower-unicode",
    ),
    pytest.param(
        Annotated[str, Text(to_upper=True)], _attribute("_upper", False), ["a"], id="upper"
    ),
    pytest.param(
        Annotated[str, Field(pattern="^[a-c]+$")],
        _attribute("_pattern", "^[a-c]+"),
        ["a\n", "ad"],
        id="pattern",
    ),
    pytest.param(
        Annotated[str, Field(pattern=r"^\D$")],
        _attribute("_ASCII", r"(?s)^.*$"),
        ["٣"],
        id="pattern-unicode",
    ),
    pytest.param(Colour, _another_choice, ["RED", "red"], id="enum"),
    pytest.param(Literal["red"], _another_choice, ["RED", "red"], id="literal"),
    pytest.param(
        Decimal, _attribute("_pattern", r"^[0-9]+\.[0-9]+$"), ["0.0000001"], id="decimal-tiny"
    ),
    pytest.param(Decimal, _attribute("_pattern", r"^[0-9]+$"), ["007"], id="decimal-zeros"),
    pytest.param(Decimal, _attribute("_pattern", r"^\.?[0-9]+$"), [".5"], id="decimal-point"),
    pytest.param(Decimal, _attribute("_pattern", r"^[0-9_]+$"), ["1_000"], id="decimal-underscore"),
    pytest.param(Decimal, _attribute("_pattern", r"^\s*[0-9]+$"), [" 1"], id="decimal-space"),
    pytest.param(
        Annotated[Decimal, Field(max_digits=3, decimal_places=1)],
        lambda kernel: setattr(kernel, "_pattern", DecimalKernel()._pattern),
        ["1.25", "123"],
        id="decimal-places",
    ),
]


@pytest.mark.parametrize(("annotation", "loosen", "cells"), LOOSENED)
def test_comparison_fails_when_a_constraint_is_loosened(
    annotation: Any, loosen: Any, cells: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(annotation)
    compare(model, cells)
    for kind in (BoundsKernel, TextKernel, ChoiceKernel, DecimalKernel):
        monkeypatch.setattr(kind, "prove", _loosened(kind.prove, loosen))
    with pytest.raises((AssertionError, ValidationError)):
        compare(model, cells)


def _loosened(prove: Any, loosen: Any) -> Any:
    def loose(kernel: Kernel, column: pa.StringArray) -> Proof:
        loosen(kernel)
        return prove(kernel, column)

    return loose


def test_comparison_fails_when_any_text_counts_as_uuid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(UUID)
    compare(model, [UUID_TEXT, UUID_TEXT.upper()])
    monkeypatch.setattr(kernels.UUIDKernel, "prove", lambda self, column: Proof(column, None))
    with pytest.raises(AssertionError):
        compare(model, [UUID_TEXT, UUID_TEXT.upper()])


def explained(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    found = compile_plan(model).explain()
    assert [field.name for field in found] == [
        *model.model_fields,
        *model.model_computed_fields,
    ]
    return {field.name: (field.how, field.why) for field in found}


def test_explain_names_every_field_as_columns_when_kernels_prove_all() -> None:
    class Model(BaseModel):
        a: Annotated[int, Field(ge=0)]
        b: Annotated[str, Text(max_length=3)] = "x"
        c: Colour | None = None
        d: UUID
        e: Literal["x"]
        f: Decimal

    assert set(explained(Model).values()) == {("columns", "proved, else deferred to pydantic")}


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Annotated[str, Field(pattern=r"a\b")], "pattern"),
        (Annotated[str, Text(to_lower=True, to_upper=True)], "another case"),
        (Annotated[int, Field(gt=2**62)], "64 bits"),
        (Annotated[float, Field(multiple_of=0.5)], "multiple_of"),
        (Annotated[Decimal, Field(max_digits=2, decimal_places=2)], "before the point"),
        (Annotated[Decimal, Field(multiple_of=2)], "multiple_of of decimal"),
        (Literal[1, 2], "no strings"),
        (enum.Enum("Number", {"ONE": 1}), "no strings"),
        (set[int], "type set"),
    ],
)
def test_explain_gives_the_reason_when_a_field_has_no_kernel(annotation: Any, reason: str) -> None:
    model = create_model("Model", plain=(int, ...), odd=(annotation, ...))
    found = explained(model)
    assert found["plain"] == ("columns", "proved, else deferred to pydantic")
    assert found["odd"][0] == "its column"
    assert reason in found["odd"][1]


def test_explain_names_the_fields_that_a_validator_may_look_at() -> None:
    class Model(BaseModel):
        a: int
        b: int
        c: int

        @field_validator("b")
        @classmethod
        def _after(cls, value: int, info: Any) -> int:
            return value + info.data.get("a", 0)

    found = explained(Model)
    assert found["a"][0] == "with b"
    assert found["b"][0] == "with a"
    assert "look at other fields" in found["b"][1]
    assert found["c"][0] == "columns"


def test_explain_says_whole_rows_when_a_serializer_is_given_the_model() -> None:
    class Model(BaseModel):
        a: int
        b: int

        @field_serializer("b")
        def _write(self, value: int) -> int:
            return value + self.a

    found = explained(Model)
    assert found["a"] == ("whole rows", "another field: b")
    assert found["b"] == ("whole rows", "a serializer that is given the whole model")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"ser_json_inf_nan": "constants"}, "its setting ser_json_inf_nan"),
        ({"revalidate_instances": "always"}, "its setting revalidate_instances"),
    ],
)
def test_explain_says_whole_rows_for_every_field_when_the_model_needs_them(
    config: ConfigDict, reason: str
) -> None:
    model = create_model("Model", __config__=config, a=(int, ...), b=(str, ...))
    assert set(explained(model).values()) == {("whole rows", f"the model: {reason}")}
