"""What a rejects file holds: the rows as an error output wrote them, read back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast, get_args

from zoopipe.adapters.base import Block, Origin, Unparsed
from zoopipe.columns import is_record_batch
from zoopipe.reasons import Reason, Stage
from zoopipe.records import parse_records
from zoopipe.rows import Row
from zoopipe.stages.rejects import ERRORS, META_NAMES, OFFSET, ROW, SOURCE, STAGE, TEXT, input_name
from zoopipe.storage.files import encodes
from zoopipe.values import rows_of


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of a rejects file.

    Attributes:
        record: its number in the block.
        columns: the original columns, as the input names them.
        origin: where the record stood.
        stage, reasons: where and why it was rejected.
        text: the raw record, where there is one.
    """

    record: int
    columns: Row
    origin: Origin
    stage: Stage
    reasons: list[Reason]
    text: str | None

    @property
    def is_text(self) -> bool:
        """Whether the record is in its text, and not in columns."""
        return self.text is not None and not any(
            value not in (None, "") for value in self.columns.values()
        )


def rejects_of(block: Block, is_whole: bool) -> tuple[list[Reject], list[Unparsed]]:
    """What a block of a rejects file holds, and what of it is broken.

    Args:
        block: of the rejects file.
        is_whole: whether the input's records are whole records, with columns of their own.
    """
    records = range(block.batch.num_rows) if block.row_records is None else block.row_records
    broken = list(block.unparsed)
    if not is_record_batch(block.batch.schema):
        rows = [_told(row, is_whole) for row in rows_of(block.batch)]
        return [_reject(record, row) for record, row in zip(records, rows, strict=True)], broken
    texts = block.batch.column(0).to_pylist()
    parsed = parse_records(texts)
    broken += [Unparsed(records[at], reasons, texts[at]) for at, reasons in parsed.unparsed]
    found = []
    for at, value in zip(parsed.rows, parsed.values, strict=True):
        fault = _fault(value)
        if fault is None:
            found.append(_reject(records[at], value))
        else:
            broken.append(Unparsed(records[at], [fault], texts[at]))
    return found, broken


def _fault(value: Any) -> Reason | None:
    """Why a record of a JSON file is no rejected row."""
    if not isinstance(value, dict):
        message = "the record is no JSON object"
    elif not encodes(json.dumps(value, ensure_ascii=False)):
        message = "the record has half of a character in it (a lone surrogate)"
    else:
        return None
    return {"loc": [], "type": "replay_record", "msg": message}


def _told(row: Row, is_whole: bool) -> Row:
    """A row of cells, or of typed values, with what they mean.

    Of our own columns an empty one is nothing there. In a whole record that is so for every cell, and lists and
    objects are JSON; whether other cells were texts or numbers CSV does not say, so that they are texts.
    """
    told = {name: row.get(name) or None for name in META_NAMES}
    told[ERRORS] = _from_json(told[ERRORS])
    for name, cell in row.items():
        if name in told:
            continue
        if not is_whole:
            told[name] = cell
        elif cell:
            is_json = isinstance(cell, str) and cell[0] in "[{"
            told[name] = _from_json(cell) if is_json else cell
    return told


def _from_json(cell: Any) -> Any:
    """What a cell stands for that is JSON; any other cell, or value, itself."""
    values = parse_records([cell] if isinstance(cell, str) else []).values
    return values[0] if values else cell


def _reject(record: int, row: Row) -> Reject:
    columns = {input_name(name): value for name, value in row.items() if name not in META_NAMES}
    source, stage, text = row.get(SOURCE), row.get(STAGE), row.get(TEXT)
    found = row.get(ERRORS)
    return Reject(
        record,
        columns,
        Origin(
            source if isinstance(source, str) else None,
            _whole(row.get(ROW)),
            _whole(row.get(OFFSET)),
        ),
        cast("Stage", stage) if stage in get_args(Stage) else "parse",
        [_as_reason(item) for item in found if isinstance(item, dict)]
        if isinstance(found, list)
        else [],
        text if isinstance(text, str) else None,
    )


def _as_reason(item: dict[str, Any]) -> Reason:
    loc = item.get("loc")
    return {
        "loc": loc if isinstance(loc, list) else [],
        "type": str(item.get("type", "")),
        "msg": str(item.get("msg", "")),
    }


def _whole(value: Any) -> int | None:
    """A number that a rejects file holds, as JSON or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
        return int(value)
    return None
