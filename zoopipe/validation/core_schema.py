"""Reading pydantic's core schemas, by white list: what is not known to be harmless is not read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

Schema = Mapping[str, Any]

#: Settings of a model that constrain text, and what they are called in the schema of a `str`.
TEXT_SETTINGS = {
    "str_strip_whitespace": "strip_whitespace",
    "str_to_lower": "to_lower",
    "str_to_upper": "to_upper",
    "str_min_length": "min_length",
    "str_max_length": "max_length",
}
#: Settings that change nothing for what kernels prove, or that kernels look at.
HARMLESS_SETTINGS = frozenset(
    {
        "title",
        "frozen",
        "from_attributes",
        "loc_by_alias",
        "hide_input_in_errors",
        "coerce_numbers_to_str",
        "allow_inf_nan",
        "strict",
        "extra_fields_behavior",
        *TEXT_SETTINGS,
    }
)
#: What a `default` around a field's schema may have: a value that is there asks for none of it.
DEFAULT_KEYS = {
    "type",
    "schema",
    "default",
    "default_factory",
    "default_factory_takes_data",
    "validate_default",
    "copy_default",
    "metadata",
}
_MODEL_KEYS = {"type", "cls", "schema", "custom_init", "root_model", "config", "ref", "metadata"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields"}


class Unprovable(Exception):
    """Columns cannot prove a part of a model; the message says which, for people."""


def check_keys(schema: Schema, known: set[str]) -> None:
    """Refuses a schema that has keys which are not `known` to change nothing.

    Raises:
        Unprovable: it has.
    """
    for key in schema.keys() - known:
        raise Unprovable(f"{key} of {schema['type']}")
    # Metadata only speaks of JSON schemas; anything that is not plainly that is not trusted.
    for key in schema.get("metadata") or {}:
        if not key.startswith("pydantic_js"):
            raise Unprovable(f"metadata {key}")


class ModelFields(NamedTuple):
    """What was read of a model's schema.

    Attributes:
        fields: the schema of each field, by its name.
        config: the settings of the model that are set.
    """

    fields: Mapping[str, Schema]
    config: Schema

    @property
    def extra(self) -> str:
        """What is done with keys that are no field's: `ignore`, `forbid` or `allow`."""
        return str(self.config.get("extra_fields_behavior", "ignore"))


def fields_of(schema: Schema, known_settings: frozenset[str]) -> ModelFields:
    """The fields of a schema of type `model`, where nothing stands around them.

    Args:
        schema: the model's schema.
        known_settings: the settings that change nothing, or that are looked at.

    Raises:
        Unprovable: the model does more than to check its fields.
    """
    if schema["type"] != "model":
        raise Unprovable(f"its schema is of type {schema['type']}")
    if schema["custom_init"] or schema["root_model"]:
        raise Unprovable("it is a RootModel" if schema["root_model"] else "it has its own __init__")
    check_keys(schema, _MODEL_KEYS)
    config = {key: value for key, value in schema.get("config", {}).items() if value is not None}
    for key in config.keys() - known_settings:
        raise Unprovable(f"its setting {key}")
    inner: Schema = schema["schema"]
    if inner["type"] != "model-fields":
        raise Unprovable(f"a {inner['type']} around its fields")
    check_keys(inner, _FIELDS_KEYS)
    if inner.get("computed_fields"):
        raise Unprovable("it has computed fields")
    return ModelFields(inner["fields"], config)
