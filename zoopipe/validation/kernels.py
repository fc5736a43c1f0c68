"""Column kernels: each proves, for a column of text, what pydantic would return.

A kernel is given a string column and says for which cells pydantic's answer is known, and what that
answer's text is. It never says that a cell is invalid: whatever it cannot prove goes to pydantic. So
a kernel may be as timid as it likes, and must never be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import no_nulls, text_array, text_bytes
from zoopipe.columns import Encoding, float_text


@dataclass(frozen=True, slots=True)
class Proof:
    """What a kernel found out of a column.

    Attributes:
        cells: the text of each proved value, in the kernel's encoding.
        proved: where the cells are pydantic's answer; None where all are. A null is never proved.
    """

    cells: pa.StringArray
    proved: pa.BooleanArray | None


def proof_of(cells: pa.StringArray, proved: pa.BooleanArray | None) -> Proof:
    """A proof that says None where every cell is proved."""
    if proved is not None and proved.true_count == len(proved):
        proved = None
    return Proof(cells, proved)


class Kernel(Protocol):
    """Proves the values of one field type."""

    encoding: Encoding
    logical: str | None

    def prove(self, column: pa.StringArray) -> Proof:
        """What pydantic's answer is known to be; `column` is text, as read."""


class StrKernel:
    """`str` without constraints: text is what it is."""

    encoding: Encoding = "plain"
    logical: str | None = None

    def prove(self, column: pa.StringArray) -> Proof:
        return _as_it_is(column)


def _matching(column: pa.StringArray, pattern: str) -> Proof:
    """Text that matches `pattern` is already the text of its value."""
    return proof_of(column, pc.match_substring_regex(column, pattern=pattern))


def _as_it_is(column: pa.StringArray) -> Proof:
    """Every cell that is not null is already the text of its value."""
    return Proof(column, column.is_valid() if column.null_count else None)


class IntKernel:
    """Canonical decimal integers: no sign but a minus, no leading zero, at most 64 bits."""

    encoding: Encoding = "json"
    logical: str | None = "int"
    _PATTERN = r"^(?:0|-?[1-9][0-9]{0,17})$"

    def prove(self, column: pa.StringArray) -> Proof:
        # Parsing and printing a column takes two thirds of what matching it does.
        values = _cast(column, pa.int64())
        if values is not None and values.cast(pa.string()).equals(column):
            return _as_it_is(column)
        return _matching(column, self._PATTERN)


class FloatKernel:
    """Plain decimals. Those of at most 15 digits without a trailing zero are their own shortest
    text (IEEE 754 doubles keep 15 digits); others are parsed, and written again."""

    encoding: Encoding = "json"
    logical: str | None = "float"
    _SHORTEST = (
        r"^-?(?:[1-9][0-9]{0,6}\.(?:0|[0-9]{0,7}[1-9])"
        r"|0\.(?:0|0{0,3}[1-9](?:[0-9]{0,9}[1-9])?))$"
    )
    _DECIMAL = r"^-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,17})?$"
    _SAMPLE_ROWS = 64

    def prove(self, column: pa.StringArray) -> Proof:
        sample = column.slice(0, self._SAMPLE_ROWS)
        if pc.match_substring_regex(sample, pattern=self._SHORTEST).true_count < len(sample):
            # Some are to be written again; to do it for all costs less than to tell them apart.
            return self._parsed(column)
        shortest = pc.match_substring_regex(column, pattern=self._SHORTEST)
        if shortest.true_count == len(column):
            return Proof(column, None)
        return self._patched(column, shortest)

    def _parsed(self, column: pa.StringArray) -> Proof:
        """All cells parsed and written again, where all of them are decimals."""
        if not bytes(text_bytes(column)).translate(None, b"0123456789.-"):
            # Arrow rounds correctly (fast_float), and so do pydantic and Python.
            values = _cast(column, pa.float64())
            if values is not None:
                return _as_it_is(float_text(values))
        return self._patched(column, pc.match_substring_regex(column, pattern=self._SHORTEST))

    def _patched(self, column: pa.StringArray, shortest: pa.BooleanArray) -> Proof:
        """The cells that are not yet the text of their value parsed and written again."""
        decimal = pc.match_substring_regex(column, pattern=self._DECIMAL)
        other = pc.and_not(decimal, shortest)
        if not other.true_count:
            return Proof(column, shortest)
        values = column.filter(other, null_selection_behavior="drop").cast(pa.float64())
        cells = pc.replace_with_mask(column, no_nulls(other), float_text(values))
        return Proof(cells, decimal)


class BoolKernel:
    """pydantic's spellings of true and false, in lower, upper and title case."""

    encoding: Encoding = "json"
    logical: str | None = "bool"
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

    def prove(self, column: pa.StringArray) -> Proof:
        found = pc.index_in(column, value_set=self._words)
        cells = self._texts.take(found)
        return Proof(cells, cells.is_valid() if cells.null_count else None)


_MONTH_DAY = (
    r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
# 29 February: years that four divides, save whole centuries, of which 2000 is left in.
_LEAP_DAY = r"(?:(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
_DATE = rf"(?:[12][0-9]{{3}}-{_MONTH_DAY}|{_LEAP_DAY})"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"


def _cast(column: pa.StringArray, kind: pa.DataType) -> pa.Array | None:
    """The column parsed by Arrow, or None where some cell is not of the type."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


def _all_of_length(column: pa.StringArray, length: int) -> bool:
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    return bool(lengths["min"] == lengths["max"] == length)


class DateKernel:
    """ISO dates, `2024-02-29`."""

    encoding: Encoding = "bare"
    logical: str | None = "date"
    _PATTERN = rf"^{_DATE}$"
    _YEAR_ONE = -719162  # 0001-01-01 in days since 1970

    def prove(self, column: pa.StringArray) -> Proof:
        # Arrow parses YYYY-MM-DD alone, and knows which days there are, at a fifth of the cost.
        if _all_of_length(column, 10) and (days := _cast(column, pa.date32())) is not None:
            first = pc.min(days.view(pa.int32())).as_py()
            if first is None or first >= self._YEAR_ONE:
                return _as_it_is(column)
        return _matching(column, self._PATTERN)


class DateTimeKernel:
    """ISO date and time to the second, naive or in UTC; a space between the two becomes `T`."""

    encoding: Encoding = "bare"
    logical: str | None = "datetime"
    _PATTERN = rf"^{_DATE}[T ]{_TIME}Z?$"
    _SEPARATOR_AT = 10

    def prove(self, column: pa.StringArray) -> Proof:
        proof = _matching(column, self._PATTERN)
        spaced = pc.match_substring_regex(column, pattern=r"^[-0-9]{10} ")
        if not spaced.true_count:
            return proof
        at = self._SEPARATOR_AT
        replaced = pc.utf8_replace_slice(column, start=at, stop=at + 1, replacement="T")
        return Proof(pc.if_else(spaced, replaced, column), proof.proved)


class UUIDKernel:
    """The form with hyphens, in lower case: it is the text that a UUID is written as."""

    encoding: Encoding = "bare"
    logical: str | None = None
    _PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

    def prove(self, column: pa.StringArray) -> Proof:
        return _matching(column, self._PATTERN)


class DecimalKernel:
    """Plain decimals: Python writes them as they stand, save tiny ones, which it writes with an
    exponent (so that no more than six places are taken) and those with a sign of zero."""

    encoding: Encoding = "bare"
    logical: str | None = None
    _MOST_WHOLE, _MOST_PLACES = 9, 6

    def __init__(self, max_digits: int | None = None, decimal_places: int | None = None) -> None:
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

    def prove(self, column: pa.StringArray) -> Proof:
        return _matching(column, self._pattern)


class ChoiceKernel:
    """One of some strings: `Literal` of strings, enums with strings for values."""

    encoding: Encoding = "plain"
    logical: str | None = None

    def __init__(self, choices: Sequence[str]) -> None:
        self._choices = text_array(list(choices))

    def prove(self, column: pa.StringArray) -> Proof:
        return proof_of(column, pc.is_in(column, value_set=self._choices))


class NullableKernel:
    """`Optional[...]`: a null is proved to be None, all else is the inner kernel's."""

    def __init__(self, inner: Kernel) -> None:
        self.encoding = inner.encoding
        self.logical = inner.logical
        self._inner = inner

    def prove(self, column: pa.StringArray) -> Proof:
        proof = self._inner.prove(column)
        if proof.proved is None or not column.null_count:
            return proof
        return proof_of(proof.cells, pc.or_kleene(column.is_null(), proof.proved))


#: The kernels of types without constraints, by the type of the core schema.
KERNELS: Mapping[str, Kernel] = {
    "str": StrKernel(),
    "int": IntKernel(),
    "float": FloatKernel(),
    "bool": BoolKernel(),
    "date": DateKernel(),
    "datetime": DateTimeKernel(),
    "uuid": UUIDKernel(),
}
