"""What one kind of JSON record looks like, exactly: its keys in their order, and between them slots.

A `Shape` is made of one record's outline. Everything outside of its slots is literal text, so that a
record of that shape has each key once, in that order, with a value of the JSON form that is wanted:
a missing key, a key that comes twice, a value of another form is simply no record of that shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from zoopipe.records import is_too_deep

# At most 18 digits: it fits in 64 bits. Zero has no sign: `-0` is the integer 0 to Python.
_INTEGER = "(?:0|-?[1-9][0-9]{0,17})"
# Together with at most 17 digits before the point no exponent reaches infinity.
_EXPONENT = "[eE][-+]?(?:[0-9]{1,2}|1[0-9]{2}|2[0-8][0-9])"
_DOUBLE = rf"-?(?:0|[1-9][0-9]{{0,16}})(?:\.[0-9]+(?:{_EXPONENT})?|{_EXPONENT})"
_NUMBER = rf"(?:{_DOUBLE}|0|-?[1-9][0-9]{{0,16}})"
_BOOLEAN = "(?:true|false)"
# Half a surrogate pair is left out: Python takes it alone, and Arrow refuses all records for it.
_HEX = "[0-9a-fA-F]"
_UNIT = rf"u(?:[0-9a-cefA-CEF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}})"
_PAIR = rf"u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_ESCAPE = rf'\\(?:["\\/bfnrt]|{_UNIT}|{_PAIR})'
_STRING = rf'"(?:[^"\\\x00-\x1f]|{_ESCAPE})*"'
_SCALAR = f"(?:{_STRING}|{_INTEGER}|{_NUMBER}|{_BOOLEAN}|null)"

_FORMS: Mapping[pa.DataType, str] = {
    pa.int64(): _INTEGER,
    pa.float64(): _NUMBER,
    pa.bool_(): _BOOLEAN,
    pa.string(): _STRING,
}
_AS_IT_STANDS: Mapping[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    type(None): pa.string(),
}
Kind: TypeAlias = "type | Pairs"
Pairs: TypeAlias = tuple[tuple[str, Kind], ...]

# What no key can hold between quotes, or in UTF-8.
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
# RE2's automaton has 8 MB, and goes on slowly beyond.
_MOST_PATTERN = 20_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of one key.

    Attributes:
        type: `int64` (integers), `float64` (any number), `bool`, `string`, a list of one of these
            (without nulls), or a struct of any of all these, whose fields say themselves whether
            they may be null; `null` for what stands in a record that is looked at, where that is a
            string, an integer or a truth value.
        nullable: whether a JSON null may stand there; it becomes an Arrow null.
    """

    type: pa.DataType
    nullable: bool


class NoShape(Exception):
    """No shape can be made of a record."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value in a record.

    Attributes:
        key: the key that it is the value of.
        type: what is wanted of it; None where any scalar will do, and is ignored.
        nullable: whether a null may stand there.
        quoted: whether a string stands there (of what is ignored: in the record learned from).
    """

    key: str
    type: pa.DataType | None
    nullable: bool
    quoted: bool

    @property
    def pattern(self) -> str:
        """RE2's pattern of the values."""
        if self.type is None:
            return _SCALAR
        form = pattern_of(self.type)
        return f"(?:{form}|null)" if self.nullable else form


@dataclass(frozen=True, slots=True)
class Member:
    """A wanted key of a record's object.

    Attributes:
        name: the key.
        type: its Arrow type; of an object, a struct of the members that are wanted and present.
        slot: the number of its slot; None for an object, and for a null in place of one.
        members: what is wanted of its object; empty where it is none.
    """

    name: str
    type: pa.DataType
    slot: int | None
    members: tuple[Member, ...] = ()


@dataclass(slots=True)
class Piece:
    """What stands between two quotes of a record: literal text, around a slot or alone."""

    prefix: str = ""
    slot: int | None = None
    suffix: str = ""

    def append(self, text: str) -> None:
        """Lengthens the literal text."""
        if self.slot is None:
            self.prefix += text
        else:
            self.suffix += text


@dataclass(frozen=True)
class Shape:
    """One kind of record.

    Attributes:
        tokens: its text: literals, and the numbers of slots.
        slots: the places of its values, in order.
        members: the keys that are wanted, in order.
        colon: how a key is set off from its value.
    """

    tokens: tuple[str | int, ...]
    slots: tuple[Slot, ...]
    members: tuple[Member, ...]
    colon: str

    @cached_property
    def pattern(self) -> str:
        """RE2's pattern of the whole record."""
        parts = (
            re.escape(token) if isinstance(token, str) else self.slots[token].pattern
            for token in self.tokens
        )
        return f"^{''.join(parts)}$"

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns of what is wanted."""
        return pa.schema([pa.field(member.name, member.type) for member in self.members])

    @cached_property
    def pieces(self) -> tuple[Piece, ...] | None:
        """What stands between the quotes of a record whose strings have no escapes; every other one
        is a string. None where records of this shape do not have equally many quotes."""
        if any(slot.type is not None and pa.types.is_list(slot.type) for slot in self.slots):
            return None
        pieces = [Piece()]
        for token in self.tokens:
            if isinstance(token, str):
                head, *rest = token.split('"')
                pieces[-1].append(head)
                pieces += map(Piece, rest)
            elif self.slots[token].quoted:
                pieces += (Piece(slot=token), Piece())
            else:
                pieces[-1].slot = token
        return tuple(pieces)


def pattern_of(type: pa.DataType) -> str:
    """RE2's pattern of the JSON values that are exactly values of an Arrow type.

    Raises:
        NoShape: there is none.
    """
    if pa.types.is_list(type):
        item = pattern_of(type.value_type)
        return rf"\[(?:{item}(?:, ?{item})*)?\]"
    if type not in _FORMS:
        raise NoShape(f"a column of type {type}")
    return _FORMS[type]


def check_wanted(type: pa.DataType) -> None:
    """Refuses types that no shape can give.

    Raises:
        NoShape: `type` is such a type, or holds one.
    """
    if pa.types.is_struct(type):
        for field in type:
            check_wanted(field.type)
    elif pa.types.is_null(type):
        return
    elif pa.types.is_list(type) and pa.types.is_list(type.value_type):
        raise NoShape("lists of lists")
    else:
        pattern_of(type)


def _nullable(type: pa.DataType) -> pa.DataType:
    """A type whose fields, all the way down, may be null: in a null they are."""
    if not pa.types.is_struct(type):
        return type
    return pa.struct([pa.field(field.name, _nullable(field.type)) for field in type])


class Outline(NamedTuple):
    """What a record shows of its shape.

    Attributes:
        pairs: its keys, each with the type of its value, or for an object again such pairs.
        colon: what stands after its keys.
        comma: what stands after its values.
    """

    pairs: Pairs
    colon: str
    comma: str


def outline_of(record: str) -> Outline:
    """The outline of a record.

    Raises:
        NoShape: it is no object, or an empty one, or is nested too deeply.
    """
    if is_too_deep(record):
        raise NoShape("brackets too deep within each other")
    try:
        pairs = json.loads(record, object_pairs_hook=_typed)
    except ValueError as error:
        raise NoShape(str(error)) from error
    if not isinstance(pairs, tuple) or not pairs:
        raise NoShape("no object with a key")
    # A wrong guess makes a shape that no record is of.
    colon = ": " if record.startswith(f'{{"{pairs[0][0]}": ') else ":"
    comma = ", " if len(pairs) > 1 and f', "{pairs[1][0]}"' in record else ","
    return Outline(pairs, colon, comma)


def _typed(pairs: list[tuple[str, Any]]) -> Pairs:
    return tuple((key, value if isinstance(value, tuple) else type(value)) for key, value in pairs)


def shape_of(outline: Outline, wanted: Mapping[str, Wanted], *, ignore_extra: bool) -> Shape:
    """The shape of records with an outline.

    Args:
        outline: what one of them shows.
        wanted: what is wanted of which key.
        ignore_extra: whether there may be other keys, with scalars for values.

    Raises:
        NoShape: none can be made.
    """
    learner = _Learner(ignore_extra, outline.colon, outline.comma)
    members = learner.learn(outline.pairs, wanted)
    shape = Shape(tuple(learner.tokens), tuple(learner.slots), members, outline.colon)
    if len(shape.pattern) > _MOST_PATTERN:
        raise NoShape("a pattern that is too large")
    return shape


class _Learner:
    """Writes down the shape of one record."""

    def __init__(self, ignore_extra: bool, colon: str, comma: str) -> None:
        self.tokens: list[str | int] = [""]
        self.slots: list[Slot] = []
        self.colon = colon
        self._comma = comma
        self._ignore_extra = ignore_extra

    def learn(self, pairs: Pairs, wanted: Mapping[str, Wanted]) -> tuple[Member, ...]:
        """Takes an object down, and gives what is wanted of it."""
        members = []
        if len(dict(pairs)) < len(pairs):
            raise NoShape("a key that comes twice")
        opening = "{"
        for key, kind in pairs:
            if _NEEDS_ESCAPE.search(key):
                raise NoShape("a key that needs escapes")
            self._literal(f'{opening}"{key}"{self.colon}')
            if key in wanted:
                members.append(self._member(key, kind, wanted[key]))
            elif self._ignore_extra and not isinstance(kind, tuple) and kind is not list:
                self._slot(Slot(key, None, nullable=True, quoted=kind is str))
            else:
                raise NoShape(f"the key {key}, of which nothing is wanted")
            opening = self._comma
        self._literal("}")
        if not members:
            raise NoShape("no key that is wanted")
        return tuple(members)

    def _member(self, key: str, kind: Kind, want: Wanted) -> Member:
        if pa.types.is_null(want.type):
            # No float: the form of numbers does not tell 1 from 1.0, which some types do.
            if kind not in _AS_IT_STANDS:
                raise NoShape(f"{key} is of a type that is not wanted")
            want = Wanted(_AS_IT_STANDS[kind], want.nullable)
        if not pa.types.is_struct(want.type):
            quoted = pa.types.is_string(want.type)
            return Member(key, want.type, self._slot(Slot(key, want.type, want.nullable, quoted)))
        if kind is type(None) and want.nullable:
            self._literal("null")
            return Member(key, _nullable(want.type), None)
        if not isinstance(kind, tuple):
            raise NoShape(f"{key} is no object")
        inner = {field.name: Wanted(field.type, field.nullable) for field in want.type}
        members = self.learn(kind, inner)
        fields = [pa.field(member.name, member.type) for member in members]
        return Member(key, pa.struct(fields), None, members)

    def _literal(self, text: str) -> None:
        last = self.tokens[-1]
        if isinstance(last, str):
            self.tokens[-1] = last + text
        else:
            self.tokens.append(text)

    def _slot(self, slot: Slot) -> int:
        self.slots.append(slot)
        number = len(self.slots) - 1
        self.tokens.append(number)
        return number
