"""Reading a pydantic core schema: how each field of a model can be checked.

The core schema is what pydantic runs, so it is what is read; annotations are never looked at. Reading
is by white list: a key that is not known to be harmless sends the whole model to pydantic, row by row,
and the reading says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from zoopipe.validation.core_schema import (
    DEFAULT_KEYS,
    HARMLESS_SETTINGS,
    ModelFields,
    Schema,
    Unprovable,
    check_keys,
    fields_of,
)
from zoopipe.validation.definitions import Definitions
from zoopipe.validation.fieldwise import (
    Dumper,
    FieldsValidator,
    FieldValidator,
    Findings,
    alias_paths,
)
from zoopipe.validation.functions import reads_data, takes_info, user_functions
from zoopipe.validation.kernels import Kernel
from zoopipe.validation.types import kernel_for

_FIELD_KEYS = {
    "type",
    "schema",
    "metadata",
    "validation_alias",
    "serialization_alias",
    "serialization_exclude",
    "frozen",
}
# Settings that are looked at where a field is read or a kernel is chosen.
_KNOWN_SETTINGS = HARMLESS_SETTINGS | {
    "validate_by_name",
    "validate_by_alias",
    "serialize_by_alias",
    "regex_engine",
    "ser_json_temporal",
    "ser_json_timedelta",
    "ser_json_bytes",
    "val_json_bytes",
    "val_temporal_unit",
}
_OVERRIDABLE = ("model_validate", "model_dump", "model_dump_json", "__init__")


@dataclass(frozen=True)
class FieldPlan:
    """How a field is checked.

    Attributes:
        name: the field's name.
        key: what its value is written under; None where it is left out.
        paths: where it is looked up, in order; the first that is there counts.
        kernel: what proves its values; None where pydantic has to run over its column.
        why: the reason for that.
        entry: the core schema of the field, standing alone.
        validator: pydantic, for one value.
        many: pydantic, for a list of values that are proved to be valid.
        dumper: pydantic's serializer of its values.
        default: its value where the input has none.
        default_json: that, as the model writes it to JSON.
        has_default: whether there is one, and it is known here.
        loc_by_alias: whether errors name the field by where it was looked up.
    """

    name: str
    key: str | None
    paths: tuple[tuple[str | int, ...], ...]
    kernel: Kernel | None
    why: str
    entry: Schema
    validator: FieldValidator
    many: SchemaValidator
    dumper: Dumper
    default: Any
    default_json: Any
    has_default: bool
    loc_by_alias: bool


@dataclass(frozen=True)
class Reading:
    """What was read of a model.

    Attributes:
        fields: a plan a field, in order; empty where the model needs whole rows.
        groups: the fields, by their places, that pydantic has to see together.
        config: the model's settings.
        extra: what is done with columns that are no field.
        obstacles: for each field that needs whole rows the reason; under an empty name what is true of
            the whole model.
    """

    fields: tuple[FieldPlan, ...]
    groups: tuple[frozenset[int], ...]
    config: Schema
    extra: str
    obstacles: Mapping[str, str]

    def together(self, places: Sequence[int]) -> FieldsValidator:
        """pydantic, for some fields of a row at once."""
        chosen = {self.fields[place].name: place for place in sorted(places)}
        entries = {name: self.fields[place].entry for name, place in chosen.items()}
        return FieldsValidator(entries, self.config, chosen)


def read_model(model: type[BaseModel]) -> Reading:
    """How each field of a model is checked, or why some part of it needs whole rows."""
    obstacles: dict[str, str] = {}
    plans: list[FieldPlan] = []
    try:
        read, definitions = _fields_of(model)
    except Unprovable as reason:
        return Reading((), (), {}, "ignore", {"": str(reason)})
    for place, (name, entry) in enumerate(read.fields.items()):
        try:
            plans.append(_field_plan(place, name, entry, read.config, definitions))
        except Unprovable as reason:
            obstacles[name] = str(reason)
    groups = () if obstacles else _groups(plans)
    if not any(plan.key for plan in plans):
        obstacles.setdefault("", "it writes no field")
    alone = set(range(len(plans))).difference(*groups)
    if not any(plans[place].kernel for place in alone):
        seen = any(plan.kernel for plan in plans)
        why = "its validators may look at all fields" if seen else "no field of it can be proved"
        obstacles.setdefault("", why)
    fields = () if obstacles else tuple(plans)
    return Reading(fields, groups, read.config, read.extra, obstacles)


def _fields_of(model: type[BaseModel]) -> tuple[ModelFields, Definitions]:
    """The schemas of a model's fields, its settings, and what the schemas refer to."""
    for name in _OVERRIDABLE:
        if is_overridden(model, name):
            raise Unprovable(f"it has its own {name}")
    schema: Schema = model.__pydantic_core_schema__
    definitions = Definitions([])
    if schema["type"] == "definitions":
        definitions = Definitions(schema["definitions"])
        schema = definitions.top(schema["schema"])
    return fields_of(schema, _KNOWN_SETTINGS), definitions


def is_overridden(model: type[BaseModel], name: str) -> bool:
    """Whether a model has a method of its own in place of `BaseModel`'s."""
    function = getattr(getattr(model, name), "__func__", getattr(model, name))
    original = getattr(getattr(BaseModel, name), "__func__", getattr(BaseModel, name))
    return function is not original


def _field_plan(
    place: int, name: str, entry: Schema, config: Schema, definitions: Definitions
) -> FieldPlan:
    check_keys(entry, _FIELD_KEYS)
    schema = definitions.resolved(entry["schema"])
    if _has_field_serializer(schema):
        raise Unprovable("a serializer that is given the whole model")
    entry = {**entry, "schema": schema}
    default, default_json, has_default = None, None, False
    if schema["type"] == "default":
        check_keys(schema, DEFAULT_KEYS)
        default, has_default = schema.get("default"), "default" in schema
        has_default = has_default and not schema.get("validate_default")
        schema = schema["schema"]
    kernel, why = None, ""
    try:
        kernel = kernel_for(schema, config)
    except Unprovable as reason:
        why = str(reason)
    dumper = Dumper(schema, config)
    if has_default:
        default_json, has_default = _dumped(default, dumper)
    key = entry.get("serialization_alias", name) if config.get("serialize_by_alias") else name
    items: Any = {"type": "list", "items_schema": dict(schema)}
    return FieldPlan(
        name=name,
        key=None if entry.get("serialization_exclude") else key,
        paths=_paths(name, entry, config),
        kernel=kernel,
        why=why,
        entry=entry,
        validator=FieldValidator(schema, config, place),
        many=SchemaValidator(items, dict(config)),  # type: ignore[arg-type]
        dumper=dumper,
        default=default,
        default_json=default_json,
        has_default=has_default,
        loc_by_alias=config.get("loc_by_alias", True),
    )


def _dumped(default: Any, dumper: Dumper) -> tuple[Any, bool]:
    """What a default is in JSON mode, and whether that is known: it may be no value of its type."""
    findings = Findings()
    (dumped,) = dumper.dump([default], (0,), "json", findings)
    return dumped, not len(findings)


def _paths(name: str, entry: Schema, config: Schema) -> tuple[tuple[str | int, ...], ...]:
    """Where pydantic looks a field up, in its order."""
    paths = [tuple(path) for path in alias_paths(entry)]
    if not paths:
        return ((name,),)
    if not config.get("validate_by_alias", True):
        paths = []
    if config.get("validate_by_name", False):
        paths.append((name,))
    return tuple(paths)


def _has_field_serializer(schema: Any) -> bool:
    """Whether a value's serializer is a method of the model, which is given the whole of it."""
    if isinstance(schema, Mapping):
        if schema.get("is_field_serializer"):
            return True
        if schema.get("type") in ("model-fields", "dataclass-args", "typed-dict"):
            return False
        inner = (value for key, value in schema.items() if key not in ("metadata", "default"))
        return any(map(_has_field_serializer, inner))
    return isinstance(schema, list | tuple) and any(map(_has_field_serializer, schema))


def _groups(plans: Sequence[FieldPlan]) -> tuple[frozenset[int], ...]:
    """The fields that pydantic has to see together, for their validators to see what, and in which
    order, a row loop shows them.

    A validator that may look at other fields is shown those before its own. One that stands at several
    fields is called for one row after the other, and so are all validators between them.
    """
    python = [place for place, plan in enumerate(plans) if any(user_functions(plan.entry))]
    wanted: list[set[int]] = []
    users: dict[int, list[int]] = {}
    for place, plan in enumerate(plans):
        if reads_data(plan.entry["schema"]):
            wanted.append(set(range(place + 1)))
        elif takes_info(plan.entry["schema"]):
            wanted.append({place})
        for function in user_functions(plan.entry):
            users.setdefault(id(function), []).append(place)
    for places in users.values():
        if len(set(places)) > 1:
            wanted.append({p for p in python if min(places) <= p <= max(places)} | set(places))
    groups: list[set[int]] = []
    for group in wanted:
        for other in [other for other in groups if other & group]:
            groups.remove(other)
            group |= other
        groups.append(group)
    return tuple(sorted(map(frozenset, groups), key=min))


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
