"""The supervisor: hands attempts to the engine, hears of their ends, decides, and commits."""

from __future__ import annotations

import atexit
import logging
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

from zoopipe.errors import RunStopped, WorkerLostError, ZooPipeError
from zoopipe.ledger import Ledger
from zoopipe.redact import frames_of, named
from zoopipe.report import FlowReport, PipeReport, PipeStatus
from zoopipe.runtime.commit import commit_all
from zoopipe.runtime.engine import Attempt, Done, End, Lost, Raised
from zoopipe.runtime.limits import exceeds_early, exceeds_finally, too_many
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.retry import Supervision
from zoopipe.runtime.tables import tables_of, together
from zoopipe.runtime.task import Task
from zoopipe.runtime.threads import in_thread
from zoopipe.runtime.watch import Watch, place_of
from zoopipe.storage.parts import Part

if TYPE_CHECKING:
    from zoopipe.runtime.engine import BaseEngine

logger = logging.getLogger(__name__)

_TICK_S = 0.1
# How long a worker that was asked to stop may take, before it is killed, when a pipe fails.
_GRACE_S = 5.0
# And when too many rows were rejected: long enough to say why, and the run has ended within two seconds.
_LAST_WORDS_S = 1.5


class Supervisor:
    """One run of some pipes on one engine, in a thread of its own."""

    def __init__(
        self, engine: BaseEngine, pipes: Sequence[PlannedPipe], supervision: Supervision
    ) -> None:
        self._engine = engine
        self._supervision = supervision
        self._runs = [PipeRun(planned, supervision.record_timeout_s) for planned in pipes]
        # By the identity of the attempt.
        self._attempts: dict[int, Attempt] = {}
        self._kill_at: dict[int, float] = {}
        self._watchman = Watch(supervision)
        # For each pipe, those that are published with it, by their indices.
        self._together = together(pipes)
        # By the indices of the pipes; one after the other, for there is one disk.
        self._commits: dict[tuple[int, ...], Future[list[tuple[Part, ...]]]] = {}
        self._committing = threading.Lock()
        self._short_since = 0.0
        self._finished = threading.Event()
        self._stop_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="zoopipe-supervisor", daemon=True)

    def start(self) -> None:
        """Starts the run."""
        self._thread.start()
        # A script may end without wait(): its run is stopped, and what it staged is removed.
        atexit.register(self.stop, 0.0)

    def wait(self, timeout: float | None) -> bool:
        """Waits for the end of the run; says whether it has come."""
        return self._finished.wait(timeout)

    def stop(self, timeout: float) -> None:
        """Stops the run, by force after `timeout` seconds, and waits until it has stopped.

        A second Ctrl-C, while this waits, is the end of patience: force is used at once.
        """
        self._stop_at = time.monotonic() + timeout
        try:
            self._finished.wait()
        except KeyboardInterrupt:
            self._stop_at = time.monotonic()
            self._finished.wait()
            raise

    @property
    def pipe_reports(self) -> list[PipeReport]:
        """A snapshot of each pipe."""
        return [run.report() for run in self._runs]

    @property
    def report(self) -> FlowReport:
        """A snapshot of all pipes."""
        ledger = Ledger(tuple(run.ledger() for run in self._runs))
        return FlowReport(tuple(self.pipe_reports), ledger)

    def get_pipe_report(self, index: int) -> PipeReport:
        """A snapshot of one pipe; `IndexError` where there is none."""
        if not 0 <= index < len(self._runs):
            raise IndexError(
                f"pipe index {index} is out of range: there are {len(self._runs)} pipes"
            )
        return self._runs[index].report()

    def _run(self) -> None:
        # Workers inherit the mask: Ctrl-C is the driver's to handle, and reaches them as a stop.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        has_rows = False
        try:
            if self._connect():
                has_rows = True
                # Again, to come before what an engine's libraries, imported by now, do at the end.
                atexit.unregister(self.stop)
                atexit.register(self.stop, 0.0)
                self._short_since = time.monotonic()
                self._loop()
            else:
                for run in self._runs:
                    run.finish(PipeStatus.ABORTED)
        except ZooPipeError as error:
            self._end_all(str(error))
        except Exception as error:
            logger.error("the supervisor failed:\n%s", frames_of(error))
            sentence = named(error, shows_message=not has_rows)
            self._end_all(f"the run failed in the driver: {sentence}")
        finally:
            are_done = all(run.status is PipeStatus.COMPLETED for run in self._runs)
            for run in self._runs:
                run.planned.leave(are_done)
            self._finished.set()
            atexit.unregister(self.stop)

    def _connect(self) -> bool:
        """Joins the workers; says whether that came about before the run was stopped."""
        connecting = in_thread(self._engine.connect, "zoopipe-connect")
        while not wait([connecting], _TICK_S).done:
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                connecting.add_done_callback(self._leave_late)
                return False
        connecting.result()
        return True

    def _leave_late(self, connecting: Future[None]) -> None:
        """Leaves workers that were joined when nobody wanted them any more."""
        if connecting.exception() is None:
            self._engine.disconnect()

    def _loop(self) -> None:
        try:
            for run in self._runs:
                self._go_on(run)
            while not self._is_over():
                self._obey_stop()
                self._launch()
                for attempt, end in self._engine.ended(self._patience_s()):
                    self._take(attempt, end)
                self._finish_commits()
                self._watch()
        finally:
            self._leave_workers()

    def _go_on(self, run: PipeRun) -> None:
        """Does what is left of a pipe of which an earlier run has done everything."""
        if run.planned.published:
            run.committed(run.planned.published)
            self._complete(run)
        elif run.is_done:
            run.begin()
            self._commit(run)

    def _is_over(self) -> bool:
        return not self._attempts and all(run.is_finished for run in self._runs)

    def _patience_s(self) -> float:
        """How long to wait for the end of an attempt; none runs while the last commits go on."""
        if self._attempts or not self._commits:
            return _TICK_S
        wait(self._commits.values(), _TICK_S)
        return 0.0

    def _leave_workers(self) -> None:
        for attempt in self._attempts.values():
            attempt.kill()
        give_up_at = time.monotonic() + _GRACE_S
        while self._attempts and time.monotonic() < give_up_at:
            for attempt, _ in self._engine.ended(_TICK_S):
                self._forget(attempt)
        wait(self._commits.values())
        self._finish_commits()
        self._engine.disconnect()

    def _launch(self) -> None:
        """Fills the free slots, with the shards of the first pipes first."""
        slots = self._engine.slots()
        if self._supervision.max_workers is not None:
            slots = min(slots, self._supervision.max_workers)
        free = slots - len(self._attempts)
        now = time.monotonic()
        for run in self._runs:
            while free > 0 and (task := run.next_task(now)) is not None:
                self._launch_task(run, task)
                free -= 1
        if not any(run.is_waiting for run in self._runs):
            self._engine.release_idle()

    def _launch_task(self, run: PipeRun, task: Task) -> None:
        try:
            attempt = self._engine.launch(task)
        except WorkerLostError as error:
            attempt = _NeverBegun(task)
            run.launched(task, attempt.progress)
            self._take(attempt, Lost(str(error), has_begun=False))
        except Exception as error:
            self._fail(run, _sentence(error))
        else:
            self._attempts[id(attempt)] = attempt
            run.launched(task, attempt.progress)

    def _take(self, attempt: Attempt, end: End) -> None:
        """Hears that an attempt has ended."""
        task, run = attempt.task, self._runs[attempt.task.pipe_index]
        _relay_log(attempt)
        try:
            if run.is_finished:
                return
            if isinstance(end, Done):
                run.done(task, end.result)
                if run.is_done:
                    self._commit(run)
            elif isinstance(end, Raised) and isinstance(end.error, RunStopped):
                run.stopped(end.error)
            elif isinstance(end, Raised) and not run.doubts(task):
                raise end.error
            elif isinstance(end, Lost) and not run.has_too_many:
                self._lose(run, attempt, end)
        except Exception as error:
            self._fail(run, _sentence(error))
        finally:
            self._forget(attempt)

    def _lose(self, run: PipeRun, attempt: Attempt, lost: Lost) -> None:
        """Hears that an attempt's worker is lost, or was ended here."""
        task, policy = attempt.task, self._supervision.retries
        lost = self._watchman.explained(attempt, lost)
        logger.warning("%s, attempt %d: %s", task.label, task.attempt, lost.reason)
        if self._watchman.is_overdue(attempt):
            run.timed_out(task, lost, policy)
        else:
            run.lost(task, lost, policy, time.monotonic())

    def _forget(self, attempt: Attempt) -> None:
        run = self._runs[attempt.task.pipe_index]
        self._attempts.pop(id(attempt), None)
        self._kill_at.pop(id(attempt), None)
        self._watchman.forget(attempt)
        if run.is_finished and run.running == [attempt.task]:
            run.planned.leave(is_done=False)
        run.ended(attempt.task)

    def _commit(self, run: PipeRun) -> None:
        """Begins to publish a pipe, once all that are published with it are done; meanwhile others are
        watched."""
        if exceeds_finally(run):
            self._fail(run, too_many(run))
            return
        group = [self._runs[index] for index in self._together[run.index]]
        if self._is_committing(run) or not all(each.is_done for each in group):
            return

        def do() -> list[tuple[Part, ...]]:
            with self._committing:
                return commit_all(group)

        self._commits[self._together[run.index]] = in_thread(do, "zoopipe-commit")

    def _is_committing(self, run: PipeRun) -> bool:
        return self._together[run.index] in self._commits

    def _finish_commits(self) -> None:
        for indices in [indices for indices, future in self._commits.items() if future.done()]:
            runs, committed = [self._runs[index] for index in indices], self._commits.pop(indices)
            error = committed.exception()
            if error is None:
                for run, published in zip(runs, committed.result(), strict=True):
                    _log_rejects(run)
                    run.committed(published)
                    self._complete(run)
                continue
            sentence = _sentence(error)
            for run in runs:
                logger.error("pipe %d failed: %s", run.index, sentence)
                self._end(run, PipeStatus.FAILED, sentence + _what_is_left(run))
                run.planned.leave(is_done=False)

    def _complete(self, run: PipeRun) -> None:
        """Ends a pipe that is published."""
        # Of several pipes that a later run may go on with, it has to know those that are done.
        if not run.planned.resumes or len(self._runs) == 1:
            run.planned.leave(is_done=True)
        run.finish(PipeStatus.COMPLETED)

    def _fail(self, run: PipeRun, error: str) -> None:
        """Fails a pipe, and those that would be published with it."""
        if run.is_finished:
            return
        logger.error("pipe %d failed: %s", run.index, error)
        self._end(run, PipeStatus.FAILED, error)
        for index in self._together[run.index]:
            why = f"nothing is loaded, for pipe {run.index}, which goes into the same database, failed"
            self._fail(self._runs[index], why)

    def _end(self, run: PipeRun, status: PipeStatus, error: str | None) -> None:
        """Ends a pipe that is not done; its attempts are stopped, then killed."""
        run.finish(status, error)
        self._ask_to_stop(run)

    def _ask_to_stop(self, run: PipeRun, grace_s: float = _GRACE_S) -> None:
        kill_at = time.monotonic() + grace_s if self._stop_at is None else self._stop_at
        for attempt in self._attempts.values():
            if attempt.task.pipe_index == run.index:
                attempt.ask_to_stop()
                self._kill_at.setdefault(id(attempt), kill_at)

    def _end_all(self, error: str) -> None:
        for run in self._runs:
            run.finish(PipeStatus.FAILED, error)

    def _obey_stop(self) -> None:
        """Does what `stop` asked for; a pipe that is being published is past stopping."""
        if self._stop_at is None:
            return
        for run in self._runs:
            if not run.is_finished and not self._is_committing(run):
                self._end(run, PipeStatus.ABORTED, None)
        for key in self._attempts:
            self._kill_at[key] = min(self._kill_at.get(key, self._stop_at), self._stop_at)

    def _watch(self) -> None:
        """Kills what does not stop, says what stalls, and stops pipes that have rejected too much."""
        now = time.monotonic()
        for key, attempt in self._attempts.items():
            _relay_log(attempt)
            if key not in self._kill_at and self._watchman.condemns(attempt):
                self._kill_at[key] = now
            if now >= self._kill_at.get(key, float("inf")):
                attempt.kill()
        self._watch_shortage(now)
        for run in self._runs:
            self._watch_taker(run)
            if not run.is_finished and exceeds_early(run):
                run.give_up()
                self._ask_to_stop(run, _LAST_WORDS_S)
            if run.is_given_up:
                self._fail(run, too_many(run))
                run.planned.leave(is_done=False)

    def _watch_taker(self, run: PipeRun) -> None:
        """Ends a pipe whose rows nobody takes."""
        if self._is_committing(run):
            return
        try:
            run.check_taker()
        except RunStopped:
            self._end(run, PipeStatus.ABORTED, None)
        except ZooPipeError as error:
            self._fail(run, str(error))

    def _watch_shortage(self, now: float) -> None:
        """Fails what waits for a worker for too long while none runs."""
        attempts = self._attempts.values()
        waits = bool(attempts) or any(run.next_at <= now for run in self._runs)
        if not waits or any(attempt.progress.has_begun for attempt in attempts):
            self._short_since = now
        elif now - self._short_since > self._engine.start_timeout_s:
            waited_s, why = now - self._short_since, self._engine.shortage()
            for run in self._runs:
                if not run.is_finished and not self._is_committing(run):
                    self._fail(run, f"no worker has begun for {waited_s:.0f} s: {why}")


class _NeverBegun(Attempt):
    """An attempt for which no worker could be started."""

    def __init__(self, task: Task) -> None:
        self.task, self.progress = task, Progress()

    def kill(self) -> None:
        pass


def _relay_log(attempt: Attempt) -> None:
    """Logs here what the attempt's worker has logged there."""
    for line in attempt.progress.log.drain():
        logging.getLogger(line.name).log(
            line.level, "%s, on %s: %s", attempt.task.label, place_of(attempt.progress), line.text
        )


def _sentence(error: BaseException) -> str:
    """What a pipe's report says of an error; of one that is not ours the log says how it came about."""
    if isinstance(error, ZooPipeError):
        return str(error)
    # A message of a library may quote a cell, and so may those of its causes.
    logger.error("the driver failed:\n%s", frames_of(error))
    return f"the pipe failed in the driver: {named(error)}"


def _what_is_left(run: PipeRun) -> str:
    """What there is to do after a commit that failed midway, as the end of a sentence."""
    if not run.planned.state.is_committed or tables_of(run.planned.pipe):
        return ""
    return (
        f"; all of it is staged and whole: the next run with this output publishes it first, "
        f"or `zoopipe clean {run.planned.staging.target}` does"
    )


def _log_rejects(run: PipeRun) -> None:
    """Says why rows were rejected, where they are written nowhere; never what was in them."""
    reasons = run.reasons()
    if not reasons or run.planned.reject_staging is not None:
        return
    for row in run.first_rejects():
        place = "a row that a hook added" if row.record is None else f"row {row.record}"
        logger.warning(
            "pipe %d rejected %s of %s (%s): %s",
            run.index,
            place,
            row.source,
            row.stage,
            ", ".join(row.reasons),
        )
    listed = ", ".join(f"{name} ({count:,})" for name, count in reasons.most_common(5))
    logger.warning(
        "pipe %d rejected %d rows, and has no error_output_adapter to write them to: %s",
        run.index,
        run.rejected(),
        listed,
    )
