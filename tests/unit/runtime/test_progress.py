"""The counters that driver and worker share."""

from __future__ import annotations

import multiprocessing

import pytest

from zoopipe.counts import Counts
from zoopipe.errors import RunStopped
from zoopipe.runtime.progress import SLOTS, Progress


def test_both_sides_see_the_same_when_memory_is_shared():
    cells = multiprocessing.RawArray("q", SLOTS)
    worker, driver = Progress(cells), Progress(cells)
    worker.counts = Counts(2**40, 1, 2, 3, 4, 5, 6)
    worker.rss_bytes = 123
    assert (driver.counts, driver.rss_bytes) == (Counts(2**40, 1, 2, 3, 4, 5, 6), 123)
    worker.check_stop()
    driver.ask_to_stop()
    with pytest.raises(RunStopped):
        worker.check_stop()
