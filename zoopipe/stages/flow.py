"""The rows of one block on their way through the stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic_core import PydanticSerializationError

from zoopipe.adapters.base import Block
from zoopipe.columns import is_record_batch, json_text
from zoopipe.hooks import EntryTypedDict
from zoopipe.reasons import Reason, Stage
from zoopipe.records import parse_records
from zoopipe.values import rows_of

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was refused.

    `row` is its position in the block's batch; None for a row that a hook added, or of which a hook
    left unknown where it came from. `text` is then the row as it stood, as JSON.
    """

    row: int | None
    stage: Stage
    reasons: list[Reason]
    text: str | None = None


@dataclass(slots=True)
class Flow:
    """A block's rows, in the one form that the stage at hand needs.

    Attributes:
        block: where they come from.
        batch: the rows as columns; None while they are Python values only.
        selection: which rows of `batch` are still there, where it is about to be written; None for all.
        values: the rows as Python values; None while they are columns only.
        entries: the rows' envelopes, in pipes that have a `BaseHook`; `values` are then theirs.
        origin: for each row its position in the block's batch, or a negative number of its own where
            that is not known; None while the rows are just those of the block.
        instances: the model's instances that `values` are dumps of, by the origin of their row; only
            of models that may write values in their own way.
        refused, dropped, added: what became of the others.
        deferred: how many rows pydantic was given, whole or in part.
        deferred_to: how many it was given of each field, or as whole rows.
    """

    block: Block
    batch: pa.RecordBatch | None
    selection: pa.BooleanArray | None = None
    values: list[Any] | None = None
    entries: list[EntryTypedDict] | None = None
    origin: Sequence[int] | None = None
    instances: dict[int, BaseModel] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    dropped: int = 0
    added: int = 0
    deferred: int = 0
    deferred_to: Counter[str] = field(default_factory=Counter)
    _unknown: int = 0

    @classmethod
    def of(cls, block: Block, objects_only: bool) -> Flow:
        """The rows of a block; records of JSON are parsed, and those that do not parse refused.

        Args:
            objects_only: refuse records that are JSON but no object.
        """
        if block.values is not None:
            return cls(block, None, values=list(block.values))
        flow = cls(block, block.batch)
        if is_record_batch(block.batch.schema):
            flow._parse(objects_only)
        return flow

    def _parse(self, objects_only: bool) -> None:
        parsed = parse_records(self.block.batch.column(0).to_pylist())
        for row, reasons in parsed.unparsed:
            self.refuse_origin(row, "parse", reasons)
        self.values, self.batch = parsed.values, None
        if parsed.unparsed:
            self.origin = parsed.rows
        if objects_only:
            self._refuse_others_than_objects()

    def _refuse_others_than_objects(self) -> None:
        values, kept = [], []
        for position, value in enumerate(self.rows()):
            if isinstance(value, dict):
                values.append(value)
                kept.append(position)
                continue
            message = f"the record is no JSON object but {_JSON_NAMES.get(type(value), 'a scalar')}"
            reason: Reason = {"loc": [], "type": "json_type", "msg": message}
            self.refuse_origin(self.origin_of(position), "parse", [reason])
        if len(kept) < len(self):
            self.keep(kept)
            self.values = values

    def __len__(self) -> int:
        if self.values is not None:
            return len(self.values)
        return 0 if self.batch is None else int(self.batch.num_rows)

    def rows(self) -> list[Any]:
        """The rows as Python values."""
        if self.values is None:
            assert self.batch is not None
            self.values = rows_of(self.batch)
        return self.values

    def unknown(self) -> int:
        """An origin for a row of which nobody knows where it stood in the block."""
        self._unknown -= 1
        return self._unknown

    def origin_of(self, position: int) -> int:
        """Where the row now at `position` stood in the block's batch; negative where unknown."""
        return position if self.origin is None else self.origin[position]

    def refuse(self, position: int, stage: Stage, reasons: list[Reason]) -> None:
        """Notes that the row at `position` is refused; the caller leaves it out."""
        row = self.origin_of(position)
        text = None if row >= 0 else row_text(self.rows()[position])
        self.refuse_origin(row, stage, reasons, text)

    def refuse_origin(
        self, row: int, stage: Stage, reasons: list[Reason], text: str | None = None
    ) -> None:
        """Notes that the row with origin `row` is refused; `text` is the row where that is unknown."""
        self.refused.append(Refusal(row if row >= 0 else None, stage, reasons, text))

    def keep(self, positions: Sequence[int] | None) -> None:
        """Says which of the rows, by position, are still there; None for all."""
        if positions is None:
            return
        origin = self.origin
        self.origin = positions if origin is None else [origin[at] for at in positions]


def row_text(row: Any) -> str | None:
    """A row as JSON, where it can be written so."""
    try:
        return json_text(row)
    except (PydanticSerializationError, ValueError, RecursionError):
        return None


_JSON_NAMES = {list: "an array", str: "a string", int: "a number", float: "a number"}
