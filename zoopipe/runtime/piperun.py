"""One pipe on its way through a run: which shards wait, run and are done, and whether they fit."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import accumulate

from zoopipe.counts import Counts, total
from zoopipe.errors import RunStopped
from zoopipe.ledger import PipeLedger, ShardEntry
from zoopipe.report import FINISHED, PipeReport, PipeStatus, WorkerReport
from zoopipe.runtime.engine import Lost
from zoopipe.runtime.ledger import check_balance, check_tiling, first_loose_seam
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.retry import RetryPolicy
from zoopipe.runtime.shardrun import ShardRun
from zoopipe.runtime.starts import StartCheck
from zoopipe.runtime.state import Finished
from zoopipe.runtime.task import ShardResult, Task
from zoopipe.stages.rejects import NAMED_REJECTS, RejectedRow, reason_name
from zoopipe.storage.parts import Part


class PipeRun:
    """The state of one pipe in one run. Only the supervisor changes it; any thread may ask for
    reports."""

    def __init__(self, planned: PlannedPipe, record_timeout_s: float | None = None) -> None:
        self.planned = planned
        self._record_timeout_s = record_timeout_s
        self.status = PipeStatus.PENDING
        self.error: str | None = None
        self._started: datetime | None = None
        self._ended: datetime | None = None
        self._counting = planned.counted
        self._running: dict[Task, Progress] = {}
        self._lock = threading.RLock()
        self._peak_ram_bytes = 0
        self._lost_count = 0
        # What attempts had done that a failure or a stop ended: reports do not fall back to zero.
        self._cut_off: list[Progress] = []
        self._cut_off_reasons: Counter[str] = Counter()
        self.has_too_many = False
        self._starts = StartCheck(planned.pipe.input_adapter, planned.input.columns)
        first = planned.input.first_record
        self._published: tuple[Part, ...] = planned.published
        self._begin([ShardRun(shard, first) for shard in planned.input.shards])

    def _begin(self, shards: list[ShardRun]) -> None:
        self._shards = shards
        #: The shards that wait for an attempt, by index.
        self._waiting = set(range(len(shards)))
        # Shards that failed, but perhaps only because they began at a wrong place.
        self._doubtful: set[int] = set()
        if not self._counting:
            for done in self.planned.kept:
                self._shards[done.shard].restore(done.result, done.attempts)
                self._waiting.remove(done.shard)
            self._check_seams()

    @property
    def index(self) -> int:
        """The pipe's place in its manager."""
        return self.planned.index

    @property
    def is_finished(self) -> bool:
        """Whether the pipe has ended, well or not."""
        return self.status in FINISHED

    @property
    def is_done(self) -> bool:
        """Whether every shard is done, so that the pipe can be committed."""
        return not self.is_finished and len(self.results) == len(self._shards)

    @property
    def is_waiting(self) -> bool:
        """Whether a shard waits for an attempt, now or later."""
        return bool(self._waiting) and not self.is_finished and not self.has_too_many

    @property
    def next_at(self) -> float:
        """The moment of the monotonic clock from which an attempt may be launched; infinite where none
        waits."""
        if not self.is_waiting:
            return math.inf
        return min(self._shards[index].not_before for index in self._waiting)

    @property
    def running(self) -> list[Task]:
        """The attempts that run now."""
        return list(self._running)

    def next_task(self, now: float = math.inf) -> Task | None:
        """The next attempt to launch; None while there is nothing to start, at a moment of the monotonic
        clock."""
        if not self.is_waiting:
            return None
        ready = [index for index in self._waiting if self._shards[index].not_before <= now]
        if not ready:
            return None
        index = min(ready)
        self._waiting.remove(index)
        shard, planned = self._shards[index], self.planned
        staging, reject_staging = planned.staging, planned.reject_staging
        attempt = shard.attempts + 1
        return shard.next_task(
            partial(
                Task,
                pipe_index=planned.index,
                pipe=planned.pipe,
                shards=len(self._shards),
                columns=planned.read_columns,
                output_schema=planned.output_schema,
                part=staging.part(index, attempt),
                rejects=None if reject_staging is None else reject_staging.part(index, attempt),
                leads=index == 0 or not planned.merge,
                count_only=self._counting,
                record_timeout_s=self._record_timeout_s,
            )
        )

    def launched(self, task: Task, progress: Progress) -> None:
        """Notes that an attempt runs."""
        with self._lock:
            self._running[task] = progress
        self.begin()

    def begin(self) -> None:
        """Notes that the run has come to this pipe."""
        if self.status is PipeStatus.PENDING:
            self.status = PipeStatus.RUNNING
            self._started = datetime.now().astimezone()

    def lost(self, task: Task, lost: Lost, policy: RetryPolicy, now: float) -> None:
        """Takes that an attempt's worker is lost; its shard waits for another try.

        Raises:
            WorkerLostError: there is no other try.
        """
        self._lost_count += lost.has_begun
        index = task.shard.index
        self._shards[index].lose(task, lost, self._running[task], policy, now)
        self._waiting.add(index)

    def timed_out(self, task: Task, lost: Lost, policy: RetryPolicy) -> None:
        """Takes that an attempt was ended because it had records in hand for too long; likewise."""
        self._lost_count += 1
        index = task.shard.index
        self._shards[index].time_out(task, lost, self._running[task], policy)
        self._waiting.add(index)

    def ended(self, task: Task) -> None:
        """Notes that an attempt does not run any more."""
        with self._lock:
            self._report()
            progress = self._running.pop(task, None)
            is_cut_off = self.is_finished or self.has_too_many
            if progress is not None and task.window is None and is_cut_off:
                self._cut_off.append(progress)

    def done(self, task: Task, result: ShardResult) -> None:
        """Takes a shard's result; a shard that turns out to have begun wrongly waits again.

        Effect: a shard that is done is on record, for a run that goes on where this one is cut off.

        Raises:
            LedgerError: the books of the shard, or, with the last shard, of the pipe do not balance.
            OutputError: it cannot be put on record.
        """
        if not task.count_only:
            check_balance(result, task.label)
        with self._lock:
            self._report()
            self._running.pop(task, None)
            self._take_result(task, result)

    def _take_result(self, task: Task, result: ShardResult) -> None:
        index = task.shard.index
        shard = self._shards[index]
        if not shard.take(task, result):
            self._waiting.add(index)
            return
        if not self._counting:
            self.planned.state.add(Finished(index, shard.attempts, result))
        self._check_seams()

    def _check_seams(self) -> None:
        """Lets a shard wait again that began at a wrong place, and all of them that were only counted."""
        loose = first_loose_seam(self.planned.input.shards, self._all_results())
        if loose is not None:
            wrong, offset = loose
            self._shards[wrong].starts_at(offset)
            self._waiting.add(wrong)
        self._retry_doubtful()
        if len(self.results) == len(self._shards):
            check_tiling(self.planned.input.shards, self.results)
            if self._counting:
                self._run_counted()

    def doubts(self, task: Task) -> bool:
        """Whether an attempt may have failed because its shard did not begin at a record.

        It is then run again, from the right place, once that is known; that failure counts.
        """
        index = task.shard.index
        if index == 0 or task.shard.ranges[0].exact:
            return False
        with self._lock:
            self._doubtful.add(index)
            self._retry_doubtful()
        return True

    def _retry_doubtful(self) -> None:
        """Lets failed shards wait again whose right start is known by now."""
        for index in sorted(self._doubtful):
            before = self._all_results()[:index]
            if not all(before) or first_loose_seam(self.planned.input.shards, before) is not None:
                return
            previous = before[-1]
            assert previous is not None, "all results before are there"
            self._doubtful.remove(index)
            self._shards[index].starts_at(previous.ranges[-1].end)
            self._waiting.add(index)

    def _run_counted(self) -> None:
        """Goes from counting shards to running them, from the places that counting found."""
        self._counting = False
        counts = [result.counts.records for result in self.results]
        before = accumulate(counts, initial=self.planned.input.first_record)
        self._begin(
            [
                ShardRun(run.shard.starting_at(result.ranges[0].start), first)
                for run, result, first in zip(self._shards, self.results, before, strict=False)
            ]
        )

    def _all_results(self) -> list[ShardResult | None]:
        return [run.result for run in self._shards]

    @property
    def results(self) -> list[ShardResult]:
        """The results so far, in shard order."""
        return [run.result for run in self._shards if run.result is not None]

    def committed(self, published: tuple[Part, ...]) -> None:
        """Notes what was published."""
        self._published = published

    def ledger(self) -> PipeLedger:
        """The books so far: each shard that is done, and what was published."""
        with self._lock:
            entries = [
                ShardEntry(
                    index,
                    run.attempts,
                    run.result.ranges,
                    run.result.counts,
                    run.result.part,
                    run.result.rejects,
                )
                for index, run in enumerate(self._shards)
                if run.result is not None and not self._counting
            ]
            return PipeLedger(self.index, tuple(entries), self._published)

    def finish(self, status: PipeStatus, error: str | None = None) -> None:
        """Ends the pipe; the first end counts."""
        if self.is_finished:
            return
        self._ended = datetime.now().astimezone()
        self._started = self._started or self._ended
        self._waiting.clear()
        with self._lock:
            self.error, self.status = error, status

    def give_up(self) -> None:
        """Notes that too many rows were rejected: nothing more is launched, and what runs is being
        stopped, so that it says for which reasons it rejected."""
        self.has_too_many = True

    @property
    def is_given_up(self) -> bool:
        """Whether `give_up` was called, and every attempt has ended since."""
        return self.has_too_many and not self._running and not self.is_finished

    def stopped(self, error: RunStopped) -> None:
        """Takes what an attempt says that was stopped."""
        for (field, kind), count in error.summary:
            self._cut_off_reasons[reason_name(field, kind)] += count

    def rejected(self) -> int:
        """Rows rejected so far, in shards that are done and in those that run."""
        if self._counting:
            return 0
        return self._counts().rejected

    def surely_rejected(self) -> int:
        """Rows rejected so far in shards that are known to have begun at a record: one that began
        inside of a quoted field rejects much that it will not when it is run again."""
        if self._counting:
            return 0
        live = {
            task.shard.index: progress.counts.rejected
            for task, progress in self._running.items()
            if task.window is None
        }
        sure, is_tight = 0, True
        finds_starts = self.planned.pipe.input_adapter.finds_starts
        for index, run in enumerate(self._shards):
            is_tight = is_tight and run.result is not None
            is_exact = finds_starts or run.shard.ranges[0].exact
            if is_tight or is_exact or index in self._starts.sure:
                sure += live.get(index, 0) if run.result is None else run.result.counts.rejected
        return sure

    def check_starts(self) -> None:
        """Begins to look up which shards have begun at a record, unless that goes on or is known already.

        Effect: `surely_rejected` counts those that have, as soon as that is known.
        """
        self._starts.begin(
            [run.shard for run in self._shards],
            self._all_results(),
            lambda: not self.is_finished and not self.has_too_many,
        )

    def _counts(self) -> Counts:
        """What became of the rows so far, in shards that are done and in those that run."""
        if self._counting:
            return Counts()
        done = total(result.counts for result in self.results)
        return done + total(progress.counts for progress in self._live())

    def _live(self) -> list[Progress]:
        """The counters of attempts that run, and of those that a failure or a stop ended. What a search
        tries is tried once more later."""
        running = [progress for task, progress in self._running.items() if task.window is None]
        return [*running, *self._cut_off]

    def reasons(self) -> Counter[str]:
        """How many rows were rejected for each field and error type, in shards that have ended."""
        summary = Counter(self._cut_off_reasons)
        for result in self.results:
            for (field, kind), count in result.summary:
                summary[reason_name(field, kind)] += count
        return summary

    def first_rejects(self) -> list[RejectedRow]:
        """The first rejected rows of the whole input, where no error output shows them."""
        found: list[RejectedRow] = []
        for result, before in zip(self.results, self.records_before(), strict=True):
            found += [
                replace(row, record=None if row.record is None else before + row.record)
                for row in result.first_rejects
            ]
        return found[:NAMED_REJECTS]

    def records_before(self) -> list[int]:
        """For each result how many records come before those that it numbers from 1; none where the input's
        records keep numbers of their own."""
        if self.planned.pipe.input_adapter.keeps_origins:
            return [0] * len(self.results)
        counts = [result.counts.records for result in self.results]
        return list(accumulate(counts, initial=self.planned.input.first_record))[:-1]

    def report(self) -> PipeReport:
        """A snapshot."""
        with self._lock:
            return self._report()

    def _report(self) -> PipeReport:
        results, counts = [] if self._counting else self.results, self._counts()
        ram_bytes = sum(progress.rss_bytes for progress in self._running.values())
        self._peak_ram_bytes = max(self._peak_ram_bytes, ram_bytes)
        return PipeReport(
            pipe_index=self.index,
            status=self.status,
            total_processed=counts.records,
            success_count=counts.written,
            error_count=counts.rejected,
            dropped_count=counts.dropped,
            added_count=counts.added,
            deferred_count=counts.deferred,
            deferred_to=_summed(r.deferred_to for r in results),
            ram_bytes=ram_bytes,
            peak_ram_bytes=self._peak_ram_bytes,
            is_alive=bool(self._running) or self.status is PipeStatus.RUNNING,
            error=self.error,
            start_time=self._started,
            end_time=self._ended,
            bytes_read=counts.bytes_read,
            bytes_total=self.planned.input.bytes_total,
            shards_done=len(results),
            shard_count=len(self._shards),
            error_summary=dict(self.reasons().most_common()),
            lost_count=self._lost_count,
            workers=tuple(
                _worker_report(task, progress)
                for task, progress in self._running.items()
                if progress.has_begun
            ),
        )


def _worker_report(task: Task, progress: Progress) -> WorkerReport:
    counts = progress.counts
    return WorkerReport(
        shard=task.shard.index,
        attempt=task.attempt,
        host=progress.host,
        pid=progress.pid,
        total_processed=counts.records,
        error_count=counts.rejected,
        bytes_read=counts.bytes_read,
        ram_bytes=progress.rss_bytes,
        quiet_s=progress.quiet_s(),
    )


def _summed(counts: Iterable[Iterable[tuple[str, int]]]) -> dict[str, int]:
    """Counts by name, the largest first."""
    summed: Counter[str] = Counter()
    for some in counts:
        summed.update(dict(some))
    return dict(summed.most_common())
