"""What is written of a rejected row: its original columns, then where, when and why.

Rows are numbered within their shard here: how many records come before the shard is known only when
all shards are done, and the commit adds it (`renumbered`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import to_json

from zoopipe.adapters.base import Block, Origin, Unparsed
from zoopipe.arrays import int64_array, int64_scalar, text_array
from zoopipe.columns import RECORD, encoded_field, is_record_batch, record_batch
from zoopipe.reasons import Reason, Stage
from zoopipe.records import parse_records
from zoopipe.redact import redact
from zoopipe.stages.flow import Refusal
from zoopipe.stages.masking import Masking
from zoopipe.storage.files import encodes

SOURCE, ROW, OFFSET = "_source", "_row", "_offset"
STAGE, ERRORS, TEXT = "_stage", "_errors", "_text"

META_SCHEMA = pa.schema(
    [
        pa.field(SOURCE, pa.string()),
        pa.field(ROW, pa.int64()),
        pa.field(OFFSET, pa.int64()),
        pa.field(STAGE, pa.string()),
        encoded_field(ERRORS, "json"),
        pa.field(TEXT, pa.string()),
    ]
)
META_NAMES: tuple[str, ...] = tuple(META_SCHEMA.names)


def original_name(name: str) -> str:
    """An input column that is named like one of ours keeps its values under a longer name; so do those that
    have such a name already."""
    return f"{name}_" if name.rstrip("_") in META_NAMES else name


def input_name(name: str) -> str:
    """The name that a column of a rejects file, which is none of ours, has in the input."""
    return name[:-1] if name.rstrip("_") in META_NAMES else name


@dataclass(slots=True)
class _Found:
    """A rejected record of a block: its number in the block, and its row in the block's batch, behind which
    the columns of those stand that did not parse."""

    record: int | None
    row: int | None
    stage: Stage
    reasons: list[Reason]
    text: str | None


def _in_order(block: Block, refused: Sequence[Refusal]) -> list[_Found]:
    """A block's rejected records in input order; rows that a hook added have no place in the input,
    and come after those that have."""
    records, rows = block.row_records, int(block.batch.num_rows)
    found = [
        _Found(
            item.record,
            None if item.row is None else rows + item.row,
            item.stage,
            item.reasons,
            item.text,
        )
        for item in block.unparsed
    ]
    for item in refused:
        record = item.row if item.row is None or records is None else records[item.row]
        found.append(_Found(record, item.row, item.stage, item.reasons, item.text))
    found.sort(key=lambda item: (item.record is None, item.record or 0))
    return found


def reject_batch(
    block: Block, refused: Sequence[Refusal], first_record: int, masking: Masking
) -> pa.RecordBatch:
    """The rejected rows of a block, in input order.

    Args:
        block: the block.
        refused: the rows that parsed and were refused later; `block.unparsed` come with them.
        first_record: the number of the block's first record in its shard, from 0.
        masking: hides what is secret in them.
    """
    whole = is_record_batch(block.batch.schema)
    found = _in_order(block, refused)
    for item in found:
        if whole and item.row is not None and item.row < block.batch.num_rows:
            cell = block.batch.column(0)[item.row].as_py()
            # Records that ended their worker are rejected without a look at them.
            unread = item.stage == "worker" and parse_records([cell]).unparsed
            if item.stage == "parse" or unread or not _has_columns(cell):
                item.row, item.text = None, cell
    origins = _origins(block, [item.record for item in found], first_record)
    meta = [
        text_array([origin.source for origin in origins]),
        int64_array([origin.row for origin in origins]),
        int64_array([origin.offset for origin in origins]),
        text_array([item.stage for item in found]),
        text_array([_reasons_text(masking.reasons(item.stage, item.reasons)) for item in found]),
        text_array([masking.text(item.text) for item in found]),
    ]
    held = block.batch if block.whole is None else block.whole()
    if block.unparsed_columns is not None:
        together = pa.Table.from_batches([held, block.unparsed_columns]).combine_chunks()
        (held,) = together.to_batches() or [held]
    original = masking.columns(held.take(int64_array([item.row for item in found])))
    if whole:
        original = record_batch(text_array(list(map(_renamed, original.column(0).to_pylist()))))
    fields = [
        field if field.name == RECORD else field.with_name(original_name(field.name))
        for field in original.schema
    ]
    return pa.RecordBatch.from_arrays(
        [*original.columns, *meta], schema=pa.schema([*fields, *META_SCHEMA])
    )


def _origins(block: Block, places: Sequence[int | None], first_record: int) -> list[Origin]:
    """Where the records with these numbers in the block stood, counted from the start of its shard."""
    source = redact(block.source)
    if block.origins is not None:
        unknown = Origin(source, None, None)
        return [unknown if place is None else block.origins[place] for place in places]
    offsets = None if block.offsets is None else block.offsets()
    return [
        Origin(source, None, None)
        if place is None
        else Origin(
            source,
            first_record + place + 1,
            None if offsets is None else block.start + offsets[place],
        )
        for place in places
    ]


def _reasons_text(reasons: list[Reason]) -> str:
    try:
        return to_json(reasons).decode()
    except ValueError:
        # A place in the record that is named with a lone surrogate.
        return json.dumps(reasons)


def _has_columns(record: str) -> bool:
    """Whether a record that is JSON is an object, and one that UTF-8 can hold."""
    return record.startswith("{") and (
        "\\u" not in record or encodes(json.dumps(json.loads(record), ensure_ascii=False))
    )


def _renamed(record: str | None) -> str | None:
    """A whole record with keys that are named like a column of ours under a longer name."""
    if record is None or not any(name in record for name in META_NAMES):
        return record
    row = json.loads(record)
    if not any(original_name(name) != name for name in row):
        return record
    return json.dumps({original_name(name): value for name, value in row.items()})


def renumbered(batch: pa.RecordBatch, records_before: int) -> pa.RecordBatch:
    """A batch of rejects with its rows numbered in the whole input, not in its shard."""
    at = batch.schema.get_field_index(ROW)
    rows = pc.add(batch.column(at), int64_scalar(records_before))
    return batch.set_column(at, batch.schema.field(at), rows)


def summarize(
    block: Block, refused: Sequence[Refusal], masking: Masking
) -> Counter[tuple[str, str]]:
    """How many rows were rejected for each field and error type; a row counts once for each."""
    summary: Counter[tuple[str, str]] = Counter()
    items: list[Refusal | Unparsed] = [*refused, *block.unparsed]
    for item in items:
        for kind in {masking.kind(item.stage, reason) for reason in item.reasons}:
            summary[kind] += 1
    return summary


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row as a log may name it: where it is and why, without its values.

    `record` is its number in the shard, from 1; None for a row that a hook added.
    """

    source: str
    record: int | None
    stage: str
    reasons: tuple[str, ...]


#: How many rejected rows a log names.
NAMED_REJECTS = 5


def first_rejects(
    block: Block, refused: Sequence[Refusal], first_record: int, masking: Masking
) -> list[RejectedRow]:
    """The first few rejected rows of a block, in input order; arguments as for `reject_batch`."""
    found = _in_order(block, refused)[:NAMED_REJECTS]
    origins = _origins(block, [item.record for item in found], first_record)
    kinds = [[masking.kind(item.stage, reason) for reason in item.reasons] for item in found]
    return [
        RejectedRow(
            origin.source or "",
            origin.row,
            item.stage,
            tuple(dict.fromkeys(reason_name(*kind) for kind in why)),
        )
        for item, origin, why in zip(found, origins, kinds, strict=True)
    ]


def reason_name(field: str, kind: str) -> str:
    """How reports and logs name a reason."""
    return f"{field}: {kind}" if field else kind
