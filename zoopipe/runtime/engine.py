"""The contract of engines: where attempts run, and nothing else.

An engine's public face (`start`, `wait`, `shutdown`, reports) and all that decides (order, ends,
failures, commit) live here and in the supervisor, once. A sibling package adds the transport: five
methods that start workers, launch an attempt, say how it ended and stop it. It is found by name
through the entry-point group `zoopipe.engines`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zoopipe.errors import ZooPipeError
from zoopipe.report import FlowReport, PipeReport
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import ShardResult, Task

if TYPE_CHECKING:
    from zoopipe.runtime.plan import PlannedPipe
    from zoopipe.runtime.supervise import Supervisor


@dataclass(frozen=True, slots=True)
class Done:
    """The attempt finished."""

    result: ShardResult


@dataclass(frozen=True, slots=True)
class Raised:
    """The attempt raised."""

    error: ZooPipeError


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker died; `reason` names the signal or exit code."""

    reason: str


End = Done | Raised | Lost


class Attempt(ABC):
    """A handle on a running attempt. All methods run in the driver."""

    task: Task
    progress: Progress

    @abstractmethod
    def kill(self) -> None:
        """Ends the worker by force, without waiting; an attempt that has ended is left alone."""


class BaseEngine(ABC):
    """Runs attempts. One engine runs one set of pipes at a time, and may be started again after.

    What a sibling implements is `slots`, `launch` and `ended`, and, where it has workers to start
    or to leave, `connect` and `disconnect`. All five are called from one thread of the driver.
    """

    _supervisor: Supervisor | None = None

    # The transport.

    def connect(self) -> None:
        """Gets ready to launch attempts. Raises `ZooPipeError` where there is nothing to run on."""

    @abstractmethod
    def slots(self) -> int:
        """How many attempts may run at once."""

    @abstractmethod
    def launch(self, task: Task) -> Attempt:
        """Starts an attempt on a worker, which calls `run_task(task, progress)`."""

    @abstractmethod
    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        """The attempts that have ended since the last call; waits for one at most `timeout_s`."""

    def disconnect(self) -> None:
        """Leaves the workers; no attempt runs any more when this is called."""

    # The public face.

    def start(self, pipes: Sequence[PlannedPipe]) -> Supervisor:
        """Starts planned pipes, and returns the run: what `wait`, `shutdown` and reports are about.

        Raises:
            RuntimeError: the engine is running already.
        """
        from zoopipe.runtime.supervise import Supervisor

        if self.is_running:
            raise RuntimeError("the engine is already running")
        self._supervisor = Supervisor(self, pipes)
        self._supervisor.start()
        return self._supervisor

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until every pipe has ended, at most `timeout` seconds; says whether they have."""
        return self._started().wait(timeout)

    def shutdown(self, timeout: float = 5.0) -> None:
        """Stops what runs: workers are asked, and killed when `timeout` seconds are over.

        Effect: nothing runs and nothing is staged when this returns. Safe to call twice.
        """
        if self._supervisor is not None:
            self._supervisor.stop(timeout)

    @property
    def is_running(self) -> bool:
        """Whether pipes are being run."""
        return self._supervisor is not None and not self._supervisor.wait(0)

    @property
    def pipe_reports(self) -> list[PipeReport]:
        """A snapshot of each pipe."""
        return self._started().pipe_reports

    @property
    def report(self) -> FlowReport:
        """A snapshot of all pipes."""
        return self._started().report

    def get_pipe_report(self, index: int) -> PipeReport:
        """A snapshot of one pipe.

        Raises:
            RuntimeError: the engine has not been started.
            IndexError: there is no such pipe.
        """
        return self._started().get_pipe_report(index)

    def _started(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("the engine has not been started")
        return self._supervisor
