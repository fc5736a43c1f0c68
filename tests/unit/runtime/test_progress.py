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


class Clock:
    """A monotonic clock that goes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("zoopipe.runtime.progress.time.monotonic", lambda: self.now)

    def look(self, progress: Progress, seconds: float) -> None:
        """Looks ten times a second, for so long."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            progress.look()


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_time_in_hand_is_that_of_the_same_records(clock):
    progress = Progress()
    clock.look(progress, 5)
    assert progress.held_s == 0
    with progress.holding(100):
        clock.look(progress, 5)
        assert progress.held_s == pytest.approx(5, abs=0.2)
        assert progress.unwritten == 100
    with progress.holding(10):
        clock.look(progress, 2)
        assert progress.held_s == pytest.approx(2, abs=0.2)
    clock.look(progress, 0.1)
    assert progress.held_s == 0


def test_time_in_hand_goes_on_while_other_threads_wait(clock):
    progress = Progress()
    with progress.holding(100):
        with progress.holding(10):
            clock.look(progress, 1)
        clock.look(progress, 3)
        assert progress.held_s == pytest.approx(3, abs=0.2)


def test_time_for_which_the_driver_was_suspended_does_not_count(clock):
    progress = Progress()
    with progress.holding(100):
        clock.look(progress, 1)
        clock.now += 3600
        progress.look()
        assert progress.held_s < 3


def test_worker_that_is_not_heard_is_silent_and_holds_nothing_for_sure(clock):
    """What it had in hand when it was last heard it may have put down since."""
    worker, driver = Progress(), Progress()
    with worker.holding(1):
        driver.hear(worker.snapshot())
    clock.look(driver, 30)
    assert driver.held_s == 0
    assert driver.silent_s == pytest.approx(30, abs=0.3)
    driver.hear(worker.snapshot())
    clock.look(driver, 0.1)
    assert (driver.held_s, driver.silent_s) == (0, 0)


def test_time_in_hand_is_measured_by_news_when_memory_is_not_shared(clock):
    worker, driver = Progress(), Progress()
    with worker.holding(7):
        for _ in range(10):
            driver.hear(worker.snapshot())
            clock.look(driver, 0.5)
        assert driver.held_s == pytest.approx(4.5, abs=0.3)
        assert driver.silent_s < 1
        assert driver.unwritten == 7


def test_worker_of_which_nothing_was_heard_yet_is_silent(clock):
    progress = Progress()
    progress.begin(17, is_remote=True)
    clock.look(progress, 30)
    assert progress.silent_s == pytest.approx(30, abs=0.3)
