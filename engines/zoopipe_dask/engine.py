"""The driver's side: what is joined, and the engine's contract, which `crew.py` fulfils."""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any, TypeVar

from zoopipe.checks import check_whole, is_number
from zoopipe.errors import DeclarationError, EngineError, MissingExtraError
from zoopipe.runtime.engine import Attempt, BaseEngine, End
from zoopipe.runtime.task import Task
from zoopipe_dask.cluster import Cluster, Place, Target
from zoopipe_dask.crew import Crew

# How much longer than its workers a scheduler may take to answer.
_ANSWER_S = 10.0

_Answer = TypeVar("_Answer")


class DaskEngine(BaseEngine):
    """Runs each attempt as a future on a Dask cluster, in a thread of a worker that it chooses.

    What `__main__`, a notebook or a module beside the script defines reaches the workers by value;
    they need the same versions of Python, zoopipe, pyarrow, pydantic, dask and distributed, and
    storage that they share with the driver. Without any option but `max_workers` the cluster at
    `DASK_SCHEDULER_ADDRESS` (or Dask's own `scheduler-address`) is joined, and where that is not set
    one is started on this machine for the run: processes of one thread each, on the loopback address.

    A pipe's Python code holds the interpreter's lock: workers of one thread each (`--nthreads 1`)
    run attempts side by side, threads of one worker do not. Workers with a nanny, Dask's default,
    are restarted where a hook never comes back; of others the thread is left behind.

    Args:
        address: the scheduler's, `tcp://host:8786` or `tls://host:8786`.
        client: a `distributed.Client`, or a cluster object (`LocalCluster`, `SLURMCluster`), whose
            cluster is joined by a connection of our own; it is left as it is.
        resources: what of its worker's resources an attempt takes, as `{"GPU": 1}`.
        security: `distributed.Security` with the certificates of a `tls://` address.
        scheduler_file: the file that `dask scheduler --scheduler-file` writes.
        max_workers: how many attempts run at once; by default as many as workers have threads.
        start_timeout_s: how long joining, and the wait for a first worker, may take.

    Raises:
        DeclarationError: options contradict each other, or one is of the wrong kind.
        MissingExtraError: Dask is not installed.
    """

    libraries = ("dask", "distributed")

    def __init__(
        self,
        address: str | None = None,
        *,
        client: Any = None,
        resources: dict[str, float] | None = None,
        security: Any = None,
        scheduler_file: str | Path | None = None,
        max_workers: int | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise MissingExtraError("DaskEngine needs distributed: pip install 'zoopipe[dask]'")
        if max_workers is not None:
            check_whole("max_workers", max_workers, 1)
        _check_joining(address, client, security, scheduler_file)
        self.start_timeout_s = _positive("start_timeout_s", start_timeout_s)
        self._max_workers = max_workers
        self._target = Target(
            address,
            client,
            security,
            None if scheduler_file is None else Path(scheduler_file),
            {name: _positive(f"resources[{name!r}]", n) for name, n in (resources or {}).items()},
            max_workers,
        )
        self._crew: Crew | None = None

    def connect(self) -> None:
        cluster = Cluster(self._target)
        cluster.join(self.start_timeout_s)
        crew = Crew(cluster)
        try:
            crew.start()
        except (OSError, CancelledError) as error:
            cluster.close()
            raise EngineError(f"the Dask scheduler at {cluster.where} does not answer") from error
        self._crew = crew

    def slots(self) -> int:
        """See `BaseEngine`. Raises `EngineError` where the scheduler is gone: so is the run."""
        slots = self._joined().slots()
        return min(slots, self._max_workers or slots)

    def launch(self, task: Task) -> Attempt:
        return self._joined().launch(task)

    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        return self._joined().ended(timeout_s)

    def shortage(self) -> str:
        return self._joined().shortage()

    def disconnect(self) -> None:
        if self._crew is not None:
            self._crew.leave()
            self._crew = None

    def survey(self, question: Callable[[], _Answer]) -> Sequence[tuple[str, _Answer | str]]:
        cluster = Cluster(self._target)
        cluster.join(self.start_timeout_s, is_checked=False)
        try:
            limit_s = self.start_timeout_s
            return cluster.call(_survey(cluster, question, limit_s), limit_s + _ANSWER_S)
        except (OSError, CancelledError) as error:
            raise EngineError(f"the Dask scheduler at {cluster.where} does not answer") from error
        finally:
            cluster.close()

    def _joined(self) -> Crew:
        assert self._crew is not None, "connect comes first"
        return self._crew


def _check_joining(address: Any, client: Any, security: Any, scheduler_file: Any) -> None:
    if address is not None and not (isinstance(address, str) and address):
        hint = "; give it as client=" if hasattr(address, "scheduler") else ""
        raise DeclarationError(
            f"address must be a text as 'tcp://host:8786', not {address!r}{hint}"
        )
    given = {"address": address, "client": client, "scheduler_file": scheduler_file}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise DeclarationError(f"{' and '.join(names)} each say which cluster to join: give one")
    if client is not None and security is not None:
        raise DeclarationError("client has its own security: give no other")
    if client is not None and not hasattr(client, "security"):
        raise DeclarationError(f"client must be a Dask Client or cluster object, not {client!r}")
    if security is not None and not hasattr(security, "get_connection_args"):
        raise DeclarationError(f"security must be a distributed.Security, not {security!r}")


def _positive(name: str, value: Any) -> float:
    if not is_number(value) or not 0 < value < math.inf:
        raise DeclarationError(f"{name} must be a number above 0, not {value!r}")
    return float(value)


async def _survey(
    cluster: Cluster, question: Callable[[], _Answer], limit_s: float
) -> list[tuple[str, _Answer | str]]:
    places = {place.host: place for place in (await cluster.places()).values()}
    answers = [_asked(cluster, question, place, limit_s) for place in places.values()]
    return list(zip(places, await asyncio.gather(*answers), strict=True))


async def _asked(
    cluster: Cluster, question: Callable[[], _Answer], place: Place, limit_s: float
) -> _Answer | str:
    asking = cluster.client.run(question, workers=[place.address], on_error="return")
    try:
        answers: dict[str, _Answer | Exception] = await asyncio.wait_for(asking, limit_s)
    except TimeoutError:
        return f"worker {place.address} does not answer within {limit_s:g} s"
    answer = answers[place.address]
    return f"{type(answer).__name__}: {answer}" if isinstance(answer, Exception) else answer
