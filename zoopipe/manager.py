"""`PipeManager`: many pipes, or one pipe cut into shards, on an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from zoopipe.checks import check_whole
from zoopipe.errors import DeclarationError, RunFailed
from zoopipe.executors import BaseExecutor
from zoopipe.pipe import Pipe
from zoopipe.progress import follow
from zoopipe.report import FlowReport, PipeReport, PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.recovery import begin
from zoopipe.runtime.registry import default_engine
from zoopipe.runtime.retry import RetryPolicy, Supervision
from zoopipe.runtime.supervise import Supervisor
from zoopipe.runtime.tables import check_declared


class PipeManager:
    """Runs pipes on an engine: plan → run → commit → report.

    As a context manager it starts on entry; on exit it waits for the end, unless an exception is
    on its way, and leaves nothing running and, without `resume`, nothing staged.

    Args:
        pipes: at least one; no two may write the same file. Pipes with tables of one database are
            published together.
        engine: where attempts run; by default processes on this machine.
        retries: what is done about lost workers; by default each shard is tried three times.
        stall_timeout_s: after how many seconds without progress the log says that a shard stalls.
        record_timeout_s: for how many seconds a record may be in hooks and validation. Its worker is then
            ended, and the record found and rejected. By default for ever.
        resume: keep what is done when the run is stopped, killed or fails, and go on with what an earlier
            run of the same plan has done.

    Raises:
        DeclarationError: there is no pipe, two outputs are the same file, or tables cannot be loaded together.
    """

    def __init__(
        self,
        pipes: Sequence[Pipe],
        engine: BaseEngine | None = None,
        retries: RetryPolicy | None = None,
        stall_timeout_s: float = 300.0,
        resume: bool = False,
        record_timeout_s: float | None = None,
    ) -> None:
        self._pipes = tuple(pipes)
        if not self._pipes or not all(isinstance(pipe, Pipe) for pipe in self._pipes):
            raise DeclarationError(f"pipes must be a list of at least one Pipe, not {pipes!r}")
        if engine is not None and not isinstance(engine, BaseEngine):
            raise DeclarationError(f"engine must be a BaseEngine, not {engine!r}")
        check_declared(self._pipes)
        if retries is not None and not isinstance(retries, RetryPolicy):
            raise DeclarationError(f"retries must be a RetryPolicy, not {retries!r}")
        self._engine = engine or default_engine()
        self._supervision = Supervision(retries or RetryPolicy(), stall_timeout_s, record_timeout_s)
        self._shards = 1
        self._merge = True
        self._resume = resume
        self._run: Supervisor | None = None

    @classmethod
    def parallelize_pipe(
        cls,
        pipe: Pipe,
        workers: int,
        should_merge: bool = True,
        executor: BaseExecutor | None = None,
        engine: BaseEngine | None = None,
        shards: int | None = None,
        retries: RetryPolicy | None = None,
        stall_timeout_s: float = 300.0,
        resume: bool = False,
        record_timeout_s: float | None = None,
    ) -> PipeManager:
        """A manager that runs one pipe on several workers, as shards of its input.

        Args:
            pipe: the pipe; its input is cut by byte ranges.
            workers: how many shards run at once, at least 1.
            should_merge: publish one file, rows in input order; otherwise a file a shard,
                `<stem>_part_00001<suffix>` and so on.
            executor: instead of the pipe's own.
            engine: by default processes, as many at a time as there are CPUs.
            shards: how many shards, by default as many as workers. With more, a slow worker gets
                fewer of them, and a lost one costs less. An input that cannot be cut is one shard,
                and the log says why.
            retries, stall_timeout_s, resume, record_timeout_s: as for a `PipeManager`.

        Raises:
            DeclarationError: `workers` or `shards` is no whole number from 1.
        """
        check_whole("workers", workers, 1)
        if shards is not None:
            check_whole("shards", shards, 1)
        pipes = [pipe if executor is None else pipe.with_executor(executor)]
        manager = cls(pipes, engine, retries, stall_timeout_s, resume, record_timeout_s)
        manager._supervision = replace(manager._supervision, max_workers=workers)
        manager._shards = shards or workers
        manager._merge = should_merge
        return manager

    def start(self) -> None:
        """Plans the run, starts it and returns; the commit comes by itself when shards are done.

        Raises:
            RuntimeError: it is already running.
            InputError, OutputError: an input or output cannot be used; nothing was started.
            ResumeError: there is a run to go on with, but it was of another plan.
        """
        if self.is_running:
            raise RuntimeError("the manager is already running")
        plans = plan_pipes(self._pipes, self._shards, self._merge)
        try:
            planned = begin(plans, self._resume)
        except BaseException:
            for pipe in plans:
                pipe.input.close()
            raise
        try:
            self._run = self._engine.start(planned, self._supervision)
        except BaseException:
            for pipe in planned:
                pipe.leave(is_done=False)
            raise

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until all pipes have ended, at most `timeout` seconds; says whether they have."""
        return self._started().wait(timeout)

    def shutdown(self, timeout: float = 5.0) -> None:
        """Stops what runs, by force after `timeout` seconds.

        Effect: nothing stays staged, but with `resume` the shards that are done.
        """
        if self._run is not None:
            self._run.stop(timeout)

    def run(self) -> FlowReport:
        """Starts, shows progress on a terminal, waits, and returns the final report.

        Raises:
            RunFailed: a pipe failed or was stopped; of such a pipe nothing was published.
            KeyboardInterrupt: Ctrl-C; the workers are stopped and nothing is published. With `resume`
                the shards that are done stay for the next run.
        """
        self.start()
        try:
            follow(self)
        except BaseException:
            self.shutdown()
            raise
        report = self.report
        if report.status is not PipeStatus.COMPLETED:
            raise RunFailed(report.error or "the run was stopped before its end")
        return report

    @property
    def pipes(self) -> tuple[Pipe, ...]:
        """The pipes."""
        return self._pipes

    @property
    def pipe_count(self) -> int:
        """How many pipes there are."""
        return len(self._pipes)

    @property
    def is_running(self) -> bool:
        """Whether the run goes on; False before it and after the last commit."""
        return self._run is not None and not self._run.wait(0)

    @property
    def pipe_reports(self) -> list[PipeReport]:
        """A snapshot of each pipe. Raises `RuntimeError` where the run has not been started."""
        return self._started().pipe_reports

    @property
    def report(self) -> FlowReport:
        """A snapshot of all pipes. Raises `RuntimeError` where the run has not been started."""
        return self._started().report

    def get_pipe_report(self, index: int) -> PipeReport:
        """A snapshot of one pipe.

        Raises:
            RuntimeError: the run has not been started.
            IndexError: there is no such pipe.
        """
        return self._started().get_pipe_report(index)

    def _started(self) -> Supervisor:
        if self._run is None:
            raise RuntimeError("the manager has not been started")
        return self._run

    def __enter__(self) -> PipeManager:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self.shutdown()

    def __repr__(self) -> str:
        return f"PipeManager({len(self._pipes)} pipes, {type(self._engine).__name__})"
