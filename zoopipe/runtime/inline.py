"""The engine of `Pipe.run()`: one attempt at a time, in a thread of this process."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Sequence

from zoopipe.errors import ZooPipeError
from zoopipe.runtime.engine import Attempt, BaseEngine, Done, End, Lost, Raised
from zoopipe.runtime.parcel import unexpected
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task, run_task


class InlineAttempt(Attempt):
    """An attempt in a thread. It stops between blocks.

    A thread cannot be killed: one that does not stop is left behind. It ends with its block, and what
    it still writes goes to a staged file that nobody will publish.
    """

    def __init__(self, task: Task, ends: queue.SimpleQueue[tuple[Attempt, End]]) -> None:
        self.task = task
        self.progress = Progress()
        self._ends = ends
        self._has_spoken = threading.Lock()
        threading.Thread(target=self._run, name="zoopipe-pipe", daemon=True).start()

    def _run(self) -> None:
        self.progress.begin(os.getpid())
        end: End
        try:
            end = Done(run_task(self.task, self.progress))
        except ZooPipeError as error:
            end = Raised(error)
        except BaseException as error:
            end = Raised(unexpected(self.task, error))
        self._speak(end)

    def _speak(self, end: End) -> None:
        """Says how the attempt ended; only the first word counts."""
        if self._has_spoken.acquire(blocking=False):
            self._ends.put((self, end))

    def kill(self) -> None:
        self.progress.ask_to_stop()
        self._speak(Lost("its thread did not stop, and was left behind"))


class InlineEngine(BaseEngine):
    """Runs attempts in this process. Code runs in the driver; nothing has to pickle."""

    def __init__(self) -> None:
        self._ends: queue.SimpleQueue[tuple[Attempt, End]] = queue.SimpleQueue()

    def connect(self) -> None:
        # What an earlier run left behind does not speak to this one.
        self._ends = queue.SimpleQueue()

    def slots(self) -> int:
        return 1

    def launch(self, task: Task) -> Attempt:
        return InlineAttempt(task, self._ends)

    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        try:
            return [self._ends.get(timeout=timeout_s)]
        except queue.Empty:
            return []
