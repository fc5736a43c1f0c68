"""Proofs of typed columns against pydantic: what is proved is what it makes of each value."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pyarrow as pa
from proofs import kernel_of, model_of
from pydantic import ConfigDict, Field, ValidationError

from zoopipe.columns import json_cells
from zoopipe.validation.kernels import Kernel, Proof

STRICT = ConfigDict(strict=True)
MANY = 2**53
NEVER = (math.nan, math.inf, -math.inf)
DAY_ONE, DAY_LAST = -719162, 2932896
SECOND_ONE, SECOND_LAST = -62135596800, 253402300799


class Colour(enum.Enum):
    RED = "red"
    DARK = "Dark Red"


class Level(enum.IntEnum):
    LOW = 1
    NONE = -2


class Share(float, enum.Enum):
    ALL = 1.0
    NONE = 0.0


def clock(unit: str, values: list[int]) -> pa.Array:
    if unit == "us":
        return pa.array(values, pa.int64()).view(pa.time64(unit))
    return pa.array(values, pa.int32()).view(pa.time32(unit))


def ticks(unit: str, values: list[int], zone: str | None = None) -> pa.Array:
    return pa.array(values, pa.int64()).view(pa.timestamp(unit, zone))


def days(values: list[int]) -> pa.Array:
    return pa.array(values, pa.int32()).view(pa.date32())


def decimals(precision: int, scale: int, digits: list[int]) -> pa.Array:
    with_scale = [Decimal(number).scaleb(-scale) for number in digits]
    return pa.array(with_scale, pa.decimal128(precision, scale))


POSITIVE = Annotated[int, Field(gt=0)]
PRICE = Annotated[Decimal, Field(max_digits=5, decimal_places=2)]


def check(annotation: Any, column: pa.Array, config: ConfigDict | None = None) -> list[bool]:
    """Fails where a kernel's answer is not pydantic's, for a field of a model by itself.

    The column is proved whole, as a part of a longer one, and value by value.

    Returns:
        Whether each value of the column is proved.
    """
    model = model_of(annotation, config)
    kernel = kernel_of(annotation, config)
    longer = pa.concat_arrays([column, column, column])
    assert check_proof(kernel, model.model_validate, column.slice(0, 0)) == []
    flags = check_proof(kernel, model.model_validate, column)
    part = check_proof(kernel, model.model_validate, longer.slice(len(column), len(column)))
    assert part == flags
    alone = [
        check_proof(kernel, model.model_validate, column.slice(i, 1)) for i in range(len(column))
    ]
    assert [flag for found in alone for flag in found] == flags
    return flags


def check_proof(
    kernel: Kernel, validate: Callable[[dict[str, Any]], Any], column: pa.Array
) -> list[bool]:
    proof = kernel.prove(column)
    if proof is None:
        return [False] * len(column)
    assert len(proof.cells) == len(column)
    flags = [True] * len(column) if proof.proved is None else proof.proved.to_pylist()
    texts = json_of(proof)
    for position, flag in enumerate(flags):
        if flag:
            value = column[position].as_py()
            try:
                instance = validate({"value": value})
            except ValidationError as error:
                raise AssertionError(f"proved, but refused: {value!r}") from error
            assert f'{{"value":{texts[position]}}}' == instance.model_dump_json()
            if proof.encoding == "plain" and not pa.types.is_string(proof.cells.type):
                found = proof.cells[position].as_py()
                assert repr(_bare(found)) == repr(_bare(instance.model_dump()["value"]))
    return [bool(flag) for flag in flags]


def _bare(value: Any) -> Any:
    """Times and enums by their text: pyarrow and pydantic name UTC by different objects, and an enum's
    value is what a column holds."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if isinstance(value, dict):
        return {name: _bare(item) for name, item in value.items()}
    return value.isoformat() if hasattr(value, "isoformat") else value


def json_of(proof: Proof) -> list[str]:
    """The JSON text of each cell."""
    texts, needs_quotes = json_cells(proof.cells, proof.field("value"))
    return [f'"{text}"' if needs_quotes else text for text in texts.to_pylist()]
