"""What PostgreSQL and SQLite call the types of columns, and which Arrow types they hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.tables import is_json
from zoopipe.arrays import no_nulls, text_scalar
from zoopipe.columns import encoded_field
from zoopipe.takers import is_text, is_uuid

_types = pa.types
_TEXT, _BLOB = pa.string(), pa.binary()
_NUL = "\0"


class Dialect(ABC):
    """The types of one kind of database.

    Attributes:
        folds_case: whether names that differ in case only are the same.
    """

    folds_case: ClassVar[bool] = False

    @abstractmethod
    def storable(self, field: pa.Field) -> pa.Field:
        """A column in the Arrow type whose values the database can hold, exactly, if perhaps as text."""

    def stored(self, field: pa.Field) -> pa.Field:
        """A column of `storable` in the type that it is staged and loaded in."""
        return field

    @abstractmethod
    def declared(self, field: pa.Field) -> str:
        """The type that a table is made with, for a column of `stored`."""

    def misfits(self, column: pa.Array) -> tuple[pa.BooleanArray, str] | None:
        """Values that the database would not hold as they are, and why."""
        return None


class PostgreSQL(Dialect):
    """PostgreSQL: its own types for all but structs, maps and lists of anything else than plain values,
    which are JSON."""

    def storable(self, field: pa.Field) -> pa.Field:
        kind = field.type
        if is_json(field):
            return field
        if _types.is_list(kind) or _types.is_large_list(kind) or _types.is_fixed_size_list(kind):
            inner = _plain(kind.value_type)
            return _as_json(field) if inner is None else field.with_type(pa.list_(inner))
        found = _plain(kind)
        return _as_json(field) if found is None else field.with_type(found)

    def declared(self, field: pa.Field) -> str:
        if is_json(field):
            return "json"
        if _types.is_list(field.type):
            return f"{_POSTGRES[field.type.value_type]}[]"
        if _types.is_decimal(field.type):
            return f"numeric({field.type.precision}, {field.type.scale})"
        return "uuid" if is_uuid(field.type) else _POSTGRES[field.type]

    def misfits(self, column: pa.Array) -> tuple[pa.BooleanArray, str] | None:
        texts = column.flatten() if _types.is_list(column.type) else column
        if not is_text(texts.type) or _NUL.encode() not in _data(texts):
            return None
        if texts is not column:
            joined = pc.binary_join(column, text_scalar(""))
            return no_nulls(pc.match_substring(joined, _NUL)), _NO_NUL
        return no_nulls(pc.match_substring(texts, _NUL)), _NO_NUL


_NO_NUL = "PostgreSQL's text has no NUL character"
_POSTGRES = {
    pa.bool_(): "boolean",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "real",
    pa.float64(): "double precision",
    pa.string(): "text",
    pa.binary(): "bytea",
    pa.date32(): "date",
    pa.time64("us"): "time",
    pa.timestamp("us"): "timestamp",
    pa.timestamp("us", "UTC"): "timestamptz",
    pa.duration("us"): "interval",
}


def _data(texts: pa.StringArray) -> bytes:
    """The bytes of texts, and perhaps of some around them."""
    data = texts.buffers()[2]
    return b"" if data is None else data.to_pybytes()


def _plain(kind: pa.DataType) -> pa.DataType | None:
    """The type of PostgreSQL's own for values that are no lists; None where it has none."""
    if _types.is_null(kind):
        return _TEXT
    if _types.is_dictionary(kind):
        return _plain(kind.value_type)
    if _types.is_integer(kind):
        return _integer(kind)
    if is_text(kind):
        return _TEXT
    if _types.is_float16(kind):
        return pa.float32()
    if _types.is_timestamp(kind):
        return pa.timestamp("us", "UTC") if kind.tz else pa.timestamp("us")
    if _types.is_date(kind):
        return pa.date32()
    if _types.is_time(kind):
        return pa.time64("us")
    if _types.is_duration(kind):
        return pa.duration("us")
    if _types.is_decimal(kind) and kind.scale >= 0:
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else kind
    if _types.is_binary(kind) or _types.is_large_binary(kind) or _types.is_fixed_size_binary(kind):
        return _BLOB
    return kind if kind in _POSTGRES or is_uuid(kind) else None


def _integer(kind: pa.DataType) -> pa.DataType:
    """The signed type for integers; what of an unsigned 64-bit one is larger refuses its row."""
    bits = kind.bit_width + (not _types.is_signed_integer(kind))
    return pa.int16() if bits <= 16 else pa.int32() if bits <= 32 else pa.int64()


def _as_json(field: pa.Field) -> pa.Field:
    return encoded_field(field.name, "json").with_nullable(field.nullable)


class SQLite(Dialect):
    """SQLite: integers, floats, texts and blobs; anything else is text: ISO dates and times, decimals as
    they are written, JSON for lists and structs."""

    folds_case = True

    def storable(self, field: pa.Field) -> pa.Field:
        kind = field.type
        while _types.is_dictionary(kind):
            kind = kind.value_type
        if is_json(field):
            return field
        if _types.is_integer(kind):
            return field.with_type(pa.int64())
        if _types.is_floating(kind):
            return field.with_type(pa.float64())
        if _types.is_nested(kind):
            return _as_json(field)
        if _types.is_null(kind):
            return field.with_type(_TEXT)
        return field.with_type(_plain(kind) or kind)

    def stored(self, field: pa.Field) -> pa.Field:
        return field if field.type in _SQLITE else field.with_type(_TEXT)

    def declared(self, field: pa.Field) -> str:
        return _SQLITE[field.type]

    def misfits(self, column: pa.Array) -> tuple[pa.BooleanArray, str] | None:
        if not _types.is_floating(column.type):
            return None
        mask = no_nulls(pc.is_nan(column))
        return (mask, "SQLite has no NaN") if mask.true_count else None


_SQLITE = {
    pa.bool_(): "BOOLEAN",
    pa.int64(): "INTEGER",
    pa.float64(): "REAL",
    pa.string(): "TEXT",
    pa.binary(): "BLOB",
}


class Generic(Dialect):
    """What SQLAlchemy has a type for in every database; anything else is text, or JSON text."""

    def storable(self, field: pa.Field) -> pa.Field:
        kind = field.type
        while _types.is_dictionary(kind):
            kind = kind.value_type
        if is_json(field):
            return field
        if _types.is_nested(kind):
            return _as_json(field)
        if _types.is_integer(kind):
            return field.with_type(pa.int64())
        if _types.is_floating(kind):
            return field.with_type(pa.float64())
        return field.with_type(_plain(kind) or kind)

    def stored(self, field: pa.Field) -> pa.Field:
        is_text = is_uuid(field.type) or _types.is_duration(field.type)
        return field.with_type(_TEXT) if is_text else field

    def declared(self, field: pa.Field) -> str:
        raise NotImplementedError("SQLAlchemy writes what a table is made with")
