"""Reports: frozen snapshots of a run, live while it runs and final when it has ended."""

from __future__ import annotations

import enum
import html
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from zoopipe.ledger import Ledger


def get_logger(name: str = "zoopipe") -> logging.Logger:
    """The logger that runs speak on. Handlers and levels are the application's to set."""
    return logging.getLogger(name)


class PipeStatus(enum.Enum):
    """Where a pipe stands. COMPLETED means that its output is published."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"


FINISHED = frozenset({PipeStatus.COMPLETED, PipeStatus.FAILED, PipeStatus.ABORTED})


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one attempt, on its worker, has done so far.

    Attributes:
        shard: the index of the shard, from 0.
        attempt: 1 for the first try.
        host: the worker's address; empty for this machine's processes.
        pid: the worker's process, on its host.
        total_processed: input records read.
        error_count: rows rejected.
        bytes_read: of the input's files.
        ram_bytes: resident memory of the process.
        quiet_s: for how many seconds it has made no progress.
    """

    shard: int
    attempt: int
    host: str
    pid: int
    total_processed: int
    error_count: int
    bytes_read: int
    ram_bytes: int
    quiet_s: float


@dataclass(frozen=True, slots=True)
class PipeReport:
    """What one pipe has done so far.

    Attributes:
        pipe_index: the pipe's place in its manager.
        status: see `PipeStatus`.
        total_processed: input records read.
        success_count: rows written.
        error_count: rows rejected.
        dropped_count, added_count: rows that hooks dropped and added.
        deferred_count: rows that pydantic was given, whole or in part.
        deferred_to: how many values of each field it was given, and how many `whole rows`; known when
            a shard ends.
        ram_bytes: resident memory of the workers that run now.
        peak_ram_bytes: the most that `ram_bytes` has been.
        is_alive: whether workers run for it, or its output is being published.
        error: the sentence of its failure, or None.
        start_time, end_time: with the local time zone; None where it has not come to it.
        bytes_read, bytes_total: of the input's files; the total is None where it is unknown.
        shards_done, shard_count: of the input.
        error_summary: how many rows were rejected for each `"field: error type"`; known when a
            shard ends.
        lost_count: attempts that were lost with their worker, and tried again or given up.
        workers: the attempts that run now, where they run, and how far each is.
    """

    pipe_index: int = 0
    status: PipeStatus = PipeStatus.PENDING
    total_processed: int = 0
    success_count: int = 0
    error_count: int = 0
    dropped_count: int = 0
    added_count: int = 0
    deferred_count: int = 0
    deferred_to: Mapping[str, int] = field(default_factory=dict)
    ram_bytes: int = 0
    peak_ram_bytes: int = 0
    is_alive: bool = False
    error: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    bytes_read: int = 0
    bytes_total: int | None = None
    shards_done: int = 0
    shard_count: int = 1
    error_summary: Mapping[str, int] = field(default_factory=dict)
    lost_count: int = 0
    workers: tuple[WorkerReport, ...] = ()

    @property
    def is_finished(self) -> bool:
        """True once the pipe has ended, and its output, if any, is published."""
        return self.status in FINISHED

    @property
    def has_error(self) -> bool:
        """Whether the pipe failed."""
        return self.error is not None

    @property
    def duration(self) -> float:
        """Seconds since the start, or from start to end."""
        return _seconds(self.start_time, self.end_time)

    @property
    def items_per_second(self) -> float:
        """Input records a second."""
        return self.total_processed / self.duration if self.duration else 0.0

    def __str__(self) -> str:
        return _text(_table([self]))

    def _repr_html_(self) -> str:
        return _html(_table([self]))


@dataclass(frozen=True, slots=True)
class FlowReport:
    """What all pipes of a run have done so far: their reports, and the sums over them.

    Attributes:
        pipes: the reports, by the pipes' places in their manager.
        ledger: the books: what was read, byte by byte, what became of it, and what was published.
    """

    pipes: tuple[PipeReport, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def status(self) -> PipeStatus:
        """FAILED or ABORTED where any pipe is and all have ended; COMPLETED where all are."""
        states = {pipe.status for pipe in self.pipes}
        if states <= {PipeStatus.PENDING}:
            return PipeStatus.PENDING
        if not states <= FINISHED:
            return PipeStatus.RUNNING
        for state in (PipeStatus.FAILED, PipeStatus.ABORTED):
            if state in states:
                return state
        return PipeStatus.COMPLETED

    @property
    def total_processed(self) -> int:
        """Input records read."""
        return sum(pipe.total_processed for pipe in self.pipes)

    @property
    def success_count(self) -> int:
        """Rows written."""
        return sum(pipe.success_count for pipe in self.pipes)

    @property
    def error_count(self) -> int:
        """Rows rejected."""
        return sum(pipe.error_count for pipe in self.pipes)

    @property
    def dropped_count(self) -> int:
        """Rows that hooks dropped."""
        return sum(pipe.dropped_count for pipe in self.pipes)

    @property
    def added_count(self) -> int:
        """Rows that hooks added."""
        return sum(pipe.added_count for pipe in self.pipes)

    @property
    def deferred_count(self) -> int:
        """Rows that pydantic was given, whole or in part."""
        return sum(pipe.deferred_count for pipe in self.pipes)

    @property
    def deferred_to(self) -> dict[str, int]:
        """How many values of each field pydantic was given, and how many `whole rows`."""
        total: Counter[str] = Counter()
        for pipe in self.pipes:
            total.update(pipe.deferred_to)
        return dict(total.most_common())

    @property
    def ram_bytes(self) -> int:
        """Resident memory of all workers that run now."""
        return sum(pipe.ram_bytes for pipe in self.pipes)

    @property
    def bytes_read(self) -> int:
        """Bytes of input read."""
        return sum(pipe.bytes_read for pipe in self.pipes)

    @property
    def bytes_total(self) -> int | None:
        """Bytes of input in all; None where a pipe's is unknown."""
        totals = [pipe.bytes_total for pipe in self.pipes]
        return None if None in totals else sum(total for total in totals if total)

    @property
    def is_finished(self) -> bool:
        """Whether every pipe has ended."""
        return all(pipe.is_finished for pipe in self.pipes)

    @property
    def is_alive(self) -> bool:
        """Whether workers run for any pipe."""
        return any(pipe.is_alive for pipe in self.pipes)

    @property
    def has_error(self) -> bool:
        """Whether any pipe failed."""
        return any(pipe.has_error for pipe in self.pipes)

    @property
    def error(self) -> str | None:
        """The sentences of all failures."""
        return "; ".join(pipe.error for pipe in self.pipes if pipe.error) or None

    @property
    def error_summary(self) -> Mapping[str, int]:
        """How many rows were rejected for each `"field: error type"`."""
        summary: Counter[str] = Counter()
        for pipe in self.pipes:
            summary.update(pipe.error_summary)
        return dict(summary.most_common())

    @property
    def start_time(self) -> datetime | None:
        """When the first pipe began."""
        return min((pipe.start_time for pipe in self.pipes if pipe.start_time), default=None)

    @property
    def end_time(self) -> datetime | None:
        """When the last pipe ended; None while one has not."""
        if not self.is_finished:
            return None
        return max((pipe.end_time for pipe in self.pipes if pipe.end_time), default=None)

    @property
    def duration(self) -> float:
        """Seconds since the start, or from start to end."""
        return _seconds(self.start_time, self.end_time)

    @property
    def items_per_second(self) -> float:
        """Input records a second."""
        return self.total_processed / self.duration if self.duration else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at the speed so far, by bytes; None where it cannot be said."""
        if self.is_finished:
            return 0.0
        left = 0
        for pipe in self.pipes:
            if not pipe.is_finished:
                if pipe.bytes_total is None:
                    return None
                left += max(pipe.bytes_total - pipe.bytes_read, 0)
        return self.duration * left / self.bytes_read if self.bytes_read else None

    def __str__(self) -> str:
        return _text(_table(self.pipes))

    def _repr_html_(self) -> str:
        return _html(_table(self.pipes))


def _seconds(start: datetime | None, end: datetime | None) -> float:
    if start is None:
        return 0.0
    return ((end or datetime.now().astimezone()) - start).total_seconds()


_HEADINGS = ("pipe", "status", "read", "written", "rejected", "rows/s", "seconds", "peak memory")


def _table(pipes: Sequence[PipeReport]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Rows of cells, the headings first, and the lines below them."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    notes: list[str] = []
    for pipe in pipes:
        rows.append(
            (
                str(pipe.pipe_index),
                pipe.status.value,
                f"{pipe.total_processed:,}",
                f"{pipe.success_count:,}",
                f"{pipe.error_count:,}",
                f"{pipe.items_per_second:,.0f}",
                f"{pipe.duration:.1f}",
                f"{pipe.peak_ram_bytes / 2**20:,.0f} MiB",
            )
        )
        if pipe.error:
            notes.append(f"pipe {pipe.pipe_index} failed: {pipe.error}")
        if pipe.lost_count:
            notes.append(f"pipe {pipe.pipe_index} lost {pipe.lost_count} workers")
        if pipe.deferred_count:
            notes.append(f"pipe {pipe.pipe_index} {_deferred(pipe)}")
        most = Counter(pipe.error_summary).most_common(5)
        notes += [
            f"pipe {pipe.pipe_index} rejected {count:,} rows for {name}" for name, count in most
        ]
    return rows, notes


def _deferred(pipe: PipeReport) -> str:
    """What share of the rows was deferred, and to what."""
    read = max(pipe.total_processed, 1)
    shares = [f"{name} {count / read:.2%}" for name, count in pipe.deferred_to.items()]
    several = ", ".join([*shares[:5], *(["..."] if len(shares) > 5 else [])])
    return f"deferred {pipe.deferred_count / read:.2%} of the rows to pydantic: {several}"


def _text(table: tuple[list[tuple[str, ...]], list[str]]) -> str:
    rows, notes = table
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([*lines, *notes])


def _html(table: tuple[list[tuple[str, ...]], list[str]]) -> str:
    rows, notes = table
    head = "".join(f"<th>{cell}</th>" for cell in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows[1:]
    )
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"
