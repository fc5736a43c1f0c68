"""The numbers of records: by them hooks, rejects and outputs say which record of the input a row was."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import Block
from zoopipe.arrays import counted_array, int64_array
from zoopipe.columns import is_record_batch
from zoopipe.reasons import Reason
from zoopipe.stages.flow import Flow


def input_numbers(block: Block, first_record: int) -> Sequence[int | None]:
    """The number in the whole input, from 0, of each row of a block's batch; None where nobody knows it.

    Args:
        first_record: that of the block's first record, where its records do not bring their own.
    """
    records: Sequence[int] = range(block.batch.num_rows)
    if block.row_records is not None:
        records = block.row_records
    if block.origins is not None:
        rows = [block.origins[record].row for record in records]
        return [None if row is None else row - 1 for row in rows]
    if isinstance(records, range):
        return range(first_record, first_record + len(records))
    return [first_record + record for record in records]


def numbered(flow: Flow, batch: pa.RecordBatch, name: str, first_record: int) -> pa.RecordBatch:
    """A batch about to be written with the number of each row's record, from 1, as its last column.

    A row that a hook has added, or of which a hook left unknown where it came from, has none. Rows that have a
    column of this name already are refused.

    Args:
        flow: the rows; those that are refused leave it.
        batch: all of them, as they are written.
        name: of the column.
        first_record: as for `input_numbers`.
    """
    taken = _taken(batch, name)
    if taken:
        reason: Reason = {
            "loc": [name],
            "type": "row_numbers_taken",
            "msg": f"the row has a column {name!r} of its own, where row_numbers= puts its number",
        }
        for position in taken:
            flow.refuse(position, "write", [reason])
        kept = sorted(set(range(batch.num_rows)).difference(taken))
        flow.keep(kept)
        if flow.values is not None:
            flow.values = [flow.values[position] for position in kept]
        batch = batch.take(int64_array(kept))
        if name in batch.schema.names:
            batch = batch.drop_columns([name])
    numbers = input_numbers(flow.block, first_record)
    if flow.origin is None and isinstance(numbers, range):
        return batch.append_column(name, counted_array(numbers.start + 1, len(numbers)))
    if flow.origin is not None:
        numbers = [numbers[origin] if origin >= 0 else None for origin in flow.origin]
    column = int64_array([None if number is None else number + 1 for number in numbers])
    return batch.append_column(name, column)


def _taken(batch: pa.RecordBatch, name: str) -> list[int]:
    """The rows that have a column of this name."""
    if not is_record_batch(batch.schema):
        return list(range(batch.num_rows)) if name in batch.schema.names else []
    records = batch.column(0)
    if name in batch.schema.names[1:]:
        return list(range(batch.num_rows))
    quoted = json.dumps(name, ensure_ascii=False)
    found = pc.match_substring(records, pattern=quoted)
    if not found.true_count:
        return []
    return [
        position
        for position, (record, is_found) in enumerate(
            zip(records.to_pylist(), found.to_pylist(), strict=True)
        )
        if is_found and name in json.loads(record)
    ]
