"""The driver's side: processes started, watched, stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

from zoopipe.checks import check_whole
from zoopipe.cpus import usable_cpus
from zoopipe.errors import DeclarationError, WorkerLostError, ZooPipeError
from zoopipe.runtime.engine import Attempt, BaseEngine, Done, End, Lost, Raised
from zoopipe.runtime.parcel import Packer
from zoopipe.runtime.progress import SLOTS, Progress
from zoopipe.runtime.task import Task
from zoopipe_multiprocess.worker import attempt_main

# How long a worker may take to exit after it has handed back its result.
_EXIT_S = 1.0

# What every worker needs. Imported once, in the fork server, an attempt starts in 20 ms, not in 450.
_PRELOAD = [
    "__main__",
    "zoopipe_multiprocess.worker",
    "zoopipe.pipe",
    "zoopipe.adapters.csv",
    "zoopipe.adapters.json",
    "zoopipe.validation",
]

_GUARD_HINT = (
    "; with start_method 'spawn' or 'forkserver' a script needs: if __name__ == '__main__'"
)

StartMethod = Literal["fork", "forkserver", "spawn"]


class ProcessAttempt(Attempt):
    """An attempt in a process of its own."""

    def __init__(self, task: Task, context: Any, packer: Packer) -> None:
        self.task = task
        cells = context.RawArray("q", SLOTS)
        self.progress = Progress(cells)
        self.connection: Connection
        self.connection, theirs = context.Pipe(duplex=False)
        # A forked worker has the task already; others get it by value, also what __main__ defines.
        self._forked = context.get_start_method() == "fork"
        payload = task if self._forked else packer.pack(task)
        self.process = context.Process(
            target=attempt_main,
            args=(payload, cells, theirs, os.getpid()),
            name=f"zoopipe: {task.label}",
            daemon=True,
        )
        try:
            self.process.start()
        except OSError as error:
            self.connection.close()
            raise WorkerLostError(f"{task.label}: no worker could be started: {error}") from error
        finally:
            theirs.close()
        self.progress.begin(self.process.pid)

    def end(self) -> End | None:
        """How the attempt ended, called when the worker has spoken or is gone; None while it has only
        logged something."""
        end: End | None = None
        try:
            while end is None and self.connection.poll():
                said = self.connection.recv()
                if isinstance(said, tuple):
                    self.progress.log.put(said)
                else:
                    end = said
            if end is None and self.process.is_alive():
                return None
        except (EOFError, OSError):
            # It died while it spoke; its exit says more.
            end = None
        except Exception as error:
            end = Raised(ZooPipeError(f"{self.task.label}: its end cannot be read: {error!r}"))
        self.connection.close()
        # A worker that has spoken is done; threads that a hook left running keep it no longer.
        self.process.join(_EXIT_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        pid, exitcode = self.process.pid, self.process.exitcode
        self.process.close()
        if isinstance(end, Done | Raised):
            return end
        hint = "" if self._forked or exitcode != 1 else _GUARD_HINT
        return Lost(f"its worker (process {pid}) {_death(exitcode)}{hint}")

    def kill(self) -> None:
        # Closed is a process that was waited for.
        with contextlib.suppress(ValueError):
            self.process.kill()


def _death(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = "an unknown signal"
        return f"was killed by signal {-exitcode} ({name})"
    return f"ended with exit code {exitcode} before its shard was done"


class MultiProcessEngine(BaseEngine):
    """Runs each attempt in a process of its own, so that a death costs one shard only.

    Pipes, models and hooks that `__main__` or a notebook defines reach the workers with every
    start method. Progress crosses by shared memory.

    Args:
        max_workers: how many processes run at once; by default the CPUs that this process may use.
        start_method: `fork` where the system has it, else `spawn`; `forkserver` for drivers whose own
            threads hold locks that a fork would copy.

    Raises:
        DeclarationError: this system has no such start method, or `max_workers` is below 1.
    """

    def __init__(
        self, max_workers: int | None = None, start_method: StartMethod | None = None
    ) -> None:
        if max_workers is not None:
            check_whole("max_workers", max_workers, 1)
        known = multiprocessing.get_all_start_methods()
        if start_method is None:
            start_method = "fork" if "fork" in known else "spawn"
        if start_method not in known:
            raise DeclarationError(f"start_method must be one of {known}, not {start_method!r}")
        self._max_workers = max_workers
        self._context: Any = multiprocessing.get_context(start_method)
        if start_method == "forkserver":
            self._context.set_forkserver_preload(_PRELOAD)
        self._attempts: dict[Any, ProcessAttempt] = {}
        self._packer = Packer(by_value=False)

    def connect(self) -> None:
        self._packer = Packer(by_value=False)

    def slots(self) -> int:
        return self._max_workers or usable_cpus()

    def launch(self, task: Task) -> Attempt:
        attempt = ProcessAttempt(task, self._context, self._packer)
        self._attempts[attempt.connection] = attempt
        return attempt

    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        # A worker's end of the pipe closes with it, also when it is killed: no poll of processes.
        sentinels = {attempt.process.sentinel: key for key, attempt in self._attempts.items()}
        ready = wait([*self._attempts, *sentinels], timeout_s)
        spoken = {sentinels.get(item, item) for item in ready}
        ends = [(self._attempts[key], self._attempts[key].end()) for key in spoken]
        over = [(attempt, end) for attempt, end in ends if end is not None]
        for attempt, _ in over:
            del self._attempts[attempt.connection]
        return over
