"""The comparison of typed columns with pydantic notices each proof that says too much."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pydantic import Field
from typed_columns import (
    DAY_LAST,
    DAY_ONE,
    MANY,
    POSITIVE,
    PRICE,
    SECOND_LAST,
    SECOND_ONE,
    STRICT,
    Level,
    Share,
    check,
    clock,
    days,
    decimals,
    ticks,
)

from zoopipe import arrow_text
from zoopipe.validation import numbers, temporal
from zoopipe.validation.choices import ChoiceKernel, SpellingKernel
from zoopipe.validation.constraints import BoundsKernel
from zoopipe.validation.kernels import BytesKernel, NullableKernel, Proof, TypedKernel
from zoopipe.validation.numbers import BoolKernel, DecimalKernel, FloatKernel, IntKernel
from zoopipe.validation.temporal import DateKernel, DateTimeKernel, TimeKernel


def _as_it_is(self: Any, column: pa.Array) -> Proof:
    return Proof(column, column.is_valid())


def _as_text(self: Any, column: pa.Array) -> Proof:
    return self.as_it_is(column.cast(pa.string()))


def _with_nulls(column: pa.Array) -> Proof:
    return Proof(column, None)


def _unbounded(column: pa.Array, least: int, most: int) -> pa.Array:
    return column


def _of_any_type(self: Any, kind: pa.DataType) -> bool:
    return True


def _as_floats(self: Any, kind: pa.DataType) -> Any:
    def by_floats(compare: Any) -> Any:
        return lambda cells, bound: compare(cells.cast(pa.float64()), bound)

    return [(by_floats(compare), bound) for compare, bound in self._bounds]


def _as_known_text(self: Any, column: pa.Array) -> Proof:
    return self.as_it_is(column.cast(pa.string()))


SHORT_BYTES = Annotated[bytes, Field(max_length=1)]
AT_MOST_10 = Annotated[Decimal, Field(le=10)]
EARLY, LATE = SECOND_ONE * 10**6 - 1, (SECOND_LAST + 1) * 10**6
FINITE = Annotated[float, Field(allow_inf_nan=False)]
# Each row: what is put in the place of what, and a column of which that says more than pydantic does.
LOOSENED: list[Any] = [
    (IntKernel, "prove_typed", _as_it_is, int, pa.array([0.5])),
    (IntKernel, "prove_typed", _as_it_is, int, pa.array([True])),
    (IntKernel, "prove_typed", _as_it_is, int, days([1])),
    (IntKernel, "_whole", lambda self, c: pc.is_finite(c), int, pa.array([1e300])),
    (numbers, "_MOST_EXACT", pa.scalar(1e19), int, pa.array([9.3e18])),
    (numbers, "_INT64_MAX", 2**64 - 1, int, pa.array([2**63], pa.uint64())),
    (FloatKernel, "prove_typed", _as_it_is, float, pa.array([1])),
    (FloatKernel, "prove_typed", _as_it_is, FINITE, pa.array([math.nan])),
    (pc, "is_finite", lambda c: c.is_valid(), FINITE, pa.array([math.inf])),
    (numbers, "_EXACT_FLOATS", 2**62, float, pa.array([MANY + 1])),
    (BoolKernel, "prove_typed", _as_it_is, bool, pa.array([1])),
    (BoolKernel, "prove_typed", _as_it_is, bool, pa.array([0.5])),
    (numbers, "within", _unbounded, bool, pa.array([2])),
    (DateKernel, "prove_typed", _as_it_is, date, ticks("us", [0])),
    (DateKernel, "_YEAR_ONE", DAY_ONE - 1, date, days([DAY_ONE - 1])),
    (DateKernel, "_LAST_DAY", DAY_LAST + 1, date, days([DAY_LAST + 1])),
    (DateTimeKernel, "prove_typed", _as_it_is, datetime, days([0])),
    (DateTimeKernel, "_FIRST_SECOND", SECOND_ONE - 1, datetime, ticks("us", [EARLY])),
    (DateTimeKernel, "_LAST_SECOND", SECOND_LAST + 1, datetime, ticks("us", [LATE])),
    (arrow_text, "_UTC", ["Europe/Paris"], datetime, ticks("us", [0], "Europe/Paris")),
    (DecimalKernel, "prove_typed", _as_it_is, Decimal, pa.array([True])),
    (DecimalKernel, "prove_typed", _as_text, Decimal, pa.array([1e16, 5.0])),
    (DecimalKernel, "_holds", _of_any_type, PRICE, decimals(9, 2, [10**6])),
    (DecimalKernel, "_holds", _of_any_type, PRICE, decimals(4, 3, [1])),
    (TimeKernel, "_LAST_TICK", 86_400_000_000, time, clock("us", [86_400_000_000])),
    (TimeKernel, "prove_typed", _as_it_is, time, ticks("us", [1])),
    (BytesKernel, "prove_typed", _as_it_is, SHORT_BYTES, pa.array([b"abc"])),
    (BytesKernel, "is_exact", _of_any_type, bytes, pa.array([5])),
    (SpellingKernel, "prove_typed", _as_it_is, Level, pa.array([5])),
    (SpellingKernel, "prove_typed", _as_known_text, Share, pa.array([1])),
    (ChoiceKernel, "prove_text", _as_it_is, Literal["a"], pa.array(["b"], pa.large_string())),
    (BoundsKernel, "_as_decimals", _as_floats, AT_MOST_10, decimals(38, 20, [10**21 + 1])),
    (BoundsKernel, "prove", lambda self, c: self._inner.prove(c), POSITIVE, pa.array([0])),
    *(
        (owner, "typed_proof", _with_nulls, annotation, column.take(pa.array([0, None])))
        for owner, annotation, column in (
            (numbers, int, pa.array([1])),
            (numbers, float, pa.array([0.5])),
            (numbers, bool, pa.array([True])),
            (numbers, Decimal, decimals(5, 2, [1])),
            (temporal, date, days([0])),
            (temporal, datetime, ticks("us", [0])),
        )
    ),
]


@pytest.mark.parametrize(("owner", "name", "loose", "annotation", "column"), LOOSENED)
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
    with pytest.raises((AssertionError, ValueError, OverflowError)):
        check(annotation, column)


@pytest.mark.parametrize(
    ("kernel", "annotation", "column"),
    [
        (IntKernel, int, pa.array([True])),
        (IntKernel, Annotated[int, Field(gt=0)], pa.array([1.0])),
        (BoolKernel, bool, pa.array([1])),
        (DateKernel, date, ticks("us", [0])),
        (DecimalKernel, Decimal, pa.array([5])),
        (TypedKernel, int | None, pa.array([True])),
    ],
)
def test_comparison_fails_when_strict_takes_another_type(
    kernel: Any, annotation: Any, column: pa.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(annotation, column, STRICT)
    monkeypatch.setattr(kernel, "is_exact", _of_any_type)
    with pytest.raises(AssertionError):
        check(annotation, column, STRICT)


def test_comparison_fails_when_nullable_proves_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    column = pa.array([0.5, None])
    check(Optional[int], column)  # noqa: UP045
    monkeypatch.setattr(
        NullableKernel, "prove", lambda self, c: replace(self._inner.prove(c), proved=None)
    )
    with pytest.raises(AssertionError):
        check(Optional[int], column)  # noqa: UP045
