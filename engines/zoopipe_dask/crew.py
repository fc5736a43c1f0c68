"""The workers of a run, and the attempts on them: placed, heard of, given up."""

from __future__ import annotations

import asyncio
import logging
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from zoopipe.errors import EngineError, WorkerLostError
from zoopipe.runtime.engine import Attempt, End, Lost, Raised
from zoopipe.runtime.parcel import Packer, Parcel
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task
from zoopipe_dask.cluster import Cluster, Place

logger = logging.getLogger(__name__)

# How often the scheduler is asked for its workers, besides whenever it says that one came or went.
_LOOK_S = 5.0
# How long the loop may take to do what is asked of it.
_ANSWER_S = 10.0
# How long a worker may take to end itself when an attempt of it does not stop, and its nanny to end it then.
_END_S = 3.0
_NANNY_S = 5.0
_GLANCE_S = 0.1
# A pipe larger than this is sent to a worker once, not with each attempt.
_LARGE_BYTES = 256 * 1024


class DaskAttempt(Attempt):
    """An attempt in a thread of a Dask worker."""

    def __init__(self, task: Task, key: str, place: Place, crew: Crew) -> None:
        self.task = task
        self.key = key
        self.place = place
        self.progress = Progress()
        self.progress.host = place.host
        self.is_asked = False
        self.is_over = False
        self.future: Any = None
        self._crew = crew

    @property
    def worker(self) -> str:
        """How sentences name its worker."""
        process = f" (process {self.progress.pid})" if self.progress.pid else ""
        return f"its worker on {self.place.host}{process}"

    def ask_to_stop(self) -> None:
        self.is_asked = True
        self._crew.soon(self._crew.ask_to_stop, self)

    def kill(self) -> None:
        self._crew.soon(self._crew.kill, self)


class Crew:
    """The workers of a run and what runs on them.

    `launch`, `slots` and `ended` are called by the driver's thread; all else runs on the cluster's
    loop, which alone changes what is shared, but for new attempts.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._packer = Packer()
        self._run = uuid4().hex[:8]
        self._launched = 0
        self._places: dict[str, Place] = {}
        # By key: those that run, and those that are over for us while their threads still run.
        self._attempts: dict[str, DaskAttempt] = {}
        self._lingering: dict[str, DaskAttempt] = {}
        self._pipes: dict[tuple[str, bytes], Any] = {}
        self._ends: SimpleQueue[tuple[DaskAttempt, End]] = SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        # Of workers that have to end, which it is waited for.
        self._endings: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        self.lost = ""

    def start(self) -> None:
        """Hears from the cluster from here on."""
        self._cluster.call(self._start(), _ANSWER_S)

    async def _start(self) -> None:
        client = self._cluster.client
        # Dask forgets the events of a client's own topic some time after the client is gone.
        client.subscribe_topic(client.id, self._hear)
        client.subscribe_topic("all", self._hear_cluster)
        self._places = await self._cluster.places()
        self._spawn(self._keep_looking())

    # The driver's thread.

    def slots(self) -> int:
        """How many attempts may run at once.

        Raises:
            EngineError: the scheduler is gone.
        """
        if self.lost:
            raise EngineError(self.lost)
        free = self._free()
        return len(self._attempts) + sum(max(0, count) for count in free.values())

    def launch(self, task: Task) -> DaskAttempt:
        """Sends an attempt to the worker with the most free threads."""
        parcel = self._packer.pack(task)
        free = self._free()
        address = max(free, key=lambda each: free[each], default=None)
        if self.lost or address is None or free[address] < 1:
            raise WorkerLostError(f"{task.label}: {self.lost or 'no worker is free any more'}")
        self._launched += 1
        key = f"zoopipe-{self._run}-{self._launched}"
        attempt = DaskAttempt(task, key, self._places[address], self)
        self._attempts[key] = attempt
        self.soon(self._send, attempt, parcel)
        return attempt

    def ended(self, timeout_s: float) -> list[tuple[Attempt, End]]:
        """The attempts that have ended; waits for one at most `timeout_s`."""
        over: list[tuple[Attempt, End]] = []
        try:
            over.append(self._ends.get(timeout=timeout_s))
            while True:
                over.append(self._ends.get_nowait())
        except Empty:
            return over

    def shortage(self) -> str:
        """Why no attempt may have begun for a while."""
        return self.lost or self._cluster.shortage()

    def leave(self) -> None:
        """Leaves the cluster; nothing of ours runs there any more, but for threads that never stop."""
        try:
            self._cluster.call(self._let_go(), _ANSWER_S)
        except (TimeoutError, OSError, CancelledError) as error:
            logger.debug("leaving %s: %r", self._cluster.where, error)
        finally:
            self._cluster.close()

    def soon(self, work: Callable[..., None], *given: Any) -> None:
        """Has something done on the loop."""
        self._cluster.loop.call_soon_threadsafe(work, *given)

    def _free(self) -> dict[str, int]:
        """The free threads of each worker; below 0 where a worker has fewer than it had."""
        free = {address: place.slots for address, place in self._places.items()}
        for attempt in [*self._attempts.values(), *self._lingering.values()]:
            if attempt.place.address in free:
                free[attempt.place.address] -= 1
        for attempt in list(self._lingering.values()):
            # It is about to end itself, with all that it runs.
            if attempt.place.has_nanny:
                free.pop(attempt.place.address, None)
        return free

    # The loop: an attempt's way.

    def _send(self, attempt: DaskAttempt, parcel: Parcel) -> None:
        self._spawn(self._follow(attempt, parcel))

    async def _follow(self, attempt: DaskAttempt, parcel: Parcel) -> None:
        """Submits an attempt, waits for its end and takes it."""
        if attempt.is_over:
            return
        try:
            attempt.future = self._submitted(attempt, parcel)
            end: End = await attempt.future
        except (CancelledError, OSError) as error:
            # Cancelled from elsewhere, killed with its worker once too often, or the scheduler is gone.
            self._check_connection()
            end = self._lost(attempt, f"Dask gave it up: {error}")
        except Exception as error:
            end = self._failed(attempt, error)
        self._finish(attempt, end)

    def _submitted(self, attempt: DaskAttempt, parcel: Parcel) -> Any:
        from zoopipe_dask.worker import run_attempt

        client, place = self._cluster.client, attempt.place
        return client.submit(
            run_attempt,
            attempt.key,
            client.id,
            "" if self._cluster.is_own else place.host,
            parcel.versions,
            self._pipe_at(place, parcel.pipe),
            parcel.task,
            key=attempt.key,
            resources=self._cluster.needs or None,
            **_pinned(place),
        )

    def _pipe_at(self, place: Place, pipe: bytes) -> Any:
        """The pickled pipe, or, where it is large, a future of it on the worker itself.

        Data that is scattered would be gone for good with the worker that has it.
        """
        from zoopipe_dask.worker import same

        if len(pipe) <= _LARGE_BYTES:
            return pipe
        known = (place.address, pipe)
        if known not in self._pipes:
            key = f"zoopipe-{self._run}-pipe-{len(self._pipes)}-{uuid4().hex[:8]}"
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Sending large graph")
                self._pipes[known] = self._cluster.client.submit(
                    same, pipe, key=key, **_pinned(place)
                )
        return self._pipes[known]

    def _failed(self, attempt: DaskAttempt, error: Exception) -> End:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return self._lost(attempt, "the worker died")
        host = attempt.place.host
        if isinstance(error, ImportError):
            return Raised(
                EngineError(
                    f"worker {host} cannot import what it needs ({error}): install zoopipe[dask] there"
                )
            )
        return Raised(EngineError(f"worker {host} cannot run it: {type(error).__name__}: {error}"))

    def _lost(self, attempt: DaskAttempt, why: str) -> Lost:
        reason = f"{attempt.worker} was lost: {self.lost or why}"
        return Lost(reason, attempt.progress.has_begun)

    def _finish(self, attempt: DaskAttempt, end: End) -> None:
        """Takes an attempt's end, the first that is heard of, and has Dask forget the task."""
        if attempt.is_over:
            return
        attempt.is_over = True
        del self._attempts[attempt.key]
        if attempt.future is not None:
            attempt.future.release()
        self._ends.put((attempt, end))

    # The loop: what is heard.

    def _hear(self, event: tuple[float, Any]) -> None:
        """A worker shows an attempt."""
        said = event[1]
        attempt = self._attempts.get(said.get("attempt", ""))
        if attempt is not None:
            has_begun = attempt.progress.has_begun
            attempt.progress.hear(pickle.loads(said["snapshot"]))
            if attempt.is_asked and not has_begun:
                self.ask_to_stop(attempt)
        elif said.get("is_over"):
            self._lingering.pop(said["attempt"], None)

    def _hear_cluster(self, event: tuple[float, Any]) -> None:
        """Dask says what happened to its workers."""
        said = event[1]
        if said.get("action") == "remove-worker":
            was = "Dask closed it" if said.get("expected") else "it died, or cannot be reached"
            self._lose_worker(said["worker"], was)
        if said.get("action") in ("remove-worker", "add-worker"):
            self._look.set()

    def _lose_worker(self, address: str, why: str) -> None:
        self._places = {key: place for key, place in self._places.items() if key != address}
        for key, attempt in list(self._lingering.items()):
            if attempt.place.address == address:
                del self._lingering[key]
        for known in [known for known in self._pipes if known[0] == address]:
            self._pipes.pop(known).release()
        for attempt in list(self._attempts.values()):
            if attempt.place.address == address:
                self._finish(attempt, self._lost(attempt, why))

    async def _keep_looking(self) -> None:
        """Knows the workers that come and go, and whether the scheduler is there."""
        while not self.lost:
            try:
                places = await self._cluster.places()
            except (OSError, TimeoutError) as error:
                logger.debug("the scheduler at %s: %r", self._cluster.where, error)
            else:
                for address in self._places.keys() - places.keys():
                    self._lose_worker(address, "it left the cluster")
                self._places = places
            self._check_connection()
            self._look.clear()
            try:
                await asyncio.wait_for(self._look.wait(), _LOOK_S)
            except TimeoutError:
                continue

    def _check_connection(self) -> None:
        """Gives the run up where the scheduler is gone: its memory of our attempts is, too."""
        if not self.lost and self._cluster.client.status != "running":
            self._give_up(f"the connection to the Dask scheduler at {self._cluster.where} was lost")

    def _give_up(self, why: str) -> None:
        self.lost = why
        for attempt in list(self._attempts.values()):
            self._finish(attempt, self._lost(attempt, self.lost))

    # The loop: stops.

    def ask_to_stop(self, attempt: DaskAttempt) -> None:
        """Passes on that an attempt is to stop; to one that has not begun, when it begins."""
        from zoopipe_dask.worker import stop

        if attempt.progress.has_begun and not attempt.is_over:
            self._spawn(self._ask(stop, [attempt.key], attempt.place.address))

    async def _ask(self, work: Callable[..., None], given: Any, address: str) -> None:
        try:
            await self._cluster.client.run(work, given, workers=[address], on_error="ignore")
        except (OSError, KeyError, CancelledError) as error:
            logger.debug("worker %s cannot be asked: %r", address, error)

    def kill(self, attempt: DaskAttempt) -> None:
        """Gives an attempt up. Its worker sees that Dask has released it, and ends itself where the
        attempt does not stop; see `zoopipe_dask.worker`. One that cannot, because the attempt keeps the
        interpreter's lock, is ended by its nanny."""
        if attempt.is_over:
            return
        has_begun, place = attempt.progress.has_begun, attempt.place
        how = ""
        if has_begun:
            self._lingering[attempt.key] = attempt
            if place.has_nanny:
                ending = self._spawn(self._have_ended(attempt))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)
            how = " and restarted" if place.has_nanny else ", and its thread was left behind"
        self._finish(attempt, Lost(f"{attempt.worker} was given up{how}", has_begun))

    async def _have_ended(self, attempt: DaskAttempt) -> None:
        """Has the nanny of a worker end it, where it does not do so itself."""
        for _ in range(round(_END_S / _GLANCE_S)):
            await asyncio.sleep(_GLANCE_S)
            if attempt.key not in self._lingering:
                return
        address = attempt.place.address
        try:
            await self._cluster.client.restart_workers(
                [address], timeout=_NANNY_S, raise_for_error=False
            )
        except (OSError, TimeoutError, ValueError, CancelledError) as error:
            logger.debug("worker %s cannot be restarted: %r", address, error)

    async def _let_go(self) -> None:
        """Has Dask forget all that is ours."""
        client = self._cluster.client
        for attempt in list(self._attempts.values()):
            self._finish(attempt, Lost("the run is over", attempt.progress.has_begun))
        if self._endings and not self.lost:
            await asyncio.wait(self._endings, timeout=_ANSWER_S - _NANNY_S)
        for future in self._pipes.values():
            future.release()
        if not self.lost:
            client.unsubscribe_topic(client.id)
            client.unsubscribe_topic("all")
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = self._cluster.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("the engine failed", exc_info=error)
            self._give_up(f"the engine failed in the driver: {type(error).__name__}: {error}")


def _pinned(place: Place) -> dict[str, Any]:
    """Options of a Dask task that runs on one worker, or nowhere, and once."""
    return {
        "workers": [place.address],
        "allow_other_workers": False,
        "retries": 0,
        "pure": False,
    }
