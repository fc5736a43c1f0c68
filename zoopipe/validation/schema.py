"""Reading a pydantic core schema: which fields of a model a column kernel can be asked about.

The core schema is what pydantic runs, so it is what is read; annotations are never looked at. Reading
is by white list: a key or a type that is not known to be harmless sends the whole model to pydantic,
row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from zoopipe.columns import json_text
from zoopipe.validation.kernels import KERNELS, Kernel, NullableKernel

_MODEL_KEYS = {"type", "cls", "schema", "custom_init", "root_model", "config", "ref", "metadata"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields"}
# Names alone: rows are written by field name unless `serialize_by_alias`, which is no harmless config.
_FIELD_KEYS = {"type", "schema", "metadata", "validation_alias", "serialization_alias"}
_HARMLESS_CONFIG = {"title", "frozen"}
_SCALAR_KEYS = {"type", "metadata", "microseconds_precision"}
_OVERRIDABLE = ("model_validate", "model_dump", "model_dump_json", "__init__")
_DEFAULT_TYPES = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class FieldPlan:
    """A field that a kernel proves.

    Attributes:
        name: the field's name, under which its value is written.
        source: the column that it is read from.
        kernel: what proves its values.
        validator: pydantic's validator of a list of its values.
        default: its value where the column is missing.
        has_default: whether there is one; without, a missing column sends every row to pydantic.
    """

    name: str
    source: str
    kernel: Kernel
    validator: SchemaValidator
    default: Any
    has_default: bool


def field_plans(model: type[BaseModel]) -> tuple[FieldPlan, ...] | None:
    """How each field of a model is proved, or None where some part of the model needs whole rows."""
    if any(is_overridden(model, name) for name in _OVERRIDABLE):
        return None
    schema: Mapping[str, Any] = model.__pydantic_core_schema__
    if schema["type"] != "model" or not schema.keys() <= _MODEL_KEYS:
        return None
    config = {key: value for key, value in schema.get("config", {}).items() if value is not None}
    if schema["custom_init"] or schema["root_model"] or not config.keys() <= _HARMLESS_CONFIG:
        return None
    fields: Mapping[str, Any] = schema["schema"]
    if fields["type"] != "model-fields" or not fields.keys() <= _FIELDS_KEYS:
        return None
    if fields.get("computed_fields"):
        return None
    plans = [_field_plan(name, entry) for name, entry in fields["fields"].items()]
    return tuple(plan for plan in plans if plan) if plans and all(plans) else None


def is_overridden(model: type[BaseModel], name: str) -> bool:
    """Whether a model has a method of its own in place of `BaseModel`'s."""
    function = getattr(getattr(model, name), "__func__", getattr(model, name))
    original = getattr(getattr(BaseModel, name), "__func__", getattr(BaseModel, name))
    return function is not original


def _field_plan(name: str, entry: Mapping[str, Any]) -> FieldPlan | None:
    if not entry.keys() <= _FIELD_KEYS or not _harmless_metadata(entry):
        return None
    source = entry.get("validation_alias", name)
    schema: Mapping[str, Any] = entry["schema"]
    default, has_default = None, False
    if schema["type"] == "default":
        if (
            not schema.keys() <= {"type", "schema", "default", "metadata"}
            or "default" not in schema
        ):
            return None
        default, has_default = schema["default"], True
        if type(default) not in _DEFAULT_TYPES:
            return None
        schema = schema["schema"]
    full, nullable = schema, schema["type"] == "nullable"
    if nullable:
        if not schema.keys() <= {"type", "schema", "metadata"}:
            return None
        schema = schema["schema"]
    kernel = KERNELS.get(schema["type"])
    known = schema.keys() <= _SCALAR_KEYS and schema.get("microseconds_precision") in (
        None,
        "truncate",
    )
    if not isinstance(source, str) or kernel is None or not known or not _harmless_metadata(schema):
        return None
    if default is not None and not _default_fits(default, kernel):
        return None
    validator = SchemaValidator({"type": "list", "items_schema": dict(full)})
    kernel = NullableKernel(kernel) if nullable else kernel
    return FieldPlan(name, source, kernel, validator, default, has_default)


def _harmless_metadata(schema: Mapping[str, Any]) -> bool:
    """Metadata only speaks of JSON schemas; anything that is not plainly that is not trusted."""
    return all(key.startswith("pydantic_js") for key in schema.get("metadata") or {})


def default_cell(value: Any) -> str | None:
    """The text that a default is written as."""
    if value is None or isinstance(value, str):
        return value
    return json_text(value)


def _default_fits(value: Any, kernel: Kernel) -> bool:
    """Defaults are not validated; one of another type than its field's has to go to pydantic."""
    kinds = {None: str, "int": int, "float": float, "bool": bool}
    return type(value) is kinds.get(kernel.logical) and default_cell(value) != "null"
