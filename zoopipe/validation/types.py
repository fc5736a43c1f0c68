"""The kernel for a type of pydantic's core schema, or the reason why there is none.

Reading is by white list: a key that is not known to be harmless means that there is no kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoopipe.validation.choices import (
    ChoiceKernel,
    SpellingKernel,
    has_own_missing,
    is_value_of_enum,
    spellings,
)
from zoopipe.validation.constraints import (
    BoundsKernel,
    TextKernel,
    bounds_of,
    decimal_bounds_of,
    is_plain_pattern,
)
from zoopipe.validation.core_schema import TEXT_SETTINGS, Schema, Unprovable, check_keys
from zoopipe.validation.durations import DurationKernel
from zoopipe.validation.kernels import (
    BytesKernel,
    Kernel,
    NullableKernel,
    StrKernel,
    TypedKernel,
    UUIDKernel,
)
from zoopipe.validation.nested import list_kernel, model_kernel
from zoopipe.validation.network import EmailKernel, UrlKernel, is_email, is_url
from zoopipe.validation.numbers import BoolKernel, DecimalKernel, FloatKernel, IntKernel
from zoopipe.validation.temporal import DateKernel, DateTimeKernel, TimeKernel, ZoneKernel
from zoopipe.validation.unions import Member, UnionKernel

_COMMON_KEYS = {"type", "metadata", "ref", "strict"}
_LONGEST = 1 << 62
_NUMBER_KEYS = _COMMON_KEYS | {"gt", "ge", "lt", "le", "multiple_of"}

#: The kernels of types without constraints, by the type of the core schema.
KERNELS: Mapping[str, Kernel] = {
    "str": StrKernel(),
    "int": IntKernel(),
    "float": FloatKernel(),
    "bool": BoolKernel(),
    "date": DateKernel(),
    "datetime": DateTimeKernel(),
    "time": TimeKernel(),
    "timedelta": DurationKernel(),
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
    settings = ["ser_json_temporal"]
    if schema["type"] == "timedelta":
        settings.append("ser_json_timedelta")
    for setting in settings:
        if setting in config:
            raise Unprovable(f"the setting {setting}")
    return KERNELS[schema["type"]]


def _datetime(schema: Schema, config: Schema) -> Kernel:
    constraint = schema.get("tz_constraint")
    if constraint is None:
        return _temporal(schema, config)
    _temporal({key: value for key, value in schema.items() if key != "tz_constraint"}, config)
    if constraint not in ("aware", "naive"):
        raise Unprovable("an offset that has to be a certain one")
    return ZoneKernel(constraint == "aware")


def _bytes(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"min_length", "max_length"})
    for setting in ("ser_json_bytes", "val_json_bytes"):
        if setting in config:
            raise Unprovable(f"the setting {setting}")
    lengths = {name: schema[name] for name in ("min_length", "max_length") if name in schema}
    if any(length > _LONGEST for length in lengths.values()):
        raise Unprovable("a length beyond 62 bits")
    return BytesKernel(**lengths)


def _decimal(schema: Schema, config: Schema) -> Kernel:
    bounded = {"max_digits", "decimal_places", "allow_inf_nan", "gt", "ge", "lt", "le"}
    check_keys(schema, _COMMON_KEYS | bounded)
    bounds = decimal_bounds_of(schema)
    if bounds is None:
        raise Unprovable("a bound of more than 15 digits")
    try:
        kernel = DecimalKernel(schema.get("max_digits"), schema.get("decimal_places"))
    except ValueError as error:
        raise Unprovable(str(error)) from error
    return BoundsKernel(kernel, float, bounds) if bounds else kernel


def _literal(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"expected"})
    return _choice(schema["expected"])


def _enum(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"cls", "members", "sub_type", "missing"})
    if has_own_missing(schema["cls"]):
        raise Unprovable("an enum with its own _missing_")
    values = [member.value for member in schema["members"]]
    if schema.get("sub_type", "str") == "str":
        return _choice(values)
    found = spellings(schema, config, values)
    if not found:
        raise Unprovable("an enum whose values no text stands for")
    return SpellingKernel(found)


def _choice(values: Sequence[Any]) -> Kernel:
    """Text is never taken for a value of another type, so that only the strings among the values count;
    members of an enum of strings, in a `Literal`, are strings too."""
    texts = [str.__str__(value) for value in values if isinstance(value, str)]
    if not texts:
        raise Unprovable("a choice of values that are no strings")
    return ChoiceKernel(texts)


def _function_after(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"function", "schema", "serialization"})
    function = schema["function"]
    if function["type"] != "no-info":
        raise Unprovable("a validator that may look at other fields")
    if is_value_of_enum(schema):
        return kernel_for(schema["schema"], config)
    if is_email(schema):
        return EmailKernel(kernel_for(schema["schema"], config))
    raise Unprovable("a validator of its own")


def _url(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, _COMMON_KEYS | {"function", "schema", "serialization"})
    if schema["schema"]["type"] != "url" or not is_url(schema):
        raise Unprovable("a validator of its own")
    if "url_preserve_empty_path" in config:
        raise Unprovable("the setting url_preserve_empty_path")
    url = schema["schema"]
    check_keys(url, _COMMON_KEYS | {"allowed_schemes", "max_length"})
    try:
        return UrlKernel(url.get("allowed_schemes"), url.get("max_length"))
    except ValueError as error:
        raise Unprovable(str(error)) from error


def _union(schema: Schema, config: Schema) -> Kernel:
    check_keys(schema, {"type", "choices", "mode", "metadata"})
    if schema.get("mode", "smart") != "smart":
        raise Unprovable("a union that is not in smart mode")
    choices = [(_kind_in_union(choice), choice) for choice in schema["choices"]]
    if any(
        kind == "str" and kernel_for(choice, config) is KERNELS["str"] for kind, choice in choices
    ):
        return KERNELS["str"]
    members = []
    for kind, choice in choices:
        if kind == "list":
            raise Unprovable("a union with type list")
        kernel = kernel_for(choice, config)
        # What is strict refuses text.
        if not isinstance(kernel, TypedKernel):
            if kind == "enum":
                kind = _ENUMS.get((kernel.encoding, kernel.logical), "float-enum")
            members.append(Member(kind, kernel))
    try:
        return UnionKernel(members)
    except ValueError as error:
        raise Unprovable(str(error)) from error


def _kind_in_union(choice: Any) -> str:
    """The type of a union's member, where text is nothing to it, something to convert, or a string."""
    if isinstance(choice, Mapping):
        kind: str = choice["type"]
        if kind == "function-wrap" and is_url(choice):
            return "url"
        if kind == "function-after" and is_value_of_enum(choice):
            return _kind_in_union(choice["schema"])
        if kind == "enum" and has_own_missing(choice["cls"]):
            raise Unprovable("an enum with its own _missing_")
        if kind in _IN_UNIONS and "serialization" not in choice:
            return kind
    raise Unprovable("a union with a member that columns cannot tell from others")


_ENUMS = {("plain", None): "choice", ("json", "int"): "int-enum"}
_IN_UNIONS = KERNELS.keys() | {
    *("bytes", "decimal", "enum", "literal"),
    *("dict", "frozenset", "list", "set", "tuple"),
}
_MAKERS: Mapping[str, Callable[[Schema, Schema], Kernel]] = {
    "nullable": _nullable,
    "str": _str,
    "int": _int,
    "float": _float,
    "bool": _unconstrained,
    "date": _temporal,
    "datetime": _datetime,
    "time": _temporal,
    "timedelta": _temporal,
    "uuid": _unconstrained,
    "decimal": _decimal,
    "literal": _literal,
    "enum": _enum,
    "bytes": _bytes,
    "function-after": _function_after,
    "list": lambda schema, config: list_kernel(schema, config, kernel_for),
    "model": lambda schema, config: model_kernel(schema, config, kernel_for),
    "function-wrap": _url,
    "union": _union,
}
