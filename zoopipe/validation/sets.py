"""Sets in JSON, in an order that is the same in every process.

Python's sets of strings have another order in each process, and `model_dump_json` writes them in that. A
run writes the same bytes whoever runs it, so that here they are sorted, by their elements' JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from pydantic_core import to_json

from zoopipe.validation.functions import OPAQUE_KEYS

_SETS = ("set", "frozenset")


def holds_sets(schema: Any) -> bool:
    """Whether values of a core schema may be sets, or hold some."""
    if isinstance(schema, Mapping):
        return schema.get("type") in _SETS or any(
            holds_sets(value) for key, value in schema.items() if key not in OPAQUE_KEYS
        )
    return isinstance(schema, list | tuple) and any(map(holds_sets, schema))


def with_sorted_sets(dumped: Any, value: Any) -> Any:
    """A dump in JSON mode with each list sorted that stands for a set.

    Args:
        dumped: the dump; it may be changed.
        value: the same value's dump in Python mode. Where a serializer gave the two other shapes, what is
            within is left as it is.
    """
    if isinstance(dumped, dict) and isinstance(value, Mapping) and len(dumped) == len(value):
        for (key, inner), other in zip(dumped.items(), value.values(), strict=True):
            dumped[key] = with_sorted_sets(inner, other)
    elif isinstance(dumped, list) and _is_list_of(value, len(dumped)):
        dumped = [with_sorted_sets(*pair) for pair in zip(dumped, value, strict=True)]
        if isinstance(value, AbstractSet):
            dumped.sort(key=json.dumps)
    return dumped


def sets_as_lists(value: Any) -> Any:
    """A Python value with sorted lists in place of the sets in it."""
    if isinstance(value, dict):
        return {key: sets_as_lists(inner) for key, inner in value.items()}
    if isinstance(value, AbstractSet):
        return sorted(map(sets_as_lists, value), key=to_json)
    if isinstance(value, list | tuple):
        return list(map(sets_as_lists, value))
    return value


def _is_list_of(value: Any, length: int) -> bool:
    return isinstance(value, list | tuple | AbstractSet) and len(value) == length
