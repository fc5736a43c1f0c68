"""The worker's side: an actor that runs one attempt at a time, and answers meanwhile."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

import ray

from zoopipe.runtime.engine import End
from zoopipe.runtime.parcel import Parcel, run_parcel
from zoopipe.runtime.progress import Progress, Snapshot

#: How many calls an actor answers at once: an attempt, what the driver hears of it, a stop.
CALLS = 3
#: How often the driver hears of a worker, which has to be twice a second at least.
HEAR_S = 0.4
#: How long a worker goes on that the driver does not ask for news.
ALONE_S = 30.0
# How long an attempt may take to stop before its process ends.
_GRACE_S = 5.0
_TICK_S = 0.5


class RayWorker:
    """What an actor is made of."""

    def __init__(self) -> None:
        self._host = str(ray.util.get_node_ip_address())
        self._number = 0
        self._stopped = 0
        self._progress: Progress | None = None
        self._alone_s = 0.0
        threading.Thread(target=self._watch, name="zoopipe-watch", daemon=True).start()

    def hello(self) -> tuple[str, int]:
        """The node's address, and this process."""
        return self._host, os.getpid()

    def run(
        self, number: int, versions: dict[str, str], pipe: bytes, task: bytes
    ) -> tuple[End, Snapshot]:
        """Runs the driver's attempt `number`; how it ended, and what was not heard of it yet."""
        progress = Progress()
        self._number, self._progress = number, progress
        if self._stopped == number:
            progress.ask_to_stop()
        try:
            end = run_parcel(Parcel(versions, pipe, task), progress, self._host)
            return end, progress.snapshot()
        finally:
            self._progress = None

    def hear(self) -> tuple[int, Snapshot] | None:
        """What there is to say in a moment of the attempt that runs then."""
        self._alone_s = 0.0
        time.sleep(HEAR_S)
        number, progress = self._number, self._progress
        return None if progress is None else (number, progress.snapshot())

    def stop(self, number: int) -> None:
        """Stops an attempt before its next block, also one that has not begun."""
        self._stopped = number
        if self._number == number and self._progress is not None:
            self._progress.ask_to_stop()

    def _watch(self) -> None:
        """Ends this process when the driver is gone or cut off: nobody would take its results."""
        # A process that was suspended has not been alone: what counts are ticks, not the clock.
        while self._alone_s < ALONE_S:
            time.sleep(_TICK_S)
            self._alone_s += _TICK_S
        give_up_at = time.monotonic() + _GRACE_S
        while self._progress is not None and time.monotonic() < give_up_at:
            self._progress.ask_to_stop()
            time.sleep(_TICK_S)
        os._exit(1)


def answer(question: bytes) -> tuple[bool, Any]:
    """On a node: whether a pickled question could be asked, and its answer or a sentence."""
    try:
        asked: Callable[[], Any] = pickle.loads(question)
        return True, asked()
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
