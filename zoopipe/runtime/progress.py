"""The counters that an attempt shows while it runs, in memory that driver and worker share."""

from __future__ import annotations

from array import array
from typing import Any

from zoopipe.errors import RunStopped

#: How many 64-bit integers an engine has to share for each attempt.
SLOTS = 8
_READ, _WRITTEN, _REJECTED, _DROPPED, _ADDED, _BYTES, _RSS, _STOP = range(SLOTS)


class Progress:
    """Counters over `SLOTS` 64-bit integers: written by one worker, read by the driver.

    Args:
        cells: a mutable sequence of integers, shared by both; by default of this process.
    """

    def __init__(self, cells: Any = None) -> None:
        self._cells = array("q", [0] * SLOTS) if cells is None else cells

    def count(
        self, read: int, written: int, rejected: int, dropped: int, added: int, size: int
    ) -> None:
        """Adds what became of one block; `size` in bytes of input."""
        cells = self._cells
        cells[_READ] += read
        cells[_WRITTEN] += written
        cells[_REJECTED] += rejected
        cells[_DROPPED] += dropped
        cells[_ADDED] += added
        cells[_BYTES] += size

    @property
    def read(self) -> int:
        return int(self._cells[_READ])

    @property
    def written(self) -> int:
        return int(self._cells[_WRITTEN])

    @property
    def rejected(self) -> int:
        return int(self._cells[_REJECTED])

    @property
    def dropped(self) -> int:
        return int(self._cells[_DROPPED])

    @property
    def added(self) -> int:
        return int(self._cells[_ADDED])

    @property
    def bytes_read(self) -> int:
        return int(self._cells[_BYTES])

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the worker, in bytes, as it last said."""
        return int(self._cells[_RSS])

    @rss_bytes.setter
    def rss_bytes(self, size: int) -> None:
        self._cells[_RSS] = size

    def ask_to_stop(self) -> None:
        """Asks the worker to stop before its next block."""
        self._cells[_STOP] = 1

    def check_stop(self) -> None:
        """Raises `RunStopped` where the driver asked for it."""
        if self._cells[_STOP]:
            raise RunStopped("the run was stopped")
