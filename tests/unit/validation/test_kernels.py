"""What each kernel proves, and that the comparison with pydantic would notice a looser proof."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, Optional
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from differential import check_plan
from hostile import HOSTILE
from pydantic import TypeAdapter, ValidationError, create_model
from pydantic_core import to_json

from zoopipe.validation import kernels, numbers
from zoopipe.validation.kernels import Kernel, NullableKernel, Proof
from zoopipe.validation.numbers import BoolKernel
from zoopipe.validation.types import KERNELS

TYPES: dict[str, type] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
    "uuid": UUID,
}
UUID_TEXT = "0a1b2c3d-0000-4fff-8000-0123456789ab"


def text_of(kind: str, cell: str) -> str:
    """The text of pydantic's value for a cell: JSON, or a JSON string's content."""
    value = TypeAdapter(TYPES[kind]).validate_python(cell)
    text = to_json(value).decode()
    return value if kind == "str" else text.strip('"')


def proved(kind: str, cells: list[str | None]) -> list[tuple[str | None, str]]:
    """The cells that a kernel proves, with the text it gives each."""
    proof = KERNELS[kind].prove(pa.array(cells, pa.string()))
    flags = [True] * len(cells) if proof.proved is None else proof.proved.to_pylist()
    return [
        (cell, text)
        for cell, text, flag in zip(cells, proof.cells.to_pylist(), flags, strict=True)
        if flag
    ]


# All hostile cells at once take other ways through a kernel than each of them alone.
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", sorted(KERNELS))
def test_kernel_gives_pydantics_text_when_it_says_proved(kind: str, together: bool) -> None:
    batches: list[list[str | None]] = [[*HOSTILE, None]] if together else [[c] for c in HOSTILE]
    for cells in batches:
        for cell, text in proved(kind, cells):
            assert cell is not None
            assert text == text_of(kind, cell)


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("str", ["", "a", "Ω", "\x00"]),
        ("int", ["0", "7", "-12", "8999999999999999999", "-8999999999999999999"]),
        ("float", ["0.5", "-12.25", "1234567.1234567", "3.0", "0.0001"]),
        ("float", ["3", "1.50", "-0", "0.10", "12345678901234567"]),
        ("bool", ["true", "FALSE", "Yes", "n", "1", "0", "on", "Off"]),
        ("date", ["2024-02-29", "1999-12-31", "0001-01-01", "9999-12-31"]),
        ("datetime", ["2024-02-29T23:59:59", "2024-01-01 00:00:00", "2000-02-29T00:00:00Z"]),
        (
            "uuid",
            [
                UUID_TEXT,
                "00000000-0000-0000-0000-000000000000",
                "-".join(map("f".__mul__, (8, 4, 4, 4, 12))),
            ],
        ),
    ],
)
def test_kernel_proves_whole_column_when_cells_are_usual(kind: str, cells: list[str]) -> None:
    assert proved(kind, list(cells)) == [(cell, text_of(kind, cell)) for cell in cells]


@pytest.mark.parametrize(
    ("kind", "usual", "odd"),
    [
        ("int", "12", "007"),
        ("float", "1.5", "1e5"),
        ("bool", "true", "tRue"),
        ("date", "2024-02-29", "2023-02-29"),
        ("datetime", "2024-02-29T00:00:00", "2024-02-29T00"),
        ("uuid", UUID_TEXT, UUID_TEXT.upper()),
    ],
)
def test_kernel_defers_one_cell_when_others_are_usual(kind: str, usual: str, odd: str) -> None:
    assert [cell for cell, _ in proved(kind, [usual, odd, usual, None])] == [usual, usual]


@pytest.mark.parametrize("kind", sorted(KERNELS))
def test_kernel_proves_no_null_unless_nullable(kind: str) -> None:
    column = pa.nulls(2, pa.string())
    assert proved(kind, [None, None]) == []
    proof = NullableKernel(KERNELS[kind]).prove(column)
    assert proof.proved is None or proof.proved.to_pylist() == [True, True]
    assert proof.cells.to_pylist() == [None, None]


@pytest.mark.parametrize("kind", sorted(KERNELS))
def test_kernel_takes_sliced_and_empty_columns(kind: str) -> None:
    usual = {
        "str": "a",
        "bool": "true",
        "date": "2024-01-01",
        "datetime": "2024-01-01T00:00:00",
        "time": "00:00:00",
        "timedelta": "PT1S",
        "uuid": UUID_TEXT,
    }
    cell = usual.get(kind, "1")
    column = pa.array(["?", cell, cell, None], pa.string())
    proof = KERNELS[kind].prove(column.slice(1, 2))
    assert proof.cells.to_pylist() == [text_of(kind, cell)] * 2
    assert proof.proved is None
    assert len(KERNELS[kind].prove(column.slice(1, 0)).cells) == 0


def compare(kind: str, cells: list[str], optional: bool = False) -> None:
    """The cells, alone, mixed with usual ones and in both orders, against pydantic."""
    annotation: Any = Optional[TYPES[kind]] if optional else TYPES[kind]  # noqa: UP045
    model = create_model("Single", value=(annotation, ...))
    for some in (cells, cells[::-1], *([cell] for cell in cells)):
        check_plan(model, [{"value": cell} for cell in some], ["value"])


def _all_proved(kernel: Kernel, column: pa.StringArray) -> Proof:
    return Proof(column, None, kernel.encoding, kernel.logical)


# Each row: what is replaced by something looser, and the cells that then get a wrong answer.
LOOSENED: list[Any] = [
    pytest.param("int", "_PATTERN", r"^-?[0-9]+$", ["1", "007"], id="int-leading-zero"),
    pytest.param("int", "_PATTERN", r"^(?:-?0|-?[1-9][0-9]*)$", ["x", "-0"], id="int-minus-zero"),
    pytest.param("int", "_PATTERN", r"^(?:0|-?[1-9][0-9]*)$", ["x", "9" * 4301], id="int-length"),
    pytest.param("int", "_PATTERN", r"^(?:0|[-+]?[1-9][0-9]*)$", ["x", "+1"], id="int-plus"),
    pytest.param("int", "_PATTERN", r"^\s*[1-9][0-9]*$", ["x", " 1"], id="int-space"),
    pytest.param("int", "_PATTERN", r"^(?:0|-?[1-9][0-9_]*)$", ["x", "1_0"], id="int-underscore"),
    pytest.param(
        "float", "_SHORT", r"^-?[0-9]+\.?[0-9]+$", ["-7.5", "31", "x"], id="float-pointless"
    ),
    pytest.param("float", "_SHORT", r"^-?[0-9]+\.[0-9]*[1-9]$", ["-00.5", "x"], id="float-zeros"),
    pytest.param(
        "float", "_SHORT", r"^-?0\.[0-9]*[1-9]$", ["-0.0000001", "x"], id="float-exponent"
    ),
    pytest.param(
        "float",
        "_SHORT",
        r"^-?0\.[0-9]*[1-9]$",
        ["-0.12345678901234567891", "x"],
        id="float-digits",
    ),
    pytest.param("float", "_DECIMAL", r"^(?:nan|inf|[0-9.]+)$", ["nan", "x"], id="float-nan"),
    pytest.param("float", "_DECIMAL", r"^[0-9.]+$", ["1" * 400, "x"], id="float-overflow"),
    pytest.param(
        "date", "_PATTERN", r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", ["2023-02-29", "x"], id="day"
    ),
    pytest.param("date", "_YEAR_ONE", -800000, ["0000-01-01"], id="year-zero"),
    pytest.param(
        "datetime",
        "_PATTERN",
        r"^[-0-9]{10}[T ][:0-9]{8}Z?$",
        ["2024-01-01T24:00:00"],
        id="hour-24",
    ),
    pytest.param(
        "datetime", "_PATTERN", r"^[-0-9]{10}[T ][:0-9]{8}Z?$", ["2100-02-29 00:00:00"], id="leap"
    ),
    pytest.param(
        "datetime",
        "_PATTERN",
        r"^[-0-9]{10}T[:0-9]{8}[Zz]?$",
        ["2024-01-01T00:00:00z"],
        id="zone-z",
    ),
    pytest.param(
        "datetime", "_PATTERN", r"^[-0-9]{10}[tT][:0-9]{8}$", ["2024-01-01t00:00:00"], id="small-t"
    ),
    pytest.param("datetime", "_SEPARATOR_AT", 9, ["2024-01-01 00:00:00"], id="separator"),
    pytest.param("uuid", "_PATTERN", r"^[-0-9a-fA-F]{36}$", [UUID_TEXT.upper()], id="uuid-case"),
    pytest.param("uuid", "_PATTERN", r"^[-0-9a-f]{36}$", ["-" * 36, "x"], id="uuid-hyphens"),
    pytest.param("uuid", "_PATTERN", r"^[-0-9a-f]+$", [UUID_TEXT.replace("-", "")], id="uuid-bare"),
    pytest.param(
        "uuid", "_PATTERN", r"^\{?[-0-9a-f]{36}\}?$", [f"{{{UUID_TEXT}}}"], id="uuid-braces"
    ),
    pytest.param(
        "uuid",
        "_PATTERN",
        r"^(?:urn:uuid:)?[-0-9a-f]{36}$",
        [f"urn:uuid:{UUID_TEXT}"],
        id="uuid-urn",
    ),
]


@pytest.mark.parametrize(("kind", "name", "loose", "cells"), LOOSENED)
def test_comparison_fails_when_a_pattern_is_loosened(
    kind: str, name: str, loose: Any, cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(kind, cells)
    monkeypatch.setattr(type(KERNELS[kind]), name, loose)
    with pytest.raises((AssertionError, ValidationError, pa.ArrowInvalid)):
        compare(kind, cells)


@pytest.mark.parametrize(
    ("kind", "cells"), [("str", [None, "a"]), ("int", [None, "1"]), ("float", ["1" * 400, "3"])]
)
def test_comparison_fails_when_nulls_count_as_proved(
    kind: str, cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(kind, cells)
    monkeypatch.setattr(Kernel, "as_it_is", _all_proved)
    monkeypatch.setattr(kernels, "no_nulls", lambda mask: mask.fill_null(True))
    monkeypatch.setattr(numbers, "no_nulls", lambda mask: mask.fill_null(True))
    with pytest.raises((AssertionError, ValidationError)):
        compare(kind, cells)


# What a kernel is sure of without a pattern, loosened, and the cells that then get a wrong answer.
SURE: list[Any] = [
    pytest.param("int", "_surely", pc.ascii_is_decimal, ["007"], id="int-zeros"),
    pytest.param("int", "_surely", pc.ascii_is_decimal, ["9" * 4301, "1"], id="int-length"),
    pytest.param("int", "_surely", pc.utf8_is_decimal, ["٣", "1"], id="int-unicode"),
    pytest.param("int", "_surely", lambda c: c.is_valid(), ["x", "1"], id="int-any"),
    *(
        pytest.param(
            "float",
            "_short_unsigned",
            lambda c: pc.match_substring(c, pattern="."),
            cells,
            id=name,
        )
        for name, cells in {
            "float-zeros": ["00.5"],
            "float-no-whole": [".5"],
            "float-tiny": ["0.0000001"],
            "float-digits": ["0.30000000000000004999"],
            "float-points": ["1.2.3", "1.5"],
        }.items()
    ),
    pytest.param("date", "_usual", lambda c: c.is_valid(), ["2023-02-29"], id="date-any"),
    pytest.param("date", "_usual", lambda c: c.is_valid(), ["x", "0000-01-01"], id="date-year"),
]


@pytest.mark.parametrize(("kind", "name", "loose", "cells"), SURE)
def test_comparison_fails_when_what_is_sure_is_loosened(
    kind: str, name: str, loose: Any, cells: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(kind, cells)
    monkeypatch.setattr(type(KERNELS[kind]), name, lambda self, column: loose(column))
    with pytest.raises((AssertionError, ValidationError, pa.ArrowInvalid)):
        compare(kind, cells)


def test_comparison_fails_when_zeros_after_the_point_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare("float", ["4.50", "3.00"])
    monkeypatch.setattr(numbers, "_without_trailing_zeros", lambda column: column)
    with pytest.raises(AssertionError):
        compare("float", ["4.50", "3.00"])


def test_comparison_fails_when_floats_are_printed_by_arrow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compare("float", ["3", "4"])
    monkeypatch.setattr(numbers, "float_text", lambda values: values.cast(pa.string()))
    with pytest.raises(AssertionError):
        compare("float", ["3", "4"])


def test_comparison_fails_when_bool_takes_another_word(monkeypatch: pytest.MonkeyPatch) -> None:
    compare("bool", ["true", "enabled"])
    loose = {**BoolKernel._SPELLINGS, "enabled": "true"}
    monkeypatch.setattr(BoolKernel, "_SPELLINGS", loose)
    monkeypatch.setitem(KERNELS, "bool", BoolKernel())  # type: ignore[index]
    with pytest.raises((AssertionError, ValidationError)):
        compare("bool", ["true", "enabled"])


def test_comparison_fails_when_bool_gives_the_other_value(monkeypatch: pytest.MonkeyPatch) -> None:
    loose = {**BoolKernel._SPELLINGS, "off": "true"}
    monkeypatch.setattr(BoolKernel, "_SPELLINGS", loose)
    monkeypatch.setitem(KERNELS, "bool", BoolKernel())  # type: ignore[index]
    with pytest.raises(AssertionError):
        compare("bool", ["off"])


@pytest.mark.parametrize("kind", sorted(set(KERNELS) - {"str"}))
def test_comparison_fails_when_nullable_proves_everything(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(kind, [None, "?"], optional=True)
    monkeypatch.setattr(
        NullableKernel,
        "prove",
        lambda self, column: replace(self._inner.prove(column), proved=None),
    )
    with pytest.raises((AssertionError, ValidationError)):
        compare(kind, [None, "?"], optional=True)
