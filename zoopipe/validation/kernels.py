"""Column kernels: each proves, for a column of text, what pydantic would return.

A kernel is given a string column and says for which cells pydantic's answer is known, and what that
answer's text is. It never says that a cell is invalid: whatever it cannot prove goes to pydantic. So
a kernel may be as timid as it likes, and must never be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import FALSE, text_array
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
        return Proof(column, column.is_valid() if column.null_count else None)


class PatternKernel:
    """Text that matches a pattern is already the text of its value."""

    def __init__(self, pattern: str, encoding: Encoding, logical: str) -> None:
        self.encoding = encoding
        self.logical: str | None = logical
        self._pattern = pattern

    def prove(self, column: pa.StringArray) -> Proof:
        matches = pc.match_substring_regex(column, pattern=self._pattern)
        if matches.true_count == len(column):
            return Proof(column, None)
        return Proof(column, matches)


class FloatKernel:
    """Plain decimals. Those of at most 15 digits without a trailing zero are their own shortest
    text (IEEE 754 doubles keep 15 digits); others are parsed, and written again."""

    encoding: Encoding = "json"
    logical: str | None = "float"
    _SHORTEST = r"^-?(?:[1-9][0-9]{0,6}\.(?:0|[0-9]{0,7}[1-9])|0\.(?:0|0{0,3}[1-9](?:[0-9]{0,9}[1-9])?))$"
    _DECIMAL = r"^-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,17})?$"

    def prove(self, column: pa.StringArray) -> Proof:
        shortest = pc.match_substring_regex(column, pattern=self._SHORTEST)
        if shortest.true_count == len(column):
            return Proof(column, None)
        decimal = pc.and_not(pc.match_substring_regex(column, pattern=self._DECIMAL), shortest)
        if not decimal.true_count:
            return Proof(column, shortest)
        # Arrow rounds correctly (fast_float), and so do pydantic and Python.
        values = column.filter(decimal, null_selection_behavior="drop").cast(pa.float64())
        cells = pc.replace_with_mask(column, _no_nulls(decimal), float_text(values))
        return Proof(cells, pc.or_(shortest, decimal))


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


class DateTimeKernel:
    """ISO date and time to the second, naive or in UTC; a space between the two becomes `T`."""

    encoding: Encoding = "bare"
    logical: str | None = "datetime"
    _PATTERN = rf"^{_DATE}[T ]{_TIME}Z?$"
    _SEPARATOR_AT = 10

    def prove(self, column: pa.StringArray) -> Proof:
        matches = pc.match_substring_regex(column, pattern=self._PATTERN)
        proved = None if matches.true_count == len(column) else matches
        spaced = pc.match_substring_regex(column, pattern=r"^[-0-9]{10} ")
        if not spaced.true_count:
            return Proof(column, proved)
        at = self._SEPARATOR_AT
        replaced = pc.utf8_replace_slice(column, start=at, stop=at + 1, replacement="T")
        return Proof(pc.if_else(spaced, replaced, column), proved)


def _no_nulls(mask: pa.BooleanArray) -> pa.BooleanArray:
    return pc.fill_null(mask, FALSE) if mask.null_count else mask


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
        missing = column.is_null()
        proved = pc.or_kleene(missing, proof.proved)
        return Proof(proof.cells, None if proved.true_count == len(column) else proved)


#: The kernels, by the type of a pydantic core schema that has no constraint.
KERNELS: Mapping[str, Kernel] = {
    "str": StrKernel(),
    "int": PatternKernel(r"^(?:0|-?[1-9][0-9]{0,17})$", "json", "int"),
    "float": FloatKernel(),
    "bool": BoolKernel(),
    "date": PatternKernel(rf"^{_DATE}$", "bare", "date"),
    "datetime": DateTimeKernel(),
}
