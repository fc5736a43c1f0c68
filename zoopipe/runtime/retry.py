"""What is done about lost workers: how often a shard is tried, and how the record is found that
ends them."""

from __future__ import annotations

from dataclasses import dataclass

from zoopipe.checks import check_seconds, check_whole

_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a shard is tried whose worker was lost: killed, out of memory, cut off.

    Only lost workers are tried again. What a pipe itself does wrong, an option or a hook that
    raises, would go wrong again, and fails the pipe at once.

    Attributes:
        max_attempts: tries of a shard, the first one too. With 1 a lost worker fails the pipe. With
            more, a shard that lost this many workers is searched for the record that ends them;
            that record is rejected, and the rest of the shard is written.
        backoff_s: seconds before the second try; each further wait is twice as long, up to a minute.

    Raises:
        DeclarationError: `max_attempts` is no whole number from 1, or `backoff_s` is negative.
    """

    max_attempts: int = 3
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        check_whole("max_attempts", self.max_attempts, 1)
        check_seconds("backoff_s", self.backoff_s)

    def wait_s(self, losses: int) -> float:
        """Seconds to wait after the loss number `losses`, counted from 1."""
        return float(min(self.backoff_s * 2 ** min(losses - 1, 30), _LONGEST_WAIT_S))


@dataclass(frozen=True, slots=True)
class Supervision:
    """How a run is watched over.

    Attributes:
        retries: what is done about lost workers.
        stall_timeout_s: after how many seconds without progress an attempt is said to stall.
        record_timeout_s: how many seconds a record may be in hand before its worker is ended; None for
            ever.
        max_workers: the most attempts at once; None for as many as the engine has room for.
    """

    retries: RetryPolicy = RetryPolicy()
    stall_timeout_s: float = 300.0
    record_timeout_s: float | None = None
    max_workers: int | None = None

    def __post_init__(self) -> None:
        check_seconds("stall_timeout_s", self.stall_timeout_s)
        if self.record_timeout_s is not None:
            check_seconds("record_timeout_s", self.record_timeout_s, above=True)


# How many records the first probe of a search tries; each that passes is followed by one of twice as
# many. A death costs a worker's start, seconds on a cluster, a probe that passes little: so small is good.
_FIRST_WINDOW = 64


class Search:
    """The search for the one record that ends its worker.

    Probes run a window of the shard's records each. Windows that pass grow until one does not; that
    one is halved, down to a record that has to do it once more, alone: what adds up over many records
    is no record's fault.

    Args:
        low: the number of the first record that may be it, from 0 in the shard.
    """

    def __init__(self, low: int) -> None:
        self._low = low
        self._high: int | None = None
        self._size = _FIRST_WINDOW
        #: The record's number, once it is known.
        self.found: int | None = None

    @property
    def window(self) -> tuple[int, int]:
        """The records `[low, high)` that the next probe tries."""
        if self._high is None:
            return self._low, self._low + self._size
        return self._low, max((self._low + self._high) // 2, self._low + 1)

    def passed(self, records: int) -> bool:
        """Hears that a probe passed, with so many records; says whether there is more to search."""
        low, high = self.window
        if high == self._high or (self._high is None and records < high - low):
            return False
        self._low = high
        self._size *= 2
        return True

    def died(self) -> None:
        """Hears that a probe lost its worker."""
        low, self._high = self.window
        if self._high == low + 1:
            self.found = low
