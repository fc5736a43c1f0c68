"""References inside of a core schema, put in place.

pydantic names a schema that is used more than once (an enum of two fields, a nested model) and refers
to it. Here every reference is replaced by what it stands for, save those of types that contain
themselves: a schema that holds one of these keeps the definitions beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoopipe.validation.functions import OPAQUE_KEYS

Schema = Mapping[str, Any]


class Definitions:
    """The definitions of one core schema.

    Args:
        schemas: those of a schema of type `definitions`.
    """

    def __init__(self, schemas: list[Schema]) -> None:
        self._schemas = {schema["ref"]: schema for schema in schemas}

    def top(self, schema: Schema) -> Schema:
        """What a schema that is nothing but a reference refers to."""
        if schema["type"] != "definition-ref":
            return schema
        return self._schemas[schema["schema_ref"]]

    def resolved(self, schema: Schema) -> Schema:
        """A schema that stands alone."""
        if not self._schemas:
            return schema
        result = self._placed(schema, ())
        if not _refers(result):
            return result  # type: ignore[no-any-return]
        return {
            "type": "definitions",
            "schema": schema,
            "definitions": list(self._schemas.values()),
        }

    def _placed(self, schema: Any, within: tuple[str, ...]) -> Any:
        if isinstance(schema, Mapping):
            reference = str(schema.get("schema_ref"))
            if schema.get("type") == "definition-ref" and reference not in within:
                # Two copies of one name in a schema would contradict each other.
                named = {
                    key: value for key, value in self._schemas[reference].items() if key != "ref"
                }
                own = {key: schema[key] for key in ("serialization", "metadata") if key in schema}
                return self._placed({**named, **own}, (*within, reference))
            return {
                key: value
                if key in OPAQUE_KEYS or key == "function"
                else self._placed(value, within)
                for key, value in schema.items()
            }
        if isinstance(schema, list):
            return [self._placed(item, within) for item in schema]
        if isinstance(schema, tuple):
            return tuple(self._placed(item, within) for item in schema)
        return schema


def _refers(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        if schema.get("type") == "definition-ref":
            return True
        return any(_refers(value) for key, value in schema.items() if key not in OPAQUE_KEYS)
    return isinstance(schema, list | tuple) and any(map(_refers, schema))
