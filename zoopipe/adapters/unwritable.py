"""Rows that text cannot hold: bytes that are no UTF-8, in a batch of any Arrow types."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import PydanticSerializationError

from zoopipe.adapters.base import Encoded
from zoopipe.arrays import mask_of
from zoopipe.columns import text_form
from zoopipe.reasons import Reason

Encode = Callable[[pa.RecordBatch, pa.BooleanArray | None], Encoded]


def encoded_or_refused(
    encode: Encode, batch: pa.RecordBatch, selection: pa.BooleanArray | None
) -> Encoded:
    """A batch as text, without the rows that are none; these are refused.

    Args:
        encode: turns a batch into text, or raises what pydantic raises for such values.
        batch: the rows.
        selection: which of them are to be written; None for all.
    """
    try:
        return encode(batch, selection)
    except PydanticSerializationError:
        rows = batch if selection is None else batch.filter(selection)
        unwritable = dict(_unwritable(rows))
        if not unwritable:
            raise
    kept = [row for row in range(rows.num_rows) if row not in unwritable]
    encoded = encode(rows.filter(pc.invert(mask_of(rows.num_rows, unwritable))), None)
    refused = [(kept[row], reason) for row, reason in encoded.refused]
    refused = sorted([*unwritable.items(), *refused], key=lambda item: item[0])
    return Encoded(encoded.payload, encoded.rows, refused)


def _unwritable(batch: pa.RecordBatch) -> list[tuple[int, Reason]]:
    """The rows that are no text, each with the first column that is none in it."""
    found: dict[int, Reason] = {}
    for column, field in zip(batch.columns, batch.schema, strict=True):
        if _is_writable(column, field):
            continue
        for row in range(batch.num_rows):
            if not _is_writable(column.slice(row, 1), field):
                message = f"the bytes of {field.name} are no UTF-8, so that text does not hold them"
                found.setdefault(
                    row, {"loc": [field.name], "type": "not_serializable", "msg": message}
                )
    return sorted(found.items(), key=lambda item: item[0])


def _is_writable(column: pa.Array, field: pa.Field) -> bool:
    try:
        text_form(column, field)
    except PydanticSerializationError:
        return False
    return True
