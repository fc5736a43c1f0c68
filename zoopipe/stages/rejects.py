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

from zoopipe.adapters.base import Block
from zoopipe.arrays import int64_array, int64_scalar, repeat, text_array
from zoopipe.columns import RECORD, encoded_field, is_record_batch, record_batch
from zoopipe.reasons import Reason, Stage
from zoopipe.records import parse_records
from zoopipe.stages.flow import Refusal
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
    """An input column that is named like one of ours keeps its values under a longer name."""
    return f"{name}_" if name in META_NAMES else name


@dataclass(slots=True)
class _Found:
    """A rejected record of a block: its number in the block, its row in the block's batch."""

    record: int | None
    row: int | None
    stage: Stage
    reasons: list[Reason]
    text: str | None


def _in_order(block: Block, refused: Sequence[Refusal]) -> list[_Found]:
    """A block's rejected records in input order; rows that a hook added have no place in the input,
    and come after those that have."""
    records = block.row_records
    found = [_Found(item.record, None, "parse", item.reasons, item.text) for item in block.unparsed]
    for item in refused:
        record = item.row if item.row is None or records is None else records[item.row]
        found.append(_Found(record, item.row, item.stage, item.reasons, item.text))
    found.sort(key=lambda item: (item.record is None, item.record or 0))
    return found


def reject_batch(block: Block, refused: Sequence[Refusal], first_record: int) -> pa.RecordBatch:
    """The rejected rows of a block, in input order.

    Args:
        block: the block.
        refused: the rows that parsed and were refused later; `block.unparsed` come with them.
        first_record: the number of the block's first record in its shard, from 0.
    """
    whole = is_record_batch(block.batch.schema)
    found = _in_order(block, refused)
    for item in found:
        if whole and item.row is not None:
            cell = block.batch.column(0)[item.row].as_py()
            # Records that ended their worker are rejected without a look at them.
            unread = item.stage == "worker" and parse_records([cell]).unparsed
            if item.stage == "parse" or unread or not _has_columns(cell):
                item.row, item.text = None, cell
    offsets = None if block.offsets is None else block.offsets()
    places = [item.record for item in found]
    meta = [
        repeat(block.source, len(found)),
        int64_array([None if place is None else first_record + place + 1 for place in places]),
        int64_array(
            [
                None if place is None or offsets is None else block.start + offsets[place]
                for place in places
            ]
        ),
        text_array([item.stage for item in found]),
        text_array([_reasons_text(item.reasons) for item in found]),
        text_array([item.text for item in found]),
    ]
    batch = block.batch if block.whole is None else block.whole()
    original = batch.take(int64_array([item.row for item in found]))
    if whole:
        original = record_batch(text_array(list(map(_renamed, original.column(0).to_pylist()))))
    fields = [
        field if field.name == RECORD else field.with_name(original_name(field.name))
        for field in original.schema
    ]
    return pa.RecordBatch.from_arrays(
        [*original.columns, *meta], schema=pa.schema([*fields, *META_SCHEMA])
    )


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
    if row.keys().isdisjoint(META_NAMES):
        return record
    return json.dumps({original_name(name): value for name, value in row.items()})


def renumbered(batch: pa.RecordBatch, records_before: int) -> pa.RecordBatch:
    """A batch of rejects with its rows numbered in the whole input, not in its shard."""
    at = batch.schema.get_field_index(ROW)
    rows = pc.add(batch.column(at), int64_scalar(records_before))
    return batch.set_column(at, batch.schema.field(at), rows)


def summarize(block: Block, refused: Sequence[Refusal]) -> Counter[tuple[str, str]]:
    """How many rows were rejected for each field and error type; a row counts once for each."""
    summary: Counter[tuple[str, str]] = Counter()
    for reasons in [item.reasons for item in refused] + [item.reasons for item in block.unparsed]:
        for kind in set(map(_kind, reasons)):
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


def first_rejects(block: Block, refused: Sequence[Refusal], first_record: int) -> list[RejectedRow]:
    """The first few rejected rows of a block, in input order; arguments as for `reject_batch`."""
    return [
        RejectedRow(
            block.source,
            None if item.record is None else first_record + item.record + 1,
            item.stage,
            tuple(dict.fromkeys(reason_name(*_kind(reason)) for reason in item.reasons)),
        )
        for item in _in_order(block, refused)[:NAMED_REJECTS]
    ]


def _kind(reason: Reason) -> tuple[str, str]:
    place = reason["loc"]
    name = place[0] if len(place) == 1 else ".".join(map(str, place))
    return str(name), str(reason["type"])


def reason_name(field: str, kind: str) -> str:
    """How reports and logs name a reason."""
    return f"{field}: {kind}" if field else kind
