"""Kernels of unions in pydantic's smart mode.

Text is exactly what a `str` and a `Literal` of strings take, and an exact success wins wherever it stands
in the union. To all other types text is something to convert: of those the first that succeeds wins
(https://docs.pydantic.dev/latest/concepts/unions/#smart-mode). So a member's answer is proved where its own
kernel proves it, and where those before it surely refuse the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import byte_slice, int32_scalar, no_nulls, text_array, text_scalar
from zoopipe.columns import Encoding, quoted
from zoopipe.validation.kernels import Kernel, Proof

Condition = Callable[[pa.StringArray], pa.BooleanArray]


class Member(NamedTuple):
    """A member of a union: the type of its core schema, and its kernel.

    An enum is of type `choice`, `int-enum` or `float-enum`, as its values are text, whole numbers or not.
    """

    kind: str
    kernel: Kernel


class _Way(NamedTuple):
    """A kernel, and where its answer is that of the union, as far as it proves one."""

    kernel: Kernel
    conditions: Sequence[Condition]


class UnionKernel(Kernel):
    """Text that a member takes and those before it refuse.

    Raises:
        ValueError: a `str` has constraints, or no member takes text.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self.json_type = pa.null()
        encodings = {member.kernel.encoding for member in members}
        if not members:
            raise ValueError("a union that takes no text")
        if any(member.kind == "str" for member in members):
            raise ValueError("a union with a constrained str")
        widest: tuple[Encoding, ...] = ("json", "plain", "bare")
        self.encoding: Encoding = next(name for name in widest if name in encodings)
        kinds = {member.kernel.logical for member in members}
        self.logical = kinds.pop() if len(kinds) == 1 else None
        self._ways = [_Way(member.kernel, ()) for member in members if member.kind == "literal"]
        lax = [member for member in members if member.kind != "literal"]
        for place, member in enumerate(lax):
            rules = [_REFUSED.get((before.kind, member.kind)) for before in lax[:place]]
            if None not in rules:
                self._ways.append(_Way(member.kernel, [rule for rule in rules if rule is not None]))

    def prove_text(self, column: pa.StringArray) -> Proof:
        cells, proved = self._answers(self._ways[0], column)
        for way in self._ways[1:]:
            if proved.true_count == len(proved):
                break
            rest = pc.invert(proved)
            more, also = self._answers(way, column.filter(rest))
            cells = pc.replace_with_mask(cells, rest, more)
            proved = pc.replace_with_mask(proved, rest, also)
        return self.proof(cells, proved)

    def _answers(self, way: _Way, column: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray]:
        """The answers of one member, and where they are the union's."""
        proof = way.kernel.prove(column)
        assert proof is not None, "members know text"
        proved = column.is_valid() if proof.proved is None else no_nulls(proof.proved)
        for condition in way.conditions:
            proved = pc.and_(proved, no_nulls(condition(column)))
        if self.encoding == "json" and proof.encoding != "json":
            return quoted(proof.cells, proof.field("")), proved
        return proof.cells, proved


def _always(column: pa.StringArray) -> pa.BooleanArray:
    return column.is_valid()


def _no_bool_digit(column: pa.StringArray) -> pa.BooleanArray:
    """What is neither `0` nor `1`: the only numbers that are truth values too."""
    return pc.invert(pc.is_in(column, value_set=_BOOL_DIGITS))


def _with_fraction(column: pa.StringArray) -> pa.BooleanArray:
    """Decimals that are no whole numbers: an `int` takes `3.00`, but not `3.50`."""
    has_point = pc.match_substring(column, pattern=".")
    whole = pc.ends_with(pc.ascii_rtrim(column, characters="0"), pattern=".")
    return pc.and_not(has_point, whole)


def _with_time_of_day(column: pa.StringArray) -> pa.BooleanArray:
    """Dates with a time that is not the first minute of the day: a `date` takes midnight."""
    longer = pc.greater(pc.binary_length(column), _10)
    return pc.and_not(longer, pc.equal(byte_slice(column, 11, 16), _MIDNIGHT))


def _word(column: pa.StringArray) -> pa.BooleanArray:
    """What begins with a letter, and is no name of a number or of a truth value."""
    letter = pc.ascii_is_alpha(byte_slice(column, 0, 1))
    return pc.and_not(letter, pc.is_in(pc.ascii_lower(column), value_set=_NAMES))


_BOOL_DIGITS = text_array(["0", "1"])
_NAMES = text_array(
    [
        "nan",
        "snan",
        "inf",
        "infinity",
        "true",
        "t",
        "yes",
        "y",
        "on",
        "false",
        "f",
        "no",
        "n",
        "off",
    ],
)
_MIDNIGHT = text_scalar("00:00")
_10 = int32_scalar(10)

_DATED = ("date", "datetime", "time", "timedelta", "uuid", "url")
_COUNTED = ("int", "float", "bool", "int-enum")
# What each type refuses of the text that the kernels of others prove, whatever it looks like.
_REFUSES: Mapping[str, Sequence[str]] = {
    **dict.fromkeys((*_COUNTED, "float-enum", "decimal"), _DATED),
    # Numbers are dates and times too, in seconds since 1970.
    "date": ("time", "timedelta", "uuid", "url"),
    "datetime": ("time", "timedelta", "uuid", "url"),
    "time": ("date", "datetime", "uuid", "url"),
    # 32 digits are a UUID, and a float.
    "uuid": ("date", "datetime", "time", "timedelta", "decimal", "url", "int", "bool"),
    "url": ("date", "datetime", "time", "timedelta", "decimal", "uuid", *_COUNTED),
    # A choice takes nothing but what its kernel proves.
    "choice": (*_DATED, *_COUNTED, "decimal", "bytes", "choice"),
}
#: Where the first of two types surely refuses what a kernel of the second proves.
_REFUSED: Mapping[tuple[str, str], Condition] = {
    **{(first, then): _always for first, others in _REFUSES.items() for then in others},
    **{("bool", number): _no_bool_digit for number in ("int", "float", "int-enum")},
    **{(number, "bool"): _no_bool_digit for number in ("int", "float", "int-enum")},
    **{(whole, "float"): _with_fraction for whole in ("int", "int-enum", "uuid")},
    **{(whole, "decimal"): _with_fraction for whole in ("int", "int-enum")},
    **{(first, "choice"): _word for first in (*_COUNTED, "decimal", "date", "datetime")},
    # Of whole numbers in their usual spelling an enum of such takes its own, and those are proved before.
    # (One of floats takes `2` for its 2.0.)
    ("int-enum", "int"): _always,
    ("date", "datetime"): _with_time_of_day,
}
