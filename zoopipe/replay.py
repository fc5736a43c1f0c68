"""Replay: the rejected rows of a run, taken through the pipe again after they, or the pipe, were mended.

A replay is a pipe like any other, whose input is a rejects file: it runs on every engine, is committed whole
or not at all, and its books balance. A record keeps the source, the number and the offset that it had in the
original input. Rows of every stage (`parse`, `validate`, `hook`, `write`, `worker`) begin from the start:

| the row has | is read from |
|---|---|
| a value in any of its original columns | its columns |
| none, and `_text` | `_text`, as the pipe's own input format reads a record |

These are handed on to the new rejects as they are, for there is nothing to try:

- a row without `_row`: a hook had added it, or left unknown where it came from;
- a record of which `_text` holds only the beginning (`record_too_long`), or bytes that do not decode as `\\xff`
  (`csv_encoding`): until `_text` is changed, or `_errors` is emptied by whoever has looked at it;
- a row with a masked secret in it (`replay_masked`): until the mask is replaced.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

import pyarrow as pa

from zoopipe.adapters.base import (
    Block,
    InputAdapter,
    InputPlan,
    Origin,
    OutputAdapter,
    Shard,
    Unparsed,
)
from zoopipe.adapters.csv import CSVOutputAdapter
from zoopipe.adapters.formats import adapter_for
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.adapters.limits import is_head
from zoopipe.adapters.typed_output import TypedOutputAdapter
from zoopipe.errors import DeclarationError, InputError
from zoopipe.pipe import Pipe
from zoopipe.quarantine import Reject, rejects_of
from zoopipe.reasons import Reason, Stage
from zoopipe.rows import Row
from zoopipe.stages.masking import secrets_in
from zoopipe.stages.rejects import META_NAMES, ROW, TEXT, input_name
from zoopipe.validation.privacy import MASK, Secrets

_CSV, _JSON = (".csv", ".tsv"), (".json", ".jsonl", ".ndjson")
# How a reject shows a byte that did not decode.
_UNDECODED = re.compile(r"\\x[0-9a-f]{2}")


def replaying(
    pipe: Pipe,
    rejected: str | os.PathLike[str] | InputAdapter,
    output_adapter: OutputAdapter,
    error_output_adapter: OutputAdapter | None = None,
    max_errors: int | str | None = None,
    row_numbers: str | None = None,
) -> Pipe:
    """What `Pipe.replaying` gives."""
    file = rejected if isinstance(rejected, InputAdapter) else _reader(pipe, os.fspath(rejected))
    return Pipe(
        RejectsInputAdapter(file, pipe.input_adapter, secrets_in(pipe)),
        output_adapter,
        error_output_adapter,
        pipe.schema_model,
        pipe.pre_validation_hooks,
        pipe.post_validation_hooks,
        pipe.executor,
        max_errors,
        pipe.row_numbers if row_numbers is None else row_numbers,
        pipe.secret_columns,
        pipe.show_secrets,
        pipe.show_messages,
    )


def _reader(pipe: Pipe, path: str) -> InputAdapter:
    """An adapter for a rejects file, by its extension, with the options of the pipe's own error output."""
    own = pipe.error_output_adapter
    for suffixes, kind in ((_CSV, CSVOutputAdapter), (_JSON, JSONOutputAdapter)):
        if path.lower().endswith(suffixes):
            return (own if isinstance(own, kind) else kind(path)).reader(path)
    if own is not None and not isinstance(own, TypedOutputAdapter):
        return own.reader(path)
    try:
        found: InputAdapter = adapter_for(path)
    except DeclarationError as error:
        raise DeclarationError(
            f"the format of {path} is not known: name it .jsonl or .csv, or give an input adapter"
        ) from error
    return found


def output_like(own: OutputAdapter | None, path: str) -> OutputAdapter:
    """An adapter that writes to a path: in the format of its extension, else in that of `own`.

    Raises:
        DeclarationError: no format is known.
    """
    for suffixes, kind in ((_CSV, CSVOutputAdapter), (_JSON, JSONOutputAdapter)):
        if path.lower().endswith(suffixes):
            return own.at(path) if isinstance(own, kind) else kind(path)
    if own is not None and not isinstance(own, TypedOutputAdapter):
        return own.at(path)
    try:
        found: OutputAdapter = adapter_for(path, "output")
    except DeclarationError as error:
        raise DeclarationError(
            f"the format of {path} is not known: name it .jsonl or .csv"
        ) from error
    return found


@dataclass(frozen=True, slots=True)
class _RejectsShard(Shard):
    """A shard of a rejects file; `file_columns` are all of its columns, where all rows have the same."""

    file_columns: tuple[str, ...] | None = None


class RejectsInputAdapter(InputAdapter):
    """Reads the records that a rejects file is about.

    Unit of parallelism: that of the file's format.

    Args:
        file: reads the rejects file.
        original: what the records were read by; it parses those again that did not parse.
        secrets: what was masked in them.
    """

    keeps_origins = True

    def __init__(self, file: InputAdapter, original: InputAdapter, secrets: Secrets) -> None:
        self._file = file
        self._original = original
        self._secrets = secrets
        self.has_columns = original.has_columns
        self.finds_starts = file.finds_starts

    def __repr__(self) -> str:
        return f"RejectsInputAdapter({self._file!r})"

    def plan(self, shards: int) -> InputPlan:
        plan = self._file.plan(shards)
        found = plan.columns or plan.head
        if found is not None and ROW not in found:
            raise InputError(f"{self._file!r} reads no rejects: there is no column {ROW}")
        names = tuple(input_name(name) for name in found or () if name not in META_NAMES)
        own = tuple(
            _RejectsShard(
                **{each.name: getattr(part, each.name) for each in fields(Shard)},
                file_columns=plan.columns,
            )
            for part in plan.shards
        )
        plan = replace(plan, shards=own, columns=None, head=names or None)
        if not self._original.has_columns:
            return plan
        # A file that holds nothing names no columns.
        return replace(plan, columns=names or self._original.plan(1).columns, head=None)

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        assert isinstance(shard, _RejectsShard), "shards are those of the plan"
        for block in self._file.read(shard, shard.file_columns):
            yield self._records(block, columns)

    def _records(self, block: Block, columns: tuple[str, ...] | None) -> Block:
        """The records that a block of the rejects file is about."""
        rejects, broken = rejects_of(block, is_whole=columns is None)
        for reject in rejects:
            _check_names(reject, columns, block.source)
        texts = [reject.text for reject in rejects if reject.is_text and self._may_try(reject)]
        parsed = iter(self._original.reparsed([text or "" for text in texts], columns))
        collected = _Collected(self._original, columns)
        unread = iter(sorted(broken, key=lambda item: item.record))
        pending = next(unread, None)
        for reject in rejects:
            while pending is not None and pending.record < reject.record:
                collected.refuse(Origin(block.source, None, None), pending)
                pending = next(unread, None)
            masked = self._masked(reject)
            if masked:
                collected.refuse_row(reject, _masked_reason(masked))
            elif not self._may_try(reject):
                collected.hand_on(reject)
            elif reject.is_text:
                collected.add_text(reject, next(parsed))
            else:
                collected.add_row(reject)
        while pending is not None:
            collected.refuse(Origin(block.source, None, None), pending)
            pending = next(unread, None)
        return collected.block(block)

    def _masked(self, reject: Reject) -> list[str]:
        """The columns of a rejected row that are masked still; `_text` where that is."""
        if not self._secrets or reject.origin.row is None:
            return []
        if reject.is_text:
            return [TEXT] if reject.text == MASK else []
        return [
            name
            for name, value in reject.columns.items()
            if name in self._secrets and value == MASK
        ]

    def _may_try(self, reject: Reject) -> bool:
        """Whether there is a record to try."""
        if reject.origin.row is None or (reject.is_text and self._masked(reject)):
            return False
        if not reject.is_text:
            return True
        kinds, text = {str(reason.get("type")) for reason in reject.reasons}, reject.text or ""
        if "record_too_long" in kinds and is_head(text):
            return False
        return not ("csv_encoding" in kinds and _UNDECODED.search(text))


def _check_names(reject: Reject, columns: tuple[str, ...] | None, source: str) -> None:
    """Raises `InputError` where a row has a column that there is not."""
    for name in () if columns is None else reject.columns:
        if name not in (columns or ()):
            raise InputError(
                f"a record of {source} (_row {reject.origin.row}) has a column {name!r}, which the first "
                "record has not; all of them have those of the input"
            )


def _masked_reason(columns: Sequence[str]) -> Reason:
    return {
        "loc": list(columns[:1]),
        "type": "replay_masked",
        "msg": "secrets were masked when the row was rejected: put the value in place of the mask",
    }


@dataclass
class _Collected:
    """The records of a block while they are collected, in the order of the rejects file."""

    original: InputAdapter
    columns: tuple[str, ...] | None
    origins: list[Origin] = field(default_factory=list)
    unparsed: list[Unparsed] = field(default_factory=list)
    _row_records: list[int] = field(default_factory=list)
    _pieces: list[pa.RecordBatch] = field(default_factory=list)
    _rows: list[Row] = field(default_factory=list)
    _left: list[Row] = field(default_factory=list)

    def refuse(self, origin: Origin, item: Unparsed) -> None:
        """Adds a record that cannot be tried."""
        self.unparsed.append(replace(item, record=len(self.origins)))
        self.origins.append(origin)

    def hand_on(self, reject: Reject) -> None:
        """Adds a row that stays rejected as it was."""
        self._refuse_with(reject, reject.stage, reject.reasons)

    def refuse_row(self, reject: Reject, reason: Reason) -> None:
        """Adds a row that cannot be tried, for another reason than it was rejected for."""
        self._refuse_with(reject, "parse", [reason])

    def _refuse_with(self, reject: Reject, stage: Stage, reasons: list[Reason]) -> None:
        row = None
        if any(value is not None for value in reject.columns.values()) and not reject.is_text:
            row = len(self._left)
            self._left.append(reject.columns)
        self.refuse(reject.origin, Unparsed(0, reasons, reject.text, stage, row))

    def add_row(self, reject: Reject) -> None:
        """Adds a row by its columns."""
        self._rows.append(reject.columns)
        self._row_records.append(len(self.origins))
        self.origins.append(reject.origin)

    def add_text(self, reject: Reject, found: Block) -> None:
        """Adds what was read of a text: one record; or, of a quote that was not closed and had swallowed what
        followed it, the records from there on."""
        swallowed = any(reason["type"] == "csv_unclosed_quote" for reason in reject.reasons)
        if found.records != 1 and not (swallowed and found.records):
            message = f"{TEXT} holds {found.records} records, and stands for one"
            self.refuse_row(reject, {"loc": [], "type": "replay_text", "msg": message})
            return
        first, origin = len(self.origins), reject.origin
        assert origin.row is not None, "a record that can be tried has a number"
        self.origins += [
            replace(origin, row=origin.row + number) for number in range(found.records)
        ]
        records = range(found.records) if found.row_records is None else found.row_records
        if len(records):
            self._flush()
            self._pieces.append(found.batch)
        self._row_records += [first + record for record in records]
        self.unparsed += [replace(item, record=first + item.record) for item in found.unparsed]

    def _flush(self) -> None:
        if self._rows:
            self._pieces.append(self.original.restored(self._rows, self.columns))
            self._rows = []

    def block(self, read: Block) -> Block:
        """All of it, as a block in place of the one of the rejects file that was read."""
        self._flush()
        pieces = self._pieces or [self.original.restored([], self.columns)]
        batch = pieces[0]
        if len(pieces) > 1:
            table = pa.Table.from_batches(pieces, pieces[0].schema).combine_chunks()
            (batch,) = table.to_batches() or pieces[:1]
        left = self.original.restored(self._left, self.columns) if self._left else None
        return Block(
            batch=batch,
            source=read.source,
            records=len(self.origins),
            row_records=self._row_records,
            unparsed=self.unparsed,
            offsets=lambda: [0] * len(self.origins),
            start=read.start,
            end=read.end,
            bytes_read=read.bytes_read,
            unit=read.unit,
            origins=self.origins,
            unparsed_columns=left,
        )
