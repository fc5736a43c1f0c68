"""The Arrow schema of what a model dumps, read from its pydantic core schema.

It is the schema of `model_dump()`: what has no Arrow type of its own (`Any`, unions of different types,
recursive models, serializers that do not say what they return) is a column of JSON text, marked as such,
so that it reads back as the values it stands for.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
from pydantic import BaseModel

from zoopipe.columns import encoded_field, is_record_batch
from zoopipe.errors import DeclarationError
from zoopipe.validation.definitions import Definitions
from zoopipe.validation.functions import OPAQUE_KEYS
from zoopipe.validation.schema import dump_names, is_overridden
from zoopipe.values import python_values

Schema = Mapping[str, Any]
#: Values of the sample at some place of the model, of which the first that is there counts.
Sample = Callable[[], Iterable[Any]]

#: What Spark takes for a decimal of which nothing is said.
PLAIN_DECIMAL = pa.decimal128(38, 18)
_NAIVE, _AWARE = pa.timestamp("us"), pa.timestamp("us", "UTC")
_DIGITS_128, _DIGITS_256 = 38, 76
_OFFSET = re.compile(r"(?:[Zz]|[-+][0-9]{2}:?[0-9]{2})$")


@dataclass(frozen=True, slots=True)
class Column:
    """What a value becomes.

    Attributes:
        kind: its Arrow type; None where it is JSON text.
        nullable: whether it may be None.
    """

    kind: pa.DataType | None
    nullable: bool = False

    def field(self, name: str) -> pa.Field:
        """The field of a column of such values."""
        if self.kind is None:
            return encoded_field(name, "json").with_nullable(self.nullable)
        return pa.field(name, self.kind, self.nullable)


#: Anything may be None.
JSON = Column(None, nullable=True)

_SIMPLE: Mapping[str, pa.DataType] = {
    "str": pa.string(),
    "url": pa.string(),
    "multi-host-url": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timedelta": pa.duration("us"),
    "uuid": pa.uuid() if hasattr(pa, "uuid") else pa.string(),
}
_PYTHON: Mapping[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
    date: pa.date32(),
    time: pa.time64("us"),
    timedelta: pa.duration("us"),
    UUID: _SIMPLE["uuid"],
    Decimal: PLAIN_DECIMAL,
}
# pydantic's own serializers, which do not declare what they return.
_TEXT_SERIALIZERS = frozenset(
    {"serialize_url", "ser_ip", "ser_path", "_serialize_secret_field", "_serialize_secret"}
)
_ENCODERS = {"encode": pa.binary(), "encode_str": pa.string()}


def arrow_schema(
    model: type[BaseModel],
    sample: pa.RecordBatch | None = None,
    extra: Sequence[str] = (),
) -> pa.Schema:
    """The Arrow schema of `model_dump()`.

    Args:
        model: a pydantic model class, completely defined.
        sample: some rows that the model accepted, in the encodings of `zoopipe.columns`. It only says
            whether the column of a plain `datetime`, which takes both, has a time zone: as the first
            value that is there; it has none where there is no value.
        extra: columns of the input that a model with `extra="allow"` lets through, after its own.

    Raises:
        DeclarationError: the model's dump has no columns: it is a `RootModel`, has a serializer of the
            whole model, or no field that is written.
    """
    root: Schema = model.__pydantic_core_schema__
    definitions = Definitions([])
    if root["type"] == "definitions":
        definitions = Definitions(root["definitions"])
        root = root["schema"]
    within = frozenset({root["schema_ref"]} if root["type"] == "definition-ref" else ())
    parts = _Reader(definitions, within).members(root, takes_extra=True)
    names = dump_names(model)
    if names is None or parts is None or not names:
        raise DeclarationError(
            f"{model.__name__} is not written as fields; a typed output needs a model with fields, "
            "without a serializer of the whole model, or schema="
        )
    found = {part.key: part for part in parts}
    fields = []
    for name in names:
        part = found.get(name)
        column = JSON if part is None else part.column(_column_sample(sample, name))
        fields.append(column.field(name))
    known = set(names)
    fields += [JSON.field(name) for name in extra if name not in known]
    return pa.schema(fields)


@dataclass(frozen=True, slots=True)
class _Part:
    """A field of a model, of a dataclass or of a TypedDict.

    Attributes:
        key: what its value is written under.
        column: what the value becomes, given a sample of it.
        may_lack: whether it may be left out.
    """

    key: str
    column: Callable[[Sample], Column]
    may_lack: bool


class _Reader:
    """Reads what values of core schemas become.

    Args:
        definitions: what the schemas refer to.
        within: the definitions that are being read, which lead back to themselves.
    """

    def __init__(self, definitions: Definitions, within: frozenset[str] = frozenset()) -> None:
        self._definitions = definitions
        self._within = within

    def column(self, schema: Schema, sample: Sample) -> Column:
        """What a value of a schema becomes."""
        serialization = schema.get("serialization")
        if serialization is not None:
            own = self._serialized(schema, serialization, sample)
            if own is not None:
                return own
        kind = schema["type"]
        if kind == "definition-ref":
            return self._referred(schema, sample)
        if kind in _SIMPLE:
            return Column(_SIMPLE[kind])
        make = _MAKERS.get(kind)
        return JSON if make is None else make(self, schema, sample)

    def _referred(self, schema: Schema, sample: Sample) -> Column:
        reference = schema["schema_ref"]
        if reference in self._within:
            return JSON
        inner = _Reader(self._definitions, self._within | {reference})
        return inner.column(self._definitions.top(schema), sample)

    def _serialized(self, schema: Schema, serialization: Schema, sample: Sample) -> Column | None:
        """What a serializer makes of a value; None where it does nothing to Python values, or nothing
        that would change its type."""
        kind = serialization["type"]
        if kind == "to-string":
            return Column(pa.string(), _may_be_none(schema))
        if kind == "include-exclude-sequence" or kind == "include-exclude-dict":
            return None
        if kind in _SIMPLE:
            return Column(_SIMPLE[kind], _may_be_none(schema))
        if kind == "format":
            written = serialization.get("when_used", "json-unless-none")
            return None if written.startswith("json") else Column(pa.string(), _may_be_none(schema))
        if kind not in ("function-plain", "function-wrap"):
            return JSON
        function = getattr(serialization["function"], "__func__", serialization["function"])
        name, home = getattr(function, "__name__", ""), getattr(function, "__module__", "") or ""
        if home.startswith("pydantic."):
            if name in _TEXT_SERIALIZERS:
                return Column(pa.string(), _may_be_none(schema))
            if name in _ENCODERS:
                return Column(_ENCODERS[name])
            if name == "serialize_sequence_via_list":
                return self._list_of(serialization["schema"], sample)
        used = serialization.get("when_used", "always")
        if used.startswith("json"):
            # A pattern is an object to Python, and nothing but text to anybody else.
            if schema["type"] == "function-plain" and "return_schema" in serialization:
                return self.column(serialization["return_schema"], sample)
            return None
        if "return_schema" not in serialization:
            return JSON
        returned = self.column(serialization["return_schema"], sample)
        if used == "unless-none" and _may_be_none(schema):
            return Column(returned.kind, nullable=True)
        return returned

    def nullable(self, schema: Schema, sample: Sample) -> Column:
        return Column(self.column(schema["schema"], sample).kind, nullable=True)

    def default(self, schema: Schema, sample: Sample) -> Column:
        """A value that need not be given; a default of None is not validated, and so may stay."""
        column = self.column(schema["schema"], sample)
        none = "default" in schema and schema["default"] is None
        return Column(column.kind, nullable=True) if none else column

    def inner(self, schema: Schema, sample: Sample) -> Column:
        """A value of a schema with something around it that leaves the type alone."""
        return self.column(schema["schema"], sample)

    def last_step(self, schema: Schema, sample: Sample) -> Column:
        return self.column(schema["steps"][-1], sample)

    def strict(self, schema: Schema, sample: Sample) -> Column:
        return self.column(schema["strict_schema"], sample)

    def python(self, schema: Schema, sample: Sample) -> Column:
        """JSON's type where Python's is nothing but an instance of some class."""
        column = self.column(schema["python_schema"], sample)
        return column if column.kind is not None else self.column(schema["json_schema"], sample)

    def datetime(self, schema: Schema, sample: Sample) -> Column:
        constraint = schema.get("tz_constraint")
        if constraint is not None:
            return Column(_NAIVE if constraint == "naive" else _AWARE)
        return Column(_AWARE if _has_zone(sample()) else _NAIVE)

    def decimal(self, schema: Schema, sample: Sample) -> Column:
        """As many digits as the constraints allow, where they say how many."""
        digits, places = schema.get("max_digits"), schema.get("decimal_places")
        if digits is None:
            scale = PLAIN_DECIMAL.scale if places is None else places
            return Column(_decimal(max(_DIGITS_128, scale), scale))
        if places is None:
            # All of its digits may stand before the point, or behind it.
            return Column(_decimal(2 * digits, digits) if 2 * digits <= _DIGITS_256 else None)
        return Column(_decimal(max(digits, places), places))

    def literal(self, schema: Schema, sample: Sample) -> Column:
        return _of_values(schema["expected"])

    def enum(self, schema: Schema, sample: Sample) -> Column:
        return _of_values(schema["members"])

    def listed(self, schema: Schema, sample: Sample) -> Column:
        return self._list_of(schema.get("items_schema", {"type": "any"}), sample)

    def _list_of(self, items: Schema, sample: Sample) -> Column:
        item = self.column(items, lambda: _elements(sample()))
        return Column(pa.list_(item.field("item")))

    def same_items(self, schema: Schema, sample: Sample) -> Column:
        """A list, where all items are of one type."""
        items = {self.column(item, lambda: _elements(sample())) for item in schema["items_schema"]}
        if len(items) != 1:
            return Column(None)
        return Column(pa.list_(items.pop().field("item")))

    def mapped(self, schema: Schema, sample: Sample) -> Column:
        key = self.column(schema.get("keys_schema", {"type": "any"}), _nothing)
        if key != Column(pa.string()):
            return Column(None)
        value = self.column(
            schema.get("values_schema", {"type": "any"}),
            lambda: _elements(map(_values_of, sample())),
        )
        return Column(pa.map_(pa.string(), value.field("value")))

    def union(self, schema: Schema, sample: Sample) -> Column:
        """The type that all choices share."""
        choices = [
            choice[0] if isinstance(choice, tuple) else choice for choice in schema["choices"]
        ]
        present = [choice for choice in choices if choice["type"] != "none"]
        columns = [self.column(choice, sample) for choice in present]
        kinds = {column.kind for column in columns}
        nullable = len(present) < len(choices) or any(column.nullable for column in columns)
        return Column(kinds.pop() if len(kinds) == 1 else None, nullable)

    def tagged_union(self, schema: Schema, sample: Sample) -> Column:
        return self.union({"choices": list(schema["choices"].values())}, sample)

    def struct(self, schema: Schema, sample: Sample) -> Column:
        """A struct, where it has fields, and it is known that each is there."""
        parts = self.members(schema)
        if not parts or any(part.may_lack for part in parts):
            return Column(None)
        fields = [part.column(_member_sample(sample, part.key)).field(part.key) for part in parts]
        if len({field.name for field in fields}) < len(fields):
            return Column(None)
        return Column(pa.struct(fields))

    def root_or_struct(self, schema: Schema, sample: Sample) -> Column:
        if schema.get("root_model"):
            return self.column(schema["schema"], sample)
        return self.struct(schema, sample)

    def members(self, schema: Schema, takes_extra: bool = False) -> list[_Part] | None:
        """The fields of a model, of a dataclass or of a TypedDict, whatever validators stand around
        them; None where its dump is something else, or, unless `takes_extra`, may have other keys."""
        config: Schema = {}
        while True:
            serialization = schema.get("serialization")
            if serialization is not None and self._acts(serialization):
                return None
            config = schema.get("config", config)
            if schema["type"] == "definition-ref":
                schema = self._definitions.top(schema)
            elif schema["type"] in _AROUND_FIELDS and not schema.get("root_model"):
                schema = schema["schema"]
            else:
                break
        extra = schema.get("extra_behavior", config.get("extra_fields_behavior"))
        if schema["type"] not in _FIELDS or (extra == "allow" and not takes_extra):
            return None
        fields = schema["fields"]
        named = fields.items() if isinstance(fields, Mapping) else [(f["name"], f) for f in fields]
        by_alias = bool(config.get("serialize_by_alias"))
        parts = [self._part(name, entry, by_alias) for name, entry in named if _is_written(entry)]
        return parts + [
            self._computed(entry, by_alias) for entry in schema.get("computed_fields", ())
        ]

    @staticmethod
    def _acts(serialization: Schema) -> bool:
        return not serialization.get("when_used", "always").startswith("json")

    def _part(self, name: str, entry: Schema, by_alias: bool) -> _Part:
        return _Part(
            entry.get("serialization_alias", name) if by_alias else name,
            lambda sample: self._maybe(entry, self.column(entry["schema"], sample)),
            # Fields of models and dataclasses are there, required or not.
            not entry.get("required", True) or "serialization_exclude_if" in entry,
        )

    def _computed(self, entry: Schema, by_alias: bool) -> _Part:
        name = entry["property_name"]
        return _Part(
            entry.get("alias", name) if by_alias else name,
            lambda sample: self._maybe(entry, self.column(entry["return_schema"], sample)),
            "serialization_exclude_if" in entry,
        )

    @staticmethod
    def _maybe(entry: Schema, column: Column) -> Column:
        return Column(column.kind, nullable=True) if "serialization_exclude_if" in entry else column


_AROUND_FIELDS = {
    *("model", "dataclass", "default", "custom-error"),
    *("function-before", "function-after", "function-wrap"),
}
_FIELDS = {"model-fields", "dataclass-args", "typed-dict"}
_MAKERS: Mapping[str, Callable[[_Reader, Schema, Sample], Column]] = {
    "nullable": _Reader.nullable,
    "default": _Reader.default,
    "function-before": _Reader.inner,
    "function-after": _Reader.inner,
    "function-wrap": _Reader.inner,
    "custom-error": _Reader.inner,
    "json": lambda reader, schema, sample: (
        reader.inner(schema, sample) if "schema" in schema else JSON
    ),
    "chain": _Reader.last_step,
    "lax-or-strict": _Reader.strict,
    "json-or-python": _Reader.python,
    "datetime": _Reader.datetime,
    "decimal": _Reader.decimal,
    "literal": _Reader.literal,
    "enum": _Reader.enum,
    "list": _Reader.listed,
    "set": _Reader.listed,
    "frozenset": _Reader.listed,
    "deque": _Reader.listed,
    "tuple": _Reader.same_items,
    "dict": _Reader.mapped,
    "counter": _Reader.mapped,
    "union": _Reader.union,
    "tagged-union": _Reader.tagged_union,
    "model": _Reader.root_or_struct,
    "dataclass": _Reader.struct,
    "typed-dict": _Reader.struct,
}


def _is_written(entry: Schema) -> bool:
    return not entry.get("serialization_exclude") and not entry.get("init_only")


def _may_be_none(schema: Schema) -> bool:
    """Whether None is a value of a schema, as far as what stands around its type says."""
    if schema["type"] == "nullable":
        return True
    if schema["type"] in ("default", "function-before", "function-after", "function-wrap"):
        return _may_be_none(schema["schema"])
    return False


def _decimal(precision: int, scale: int) -> pa.DataType | None:
    if precision > _DIGITS_256 or scale < 0:
        return None
    return (pa.decimal128 if precision <= _DIGITS_128 else pa.decimal256)(precision, scale)


def _of_values(values: Sequence[Any]) -> Column:
    """The type that some values share; members of enums count as their values."""
    values = [value.value if isinstance(value, enum.Enum) else value for value in values]
    kinds = {_PYTHON.get(_python_type(value)) for value in values if value is not None}
    kind = kinds.pop() if len(kinds) == 1 else None
    return Column(kind, nullable=any(value is None for value in values))


def _python_type(value: Any) -> type:
    """The first known type that a value is of: an enum's value may be of a class derived from one."""
    return next((kind for kind in type(value).__mro__ if kind in _PYTHON), type(value))


def _nothing() -> Iterable[Any]:
    return ()


def _column_sample(sample: pa.RecordBatch | None, name: str) -> Sample:
    """The values of a column, one by one, as far as they are asked for."""
    if sample is None:
        return _nothing
    if is_record_batch(sample.schema) and name not in sample.schema.names[1:]:
        column, field = sample.column(0), sample.schema.field(0).remove_metadata()
        field = encoded_field(field.name, "json")
    elif name in sample.schema.names:
        at = sample.schema.names.index(name)
        column, field = sample.column(at), sample.schema.field(at)
    else:
        return _nothing

    def values() -> Iterator[Any]:
        for at in range(len(column)):
            yield from python_values(column.slice(at, 1), field)

    if is_record_batch(sample.schema) and name not in sample.schema.names[1:]:
        return _member_sample(values, name)
    return values


def _member_sample(sample: Sample, key: str) -> Sample:
    return lambda: (value.get(key) for value in sample() if isinstance(value, Mapping))


def _elements(lists: Iterable[Any]) -> Iterator[Any]:
    for items in lists:
        if isinstance(items, Iterable) and not isinstance(items, str):
            yield from items


def _values_of(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, Mapping) else ()


def _has_zone(values: Iterable[Any]) -> bool:
    """Whether the first value that is there has an offset from UTC."""
    first = next((value for value in values if value is not None), None)
    if isinstance(first, datetime):
        return first.utcoffset() is not None
    return isinstance(first, str) and _OFFSET.search(first) is not None


def asks_for_sample(model: type[BaseModel]) -> bool:
    """Whether the schema of a model depends on a sample: it has a `datetime` that takes both kinds."""
    return _has_open_datetime(model.__pydantic_core_schema__)


def _has_open_datetime(schema: Any) -> bool:
    if isinstance(schema, list | tuple):
        return any(map(_has_open_datetime, schema))
    if not isinstance(schema, Mapping):
        return False
    if schema.get("type") == "datetime" and schema.get("tz_constraint") is None:
        return True
    return any(_has_open_datetime(value) for key, value in schema.items() if key not in OPAQUE_KEYS)


def json_says_all(model: type[BaseModel]) -> bool:
    """Whether all that `model_dump()` gives can be told from what the model writes to JSON.

    It cannot where JSON writes a value otherwise than its type is written (`when_used="json"`,
    `ser_json_bytes="base64"`, a serializer that may ask for the mode), nor for bytes that are no UTF-8,
    nor for sets, whose order differs from process to process until they are sorted as sets.
    """
    return not is_overridden(model, "model_dump") and not _hides(model.__pydantic_core_schema__)


def _hides(schema: Any) -> bool:
    if isinstance(schema, list | tuple):
        return any(map(_hides, schema))
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    if kind in ("bytes", "set", "frozenset"):
        return True
    if kind in ("function-plain", "function-wrap") and "schema_ref" not in schema:
        function = schema.get("function")
        if not isinstance(function, Mapping) and function is not None:
            bound = getattr(function, "__func__", function)
            return getattr(bound, "__name__", "") not in _TEXT_SERIALIZERS
    if any(str(key).startswith(("ser_json_", "val_json_")) for key in schema):
        return True
    return any(_hides(value) for key, value in schema.items() if key not in OPAQUE_KEYS)
