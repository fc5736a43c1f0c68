"""The counters that driver and worker share."""

from __future__ import annotations

import multiprocessing

import pytest

from zoopipe.errors import RunStopped
from zoopipe.runtime.progress import SLOTS, Progress


def test_counts_add_up():
    progress = Progress()
    progress.count(10, 6, 3, 1, 0, 500)
    progress.count(5, 6, 0, 0, 1, 250)
    assert (progress.read, progress.written, progress.rejected) == (15, 12, 3)
    assert (progress.dropped, progress.added, progress.bytes_read) == (1, 1, 750)


def test_both_sides_see_the_same_when_memory_is_shared():
    cells = multiprocessing.RawArray("q", SLOTS)
    worker, driver = Progress(cells), Progress(cells)
    worker.count(2**40, 1, 1, 1, 1, 1)
    worker.rss_bytes = 123
    assert (driver.read, driver.rss_bytes) == (2**40, 123)
    worker.check_stop()
    driver.ask_to_stop()
    with pytest.raises(RunStopped):
        worker.check_stop()
