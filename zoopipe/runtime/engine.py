"""The contract of engines: where attempts run, and nothing else.

An engine's public face (`start`, `wait`, `shutdown`, reports) and all that decides (order, ends,
failures, commit) live here and in the supervisor, once. A sibling package adds the transport: five
methods that start workers, launch an attempt, say how it ended and stop it. It is found by name
through the entry-point group `zoopipe.engines`.

What a transport carries is the same for all: a `Parcel` to the worker, which gives it to
`run_parcel`; snapshots of the attempt's `Progress` back, at least twice a second; a request to stop;
and the `End`. See `zoopipe.runtime.parcel`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from zoopipe.errors import ZooPipeError
from zoopipe.report import FlowReport, PipeReport
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import ShardResult, Task

if TYPE_CHECKING:
    from zoopipe.runtime.plan import PlannedPipe
    from zoopipe.runtime.retry import Supervision
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
    """The worker died, or cannot be reached any more.

    Attributes:
        reason: what is known of it, as the end of a sentence that begins with the attempt: the signal
            or exit code, the host.
        has_begun: whether the worker had begun to work on it; where not, it does not count as a try.
    """

    reason: str
    has_begun: bool = True


End = Done | Raised | Lost
Answer = TypeVar("Answer")


class Attempt(ABC):
    """A handle on a running attempt. All methods run in the driver, and none of them waits.

    Attributes:
        progress: what was last heard; the transport sees to it that `hear`, or where memory is
            shared `begin`, is called, and sets `host`.
    """

    task: Task
    progress: Progress

    def ask_to_stop(self) -> None:
        """Asks the worker to stop before its next block; its end is then a raised `RunStopped`."""
        self.progress.ask_to_stop()

    @abstractmethod
    def kill(self) -> None:
        """Ends the worker by force; an attempt that has ended is left alone.

        Effect: `ended` says soon that it is lost, also where the worker cannot be reached.
        """


class BaseEngine(ABC):
    """Runs attempts. One engine runs one set of pipes at a time, and may be started again after.

    What a sibling implements is `slots`, `launch` and `ended`, and, where it has workers to start
    or to leave, `connect`, `release_idle` and `disconnect`; they are called one after the other, all
    but `connect` from one thread of the driver, and only `connect` and `ended` wait. `survey` serves
    `zoopipe doctor`.

    Attributes:
        libraries: packages of its own of which all nodes need the same version.
        start_timeout_s: how long a run waits for a first worker before it fails.
    """

    libraries: tuple[str, ...] = ()
    start_timeout_s: float = 60.0
    _supervisor: Supervisor | None = None

    # The transport.

    def connect(self) -> None:
        """Gets ready to launch attempts, within `start_timeout_s`.

        Raises:
            EngineError: there is no such cluster, it refuses us, or its versions are others.
        """

    @abstractmethod
    def slots(self) -> int:
        """How many attempts may run at once; asked again and again, since workers come and go.

        Raises:
            EngineError: the cluster is gone, and the run with it.
        """

    @abstractmethod
    def launch(self, task: Task) -> Attempt:
        """Starts an attempt on a worker, or sees to it that one will start.

        Raises:
            DeclarationError: it cannot be sent to a worker.
            WorkerLostError: no worker could be started; it is tried again.
        """

    @abstractmethod
    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        """The attempts that have ended since the last call; waits for one at most `timeout_s`."""

    def release_idle(self) -> None:
        """Gives back workers that have nothing to do; called while nothing waits to be launched."""

    def shortage(self) -> str:
        """Why no worker may have begun for a while: what is asked for and what there is."""
        return "no worker is free"

    def disconnect(self) -> None:
        """Leaves the workers, within seconds; no attempt runs any more when this is called.

        Effect: what `connect` and `launch` started is gone; what was there before goes on.
        """

    def survey(self, question: Callable[[], Answer]) -> Sequence[tuple[str, Answer | str]]:
        """Asks every node of the cluster, connected for this alone.

        Args:
            question: an importable function, or a `functools.partial` of one.

        Returns:
            Each node's address, and its answer, or a sentence why there is none.
        """
        return [("this machine", question())]

    # The public face.

    def start(
        self, pipes: Sequence[PlannedPipe], supervision: Supervision | None = None
    ) -> Supervisor:
        """Starts planned pipes, and returns the run: what `wait`, `shutdown` and reports are about.

        Raises:
            RuntimeError: the engine is running already.
        """
        from zoopipe.runtime.retry import Supervision
        from zoopipe.runtime.supervise import Supervisor

        if self.is_running:
            raise RuntimeError("the engine is already running")
        self._supervisor = Supervisor(self, pipes, supervision or Supervision())
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
