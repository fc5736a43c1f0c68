"""Reading a pydantic core schema: which fields of a model a column kernel can be asked about.

The core schema is what pydantic runs, so it is what is read; annotations are never looked at. Reading
is by white list: a key or a type that is not known to be harmless sends the whole model to pydantic,
row by row, and the reading says which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from zoopipe.columns import json_text
from zoopipe.validation.fieldwise import FieldValidator, obstacle
from zoopipe.validation.kernels import Kernel
from zoopipe.validation.types import TEXT_SETTINGS, Schema, Unprovable, check_keys, kernel_for

_MODEL_KEYS = {"type", "cls", "schema", "custom_init", "root_model", "config", "ref", "metadata"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields"}
# Names alone: rows are written by field name unless `serialize_by_alias`, which is no harmless config.
_FIELD_KEYS = {"type", "schema", "metadata", "validation_alias", "serialization_alias"}
# What a column that is there does not ask for; a missing one is filled only from plain defaults.
_DEFAULT_KEYS = {
    "type",
    "schema",
    "default",
    "default_factory",
    "default_factory_takes_data",
    "validate_default",
    "copy_default",
    "metadata",
}
# Settings that change nothing for text that is proved: what they are about goes to pydantic.
_HARMLESS_CONFIG = {
    "title",
    "frozen",
    "from_attributes",
    "loc_by_alias",
    "hide_input_in_errors",
    "coerce_numbers_to_str",
    "allow_inf_nan",
}
_OVERRIDABLE = ("model_validate", "model_dump", "model_dump_json", "__init__")
_DEFAULT_TYPES = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class FieldPlan:
    """A field that a kernel proves.

    Attributes:
        name: the field's name, under which its value is written.
        source: the column that it is read from.
        kernel: what proves its values; None where Python has to run over its column.
        python: pydantic's validator and serializer of this field alone, where there is no kernel.
        why: the reason for that.
        validator: pydantic's validator of a list of its values.
        default: its value where the column is missing.
        has_default: whether there is one that is known here; without, a missing column sends every
            row to pydantic.
    """

    name: str
    source: str
    kernel: Kernel | None
    python: FieldValidator | None
    why: str
    validator: SchemaValidator
    default: Any
    has_default: bool


@dataclass(frozen=True)
class Reading:
    """What was read of a model.

    Attributes:
        fields: a plan a field; empty where the model needs whole rows.
        forbids_extra: whether columns that are no field refuse the row.
        obstacles: for each field that cannot be proved the reason; under an empty name what is
            true of the whole model.
    """

    fields: tuple[FieldPlan, ...]
    forbids_extra: bool
    obstacles: Mapping[str, str]


def read_model(model: type[BaseModel]) -> Reading:
    """How each field of a model is proved, or why some part of it needs whole rows."""
    obstacles: dict[str, str] = {}
    plans: list[FieldPlan] = []
    try:
        fields, config = _fields_of(model)
    except Unprovable as reason:
        return Reading((), False, {"": str(reason)})
    for name, entry in fields.items():
        try:
            plans.append(_field_plan(name, entry, config))
        except Unprovable as reason:
            obstacles[name] = str(reason)
    if not any(plan.kernel for plan in plans):
        obstacles.setdefault("", "no field of it can be proved")
    forbids = config.get("extra_fields_behavior") == "forbid"
    return Reading(() if obstacles else tuple(plans), forbids, obstacles)


def _fields_of(model: type[BaseModel]) -> tuple[Mapping[str, Schema], Schema]:
    """The schemas of a model's fields, and its settings, where nothing stands around them."""
    for name in _OVERRIDABLE:
        if is_overridden(model, name):
            raise Unprovable(f"it has its own {name}")
    schema: Schema = model.__pydantic_core_schema__
    if schema["type"] != "model":
        raise Unprovable(f"its schema is of type {schema['type']}")
    if schema["custom_init"] or schema["root_model"]:
        raise Unprovable("it is a RootModel" if schema["root_model"] else "it has its own __init__")
    check_keys(schema, _MODEL_KEYS)
    config = {key: value for key, value in schema.get("config", {}).items() if value is not None}
    extra = config.get("extra_fields_behavior", "ignore")
    if extra == "allow":
        raise Unprovable("extra='allow'")
    for key in config.keys() - _HARMLESS_CONFIG - TEXT_SETTINGS.keys() - {"extra_fields_behavior"}:
        raise Unprovable(f"its setting {key}")
    fields: Schema = schema["schema"]
    if fields["type"] != "model-fields":
        raise Unprovable(f"a {fields['type']} around its fields")
    check_keys(fields, _FIELDS_KEYS)
    if fields.get("computed_fields"):
        raise Unprovable("it has computed fields")
    return fields["fields"], config


def is_overridden(model: type[BaseModel], name: str) -> bool:
    """Whether a model has a method of its own in place of `BaseModel`'s."""
    function = getattr(getattr(model, name), "__func__", getattr(model, name))
    original = getattr(getattr(BaseModel, name), "__func__", getattr(BaseModel, name))
    return function is not original


def _field_plan(name: str, entry: Schema, config: Schema) -> FieldPlan:
    check_keys(entry, _FIELD_KEYS)
    source = entry.get("validation_alias", name)
    if not isinstance(source, str):
        raise Unprovable("an alias with choices or a path")
    schema: Schema = entry["schema"]
    default, has_default = None, False
    if schema["type"] == "default":
        check_keys(schema, _DEFAULT_KEYS)
        default, has_default = schema.get("default"), "default" in schema
        has_default = has_default and not schema.get("validate_default")
        schema = schema["schema"]
    kernel, python, why = None, None, ""
    try:
        kernel = kernel_for(schema, config)
    except Unprovable as reason:
        why = str(reason)
        if lonely := obstacle(schema):
            raise Unprovable(lonely) from reason
        by_alias = config.get("loc_by_alias", True)
        python = FieldValidator(schema, config, source if by_alias else name)
    if has_default and (kernel is None or not _default_fits(default, kernel)):
        default, has_default = None, False
    items: Any = {"type": "list", "items_schema": dict(schema)}
    validator = SchemaValidator(items, dict(config))  # type: ignore[arg-type]
    return FieldPlan(name, source, kernel, python, why, validator, default, has_default)


def default_cell(value: Any) -> str | None:
    """The text that a default is written as."""
    if value is None or isinstance(value, str):
        return value
    return json_text(value)


def _default_fits(value: Any, kernel: Kernel) -> bool:
    """Defaults are not validated; one of another type than its field's has to go to pydantic."""
    if value is None:
        return True
    kinds = {
        ("plain", None): str,
        ("json", "int"): int,
        ("json", "float"): float,
        ("json", "bool"): bool,
    }
    fits = type(value) is kinds.get((kernel.encoding, kernel.logical))
    return fits and default_cell(value) != "null"


def has_own_text(model: type[BaseModel]) -> bool:
    """Whether a model may write a value otherwise than pydantic writes any value of its type: it has
    serializers, computed fields, settings about them, or methods of its own."""
    if any(is_overridden(model, name) for name in _OVERRIDABLE):
        return True
    return _mentions_text(model.__pydantic_core_schema__)


def _mentions_text(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        if "serialization" in schema or schema.get("computed_fields"):
            return True
        if any(str(key).startswith(("ser_", "serialize_")) for key in schema):
            return True
        inner = [
            value for key, value in schema.items() if key not in ("metadata", "default", "cls")
        ]
        return any(map(_mentions_text, inner))
    if isinstance(schema, list | tuple):
        return any(map(_mentions_text, schema))
    return False


def dump_names(model: type[BaseModel]) -> tuple[str, ...] | None:
    """The keys of a model's dump, in order; None where only a dump could tell them."""
    decorators = model.__pydantic_decorators__
    if model.__pydantic_root_model__ or decorators.model_serializers:
        return None
    by_alias = bool(model.model_config.get("serialize_by_alias"))
    fields = {name: info for name, info in model.model_fields.items() if not info.exclude}
    computed = model.model_computed_fields
    if not by_alias:
        return (*fields, *computed)
    return (
        *(info.serialization_alias or info.alias or name for name, info in fields.items()),
        *(info.alias or name for name, info in computed.items()),
    )
