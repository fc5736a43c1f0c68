"""One shard through a run: its attempts, what they lost, and what came of them."""

from __future__ import annotations

from collections.abc import Callable

from zoopipe.adapters.base import Shard
from zoopipe.errors import WorkerLostError
from zoopipe.runtime.engine import Lost
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.retry import RetryPolicy, Search
from zoopipe.runtime.task import Killer, ShardResult, Task

# A shard with more records than this that end their worker is not worth the search.
_MOST_KILLERS = 10
# Losses that cost no try, since no worker had begun. More of them are no bad luck.
_MOST_UNBEGUN = 20
# Searches that found no record to blame.
_MOST_SEARCHES = 2
# Attempts that were ended because records were in hand for too long: four for each that is found.
_MOST_TIMEOUTS = 4 * _MOST_KILLERS


class ShardRun:
    """The state of one shard in one run."""

    def __init__(self, shard: Shard, first_record: int) -> None:
        self.shard = shard
        self.first_record = first_record
        self.result: ShardResult | None = None
        self.attempts = 0
        #: Before this moment of the monotonic clock it is not tried again.
        self.not_before = 0.0
        self._begin_again()

    def _begin_again(self) -> None:
        self.result = None
        self._losses = self._unbegun = self._searches = self._timeouts = 0
        self._killers: list[Killer] = []
        self._suspects: list[tuple[int, int]] = []
        self._search: Search | None = None

    def starts_at(self, offset: int) -> None:
        """Begins again, at the record that begins at byte `offset`; what was counted from another
        record is void."""
        self.shard = self.shard.starting_at(offset)
        self._begin_again()

    def next_task(self, make: Callable[..., Task]) -> Task:
        """The next attempt; `make` is given what this shard knows of it."""
        self.attempts += 1
        return make(
            shard=self.shard,
            attempt=self.attempts,
            first_record=self.first_record,
            killers=tuple(self._killers),
            window=None if self._search is None else self._search.window,
            suspects=tuple(self._suspects),
        )

    def take(self, task: Task, result: ShardResult) -> bool:
        """Hears that an attempt is done; says whether the shard is, or has to go on being tried."""
        if task.window is None:
            self.result = result
            return True
        assert self._search is not None, "windows are a search's"
        if not self._search.passed(result.counts.records):
            # No record alone does it: perhaps it was bad luck.
            self._search = None
        return False

    def restore(self, result: ShardResult, attempts: int) -> None:
        """Takes what an earlier run has done."""
        self.result, self.attempts = result, attempts

    def lose(
        self, task: Task, lost: Lost, progress: Progress, policy: RetryPolicy, now: float
    ) -> None:
        """Hears that an attempt's worker is lost: the shard waits for another try.

        Raises:
            WorkerLostError: there is no other try.
        """
        sentence = f"{task.label}: {lost.reason}"
        if not lost.has_begun:
            self._unbegun += 1
            if self._unbegun > _MOST_UNBEGUN:
                raise WorkerLostError(f"{sentence}, {self._unbegun} times before it had begun")
            self.not_before = now + policy.wait_s(self._unbegun)
            return
        if self._search is not None and task.window is not None:
            self._search.died()
            if self._search.found is not None:
                message = f"the record ends the worker that tries it: {_last_words(lost, progress)}"
                self._killers.append(Killer(self._search.found, "worker_lost", message))
                self._search, self._searches = None, 0
            return
        self._losses += 1
        if self._losses < policy.max_attempts:
            self.not_before = now + policy.wait_s(self._losses)
            return
        tries = "" if self._losses == 1 else f"; it was tried {self._losses} times"
        if policy.max_attempts == 1 or task.count_only:
            raise WorkerLostError(sentence + tries)
        if self._searches == _MOST_SEARCHES or len(self._killers) == _MOST_KILLERS:
            raise WorkerLostError(f"{sentence}{tries}, and no one record of it ends its worker")
        # All records that were counted had passed every stage.
        self._search = Search(progress.counts.records)
        self._searches += 1

    def time_out(self, task: Task, lost: Lost, progress: Progress, policy: RetryPolicy) -> None:
        """Hears that an attempt was ended because it had the same records in hand for too long: the shard
        waits for another try, without the record where that was in hand alone, twice.

        Raises:
            WorkerLostError: there is no other try.
        """
        if task.window is not None:
            self.lose(task, lost, progress, policy, 0.0)
            return
        self._timeouts += 1
        if policy.max_attempts == 1:
            raise WorkerLostError(f"{task.label}: {lost.reason}")
        if self._timeouts > _MOST_TIMEOUTS or len(self._killers) == _MOST_KILLERS:
            raise WorkerLostError(
                f"{task.label}: {lost.reason}, and so often that it is no fault of few records: "
                "give more time, or mend the hook or validator that takes it"
            )
        first = progress.counts.records
        suspects = (first, first + progress.unwritten)
        if suspects in self._suspects and progress.unwritten == 1:
            self._killers.append(Killer(first, "record_timeout", _last_words(lost, progress)))
        else:
            # Also of one alone: what it waited for may come the second time.
            self._suspects.append(suspects)


def _last_words(lost: Lost, progress: Progress) -> str:
    """What is known of a worker that one record has ended."""
    is_named = not progress.host or progress.host in lost.reason
    place = "" if is_named else f" on {progress.host}"
    memory = f"; the worker had {progress.rss_bytes / 2**20:,.0f} MiB of memory"
    # Of a worker that died at once nothing may have been heard.
    return f"{lost.reason}{place}{memory if progress.rss_bytes else ''}"
