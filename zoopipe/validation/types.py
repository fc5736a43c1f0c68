"""The kernel for a type of pydantic's core schema, or the reason why there is none.

Reading is by white list: a key that is not known to be harmless means that there is no kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from zoopipe.validation.choices import ChoiceKernel
from zoopipe.validation.constraints import BoundsKernel, TextKernel, bounds_of, is_plain_pattern
from zoopipe.validation.core_schema import TEXT_SETTINGS as TEXT_SETTINGS
from zoopipe.validation.core_schema import Schema as Schema
from zoopipe.validation.core_schema import Unprovable as Unprovable
from zoopipe.validation.core_schema import check_keys as check_keys
from zoopipe.validation.kernels import Kernel, NullableKernel, StrKernel, TypedKernel, UUIDKernel
from zoopipe.validation.nested import list_kernel, model_kernel
from zoopipe.validation.numbers import BoolKernel, DecimalKernel, FloatKernel, IntKernel
from zoopipe.validation.temporal import DateKernel, DateTimeKernel

_COMMON_KEYS = {"type", "metadata", "ref", "strict"}
_NUMBER_KEYS = _COMMON_KEYS | {"gt", "ge", "lt", "le", "multiple_of"}

#: The kernels of types without constraints, by the type of the core schema.
KERNELS: Mapping[str, Kernel] = {
    "str": StrKernel(),
    "int": IntKernel(),
    "float": FloatKernel(),
    "bool": BoolKernel(),
    "date": DateKernel(),
    "datetime": DateTimeKernel(),
    "uuid": UUIDKernel(),
}


def kernel_for(schema: Schema, config: Schema) -> Kernel:
    """The kernel that proves values of a core schema.

    Args:
        schema: the core schema of a field's value.
        config: the settings of its model.

    Raises:
        Unprovable: there is none.
    """
    kind = schema["type"]
    make = _MAKERS.get(kind)
    if make is None:
        raise Unprovable(f"type {kind}")
    kernel = make(schema, config)
    strict = schema.get("strict", config.get("strict", False))
    # Text is text even to strict models; of all other types only typed columns can be.
    return TypedKernel(kernel) if strict and kind not in ("str", "nullable", "literal") else kernel


def _nullable(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, {"type", "schema", "metadata", "strict"})
    return NullableKernel(kernel_for(schema["schema"], config))


def _str(schema: Schema, config: Schema) -> Kernel:
    names = {*TEXT_SETTINGS.values(), "pattern"}
    check_keys(schema, _COMMON_KEYS | names)
    constraints = {own: config[name] for name, own in TEXT_SETTINGS.items() if name in config}
    constraints.update({name: schema[name] for name in names if name in schema})
    if "pattern" in constraints and (
        "regex_engine" in config or not is_plain_pattern(constraints["pattern"])
    ):
        raise Unprovable("a pattern that Arrow may read differently")
    cased = [name for name in ("to_lower", "to_upper") if constraints.get(name)]
    if len(cased) == 2 or (cased and "pattern" in constraints):
        raise Unprovable(f"{cased[0]} beside a pattern or another case")
    return TextKernel(constraints) if any(map(_matters, constraints.values())) else KERNELS["str"]


def _matters(constraint: object) -> bool:
    return constraint is not False and constraint is not None


def _int(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _NUMBER_KEYS)
    bounds = bounds_of(schema, int)
    if bounds is None:
        raise Unprovable("a bound beyond 64 bits")
    return BoundsKernel(KERNELS["int"], int, bounds) if bounds else KERNELS["int"]


def _float(schema: Schema, config: Schema) -> Kernel:
    # What is proved is finite, so that allow_inf_nan has nothing to refuse.
    check_keys(schema, _NUMBER_KEYS | {"allow_inf_nan"})
    bounds = bounds_of(schema, float)
    if bounds is None:
        raise Unprovable("multiple_of of a float")
    return BoundsKernel(KERNELS["float"], float, bounds) if bounds else KERNELS["float"]


def _unconstrained(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS)
    return KERNELS[schema["type"]]


def _temporal(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"microseconds_precision"})
    if schema.get("microseconds_precision", "truncate") != "truncate":
        raise Unprovable("microseconds_precision")
    if "ser_json_temporal" in config:
        raise Unprovable("the setting ser_json_temporal")
    return KERNELS[schema["type"]]


def _decimal(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"max_digits", "decimal_places", "allow_inf_nan"})
    try:
        return DecimalKernel(schema.get("max_digits"), schema.get("decimal_places"))
    except ValueError as error:
        raise Unprovable(str(error)) from error


def _literal(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"expected"})
    return _choice([value for value in schema["expected"] if type(value) is str])


def _enum(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"cls", "members", "sub_type"})
    if schema.get("sub_type", "str") != "str":
        raise Unprovable(f"an enum of {schema['sub_type']}")
    return _choice([member.value for member in schema["members"] if type(member.value) is str])


def _choice(values: list[str]) -> Kernel:
    if not values:
        raise Unprovable("a choice of values that are no strings")
    return ChoiceKernel(values)


_MAKERS: Mapping[str, Callable[[Schema, Schema], Kernel]] = {
    "nullable": _nullable,
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _unconstrained,
    "date": _temporal,
    "datetime": _temporal,
    "uuid": _unconstrained,
    "decimal": _decimal,
    "literal": _literal,
    "enum": _enum,
    "list": lambda schema, config: list_kernel(schema, config, kernel_for),
    "model": lambda schema, config: model_kernel(schema, kernel_for),
}
