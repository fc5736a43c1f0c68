"""The contract between ZooPipe and a format.

An input adapter *plans* in the driver (what are the columns, where can the input be cut) and
*reads* on a worker, one shard at a time, as blocks. An output adapter opens *parts* on the workers
and *merges* them in the driver. Neither knows of engines, and both pickle.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import pyarrow as pa

from zoopipe.columns import NonFinite, encoded_field, json_texts
from zoopipe.errors import DeclarationError, InputError
from zoopipe.reasons import Reason, Stage
from zoopipe.rows import Row
from zoopipe.storage.filesystems import LOCAL, Storage
from zoopipe.storage.objects import target_of
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.urls import is_url

#: Enough to tell a column's type from, where only values can tell it.
SAMPLE_ROWS = 1000

#: What the ends of a range count.
Unit = Literal["bytes", "row groups", "batches", "rows", "keys", "calls"]


@dataclass(frozen=True, slots=True)
class FileRange:
    """The records of a file, or of a table, that begin in `[start, end)`, counted in `unit`.

    `exact` says that `start` is known to be where a record begins; otherwise the reader looks for
    the first one from there, and what it took to be one is checked against its neighbour's end.
    """

    path: str
    start: int
    end: int
    exact: bool = True
    unit: Unit = "bytes"


def append_range(ranges: list[FileRange], part: FileRange) -> None:
    """Appends a range, or lengthens the last one where the two touch."""
    last = ranges[-1] if ranges else None
    if last is not None and (last.path, last.end) == (part.path, part.start):
        ranges[-1] = replace(last, end=part.end)
    else:
        ranges.append(part)


@dataclass(frozen=True, slots=True)
class Shard:
    """A disjoint part of one pipe's input that can be read alone.

    `skip` and `limit` count records; `skip` is set only in the first shard, `limit` only in the last.
    `folder` is what relative paths are relative to: the working directory when the run was planned.
    `schema` has all columns of the input, where the input has types. `snapshot` is the state of the source
    that all shards have to read, as its adapter says it; empty where it needs none.
    """

    index: int
    ranges: tuple[FileRange, ...]
    skip: int = 0
    limit: int | None = None
    folder: str = ""
    schema: pa.Schema | None = None
    snapshot: str = ""

    def file_of(self, part: FileRange) -> str:
        """The path or URL to open for a range; messages and rejects name it as the user did."""
        return part.path if is_url(part.path) else os.path.join(self.folder, part.path)

    def starting_at(self, offset: int) -> Shard:
        """This shard with its first range beginning exactly at `offset`."""
        first, *rest = self.ranges
        moved = replace(first, start=offset, end=max(first.end, offset), exact=True)
        return replace(self, ranges=(moved, *rest))


class Resource:
    """Something open that a plan holds on to; a copy of the plan in another process has none.

    Args:
        close: closes it; safe to call twice.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.close = close

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return type(None), ()


@dataclass(frozen=True, slots=True)
class InputPlan:
    """What a driver knows of an input before any row is read.

    Attributes:
        shards: at least one.
        columns: the column names, or None where each record has its own.
        schema: the columns' Arrow types, of an input that has them.
        head: the names that the first record has, for outputs that need a header.
        bytes_total: the size of what will be read, or None where it is unknown.
        first_record: how many records of the input come before the first shard.
        why_whole: the reason for a single shard where more were asked for.
        identity: for each source a text that changes with its content: its size and when it was
            written, an etag.
        resource: what has to stay open while shards are read, such as the transaction whose state they
            read; of this process alone.
    """

    shards: tuple[Shard, ...]
    columns: tuple[str, ...] | None
    bytes_total: int | None
    first_record: int = 0
    why_whole: str | None = None
    head: tuple[str, ...] | None = None
    schema: pa.Schema | None = None
    identity: Mapping[str, str] = field(default_factory=dict)
    resource: Resource | None = field(default=None, compare=False, repr=False)

    def close(self) -> None:
        """Gives back what was kept open; safe to call twice."""
        if self.resource is not None:
            self.resource.close()


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A record that could not be turned into columns.

    Attributes:
        record: its number in the block, from 0.
        reasons: why.
        text: the record as it stands in the input.
        stage: where it is refused; elsewhere than in parsing where it is handed on as it was rejected before.
        row: where its columns stand in the block's `unparsed_columns`; None where it has none.
    """

    record: int
    reasons: list[Reason]
    text: str | None
    stage: Stage = "parse"
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stood that is read again, not from its input but from what was rejected of it.

    Attributes:
        source: the file.
        row: its number in the whole input, from 1; None for a row that a hook had added.
        offset: the byte at which it began.
    """

    source: str | None
    row: int | None
    offset: int | None


@dataclass(slots=True)
class Block:
    """What a reader yields: some consecutive records of one file.

    Attributes:
        batch: the records that parsed, in order.
        source: the file, as the user named it.
        records: how many records the block holds, parsed or not.
        row_records: for each row of `batch` its record number in the block; None where all parsed.
        unparsed: the records that did not parse.
        offsets: gives the byte at which each record begins, from the block's first; asked only when a row
            is rejected. None where records have no place in bytes.
        start: where the block begins, in the unit of its range.
        end: where the next record begins.
        bytes_read: bytes of the file that this block took (compressed ones for compressed files).
        unit: what `start` and `end` count.
        whole: gives the rows of `batch` with all columns of the input, where it has only those that were
            asked for; asked only when a row is rejected.
        values: the rows of `batch` as Python values, where they are such as Arrow does not hold; `batch` then
            has but their number, and `whole` gives them as text.
        origins: for each record where it stood, in inputs that `keep_origins`.
        unparsed_columns: the columns of records that did not parse and have some all the same.
    """

    batch: pa.RecordBatch
    source: str
    records: int
    row_records: Sequence[int] | None
    unparsed: list[Unparsed]
    offsets: Callable[[], Sequence[int]] | None
    start: int
    end: int
    bytes_read: int
    unit: Unit = "bytes"
    whole: Callable[[], pa.RecordBatch] | None = None
    values: Sequence[dict[str, Any]] | None = None
    origins: Sequence[Origin] | None = None
    unparsed_columns: pa.RecordBatch | None = None

    @property
    def range(self) -> FileRange:
        """What was read for this block."""
        return FileRange(self.source, self.start, self.end, unit=self.unit)

    def all_columns(self) -> pa.RecordBatch:
        """The rows of `batch` with all columns of the input."""
        return self.batch if self.whole is None else self.whole()


class InputAdapter(ABC):
    """Reads one format. Making one does no I/O; bad options raise `DeclarationError` at once.

    Attributes:
        prunes: whether `read` may be given some of the columns only.
        reads_files: whether the paths of ranges are files, which every worker has to have.
        has_columns: whether all records have the same columns; where not, each is a whole record.
        finds_starts: whether the first record after any byte is found for sure, and not guessed.
        has_delimiters: whether a record has a byte at least for each column.
        keeps_origins: whether its records were read before, and keep the numbers that they had then.
    """

    prunes: bool = False
    reads_files: bool = True
    has_columns: bool = True
    finds_starts: bool = False
    has_delimiters: bool = False
    keeps_origins: bool = False

    @abstractmethod
    def plan(self, shards: int) -> InputPlan:
        """Cuts the input into at most `shards` shards, reading no more than its head.

        Raises:
            InputError: the input is missing, cannot be read or has no usable header.
        """

    @abstractmethod
    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        """The blocks of a shard, in order.

        Args:
            shard: what to read.
            columns: those of the plan; where the adapter `prunes`, only those of them that are needed.

        Each range yields at least one block, an empty one where it holds no record, so that the
        ranges that were read are known.

        Raises:
            InputError: the input vanished, or is damaged.
        """

    def types(self, plan: InputPlan) -> pa.Schema:
        """The types that hold whatever is in the columns of an input that has no schema: texts, by default.

        The driver asks for them where the types of an output or an error output are those of the input.
        """
        return pa.schema([(name, pa.string()) for name in plan.columns or ()])

    def sample(self, plan: InputPlan) -> pa.RecordBatch | None:
        """The first rows, the same however the input is cut; None where there are none.

        The driver looks at them where the types of an output depend on what is in the input.
        """
        ranges: list[FileRange] = []
        for shard in plan.shards:
            for part in shard.ranges:
                append_range(ranges, part)
        whole = replace(plan.shards[0], ranges=tuple(ranges))
        for block in self.read(whole, plan.columns):
            if block.batch.num_rows:
                return block.batch.slice(0, SAMPLE_ROWS)
        return None

    def restored(self, rows: Sequence[Row], columns: tuple[str, ...] | None) -> pa.RecordBatch:
        """Records as `read` gives them, out of their columns as a rejects file holds them.

        Args:
            rows: for each its columns, as a format of text gives them.
            columns: those of all records; None where each has its own.

        Values of types that JSON does not have are their text, which is the model's to read.
        """
        names = columns or tuple(dict.fromkeys(name for row in rows for name in row))
        cells = [json_texts([row.get(name) for row in rows]) for name in names]
        schema = pa.schema([encoded_field(name, "json") for name in names])
        return pa.RecordBatch.from_arrays(cells, schema=schema)

    def reparsed(self, texts: Sequence[str], columns: tuple[str, ...] | None) -> list[Block]:
        """For each text a block of the records in it, read as they would be from a file.

        Args:
            texts: records that did not parse, and were repaired.
            columns: as for `restored`.

        Raises:
            InputError: this format has no text.
        """
        if texts:
            raise InputError(f"what {type(self).__name__} read has no text to be parsed again")
        return []


@dataclass(frozen=True, slots=True)
class Encoded:
    """A batch turned into what a part stores.

    Attributes:
        payload: bytes-like pieces, in order.
        rows: how many rows they hold.
        refused: rows of the batch (by position) that the format cannot hold, with the reason.
    """

    payload: Sequence[Any]
    rows: int
    refused: Sequence[tuple[int, Reason]] = ()


class PartWriter(Protocol):
    """One attempt's part of an output."""

    def encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        """Turns a batch into bytes; pure, called from any thread, in any order.

        Args:
            batch: the rows; a list of dicts where the adapter `takes_rows`.
            selection: which of them are to be written; None for all. Positions of rows that are
                refused count among these.
        """

    def write(self, encoded: Encoded) -> None:
        """Appends; called from one thread, in order."""

    def close(self) -> Part:
        """Ends the part, and says what it holds: it is whole, and, where it leads, durable."""


class Taker(ABC):
    """Who takes an output's rows while its run goes on; called in the driver, and never waits."""

    @abstractmethod
    def begin(self, shards: int) -> None:
        """A run begins."""

    @abstractmethod
    def has_room(self, shard: int) -> bool:
        """Whether an attempt at a shard may be launched; that of the lowest that is not taken always may."""

    @abstractmethod
    def take(self, part: Part) -> None:
        """A shard is done, and all before it are: they come in order. The part is there until the run ends."""

    @abstractmethod
    def check(self) -> None:
        """Looks whether the rows are still wanted; asked again and again.

        Raises:
            RunStopped: they are not, and the run is to be stopped.
            OutputError: the run fails.
        """

    @abstractmethod
    def ended(self, error: str | None) -> None:
        """The run has ended; `error` says why it was not completed."""

    @abstractmethod
    def leave(self) -> None:
        """Nothing of the run goes on any more, and nothing of it is staged."""


class OutputAdapter(ABC):
    """Writes one format, to a file that appears whole or not at all.

    A schema, wherever one is given, names the columns in order. It is None where they are not known and
    the format does not ask for them. Its types mean something to an output that is `typed`, and are null
    for all others.

    Attributes:
        nonfinite: how `nan` and infinities are spelled in this format's text.
        needs_columns: whether the format has a header, so that columns have to be known before rows.
        typed: whether it stores values in Arrow types, so that these have to be known before rows.
        schema: the types that the user wants; None for those of the model, or else of the input.
        codec: how a file of bytes is compressed when it is published, as a whole; None where it is not, or
            where the format does that itself.
        storage: where the output is, if it is a URL.
        takes_rows: whether its parts encode lists of dicts, as `model_dump()` gives them, in place of batches.
        taker: who takes its rows while the run goes on.
    """

    nonfinite: NonFinite = "null"
    needs_columns: bool = False
    typed: bool = False
    schema: pa.Schema | None = None
    codec: str | None = None
    storage: Storage = LOCAL
    takes_rows: bool = False
    taker: Taker | None = None

    @property
    @abstractmethod
    def output(self) -> str:
        """The path or URL that the user named."""

    def target(self) -> str:
        """What is published, and beside which is staged: a resolved path, or a URL.

        Raises:
            OutputError: it is there and is no regular file.
        """
        return target_of(self.output)

    def at(self, output: str) -> OutputAdapter:
        """The same adapter for another file.

        Raises:
            DeclarationError: it cannot write there.
        """
        raise DeclarationError(f"{type(self).__name__} cannot be had for another file than its own")

    def reader(self, source: str) -> InputAdapter:
        """An input adapter that reads a file which this one has written.

        Raises:
            DeclarationError: there is none.
        """
        raise DeclarationError(f"there is no input adapter for what {type(self).__name__} writes")

    def check(self, schema: pa.Schema | None) -> None:
        """Refuses, before any row is read, what the output could not be written with.

        Raises:
            DeclarationError: the columns are not known, and the format needs them.
        """

    def stores(self, schema: pa.Schema) -> pa.Schema:
        """The schema in which a `typed` output holds rows of another: its own types for those.

        Raises:
            DeclarationError, OutputError: there is no place for such rows.
        """
        return schema

    def lacks(self, columns: Sequence[str]) -> list[str]:
        """Those of `columns` that the output has no place for, so that rows with them are refused."""
        known = columns if self.schema is None else self.schema.names
        return [name for name in columns if name not in known]

    @abstractmethod
    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> PartWriter:
        """A writer of one part.

        Args:
            file: where to; the caller discards it when something goes wrong, the writer closes it.
            schema: the columns.
            leads: whether the part begins a published file; others are copied behind it.
        """

    @abstractmethod
    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        """Makes the part that leads one whole file, with `others` after it, and says what it holds.

        Args:
            file: the part that leads, opened again at its end, its checksum compared; the caller abandons
                it when something goes wrong, this closes it.
            leader: what its writer said of it.
            others: the parts behind it, in order; each is compared with its checksum as it is read.
            schema: the columns.

        Effect: the file is durable when this returns; nothing is published yet. A merge that was cut short
            can be begun again: the parts are as they were, but for bytes behind the leader's end.

        Raises:
            LedgerError: a part is not what its writer says.
            OutputError: the disk is full or failed.
        """
