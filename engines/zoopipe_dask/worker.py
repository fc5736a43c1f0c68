"""The worker's side: one attempt, in a thread of a Dask worker."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import threading
from concurrent.futures import CancelledError
from typing import Any

from zoopipe.errors import RunStopped
from zoopipe.runtime.engine import End, Lost, Raised
from zoopipe.runtime.parcel import Parcel, run_parcel
from zoopipe.runtime.progress import Progress

logger = logging.getLogger(__name__)

#: How often an attempt is shown to the driver, in seconds.
_SAY_S = 0.4
#: How long an attempt that nobody waits for may take to stop, before its process is ended.
_GRACE_S = 1.0
#: How long the scheduler may take to hear that an attempt begins.
_BEGIN_S = 20.0

_GONE = ("closing", "closed", "failed")
_WANTED = ("executing", "long-running")

#: The attempts that run in this process, by the keys of their Dask tasks.
_running: dict[str, Attendant] = {}


def run_attempt(
    key: str, topic: str, host: str, versions: dict[str, str], pipe: bytes, task: bytes
) -> End:
    """Runs an attempt; what a Dask task calls.

    Args:
        key: the task's key.
        topic: where the driver listens.
        host: how messages name this worker, where that is not the driver's machine.
        versions: the driver's.
        pipe: the pipe, pickled.
        task: the rest of the parcel.
    """
    from distributed import get_worker

    attendant = Attendant(get_worker(), key, topic)
    try:
        attendant.begin()
    except (OSError, TimeoutError, CancelledError) as error:
        return Lost(f"its worker cannot tell the scheduler that it begins: {error}", False)
    try:
        end = run_parcel(Parcel(versions, pipe, task), attendant.progress, host)
    finally:
        attendant.end()
    if isinstance(end, Raised) and isinstance(end.error, RunStopped) and not attendant.is_asked:
        return Lost(f"its worker{host and ' on '}{host} stopped it, for Dask had released it")
    return end


def stop(keys: list[str]) -> None:
    """Asks attempts of this process to stop before their next block."""
    for key in keys:
        attendant = _running.get(key)
        if attendant is not None:
            attendant.is_asked = True
            attendant.progress.ask_to_stop()


def same(pipe: bytes) -> bytes:
    """The pickled pipe itself: a task that keeps it on a worker."""
    return pipe


class Attendant:
    """Shows an attempt to the driver while it runs, and stops it when nobody waits for it any more.

    That is so when the driver has given it up, has died, or is cut off: then it loses its connection to
    the scheduler, at the latest when its keep-alives fail (`distributed.comm.timeouts.tcp`, 30 s), and
    the scheduler releases its tasks. A worker that is cut off closes likewise. Either is seen in the
    state of the task here, without a message of our own.

    A thread cannot be killed. Where an attempt does not stop, the process ends itself, if a nanny is
    there to start another one; Dask runs again what else it ran. Without a nanny the thread stays.
    """

    def __init__(self, worker: Any, key: str, topic: str) -> None:
        self.progress = Progress()
        self.is_asked = False
        self._worker, self._key, self._topic = worker, key, topic
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._attend, name="dask-attendant", daemon=True)

    def begin(self) -> None:
        """Returns when the scheduler knows that the attempt begins: a worker that dies at its first
        record has begun for sure.

        Raises:
            OSError, TimeoutError, CancelledError: it cannot be told.
        """
        telling = asyncio.run_coroutine_threadsafe(
            self._worker.scheduler.log_event(topic=self._topic, msg=self._message()),
            self._worker.loop.asyncio_loop,
        )
        telling.result(_BEGIN_S)
        _running[self._key] = self
        self._thread.start()

    def end(self) -> None:
        """Says the last, before Dask says that the task is done."""
        del _running[self._key]
        self._is_over.set()
        self._thread.join()
        self._worker.log_event(self._topic, self._message(is_over=True))

    def _attend(self) -> None:
        while not self._is_over.wait(_SAY_S):
            self._worker.log_event(self._topic, self._message())
            if not self._is_wanted():
                break
        else:
            return
        self.progress.ask_to_stop()
        if not self._is_over.wait(_GRACE_S) and self._worker.nanny:
            logger.warning("a hook does not come back in an attempt that was given up: restarting")
            os.kill(os.getpid(), signal.SIGKILL)

    def _message(self, is_over: bool = False) -> dict[str, Any]:
        # Messages of Dask hold plain values only.
        return {
            "attempt": self._key,
            "is_over": is_over,
            "snapshot": pickle.dumps(self.progress.snapshot()),
        }

    def _is_wanted(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        return self._worker.status.name not in _GONE and task is not None and task.state in _WANTED
