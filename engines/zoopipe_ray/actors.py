"""The driver's actors: hired, given attempts, listened to, let go; by one thread, which alone speaks to
Ray. So the supervisor never waits for a cluster, and workers are heard while it commits."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from zoopipe.errors import EngineError, RunStopped, ZooPipeError
from zoopipe.runtime.engine import Attempt, End, Lost, Raised
from zoopipe.runtime.parcel import Parcel
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task

if TYPE_CHECKING:
    from concurrent.futures import Future

logger = logging.getLogger(__name__)

# How long actors that were killed may take to say so.
_DRAIN_S = 2.0


class RayAttempt(Attempt):
    """An attempt that waits for an actor, or runs on one."""

    _numbers = count(1)

    def __init__(self, task: Task, parcel: Parcel, actors: Actors) -> None:
        self.task = task
        self.progress = Progress()
        self.parcel = parcel
        self.number = next(self._numbers)
        self._actors = actors
        self._has_spoken = threading.Lock()

    def ask_to_stop(self) -> None:
        super().ask_to_stop()
        self._actors.do(partial(self._actors.stop, self))

    def kill(self) -> None:
        if not self.is_over:
            self._actors.do(partial(self._actors.give_up, self))
            self.end(Lost("its worker was killed by the driver", self.progress.has_begun))

    @property
    def is_over(self) -> bool:
        """Whether its end was said."""
        return self._has_spoken.locked()

    def end(self, end: End) -> None:
        """Says how it ended; only the first word counts."""
        if self._has_spoken.acquire(blocking=False):
            self._actors.ends.put((self, end))


@dataclass(eq=False)
class _Actor:
    """What the driver knows of an actor. It is pending until its process and address are known."""

    handle: Any
    host: str = ""
    pid: int = 0
    attempt: RayAttempt | None = None

    @property
    def name(self) -> str:
        return f"its worker (process {self.pid} on {self.host})" if self.pid else "a new worker"


class Actors:
    """The actors of one run.

    Args:
        join: connects to the cluster; the thread does it, and ends with what it raises.
        leave: takes back what `join` did.
        hire: makes an actor, and returns its handle.
        count_slots: how many actors the cluster has room for.

    Attributes:
        ends: attempts that have ended, and how; or what no attempt is to blame for.
        slots: how many actors the cluster had room for, when it was last asked.
    """

    def __init__(
        self,
        join: Callable[[], None],
        leave: Callable[[], None],
        hire: Callable[[], Any],
        count_slots: Callable[[], int],
    ) -> None:
        self.ends: queue.SimpleQueue[tuple[RayAttempt, End] | ZooPipeError] = queue.SimpleQueue()
        self.slots = 1
        self._join, self._leave = join, leave
        self._hire, self._count_slots = hire, count_slots
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._joined: queue.SimpleQueue[ZooPipeError | None] = queue.SimpleQueue()
        self._actors: set[_Actor] = set()
        self._waiting: deque[RayAttempt] = deque()
        # How many have not been answered.
        self._calls = 0
        # Each pipe is handed to Ray once, and stays there while this refers to it.
        self._pipes: dict[bytes, Any] = {}
        self._thread = threading.Thread(target=self._run, name="zoopipe-ray", daemon=True)

    # For the supervisor's thread.

    def start(self, limit_s: float) -> None:
        """Joins the cluster.

        Raises:
            EngineError: that failed, or took longer than `limit_s` seconds.
        """
        self._thread.start()
        try:
            error = self._joined.get(timeout=limit_s)
        except queue.Empty:
            # Should it come about later, it is undone at once.
            self._jobs.put(None)
            raise EngineError(
                f"the Ray cluster could not be joined within {limit_s:g} s: see the driver's Ray log, "
                "and whether the cluster is up"
            ) from None
        if error is not None:
            raise error

    def do(self, job: Callable[[], None]) -> None:
        """Has the thread do something, soon."""
        self._jobs.put(job)

    def close(self, limit_s: float) -> None:
        """Kills the actors and leaves the cluster; waits at most `limit_s` seconds for it."""
        self._jobs.put(None)
        self._thread.join(limit_s)
        if self._thread.is_alive():
            logger.warning("Ray did not let go of this process within %g s", limit_s)

    # The thread.

    def _run(self) -> None:
        try:
            self._join()
            self.slots = self._count_slots()
        except ZooPipeError as error:
            self._joined.put(error)
            return
        except Exception as error:
            self._joined.put(EngineError(f"Ray failed: {type(error).__name__}: {error}"))
            return
        self._joined.put(None)
        try:
            while (job := self._jobs.get()) is not None:
                self._try(job)
            self._let_all_go()
        finally:
            self._leave()

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:
            from zoopipe_ray.faults import sentence

            failed = EngineError(f"Ray failed in the driver: {sentence(error)}")
            failed.__cause__ = error
            self.ends.put(failed)

    def _let_all_go(self) -> None:
        """Ends all actors, and keeps nothing of Ray's: what is freed while Ray disconnects ends this
        process with it."""
        for actor in [*self._actors]:
            self._let_go(actor)
        self._waiting.clear()
        self._pipes.clear()
        give_up_at = time.monotonic() + _DRAIN_S
        with contextlib.suppress(queue.Empty):
            while self._calls:
                job = self._jobs.get(timeout=max(give_up_at - time.monotonic(), 0.0))
                if job is not None:
                    self._try(job)

    def count(self) -> None:
        """Asks how many actors the cluster has room for; where its head does not answer, as many as
        before."""
        try:
            self.slots = self._count_slots()
        except Exception:
            logger.debug("Ray's nodes could not be counted", exc_info=True)

    def launch(self, attempt: RayAttempt) -> None:
        """Takes an attempt; it runs as soon as there is an actor for it."""
        self._waiting.append(attempt)
        self._assign()

    def stop(self, attempt: RayAttempt) -> None:
        """Has an attempt stopped."""
        actor = self._actor_of(attempt)
        if actor is not None:
            actor.handle.stop.remote(attempt.number)
        elif attempt in self._waiting:
            self._waiting.remove(attempt)
            attempt.end(Raised(RunStopped("the run was stopped")))

    def give_up(self, attempt: RayAttempt) -> None:
        """Kills the actor of an attempt, if it still has one."""
        actor = self._actor_of(attempt)
        if actor is not None:
            self._let_go(actor)
        elif attempt in self._waiting:
            self._waiting.remove(attempt)

    def release_idle(self) -> None:
        """Lets go of actors that have nothing to do, so that others get their CPUs."""
        pending = [actor for actor in self._actors if not actor.pid]
        for actor in [*self._idle(), *pending[len(self._waiting) :]]:
            self._let_go(actor)

    def _idle(self) -> list[_Actor]:
        return [actor for actor in self._actors if actor.pid and actor.attempt is None]

    def _actor_of(self, attempt: RayAttempt) -> _Actor | None:
        return next((actor for actor in self._actors if actor.attempt is attempt), None)

    def _assign(self) -> None:
        """Gives waiting attempts to idle actors, and hires actors for the others.

        An attempt is not tied to the actor that was hired for it: the cluster may never have room for
        that one, while others have become idle.
        """
        for actor in self._idle():
            if self._waiting:
                self._begin(actor, self._waiting.popleft())
        pending = sum(not actor.pid for actor in self._actors)
        for _ in range(len(self._waiting) - pending):
            actor = _Actor(self._hire())
            self._actors.add(actor)
            self._then(actor.handle.hello.remote(), partial(self._greeted, actor))

    def _begin(self, actor: _Actor, attempt: RayAttempt) -> None:
        parcel = attempt.parcel
        pipe = self._pipes.get(parcel.pipe)
        if pipe is None:
            import ray

            pipe = self._pipes[parcel.pipe] = ray.put(parcel.pipe)
        actor.attempt = attempt
        attempt.progress.host = actor.host
        attempt.progress.begin(actor.pid, is_remote=True)
        end = actor.handle.run.remote(attempt.number, parcel.versions, pipe, parcel.task)
        self._then(end, partial(self._ended, actor, attempt))

    def _greeted(self, actor: _Actor, hello: Future[Any]) -> None:
        """An actor has begun, or cannot."""
        if actor not in self._actors:
            return
        error = hello.exception()
        if error is None:
            actor.host, actor.pid = hello.result()
            self._listen(actor)
        else:
            self._let_go(actor)
            if self._waiting:
                self._fail(actor, self._waiting.popleft(), error)
        self._assign()

    def _ended(self, actor: _Actor, attempt: RayAttempt, end: Future[Any]) -> None:
        """An attempt has ended, or its actor has."""
        actor.attempt = None
        error = end.exception()
        if error is None:
            how, snapshot = end.result()
            attempt.progress.hear(snapshot)
            attempt.end(how)
        else:
            self._let_go(actor)
            self._fail(actor, attempt, error)
        self._assign()

    def _fail(self, actor: _Actor, attempt: RayAttempt, error: BaseException) -> None:
        from zoopipe_ray.faults import end_of

        attempt.end(end_of(error, actor.name, attempt.progress.has_begun))

    def _listen(self, actor: _Actor) -> None:
        """Asks an actor for news, which it gives after a moment; one such call is always under way."""
        self._then(actor.handle.hear.remote(), partial(self._heard, actor))

    def _heard(self, actor: _Actor, news: Future[Any]) -> None:
        if actor not in self._actors:
            return
        if news.exception() is not None:
            # Where it has an attempt, that call says what has become of it.
            if actor.attempt is None:
                self._let_go(actor)
            return
        heard = news.result()
        if heard is not None and actor.attempt is not None and heard[0] == actor.attempt.number:
            actor.attempt.progress.hear(heard[1])
        self._listen(actor)

    def _let_go(self, actor: _Actor) -> None:
        """Ends an actor and its process; also one that is cut off, as far as Ray can."""
        import ray

        self._actors.discard(actor)
        with contextlib.suppress(Exception):
            ray.kill(actor.handle, no_restart=True)

    def _then(self, ref: Any, job: Callable[[Future[Any]], None]) -> None:
        """Has the thread do a job when a call has been answered."""

        def answered(done: Future[Any]) -> None:
            self._calls -= 1
            job(done)

        self._calls += 1
        ref.future().add_done_callback(lambda done: self.do(partial(answered, done)))
