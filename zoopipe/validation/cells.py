"""What was found of a field, as a column or as Python values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import PydanticSerializationError

from zoopipe.arrays import mask_of, no_nulls, positions_of, text_array, zeros
from zoopipe.columns import NonFinite, encoded_field, json_texts, logical_of, quoted, text_form
from zoopipe.validation.check import BatchCheck, Checked
from zoopipe.validation.fieldwise import refuse_unwritable
from zoopipe.values import from_values


def column_of(
    checked: Checked, check: BatchCheck, rows: int, nonfinite: NonFinite
) -> tuple[pa.Array, pa.Field]:
    """A field's column: cells that a kernel proved, and values that pydantic made."""
    plan, proof = checked.plan, checked.proof
    assert plan.key is not None
    if checked.is_default:
        column, column_field = from_values(plan.key, [plan.default_json], nonfinite)
        return column.take(zeros(rows)), column_field
    dumped = plan.dumper.dump(checked.values, checked.rows, "json", check.findings)
    if proof is None:
        try:
            return from_values(plan.key, spread(rows, checked.rows, dumped), nonfinite)
        except (UnicodeEncodeError, PydanticSerializationError):
            dumped = refuse_unwritable(dumped, checked.rows, check.findings)
            return from_values(plan.key, spread(rows, checked.rows, dumped), nonfinite)
    if dumped:
        dumped = refuse_unwritable(dumped, checked.rows, check.findings)
    patches = {
        row: value
        for row, value in zip(checked.rows, dumped, strict=True)
        if row not in check.findings
    }
    column_field = proof.field(plan.key)
    if not patches:
        return proof.cells, column_field
    return _patched(proof.cells, column_field, patches, nonfinite)


def _patched(
    cells: pa.Array, cells_field: pa.Field, patches: Mapping[int, Any], nonfinite: NonFinite
) -> tuple[pa.Array, pa.Field]:
    """Proved cells with what pydantic made of some others."""
    values = list(patches.values())
    encoding, text = text_form(cells, cells_field, nonfinite)
    logical = logical_of(cells_field)
    if encoding != "json" and not all(isinstance(value, str | None) for value in values):
        # A value that is no string, among strings: all are written as JSON.
        text, encoding, logical = quoted(text, cells_field, nonfinite), "json", None
    texts = json_texts(values, nonfinite) if encoding == "json" else text_array(values)
    patched = pc.replace_with_mask(text, mask_of(len(cells), patches), texts)
    return patched, encoded_field(cells_field.name, encoding, logical)


def values_of(checked: Checked, check: BatchCheck, rows: int) -> list[Any]:
    """A field's values as Python has them; anything in rows that are refused."""
    plan, proof = checked.plan, checked.proof
    if checked.is_default:
        return plan.dumper.dump([plan.default] * rows, range(rows), "python", check.findings)
    dumped = plan.dumper.dump(checked.values, checked.rows, "python", check.findings)
    if proof is None or checked.column is None:
        return spread(rows, checked.rows, dumped)
    if proof.proved is None:
        values: list[Any] = plan.many.validate_python(checked.column.to_pylist())
        return values
    proved = no_nulls(proof.proved)
    values = plan.many.validate_python(checked.column.filter(proved).to_pylist())
    whole = spread(rows, positions_of(proved), values)
    for row, value in zip(checked.rows, dumped, strict=True):
        whole[row] = value
    return whole


def spread(length: int, rows: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """A list of `length` with each value at its row, and None elsewhere."""
    if len(rows) == length:
        return list(values)
    whole: list[Any] = [None] * length
    for row, value in zip(rows, values, strict=True):
        whole[row] = value
    return whole
