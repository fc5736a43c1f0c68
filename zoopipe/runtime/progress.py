"""What an attempt shows while it runs: counters, where it runs, and what its worker logs.

On one machine driver and worker share the counters' memory. On a cluster the worker takes a
`Snapshot` at least twice a second, a transport carries it, and the driver's `Progress` hears it.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

from zoopipe.counts import COUNTED, Counts
from zoopipe.errors import RunStopped
from zoopipe.runtime.logs import LogLine, LogRelay

_RSS = len(COUNTED)
_BEGUN = _RSS + 1
_ENDED = _RSS + 2
_STOP = _RSS + 3
#: How many 64-bit integers driver and worker share where they share memory: the counts, in order, the
#: worker's memory, how many records it has taken in hand and put down, and whether it is to stop.
SLOTS = _STOP + 1

# The most that one look at an attempt adds to what is measured: a driver that was suspended has not seen
# for how long nothing moved.
_LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a worker says of its attempt. Small, and pickles.

    Attributes:
        counts: the counters.
        pid: the worker's process.
        lines: what it has logged since the last snapshot.
    """

    counts: tuple[int, ...]
    pid: int
    lines: tuple[LogLine, ...]


class Progress:
    """Counters over `SLOTS` 64-bit integers: written by one worker, read by the driver.

    Args:
        cells: a mutable sequence of integers, shared by both; by default of this process.

    Attributes:
        host: where the attempt runs, as its engine names it; empty where that is this machine.
        pid: the worker's process, 0 until it is known.
        has_begun: whether a worker has the attempt, for all that the driver knows.
        log: what the worker has logged and was not said yet.
        held_s: for how many seconds, as far as the driver has looked, the worker has had the same records
            in hand; reading, writing and waiting do not count.
        silent_s: for how many seconds nothing was heard of a worker that does not share memory: as where
            its host is cut off, or where code that is not Python's keeps the interpreter's lock.
    """

    def __init__(self, cells: Any = None) -> None:
        self._cells = array("q", [0] * SLOTS) if cells is None else cells
        self.host = ""
        self.pid = 0
        self.has_begun = False
        self.log = LogRelay()
        self._seen: tuple[int, ...] = ()
        self._moved_at = 0.0
        self._holding = threading.Lock()
        # Of the driver: whether a transport carries news, whether there were some since the last look, and
        # what that look saw.
        self._is_remote = self._has_news = False
        self._looked_at: float | None = None
        self._hand = (0, 0)
        self.held_s = self.silent_s = 0.0

    def quiet_s(self) -> float:
        """Seconds for which the counters have not moved, as far as this was asked in between."""
        counts = tuple(self._cells[:_RSS])
        now = time.monotonic()
        if counts != self._seen:
            self._seen, self._moved_at = counts, now
        return now - self._moved_at

    def look(self) -> None:
        """Brings `held_s` and `silent_s` up to date; called by the driver, often."""
        now = time.monotonic()
        if self._looked_at is not None:
            self.silent_s += min(now - self._looked_at, _LOOK_S)
        self._looked_at = now
        if self._is_remote and not self._has_news:
            return
        hand = self._cells[_BEGUN], self._cells[_ENDED]
        is_same = hand == self._hand and hand[0] > hand[1]
        self.held_s = self.held_s + self.silent_s if is_same else 0.0
        self.silent_s, self._hand, self._has_news = 0.0, hand, False

    @contextmanager
    def holding(self, records: int) -> Iterator[None]:
        """Has so many records in hand, from the first stage to the last; called by the worker."""
        with self._holding:
            self._cells[_BEGUN] += records
        try:
            yield
        finally:
            with self._holding:
                self._cells[_ENDED] += records

    @property
    def unwritten(self) -> int:
        """How many records were taken in hand and are not counted yet: those that follow the counted."""
        return int(self._cells[_BEGUN] - self.counts.records)

    def snapshot(self) -> Snapshot:
        """What there is to say now; called by the worker."""
        return Snapshot(tuple(self._cells[:_STOP]), os.getpid(), self.log.drain())

    def hear(self, snapshot: Snapshot) -> None:
        """Takes what a worker said; called by the driver, from any thread."""
        self._cells[:_STOP] = array("q", snapshot.counts)
        self._has_news = True
        self.begin(snapshot.pid, is_remote=True)
        self.log.put(snapshot.lines)

    def begin(self, pid: int, is_remote: bool = False) -> None:
        """Notes that the attempt runs; `is_remote` says that news of it have to be carried here."""
        self._is_remote = is_remote
        self.pid, self.has_begun = pid, True

    @property
    def counts(self) -> Counts:
        """What became of the rows so far; the worker sets it after each block."""
        return Counts(*self._cells[:_RSS])

    @counts.setter
    def counts(self, counts: Counts) -> None:
        self._cells[:_RSS] = array("q", astuple(counts))

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the worker, in bytes, as it last said."""
        return int(self._cells[_RSS])

    @rss_bytes.setter
    def rss_bytes(self, size: int) -> None:
        self._cells[_RSS] = size

    def ask_to_stop(self) -> None:
        """Asks the attempt to stop before its next block, where it shares this memory."""
        self._cells[_STOP] = 1

    def check_stop(self) -> None:
        """Raises `RunStopped` where the driver asked for it."""
        if self._cells[_STOP]:
            raise RunStopped("the run was stopped")
