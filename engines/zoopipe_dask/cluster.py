"""Joining a Dask cluster, or starting one here: the boundary where Dask's errors become ours.

Dask's code runs on an event loop in a thread of its own, from the joining to the leaving, so that
neither the caller's threads nor the caller's own client and loop have a part in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import multiprocessing.process
import os
import ssl
import threading
import time
import warnings
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from zoopipe.cpus import usable_cpus
from zoopipe.errors import EngineError, ZooPipeError
from zoopipe.runtime.parcel import differing

logger = logging.getLogger(__name__)

# How long one answer of a scheduler, and each step of leaving it, may take.
_ANSWER_S = 10.0
_LEAVE_S = 5.0
_POLL_S = 0.05

_NOISY = ("distributed", "tornado", "asyncio", "bokeh")
_GUARD_HINT = "a script that starts Dask's workers needs: if __name__ == '__main__'"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be joined: the options of `DaskEngine` that say so."""

    address: str | None
    client: Any
    security: Any
    scheduler_file: Path | None
    resources: dict[str, float]
    workers: int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A worker.

    Attributes:
        slots: how many attempts it may run at once: its threads, or as many as its resources allow;
            0 while it takes none.
        has_nanny: whether a process beside it starts it again when it dies.
    """

    address: str
    host: str
    slots: int
    has_nanny: bool


class Cluster:
    """A cluster that is joined. Coroutines of it run on its own loop, `call` and `close` elsewhere.

    Attributes:
        client: the `distributed.Client`.
        where: the scheduler's address.
    """

    client: Any
    loop: asyncio.AbstractEventLoop

    def __init__(self, target: Target) -> None:
        self._target = target
        self._own: Any = None
        self._undo = contextlib.ExitStack()
        self._known: dict[str, Any] = {}
        self.client = None
        self.where = "this machine"
        self._leave = asyncio.Event()
        self._is_up = threading.Event()
        # Its name keeps what Dask logs here out of the logs of attempts.
        self._thread = threading.Thread(target=self._serve, name="dask-client", daemon=True)

    def _serve(self) -> None:
        async def live() -> None:
            self.loop = asyncio.get_running_loop()
            self._is_up.set()
            await self._leave.wait()

        with asyncio.Runner() as runner:
            runner.run(live())

    @property
    def is_own(self) -> bool:
        """Whether it was started here, and ends with `close`."""
        return self._own is not None

    @property
    def needs(self) -> dict[str, float]:
        """What of its worker's resources an attempt takes."""
        return self._target.resources

    def call(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        """What a coroutine returns, run on the loop.

        Raises:
            TimeoutError: it takes longer than `timeout_s`.
        """
        return asyncio.run_coroutine_threadsafe(
            asyncio.wait_for(work, timeout_s), self.loop
        ).result()

    def join(self, timeout_s: float, is_checked: bool = True) -> None:
        """Joins the cluster, or starts it, and waits for a first worker that can be used.

        Args:
            timeout_s: for all of that together.
            is_checked: refuse workers whose versions are others than the driver's.

        Raises:
            EngineError: it cannot be joined, no worker comes, or versions differ.
        """
        self._thread.start()
        self._is_up.wait()
        end = time.monotonic() + timeout_s
        try:
            self._undo.enter_context(_quiet(self._thread.ident))
            self.call(self._connect(timeout_s), timeout_s + _LEAVE_S)
            self.call(self._first_place(end), timeout_s + _LEAVE_S)
            if is_checked:
                self.call(self._check_versions(), max(end - time.monotonic(), 1.0))
        except ZooPipeError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise EngineError(self._sentence(error, timeout_s)) from error

    async def _connect(self, timeout_s: float) -> None:
        from distributed import Client

        end = time.monotonic() + timeout_s
        address, security = await self._address(end)
        self.where = address
        left = max(end - time.monotonic(), 1.0)
        with warnings.catch_warnings():
            # Versions are checked below, and differ with a sentence that says what to do.
            warnings.simplefilter("ignore")
            self.client = Client(
                address,
                security=security,
                timeout=left,
                asynchronous=True,
                set_as_default=False,
                name="zoopipe",
            )
            await asyncio.wait_for(self.client, left)

    async def _address(self, end: float) -> tuple[str, Any]:
        """The scheduler's address, and what a connection to it needs."""
        import dask

        target = self._target
        if target.client is not None:
            return _address_of(target.client), target.client.security
        if target.scheduler_file is not None:
            return await _read_address(target.scheduler_file, end), target.security
        address = target.address or os.environ.get("DASK_SCHEDULER_ADDRESS")
        address = address or dask.config.get("scheduler-address", None)
        if address:
            return str(address), target.security
        await self._start()
        return str(self._own.scheduler_address), self._own.security

    async def _start(self) -> None:
        """Starts workers here, a process with one thread each, reachable from this machine only."""
        from distributed import LocalCluster

        if getattr(multiprocessing.process.current_process(), "_inheriting", False):
            raise EngineError(_GUARD_HINT)
        target = self._target
        self._own = LocalCluster(
            n_workers=target.workers or usable_cpus(),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # Dask's scheduler always serves its state by HTTP; a port of the system's choice is free.
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            security=target.security,
            resources=target.resources,
            asynchronous=True,
        )
        # At the driver's end it is ours to close, when the run has stopped.
        self._own.shutdown_on_close = False
        await self._own

    async def _first_place(self, end: float) -> None:
        while not any(place.slots for place in (await self.places()).values()):
            if time.monotonic() > end:
                raise EngineError(self.shortage())
            await asyncio.sleep(_POLL_S)

    async def places(self) -> dict[str, Place]:
        """The workers, by address.

        Raises:
            OSError: the scheduler does not answer.
        """
        found = {}
        answer = await asyncio.wait_for(self.client.scheduler.identity(n_workers=-1), _ANSWER_S)
        self._known = answer["workers"]
        for address, info in self._known.items():
            # One that is paused for its memory goes on with what it runs, and takes nothing new.
            takes = info["status"] == "running"
            slots = _slots(info, self._target.resources) if takes else 0
            found[address] = Place(address, info["host"], slots, bool(info["nanny"]))
        return found

    def shortage(self) -> str:
        """Why there may have been no worker for an attempt when `places` was last called."""
        found = self._known
        if not found:
            return (
                f"the Dask cluster at {self.where} has no workers: start some, as with "
                f"`dask worker {self.where}`"
            )
        needs = " ".join(f"{name}={count:g}" for name, count in self._target.resources.items())
        if needs and not any(_slots(info, self._target.resources) for info in found.values()):
            return (
                f"of the {len(found)} workers of the Dask cluster at {self.where} none has the "
                f'resources {needs}: start one, as with `dask worker --resources "{needs}"`'
            )
        states = ", ".join(sorted({info["status"] for info in found.values()}))
        return (
            f"none of the {len(found)} workers of the Dask cluster at {self.where} takes an attempt "
            f"(they are {states}): other tasks may have their threads"
        )

    async def _check_versions(self) -> None:
        names = ["dask", "distributed"]
        own = ["pyarrow", "pydantic", "pydantic_core", "cloudpickle", "zoopipe"]
        answers = await self.client.get_versions(packages=own)
        ours = _by_name(answers["client"])
        _compare(f"the Dask scheduler at {self.where}", answers["scheduler"], ours, names)
        for address, answer in answers["workers"].items():
            _compare(f"worker {address}", answer, ours, ["Python", *own, *names])

    def _sentence(self, error: BaseException, timeout_s: float) -> str:
        causes = list(_causes(error))
        if self._target.client is None and self._own is not None:
            return f"Dask could not start workers here: {_text(causes[-1])} ({_GUARD_HINT})"
        for cause in causes:
            if isinstance(cause, ssl.SSLError) or "TLS" in str(cause) or "encrypt" in str(cause):
                return (
                    f"the Dask scheduler at {self.where} and this driver do not agree on TLS "
                    f"({_text(cause)}): give DaskEngine a tls:// address and security=distributed."
                    "Security(tls_ca_file=…, tls_client_cert=…, tls_client_key=…) that it trusts"
                )
        if not isinstance(error, OSError):
            return f"Dask cannot join {self.where}: {_text(causes[-1])}"
        return (
            f"no Dask scheduler answers at {self.where} within {timeout_s:g} s "
            f"({_text(causes[-1])}): is the address right, does the scheduler run, and does it expect "
            "tls://?"
        )

    def close(self) -> None:
        """Leaves, within seconds; a cluster that was started here ends. Safe to call twice."""
        if not self._is_up.is_set():
            return
        try:
            for leaving in (self.client, self._own):
                if leaving is not None:
                    with contextlib.suppress(Exception):
                        self.call(_closed(leaving), _LEAVE_S)
        finally:
            self.loop.call_soon_threadsafe(self._leave.set)
            self._thread.join(_LEAVE_S)
            self._is_up.clear()
            self._undo.close()


async def _closed(leaving: Any) -> None:
    await leaving.close()


def _address_of(client: Any) -> str:
    """The scheduler's address of a `Client` or a cluster object."""
    address = getattr(client, "scheduler_address", None)
    if address is None:
        address = getattr(getattr(client, "scheduler", None), "address", None)
    status = getattr(client, "status", None)
    is_open = getattr(status, "name", status) not in ("closing", "closed", "failed")
    if not is_open or not address or "://" not in address:
        raise EngineError(f"the Dask client or cluster that was given is not connected: {client!r}")
    return str(address)


async def _read_address(file: Path, end: float) -> str:
    """The address in a scheduler file, which the scheduler may write a little later."""
    while True:
        try:
            return str(json.loads(file.read_text())["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if time.monotonic() > end:
                raise EngineError(
                    f"the scheduler file {file} holds no address ({_text(error)}): is it the "
                    "--scheduler-file of a Dask scheduler, on storage that both see?"
                ) from error
        await asyncio.sleep(_POLL_S)


def _slots(info: dict[str, Any], needs: dict[str, float]) -> int:
    has = info["resources"]
    of_each = [int(has.get(name, 0) // count) for name, count in needs.items()]
    threads: int = info["nthreads"]
    return min([threads, *of_each])


def _by_name(answer: dict[str, Any]) -> dict[str, str | None]:
    found: dict[str, str] = answer["packages"]
    return {**found, "Python": ".".join(found["python"].split(".")[:2])}


def _compare(who: str, answer: dict[str, Any], ours: dict[str, Any], names: list[str]) -> None:
    theirs = {name: found for name, found in _by_name(answer).items() if found}
    differ = ", ".join(differing(theirs, {name: ours[name] for name in names if ours.get(name)}))
    if differ:
        raise EngineError(f"{who} has {differ}: install the same versions everywhere")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Quiet(logging.Filter):
    """Keeps from the driver's log what Dask says in one thread: the engine says it as a sentence."""

    def __init__(self, thread: int | None) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        logger.debug("%s: %s", record.name, record.getMessage())
        return False


@contextlib.contextmanager
def _quiet(thread: int | None) -> Iterator[None]:
    import distributed  # noqa: F401

    quiet = _Quiet(thread)
    known = logging.getLogger().manager.loggerDict
    noisy = [logging.getLogger(name) for name in list(known) if name.partition(".")[0] in _NOISY]
    for each in noisy:
        each.addFilter(quiet)
    try:
        yield
    finally:
        for each in noisy:
            each.removeFilter(quiet)
