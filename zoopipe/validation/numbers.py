"""Kernels of numbers and truth values."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import (
    int32_scalar,
    int64_scalar,
    no_nulls,
    only_where,
    text_array,
    text_bytes,
    text_scalar,
    within,
)
from zoopipe.columns import Encoding, concat, float_text
from zoopipe.validation.kernels import Kernel, Proof, cast_or_none, typed_proof

_DIGITS = "0123456789"
_MOST_DIGITS = 76  # Of Arrow's widest decimals.
_INT64_MAX = (1 << 63) - 1
_EXACT_FLOATS = 1 << 53  # Up to here floats hold every integer.
_MOST_EXACT = int64_scalar(_EXACT_FLOATS).cast(pa.float64())
_ZERO, _POINT = text_scalar("0"), text_scalar(".")
_18, _16 = int32_scalar(18), int32_scalar(16)


def _int64(column: pa.IntegerArray) -> pa.Int64Array:
    """Integers of any width, null where 64 bits do not hold them."""
    if pa.types.is_uint64(column.type):
        column = within(column, 0, _INT64_MAX)
    return column.cast(pa.int64())


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_float32(kind) or pa.types.is_float64(kind))


class IntKernel(Kernel):
    """Canonical decimal integers that 64 bits hold: no sign but a minus, no leading zero."""

    encoding: Encoding = "json"
    logical: str | None = "int"
    json_type: pa.DataType | None = pa.int64()
    _PATTERN = r"^(?:0|-?[1-9][0-9]{0,17}|-?[1-8][0-9]{18})$"

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.sure_or_matching(column, self._surely(column), self._PATTERN)

    def _surely(self, column: pa.StringArray) -> pa.BooleanArray:
        """What `_PATTERN` says of integers above zero, for a fourth of the cost."""
        fits = pc.less_equal(pc.binary_length(column), _18)
        digits = pc.and_(pc.ascii_is_decimal(column), fits)
        return pc.and_not(digits, pc.starts_with(column, pattern="0"))

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Integers, `False` and `True` for 0 and 1, and whole floats."""
        if pa.types.is_integer(column.type):
            return typed_proof(_int64(column))
        if pa.types.is_boolean(column.type):
            return typed_proof(column.cast(pa.int64()))
        if _is_float(column.type):
            return typed_proof(only_where(column, self._whole(column)).cast(pa.int64()))
        return None

    def _whole(self, column: pa.FloatingPointArray) -> pa.BooleanArray:
        whole = pc.equal(pc.floor(column), column)
        return pc.and_(whole, pc.less_equal(pc.abs(column), _MOST_EXACT))

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_integer(kind))


class FloatKernel(Kernel):
    """Plain decimals. Those of at most 15 digits are, without their trailing zeros, their own shortest
    text (IEEE 754 doubles keep 15 digits); others are parsed, and written again."""

    encoding: Encoding = "json"
    logical: str | None = "float"
    json_type: pa.DataType | None = pa.float64()
    _TINY = "0.0000"  # Numbers that may be below 0.0001 are written with an exponent.
    _SHORT = r"^-?(?:[1-9][0-9]{0,6}\.[0-9]{1,8}|0\.(?:0|0{0,3}[1-9][0-9]{0,10}))$"
    _DECIMAL = r"^-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,17})?$"

    def prove_text(self, column: pa.StringArray) -> Proof:
        data = bytes(text_bytes(column))
        if b"-" in data:
            short = no_nulls(pc.match_substring_regex(column, pattern=self._SHORT))
        else:
            short = no_nulls(self._short_unsigned(column))
        others = len(short) - short.true_count
        if others > len(short) // 4 and not data.translate(None, b"0123456789.-"):
            # Arrow rounds correctly (fast_float), and so do pydantic and Python.
            values = cast_or_none(column, pa.float64())
            if values is not None:
                return self.as_it_is(float_text(values))
        cells = _without_trailing_zeros(column)
        return self._rest_parsed(column, cells, short) if others else self.proof(cells, None)

    def _short_unsigned(self, column: pa.StringArray) -> pa.BooleanArray:
        """What `_SHORT` says of numbers without a sign, for a third of the cost."""
        # Digits taken from both ends leave the point alone.
        shape = pc.equal(pc.ascii_trim(column, characters=_DIGITS), _POINT)
        odd = pc.or_(
            pc.or_(pc.starts_with(column, pattern="."), pc.ends_with(column, pattern=".")),
            pc.or_(
                pc.starts_with(column, pattern=self._TINY),
                pc.and_not(
                    pc.starts_with(column, pattern="0"), pc.starts_with(column, pattern="0.")
                ),
            ),
        )
        fits = pc.less_equal(pc.binary_length(column), _16)
        return pc.and_(pc.and_not(shape, odd), fits)

    def _rest_parsed(
        self, column: pa.StringArray, cells: pa.StringArray, short: pa.BooleanArray
    ) -> Proof:
        """The cells that are not short decimals parsed, where they are decimals, and written again."""
        rest = pc.invert(short)
        texts = column.filter(rest)
        decimal = no_nulls(pc.match_substring_regex(texts, pattern=self._DECIMAL))
        if not decimal.true_count:
            return self.proof(cells, short)
        proved = pc.replace_with_mask(short, rest, decimal)
        written = float_text(texts.filter(decimal).cast(pa.float64()))
        return self.proof(pc.replace_with_mask(cells, pc.and_not(proved, short), written), proved)

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Finite floats, and integers that a float holds exactly."""
        if _is_float(column.type):
            column = column.cast(pa.float64())
            return typed_proof(only_where(column, pc.is_finite(column)))
        if pa.types.is_integer(column.type):
            exact = within(_int64(column), -_EXACT_FLOATS, _EXACT_FLOATS)
            return typed_proof(exact.cast(pa.float64()))
        return None

    def is_exact(self, kind: pa.DataType) -> bool:
        return _is_float(kind) or bool(pa.types.is_integer(kind))


def _without_trailing_zeros(column: pa.StringArray) -> pa.StringArray:
    """Decimals with no zero at their end, save the one after the point of a whole number."""
    if not pc.ends_with(column, pattern="0").true_count:
        return column
    trimmed = pc.ascii_rtrim(column, characters="0")
    whole = pc.ends_with(trimmed, pattern=".")
    if not whole.true_count:
        return trimmed
    return pc.if_else(whole, concat(trimmed, _ZERO), trimmed)


class BoolKernel(Kernel):
    """pydantic's spellings of true and false, in lower, upper and title case."""

    encoding: Encoding = "json"
    logical: str | None = "bool"
    json_type: pa.DataType | None = pa.bool_()
    _SPELLINGS: Mapping[str, str] = {
        spelling: text
        for text, words in (
            ("true", ("true", "1", "on", "t", "y", "yes")),
            ("false", ("false", "0", "off", "f", "n", "no")),
        )
        for word in words
        for spelling in (word, word.upper(), word.title())
    }

    def __init__(self) -> None:
        self._words = text_array(list(self._SPELLINGS))
        self._texts = text_array(list(self._SPELLINGS.values()))

    def prove_text(self, column: pa.StringArray) -> Proof:
        cells = self._texts.take(pc.index_in(column, value_set=self._words))
        return self.proof(cells, cells.is_valid() if cells.null_count else None)

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Truth values, and the integers 0 and 1."""
        if pa.types.is_boolean(column.type):
            return typed_proof(column)
        if pa.types.is_integer(column.type):
            return typed_proof(within(_int64(column), 0, 1).cast(pa.bool_()))
        return None

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_boolean(kind))


class DecimalKernel(Kernel):
    """Plain decimals: Python writes them as they stand, save tiny ones, which it writes with an
    exponent (so that no more than six places are taken) and those with a sign of zero."""

    encoding: Encoding = "bare"
    json_type: pa.DataType | None = pa.null()
    _MOST_WHOLE, _MOST_PLACES = 9, 6

    def __init__(self, max_digits: int | None = None, decimal_places: int | None = None) -> None:
        self._max_digits, self._decimal_places = max_digits, decimal_places
        places = self._MOST_PLACES if decimal_places is None else decimal_places
        if max_digits is not None and decimal_places is None:
            places = max(0, min(places, max_digits - 1))
        # The two parts are bounded so that together they never have too many digits.
        whole = (
            self._MOST_WHOLE if max_digits is None else min(max_digits - places, self._MOST_WHOLE)
        )
        if whole < 1:
            raise ValueError("no digit is left before the point")
        places = min(places, self._MOST_PLACES)
        fraction = rf"(?:\.[0-9]{{1,{places}}})?" if places else ""
        self._pattern = rf"^(?:0{fraction}|-?[1-9][0-9]{{0,{whole - 1}}}{fraction})$"

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.matching(column, self._pattern)

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Decimals, and numbers by the text of their digits."""
        kind = column.type
        if pa.types.is_decimal(kind) and self._holds(kind):
            return typed_proof(column)
        if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale >= 0):
            return self.prove_text(column.cast(pa.string()))
        if _is_float(kind):
            return self.prove_text(float_text(column.cast(pa.float64())))
        return None

    def _holds(self, kind: pa.DataType) -> bool:
        """Whether no value of a decimal type can have too many digits."""
        digits = _MOST_DIGITS if self._max_digits is None else self._max_digits
        places = _MOST_DIGITS if self._decimal_places is None else self._decimal_places
        whole = digits if self._decimal_places is None else digits - places
        fits = max(kind.precision, kind.scale) <= digits and kind.precision - kind.scale <= whole
        return bool(fits and 0 <= kind.scale <= places)

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_decimal(kind))
