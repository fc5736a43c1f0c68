"""Kernels around kernels: values within bounds, text of some length, pattern or case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import int64_scalar, mask_of, only_where, text_array, typed_array
from zoopipe.columns import Encoding
from zoopipe.validation.kernels import Kernel, Proof, cast_or_none

_COMPARISONS = {"gt": pc.greater, "ge": pc.greater_equal, "lt": pc.less, "le": pc.less_equal}
_LARGEST = 1 << 62


class BoundsKernel(Kernel):
    """Numbers that another kernel proves, and that keep their bounds."""

    def __init__(
        self, inner: Kernel, kind: type[int] | type[float], bounds: Mapping[str, Any]
    ) -> None:
        self.encoding: Encoding = inner.encoding
        self.logical = inner.logical
        self.json_type = inner.json_type
        self._inner = inner
        self._type = pa.int64() if kind is int else pa.float64()
        self._bounds = [
            (_COMPARISONS[name], _scalar(bound, kind))
            for name, bound in bounds.items()
            if name in _COMPARISONS
        ]
        multiple = bounds.get("multiple_of")
        self._multiple = None if multiple is None else int64_scalar(multiple)

    def prove(self, column: pa.Array) -> Proof | None:
        proof = self._inner.prove(column)
        return None if proof is None else proof.where(self._kept(proof))

    def prove_text(self, column: pa.StringArray) -> Proof | None:
        return self.prove(column)

    def prove_typed(self, column: pa.Array) -> Proof | None:
        return self.prove(column)

    def is_exact(self, kind: pa.DataType) -> bool:
        return self._inner.is_exact(kind)

    def _kept(self, proof: Proof) -> pa.BooleanArray:
        """Where the numbers that are proved keep the bounds; false or null elsewhere."""
        cells = proof.cells
        if proof.proved is not None:
            cells = only_where(cells, proof.proved)
        if pa.types.is_decimal(cells.type):
            numbers, bounds = cells, self._as_decimals(cells.type)
        else:
            numbers, bounds = cells.cast(self._type), self._bounds
        if bounds is None:
            return mask_of(len(cells), ())
        kept = None
        for compare, bound in bounds:
            kept = _and(kept, compare(numbers, bound))
        if self._multiple is not None:
            whole = pc.multiply(pc.divide(numbers, self._multiple), self._multiple)
            kept = _and(kept, pc.equal(whole, numbers))
        assert kept is not None, "there is a bound"
        return kept

    def _as_decimals(self, kind: pa.DataType) -> list[Any] | None:
        """The bounds in a decimal type, whose values floats may not tell apart; None where one of them
        is none of its values."""
        bounds = []
        for compare, bound in self._bounds:
            # Of up to 15 digits, which a float gives back.
            text = format(Decimal(repr(bound.as_py())), "f")
            values = cast_or_none(text_array([text]), kind)
            if values is None:
                return None
            bounds.append((compare, values[0]))
        return bounds


def _and(first: pa.BooleanArray | None, second: pa.BooleanArray) -> pa.BooleanArray:
    return second if first is None else pc.and_(first, second)


def _scalar(value: Any, kind: type[int] | type[float]) -> pa.Scalar:
    array = typed_array([kind(value)], kind)
    assert array is not None, "bounds fit the type"
    return array[0]


def bounds_of(schema: Mapping[str, Any], kind: type[int] | type[float]) -> Mapping[str, Any] | None:
    """The bounds in a core schema of a number; None where columns cannot prove one of them.

    pydantic tells whether a float is a multiple within some tolerance of its own, so that only
    integers have multiples here.
    """
    bounds = {name: schema[name] for name in (*_COMPARISONS, "multiple_of") if name in schema}
    if kind is float:
        known = all(isinstance(bound, int | float) for bound in bounds.values())
        return bounds if known and "multiple_of" not in bounds else None
    if not all(type(bound) is int and abs(bound) < _LARGEST for bound in bounds.values()):
        return None
    return bounds if bounds.get("multiple_of", 1) > 0 else None


def decimal_bounds_of(schema: Mapping[str, Any]) -> Mapping[str, float] | None:
    """The bounds in a core schema of a `Decimal`, as floats; None where columns cannot prove one of them.

    Floats tell decimals of up to 15 digits apart, and keep their order (DBL_DIG of IEEE 754 doubles).
    """
    bounds = {name: schema[name] for name in _COMPARISONS if name in schema}
    for bound in bounds.values():
        if type(bound) is not int and not (isinstance(bound, Decimal) and bound.is_finite()):
            return None
        exact = Decimal(bound).as_tuple()
        if len(exact.digits) > 15 or abs(exact.exponent) > 15:  # type: ignore[arg-type]
            return None
    return {name: float(bound) for name, bound in bounds.items()}


class TextKernel(Kernel):
    """`str` with constraints. What is stripped, or turned into lower or upper case, is proved for
    printable ASCII alone: Unicode's rules for the rest are pydantic's to know."""

    # Begins and ends with a visible ASCII character, or is empty: there is nothing to strip.
    _STRIPPED = r"^(?:[!-~](?:(?s:.)*[!-~])?)?$"
    _ASCII = r"^[ -~]*$"

    def __init__(self, constraints: Mapping[str, Any]) -> None:
        self._strip = bool(constraints.get("strip_whitespace"))
        self._lower = bool(constraints.get("to_lower"))
        self._upper = bool(constraints.get("to_upper"))
        self._pattern: str | None = constraints.get("pattern")
        bounds = (("min_length", pc.greater_equal), ("max_length", pc.less_equal))
        self._lengths = [
            # No text is as long as what 64 bits do not hold.
            (compare, int64_scalar(min(constraints[name], _LARGEST)))
            for name, compare in bounds
            if name in constraints
        ]

    def prove_text(self, column: pa.StringArray) -> Proof:
        proved = column.is_valid() if column.null_count else None
        if self._strip:
            proved = _and(proved, pc.match_substring_regex(column, pattern=self._STRIPPED))
        if self._lower or self._upper or self._pattern is not None:
            proved = _and(proved, pc.match_substring_regex(column, pattern=self._ASCII))
        if self._lengths:
            lengths = pc.utf8_length(column).cast(pa.int64())
            for compare, length in self._lengths:
                proved = _and(proved, compare(lengths, length))
        if self._pattern is not None:
            proved = _and(proved, pc.match_substring_regex(column, pattern=self._pattern))
        cells = column
        if self._lower:
            cells = pc.ascii_lower(cells)
        elif self._upper:
            cells = pc.ascii_upper(cells)
        return self.proof(cells, proved)


# What Rust's regular expressions (pydantic) and RE2 (Arrow) read alike, over ASCII text: no
# look-around, no flags, no \\s (which differs in what it counts as space), no set operations.
_PLAIN_PATTERN = re.compile(
    r"(?:[A-Za-z0-9_@\-.:,;#%&=!~/<>'\" ^$()|+*?]"
    r"|\\[dDwW.\-+*?()|\[\]{}^$/@\\]"
    r"|\{\d{1,3}(?:,\d{0,3})?\}"
    r"|\[\^?(?:[A-Za-z0-9_@.:,;#%=!/<>'\" $()|+*?]|\\[dw.\-\[\]\\/+^]|[A-Za-z0-9]-[A-Za-z0-9])+-?\])*"
)


def is_plain_pattern(pattern: object) -> bool:
    """Whether a pattern means the same to pydantic and to Arrow, over ASCII text."""
    if not isinstance(pattern, str) or not _PLAIN_PATTERN.fullmatch(pattern) or "(?" in pattern:
        return False
    try:
        # A cell to match, for a pattern that nothing is matched with is never compiled.
        pc.match_substring_regex(text_array([""]), pattern=pattern)
    except pa.ArrowInvalid:
        return False
    return True
