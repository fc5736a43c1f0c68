"""How many records a worker takes in hand at once, where a record may be in hand for so long and no longer.

The driver sees which records are in hand, not which of them keeps the worker. So few are taken that all of
them together need a small part of the time that one alone may take: a worker that has had the same ones for
all of it has met a record that does not come back, not many that are slow.
"""

from __future__ import annotations

# A part of what a record may take: from one block to the next records may get so many times slower before
# anything is suspected.
_PART = 1 / 16
# Suspects are taken in so many steps: of 60,000 the one is found in three.
_STEPS = 256


class Pace:
    """The pace of one attempt; threads may share it.

    It begins with one record, and takes twice as many while that is quick.

    Args:
        limit_s: how long a record may be in hand.
        suspects: records `[low, high)`, by their numbers in the shard, of which one took longer.
    """

    def __init__(self, limit_s: float, suspects: tuple[tuple[int, int], ...] = ()) -> None:
        self._aim_s = limit_s * _PART
        self._suspects = suspects
        self._known: set[tuple[int, int]] = set()
        self._most = 1

    def records(self, first: int) -> int:
        """How many records to take in hand, from record `first` of the shard on."""
        found = [(low, high) for low, high in self._suspects if low <= first < high]
        if not self._known.issuperset(found):
            self._known.update(found)
            self._most = 1
        steps = [max((high - low) // _STEPS, 1) for low, high in found]
        ahead = [low - first for low, _ in self._suspects if low > first]
        return min([self._most, *steps, *ahead])

    def took(self, records: int, seconds: float) -> None:
        """Hears how long so many records were in hand."""
        if seconds <= self._aim_s:
            # A piece may be short because its block ends there.
            self._most = max(self._most, 2 * records)
        else:
            self._most = max(int(records * self._aim_s / seconds), 1)
