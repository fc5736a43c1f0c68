"""The worker's side: one attempt, then the end of the process."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

import psutil

from zoopipe.runtime.engine import End
from zoopipe.runtime.logs import silence_handlers
from zoopipe.runtime.parcel import Parcel, run_here, run_parcel
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task

_WATCH_S = 1.0
_LINES_S = 0.5


def attempt_main(payload: Task | Parcel, cells: Any, connection: Connection, driver: int) -> None:
    """Runs the attempt; sends what it logs, and its end.

    Args:
        payload: the task, or its parcel.
        cells: the progress counters, shared with the driver.
        connection: where log lines and the end are sent.
        driver: the process that waits for it; without it the worker ends itself.
    """
    # Ctrl-C in a terminal reaches every process; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # What a forked driver does on SIGTERM is not a worker's to do.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    silence_handlers()
    _watch_driver(driver)
    progress = Progress(cells)
    with _sending_lines(progress, connection):
        end = _run(payload, progress)
    connection.send(end)
    connection.close()


def _run(payload: Task | Parcel, progress: Progress) -> End:
    if isinstance(payload, Parcel):
        return run_parcel(payload, progress)
    return run_here(payload, progress)


@contextlib.contextmanager
def _sending_lines(progress: Progress, connection: Connection) -> Iterator[None]:
    """Sends what the attempt logs, twice a second and at its end."""
    is_over = threading.Event()

    def send() -> None:
        while True:
            was_over = is_over.wait(_LINES_S)
            lines = progress.log.drain()
            if lines:
                connection.send(lines)
            if was_over:
                return

    thread = threading.Thread(target=send, name="zoopipe-lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


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
