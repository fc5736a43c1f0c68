"""One attempt at one shard: what a worker is given, what it does, what it hands back."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from uuid import uuid4

import psutil
import pyarrow as pa

from zoopipe.adapters.base import Block, FileRange, PartWriter, Shard, append_range
from zoopipe.counts import Counts
from zoopipe.errors import HookError, RunStopped, ZooPipeError, in_tree
from zoopipe.executors import BaseExecutor, SingleThreadExecutor
from zoopipe.reasons import Reason
from zoopipe.runtime.pace import Pace
from zoopipe.runtime.progress import Progress
from zoopipe.stages.chain import Chain, Outcome
from zoopipe.stages.read import cut_block, read_blocks
from zoopipe.stages.rejects import NAMED_REJECTS, RejectedRow
from zoopipe.storage.filesystems import LOCAL
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.stores import create_part
from zoopipe.storage.urls import beside, name_of

if TYPE_CHECKING:
    from zoopipe.adapters.base import OutputAdapter
    from zoopipe.pipe import Pipe


@dataclass(frozen=True, slots=True)
class Killer:
    """A record that ends its worker, or never comes back: its number in the shard, from 0, and what is
    known of it."""

    record: int
    kind: Literal["worker_lost", "record_timeout"]
    message: str

    @property
    def reason(self) -> Reason:
        """Why it is rejected."""
        return {"loc": [], "type": self.kind, "msg": self.message}


@dataclass(frozen=True, slots=True)
class Task:
    """An attempt at a shard.

    Attributes:
        pipe_index: which pipe of the run.
        pipe: the declaration.
        shard: what to read.
        shards: how many shards the pipe has, for messages.
        attempt: 1 for the first.
        columns: the input's columns; those that are needed, where it can leave out the others.
        output_schema: the output's columns.
        first_record: the number of the shard's first record in the whole input, from 0; right only
            where a hook asks for it.
        part: the staged file to write, but for what makes its name this attempt's alone.
        rejects: the staged file for rejected rows, likewise, or None.
        leads: whether the part begins a published file.
        count_only: read and count, write nothing.
        killers: records that are rejected unseen, in order.
        window: the records `[low, high)` of the shard that are to be tried, whose result nobody
            takes; None for all of them.
        record_timeout_s: how long a record may be in hand; None for ever.
        suspects: the records `[low, high)` of which one was in hand for longer than that; each is taken
            in hand alone, or with few others.
    """

    pipe_index: int
    pipe: Pipe
    shard: Shard
    shards: int
    attempt: int
    columns: tuple[str, ...] | None
    output_schema: pa.Schema | None
    first_record: int
    part: str
    rejects: str | None
    leads: bool
    count_only: bool = False
    killers: tuple[Killer, ...] = ()
    window: tuple[int, int] | None = None
    record_timeout_s: float | None = None
    suspects: tuple[tuple[int, int], ...] = ()

    @property
    def label(self) -> str:
        """How messages name the attempt."""
        return f"pipe {self.pipe_index}, shard {self.shard.index + 1} of {self.shards}"


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What an attempt hands back.

    Attributes:
        ranges: what was really read of each file, from one record's start to another's.
        counts: what became of the rows.
        part, rejects: the staged files; rejects None where there are none.
        deferred_to: field, or whole rows, and how many pydantic was given of it.
        summary: (field, error type) and how many rows it was a reason for.
        first_rejects: the first rejected rows, where no error output shows them.
    """

    ranges: tuple[FileRange, ...]
    counts: Counts
    part: Part | None = None
    rejects: Part | None = None
    deferred_to: tuple[tuple[str, int], ...] = ()
    summary: tuple[tuple[tuple[str, str], int], ...] = ()
    first_rejects: tuple[RejectedRow, ...] = ()


_here = threading.local()


def current_task() -> Task | None:
    """The attempt that this thread runs; hooks and adapters may ask while they are set up."""
    return getattr(_here, "task", None)


def run_task(task: Task, progress: Progress) -> ShardResult:
    """Reads a shard, takes it through the stages and stages what comes out.

    Effect: the task's part and rejects are on disk, or, if this raises, are not there.

    Raises:
        ZooPipeError: with the attempt's label; `RunStopped` when the driver asked for it.
    """
    _here.task = task
    try:
        if task.count_only:
            return _count(task, progress)
        return _Attempt(_with_own_files(task), progress).run()
    except RunStopped:
        raise
    except ZooPipeError as error:
        raise in_tree(error)(f"{task.label}: {error}") from error
    except MemoryError as error:
        raise ZooPipeError(f"{task.label}: the worker ran out of memory") from error
    finally:
        _here.task = None


def _with_own_files(task: Task) -> Task:
    """The task with staged files that no other run of the same attempt writes: a cluster may begin one
    twice, and a worker that was given up may go on."""
    own = uuid4().hex[:8]
    rejects = task.rejects
    return replace(
        task,
        part=own_name(task.part, own),
        rejects=None if rejects is None else own_name(rejects, own),
    )


def own_name(path: str, own: str) -> str:
    """A staged file's path with an ending of its own."""
    return beside(path, f"{name_of(path)}.{own}")


class _Attempt:
    """The state of one attempt: its ledger while it grows, and its staged files."""

    def __init__(self, task: Task, progress: Progress) -> None:
        self._task = task
        self._progress = progress
        self._process = psutil.Process()
        progress.rss_bytes = self._process.memory_info().rss
        self._ranges: list[FileRange] = []
        self._records = 0
        self._counts = Counts()
        self._summary: Counter[tuple[str, str]] = Counter()
        self._deferred_to: Counter[str] = Counter()
        self._first_rejects: list[RejectedRow] = []
        limit_s = task.record_timeout_s
        self._pace = None if limit_s is None else Pace(limit_s, task.suspects)

    def run(self) -> ShardResult:
        task, pipe = self._task, self._task.pipe
        with contextlib.ExitStack() as undo:
            file = create_part(task.part, pipe.output_adapter.storage, durable=task.leads)
            undo.callback(file.discard)
            writer = pipe.output_adapter.open_part(file, task.output_schema, task.leads)
            rejects = _RejectsPart(task.rejects, pipe.error_output_adapter)
            undo.callback(rejects.discard)
            chain = Chain(pipe, writer, task.output_schema)
            with self._says_why_so_far(), _hooks(chain):
                self._executor().drive(
                    self._numbered_blocks(),
                    lambda item: self._work(item, chain),
                    lambda outcome: self._write(outcome, writer, rejects),
                    chain.ordered,
                )
            result = self._result(writer.close(), rejects.close())
            undo.pop_all()
        return result

    def _executor(self) -> BaseExecutor:
        """The pipe's; one thread where it matters which record is in hand."""
        executor = self._task.pipe.executor
        if self._task.suspects:
            return SingleThreadExecutor(executor.get_batch_size())
        return executor

    def _work(self, item: _Numbered, chain: Chain) -> Outcome:
        """Takes a block through the stages, and shows that it is in hand."""
        since = time.monotonic()
        with self._progress.holding(item.block.records):
            outcome = item.through(chain)
        if self._pace is not None:
            self._pace.took(item.block.records, time.monotonic() - since)
        return outcome

    @contextlib.contextmanager
    def _says_why_so_far(self) -> Iterator[None]:
        """Gives a stop what the driver needs to say which reasons were most frequent."""
        try:
            yield
        except RunStopped as error:
            raise RunStopped(str(error), tuple(self._summary.items())) from error

    def _numbered_blocks(self) -> Iterator[_Numbered]:
        """Each block with the number of its first record."""
        task = self._task
        pipe = task.pipe
        most = None if pipe.is_columnar else pipe.executor.get_batch_size()
        blocks = read_blocks(pipe.input_adapter, task.shard, task.columns, most)
        with contextlib.closing(blocks):
            for block in blocks:
                self._progress.check_stop()
                first = self._records
                self._records += block.records
                if task.killers or task.window or self._pace is not None:
                    yield from _pieces(task, block, first, self._pace)
                    if task.window and task.window[1] <= self._records:
                        break
                else:
                    yield _Numbered(block, first, task.first_record + first)

    def _write(self, outcome: Outcome, writer: PartWriter, rejects: _RejectsPart) -> None:
        writer.write(outcome.encoded)
        if outcome.rejects is not None:
            rejects.write(outcome.rejects)
        block = outcome.block
        append_range(self._ranges, block.range)
        self._summary.update(outcome.summary)
        self._deferred_to.update(outcome.deferred_to)
        if len(self._first_rejects) < NAMED_REJECTS:
            self._first_rejects += outcome.first_rejects
        self._counts += outcome.counts
        self._progress.counts = self._counts
        self._progress.rss_bytes = self._process.memory_info().rss
        self._progress.check_stop()

    def _result(self, part: Part, rejects: Part | None) -> ShardResult:
        return ShardResult(
            ranges=tuple(self._ranges),
            counts=self._counts,
            part=part,
            rejects=rejects,
            summary=tuple(self._summary.items()),
            deferred_to=tuple(self._deferred_to.items()),
            first_rejects=tuple(self._first_rejects[:NAMED_REJECTS]),
        )


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A block, the number of its first record in the shard and in the input, and the reason why its
    records are rejected unseen, if they are."""

    block: Block
    in_shard: int
    in_input: int
    reason: Reason | None = None

    def through(self, chain: Chain) -> Outcome:
        if self.reason is not None:
            return chain.reject(self.block, self.in_shard, self.reason)
        return chain.process(self.block, self.in_shard, self.in_input)


def _pieces(task: Task, block: Block, first: int, pace: Pace | None) -> Iterator[_Numbered]:
    """A block cut at a task's killers and window, and to what is taken in hand at once, without what is
    outside of the window."""
    killers = {killer.record - first: killer.reason for killer in task.killers}
    low, high = (0, block.records) if task.window is None else (n - first for n in task.window)
    marks = {low, high, *killers, *(at + 1 for at in killers)}
    at = 0
    for piece in cut_block(block, _cuts(sorted(marks), first, block.records, pace)):
        if low <= at < high or piece.records == 0:
            yield _Numbered(piece, first + at, task.first_record + first + at, killers.get(at))
        at += piece.records


def _cuts(marks: list[int], first: int, records: int, pace: Pace | None) -> Iterator[int]:
    """Where a block is cut, one cut after the other: how much is taken next depends on how long the
    pieces before took."""
    at = 0
    while at < records:
        ahead = [mark for mark in marks if mark > at]
        if pace is not None:
            ahead.append(at + pace.records(first + at))
        at = min(ahead, default=records)
        if at < records:
            yield at


@contextlib.contextmanager
def _hooks(chain: Chain) -> Iterator[None]:
    """Sets hooks up and tears them down; what failed first is what is raised."""
    chain.setup()
    try:
        yield
    except BaseException:
        with contextlib.suppress(HookError):
            chain.teardown()
        raise
    chain.teardown()


def _count(task: Task, progress: Progress) -> ShardResult:
    """Counts a shard's records, and finds its exact ends."""
    ranges: list[FileRange] = []
    records = 0
    for block in read_blocks(task.pipe.input_adapter, task.shard, task.columns):
        progress.check_stop()
        append_range(ranges, block.range)
        records += block.records
    return ShardResult(tuple(ranges), Counts(records=records))


class _RejectsPart:
    """Rejected rows, staged as an Arrow stream; nothing is made where there are none."""

    def __init__(self, path: str | None, adapter: OutputAdapter | None) -> None:
        self._path = path
        self._storage = LOCAL if adapter is None else adapter.storage
        self._file: PartFile | None = None
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        assert self._path is not None, "rows are rejected to a file"
        if self._file is None:
            self._file = create_part(self._path, self._storage, durable=False)
            self._file.write(batch.schema.serialize())
        self._file.write(batch.serialize())
        self._rows += batch.num_rows

    def close(self) -> Part | None:
        """Ends the part, and says what it holds; None where no row was rejected."""
        return None if self._file is None else self._file.close(self._rows)

    def discard(self) -> None:
        if self._file is not None:
            self._file.discard()
