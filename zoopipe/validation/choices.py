"""Kernels of values that are one of a few: literals and enums."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from zoopipe.arrays import text_array
from zoopipe.columns import Encoding, json_text
from zoopipe.validation.kernels import Kernel, Proof

_missing_of_enum = getattr(Enum._missing_, "__func__", None)
_AS_IT_IS = (
    "pydantic._internal._generate_schema",
    "GenerateSchema._enum_schema.<locals>.<lambda>",
)


class ChoiceKernel(Kernel):
    """One of some strings: `Literal` of strings, enums with strings for values."""

    def __init__(self, choices: Iterable[str]) -> None:
        self._choices = text_array(list(choices))

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.proof(column, pc.is_in(column, value_set=self._choices))


class SpellingKernel(Kernel):
    """One of some spellings, each of which stands for a value: enums of numbers.

    Args:
        values: the value that each spelling stands for, as JSON mode dumps it.
    """

    encoding: Encoding = "json"
    json_type: pa.DataType | None = pa.null()

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._spellings = text_array(list(values))
        self._texts = text_array([json_text(value) for value in values.values()])
        kinds = {type(value) for value in values.values()}
        self.logical = kinds.pop().__name__ if len(kinds) == 1 else None

    def prove_text(self, column: pa.StringArray) -> Proof:
        cells = self._texts.take(pc.index_in(column, value_set=self._spellings))
        return self.proof(cells, cells.is_valid() if cells.null_count else None)

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Integers, where all values are: of text, too, each stands for itself."""
        if self.logical != "int" or not pa.types.is_integer(column.type):
            return None
        return self.prove_text(column.cast(pa.string()))


def spellings(
    schema: Mapping[str, Any], config: Mapping[str, Any], values: Iterable[Any]
) -> dict[str, Any]:
    """Those of the JSON texts of `values` that pydantic takes for numbers or truth values, and which."""
    settings: Any = dict(config)
    validate = SchemaValidator(dict(schema), settings).validate_python
    dump = SchemaSerializer(dict(schema), settings).to_python
    found = {}
    for text in map(json_text, values):
        try:
            value = dump(validate(text), mode="json")
        except ValidationError:
            continue
        if isinstance(value, int | float) and math.isfinite(value):
            found[text] = value
    return found


def has_own_missing(kind: type[Enum]) -> bool:
    """Whether an enum makes members of values that none of them has, as flags do.

    Not every version of pydantic says so in the core schema.
    """
    return getattr(kind._missing_, "__func__", None) is not _missing_of_enum


def is_value_of_enum(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is what `use_enum_values` puts around an enum, to have its members' values.

    How pydantic makes it: `GenerateSchema._enum_schema` in `pydantic/_internal/_generate_schema.py`.
    """
    function = schema["function"]["function"]
    if type(function) is not attrgetter or function.__reduce__()[1] != ("value",):
        return False
    writing = schema.get("serialization", {})
    if schema["schema"]["type"] != "enum":
        return False
    if writing.get("type") == "function-plain":
        # A function that hands back what it is given.
        named = (getattr(writing["function"], name, "") for name in ("__module__", "__qualname__"))
        return tuple(named) == _AS_IT_IS and writing.keys() == {"type", "function"}
    return writing in ({"type": "int"}, {"type": "str"}, {"type": "float"})
