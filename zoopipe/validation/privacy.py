"""What of a model's input may be shown: columns that it declares as secret may not (`SecretStr`, `SecretBytes`,
`Secret[...]`), and of the places of errors only the names that it declares itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import SchemaSerializer

from zoopipe.validation.core_schema import Schema
from zoopipe.validation.fieldwise import alias_paths

#: What stands in place of a secret; pydantic shows secrets so, too.
MASK = "**********"

_SECRETS = (Secret, SecretStr, SecretBytes)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What of an input is secret.

    Attributes:
        columns: the columns, or top-level keys of records, that hold a secret anywhere in them.
        everything: whether any column may, because the model does not name those that do.
    """

    columns: frozenset[str] = field(default_factory=frozenset)
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.columns)

    def __contains__(self, column: object) -> bool:
        return self.everything or column in self.columns


@cache
def secrets_of(model: type[BaseModel]) -> Secrets:
    """The secret columns of a model, by every name that its fields are looked up by.

    A field is secret when a secret type stands anywhere in it: optional, in a union, in a list, in a model
    within the model. Where a secret is in no field (a root model, extra values), everything is.
    """
    model.model_rebuild(raise_errors=False)
    reader = _Reader(model.__pydantic_core_schema__)
    columns: set[str] = set()
    fields = reader.fields()
    if fields is None:
        return Secrets(everything=reader.is_secret(reader.schema))
    for name, entry in fields["fields"].items():
        if reader.is_secret(entry):
            columns |= {name, *(str(path[0]) for path in alias_paths(entry))}
    outside = {key: part for key, part in fields.items() if key != "fields"}
    return Secrets(frozenset(columns), reader.is_secret(outside))


@cache
def declared_names(model: type[BaseModel]) -> frozenset[str]:
    """The names that a model's errors may have in their places: fields, aliases, classes, types and tags.

    Other parts of a place are keys of the row's own dicts, which are its values.
    """
    names: set[str] = set()
    for part in _within(model.__pydantic_core_schema__):
        if isinstance(part, str):
            names.add(part)
        elif isinstance(part, type):
            names.add(part.__name__)
        elif isinstance(part, Mapping):
            names.update(key for key in part if isinstance(key, str))
    return frozenset(names)


class _Reader:
    """Reads a core schema, which may refer to its own parts."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._parts: dict[str, Any] = {}
        for part in _within(schema):
            if isinstance(part, Mapping) and isinstance(part.get("ref"), str):
                self._parts[part["ref"]] = part

    def fields(self) -> Schema | None:
        """The schema of the model's fields; None where it has none of its own."""
        part: Any = self.schema
        while isinstance(part, Mapping) and part.get("type") != "model-fields":
            if part.get("type") == "definition-ref":
                part = self._parts.get(part["schema_ref"])
            elif part.get("root_model"):
                return None
            else:
                part = part.get("schema")
        return part if isinstance(part, Mapping) else None

    def is_secret(self, part: Any) -> bool:
        """Whether a secret type stands anywhere in a part of the schema."""
        seen: set[str] = set()
        waiting = [part]
        while waiting:
            for inner in _within(waiting.pop()):
                if _is_secret(inner):
                    return True
                ref = inner.get("schema_ref") if isinstance(inner, Mapping) else None
                if isinstance(ref, str) and ref not in seen:
                    seen.add(ref)
                    waiting.append(self._parts.get(ref))
        return False


def _within(part: Any) -> Iterator[Any]:
    """A part of a schema, and all that is in it but what only speaks of JSON schemas."""
    waiting = [part]
    while waiting:
        part = waiting.pop()
        yield part
        if isinstance(part, SchemaSerializer | str | bytes):
            continue
        if isinstance(part, Mapping):
            waiting += [item for key, item in part.items() if key != "metadata"]
        elif isinstance(part, Sequence):
            waiting += part


def _is_secret(part: Any) -> bool:
    if isinstance(part, type):
        return issubclass(part, _SECRETS)
    # `Secret[int]` is known by the functions that pydantic made for it.
    name = getattr(part, "__qualname__", "")
    return getattr(part, "__module__", "") == Secret.__module__ and name.startswith("Secret.")
