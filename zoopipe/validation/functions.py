"""What the Python functions in a core schema may look at: the value alone, or other fields too."""

from __future__ import annotations

import dis
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

#: Parts of a core schema that hold no schema.
OPAQUE_KEYS = frozenset({"metadata", "default", "default_factory", "cls", "expected", "members"})
# Schemas whose validators see the data of their own fields, not those of the fields around them.
_OWN_DATA = frozenset({"model-fields", "typed-dict", "dataclass-args", "arguments", "arguments-v3"})
# What a `ValidationInfo` tells besides the other fields' values.
_HARMLESS_INFO = frozenset({"field_name", "mode", "config", "context"})


def user_functions(schema: Any) -> Iterator[Any]:
    """The validators in a schema that are not pydantic's own, as plain functions."""
    if isinstance(schema, Mapping):
        if schema.get("type") in ("no-info", "with-info"):
            function = _plain(schema["function"])
            if not (getattr(function, "__module__", None) or "").startswith("pydantic"):
                yield function
            return
        for key, value in schema.items():
            if key not in OPAQUE_KEYS and key != "serialization":
                yield from user_functions(value)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from user_functions(item)


def takes_info(schema: Any) -> bool:
    """Whether a validator in a schema is given a `ValidationInfo` of the model that is read."""
    return any(True for _ in _functions_with_info(schema))


def reads_data(schema: Any) -> bool:
    """Whether a validator or a default factory in a schema may look at other fields' values."""
    if any(map(_may_read_data, _functions_with_info(schema))):
        return True
    return isinstance(schema, Mapping) and bool(schema.get("default_factory_takes_data"))


def _functions_with_info(schema: Any) -> Iterator[Any]:
    if isinstance(schema, Mapping):
        if schema.get("type") == "with-info":
            yield _plain(schema["function"])
            return
        if schema.get("type") in _OWN_DATA:
            return
        for key, value in schema.items():
            if key not in OPAQUE_KEYS and key != "serialization":
                yield from _functions_with_info(value)
    elif isinstance(schema, list | tuple):
        for item in schema:
            yield from _functions_with_info(item)


def _plain(function: Any) -> Any:
    return getattr(function, "__func__", function)


def _may_read_data(function: Any) -> bool:
    """Whether a validator may do more with its `info`, the last argument, than ask it what is no data.

    Read off the bytecode: each time the argument is loaded, the next thing must be a harmless
    attribute of it. Anything else, and any callable that is not a plain function, counts as reading.
    """
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None or not code.co_argcount or code.co_flags & (0x04 | 0x08):
        return True
    info = code.co_varnames[code.co_argcount - 1]
    if info in code.co_cellvars:
        return True
    steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        named = step.argval if isinstance(step.argval, tuple) else (step.argval,)
        if info not in named:
            continue
        harmless = (
            step.opname.startswith("LOAD_FAST")
            and step.argval == info
            and following is not None
            and following.opname in ("LOAD_ATTR", "LOAD_METHOD")
            and following.argval in _HARMLESS_INFO
        )
        if not harmless:
            return True
    return False
