"""The worker's side: one attempt, then the end of the process."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import psutil

from zoopipe.errors import RunStopped, ZooPipeError
from zoopipe.runtime.engine import Done, End, Raised
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task, run_task

_WATCH_S = 1.0


def attempt_main(payload: Task | bytes, cells: Any, connection: Connection, driver: int) -> None:
    """Runs the attempt and sends its end.

    Args:
        payload: the task, or its pickle.
        cells: the progress counters, shared with the driver.
        connection: where the end is sent.
        driver: the process that waits for it; without it the worker ends itself.
    """
    # Ctrl-C in a terminal reaches every process; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # What a forked driver does on SIGTERM is not a worker's to do.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _watch_driver(driver)
    end = _run(payload, Progress(cells))
    try:
        connection.send(end)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        # An error class of the user's own may not pickle; its sentence does.
        sentence = str(end.error) if isinstance(end, Raised) else str(error)
        connection.send(Raised(ZooPipeError(sentence)))
    connection.close()


def _run(payload: Task | bytes, progress: Progress) -> End:
    try:
        task: Task = cloudpickle.loads(payload) if isinstance(payload, bytes) else payload
    except Exception as error:
        message = f"a worker cannot unpickle the pipe: {type(error).__name__}: {error}"
        return Raised(ZooPipeError(message))
    try:
        return Done(run_task(task, progress))
    except RunStopped as error:
        return Raised(error)
    except ZooPipeError as error:
        return Raised(error)
    except (SystemExit, KeyboardInterrupt) as error:
        kind = type(error).__name__
        return Raised(ZooPipeError(f"{task.label}: {kind} was raised, by a hook or a validator"))
    except Exception as error:
        return Raised(ZooPipeError(f"{task.label}: {type(error).__name__}: {error}"))


def _watch_driver(pid: int) -> None:
    """Ends this process soon after the driver is gone: nobody would take its result."""
    try:
        driver = psutil.Process(pid)
    except psutil.NoSuchProcess:
        os._exit(1)

    def watch() -> None:
        with contextlib.suppress(psutil.Error):
            while driver.is_running() and driver.status() != psutil.STATUS_ZOMBIE:
                time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="zoopipe-watch", daemon=True).start()
