"""The driver's side: a cluster joined, actors asked for, attempts sent to them."""

from __future__ import annotations

import contextlib
import math
import queue
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from zoopipe.checks import check_whole, is_number
from zoopipe.errors import DeclarationError, MissingExtraError
from zoopipe.runtime.engine import Attempt, BaseEngine, End
from zoopipe.runtime.parcel import Packer
from zoopipe.runtime.task import Task
from zoopipe_ray.actors import Actors, RayAttempt
from zoopipe_ray.cluster import join, leave

# How long it may take to let go of a cluster that does not answer.
_LEAVE_S = 10.0
# How often nodes are counted: new ones are used, and it costs the head nothing.
_COUNT_S = 1.0
# How long a sentence about a shortage may take.
_SHORTAGE_S = 2.0

_ADDRESS = re.compile(r"auto|local|(ray://)?(\[[0-9a-fA-F:.]+\]|[^:/\[\]\s]+):\d+")

Answer = TypeVar("Answer")


class RayEngine(BaseEngine):
    """Runs attempts on a Ray cluster, in actors that are used again while there is something for them.

    Pipes, models and hooks that `__main__`, a notebook or a module beside the script defines reach the
    workers; ZooPipe itself has to be installed on every node, in the driver's version, and paths have to
    be ones that every node reaches. An actor that is killed, or lost with its node, costs the shard that
    it had; Ray itself repeats nothing. Workers whose driver is gone end within 30 seconds.

    Args:
        address: `None` joins the cluster that the environment variable `RAY_ADDRESS` names, and where
            there is none starts a Ray on this machine, on loopback addresses, for the time of a run.
            `"auto"` joins the cluster that this machine is a node of; `host:6379` another, of which
            this machine has to be a node too; `ray://host:10001` joins from anywhere. Where the
            process is connected to Ray already, that connection is used and left as it is.
        num_cpus: CPUs that an actor holds while it has something to do; fractions are possible.
        memory: bytes that an actor holds likewise.
        resources: further resources, by name.
        runtime_env: Ray's, passed on unchanged.
        namespace: Ray's, of the connection.
        max_workers: how many actors there are at most; by default as many as the cluster's nodes have
            room for. A cluster that grows when more is asked for needs it.
        scheduling_strategy: Ray's, of the actors.
        start_timeout_s: how long joining may take, and how long a run waits for a first worker.

    Raises:
        DeclarationError: an option cannot be used.
        MissingExtraError: Ray is not installed.
    """

    libraries = ("ray",)

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float = 1,
        memory: int | None = None,
        resources: Mapping[str, float] | None = None,
        runtime_env: Mapping[str, Any] | None = None,
        namespace: str | None = None,
        max_workers: int | None = None,
        scheduling_strategy: Any = "SPREAD",
        start_timeout_s: float = 60.0,
    ) -> None:
        if find_spec("ray") is None:
            raise MissingExtraError("RayEngine needs ray: pip install 'zoopipe[ray]'")
        if address is not None and not (isinstance(address, str) and _ADDRESS.fullmatch(address)):
            raise DeclarationError(
                f"address must be 'auto', 'local', 'host:port' or 'ray://host:port', not {address!r}"
            )
        _check_amount("num_cpus", num_cpus)
        if memory is not None:
            check_whole("memory", memory, 0)
        if max_workers is not None:
            check_whole("max_workers", max_workers, 1)
        for name, amount in _mapping("resources", resources).items():
            _check_amount(f"resources[{name!r}]", amount)
        _check_text("namespace", namespace)
        _check_amount("start_timeout_s", start_timeout_s)
        if start_timeout_s == 0:
            raise DeclarationError("start_timeout_s must be more than 0")
        _check_strategy(scheduling_strategy)
        self.start_timeout_s = float(start_timeout_s)
        self._address, self._namespace = address, namespace
        self._max_workers = max_workers
        self._runtime_env = {**_mapping("runtime_env", runtime_env)} or None
        self._needs = {"CPU": num_cpus, "memory": memory or 0, **(resources or {})}
        self._options: dict[str, Any] = {
            "num_cpus": num_cpus,
            "memory": memory,
            "resources": {**resources} if resources else None,
            "scheduling_strategy": scheduling_strategy,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        self._environment: dict[str, Any] = {}
        self._actors: Actors | None = None
        self._packer = Packer()
        self._count_at = 0.0

    def connect(self) -> None:
        self._packer = Packer()
        actors = Actors(self._join, leave, self._hire, self._count_slots)
        actors.start(self.start_timeout_s)
        self._actors = actors

    def slots(self) -> int:
        actors = self._connected()
        if time.monotonic() >= self._count_at:
            self._count_at = time.monotonic() + _COUNT_S
            actors.do(actors.count)
        return actors.slots

    def launch(self, task: Task) -> Attempt:
        actors = self._connected()
        attempt = RayAttempt(task, self._packer.pack(task), actors)
        actors.do(partial(actors.launch, attempt))
        return attempt

    def ended(self, timeout_s: float) -> Sequence[tuple[Attempt, End]]:
        ends = self._connected().ends
        over: list[tuple[Attempt, End]] = []
        with contextlib.suppress(queue.Empty):
            said = ends.get(timeout=timeout_s)
            while True:
                if not isinstance(said, tuple):
                    if over:
                        ends.put(said)
                        break
                    raise said
                over.append(said)
                said = ends.get_nowait()
        return over

    def release_idle(self) -> None:
        actors = self._connected()
        actors.do(actors.release_idle)

    def shortage(self) -> str:
        answer: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._connected().do(lambda: answer.put(self._shortage()))
        try:
            return answer.get(timeout=_SHORTAGE_S)
        except queue.Empty:
            return "the Ray cluster does not answer"

    def disconnect(self) -> None:
        if self._actors is not None:
            actors, self._actors = self._actors, None
            actors.close(_LEAVE_S)

    def survey(self, question: Callable[[], Answer]) -> Sequence[tuple[str, Answer | str]]:
        from zoopipe_ray.survey import ask_nodes

        self._join()
        try:
            return ask_nodes(question, self._environment, self.start_timeout_s)
        finally:
            leave()

    def _connected(self) -> Actors:
        if self._actors is None:
            raise RuntimeError("the engine is not connected")
        return self._actors

    # In the thread of the actors.

    def _join(self) -> None:
        is_new = join(self._address, self._namespace, self._runtime_env, self.start_timeout_s)
        # A connection of ours has it already, for all that runs through it.
        self._environment = {} if is_new else {"runtime_env": self._runtime_env}

    def _hire(self) -> Any:
        import ray

        from zoopipe_ray.worker import CALLS, RayWorker

        options = {**self._options, **self._environment, "max_concurrency": CALLS}
        return ray.remote(**options)(RayWorker).remote()

    def _count_slots(self) -> int:
        if self._max_workers is not None:
            return self._max_workers
        # One that no node has room for is asked for all the same: it says what is missing.
        return max(sum(self._room(total) for total in _nodes()), 1)

    def _room(self, total: Mapping[str, float]) -> int:
        """How many actors a node has room for, were it empty; one a CPU, where they need nothing."""
        needs = {name: amount for name, amount in self._needs.items() if amount} or {"CPU": 1}
        return min(math.floor(total.get(name, 0) / amount) for name, amount in needs.items())

    def _shortage(self) -> str:
        import ray

        total, free = ray.cluster_resources(), ray.available_resources()
        needs = {name: amount for name, amount in self._needs.items() if amount}
        wanted = " and ".join(_amount(name, amount) for name, amount in needs.items())
        there = " and ".join(
            f"of the cluster's {_amount(name, total.get(name, 0))} {_number(name, free.get(name, 0))} "
            "are free"
            for name in needs
        )
        if not any(self._room(node) for node in _nodes()):
            there += ", and no node has that much"
        return f"an actor needs {wanted or 'nothing'}, and {there or 'none has begun'}"


def _nodes() -> Iterator[Mapping[str, float]]:
    """What each node that is alive has in all."""
    import ray

    return (node["Resources"] for node in ray.nodes() if node["Alive"])


def _amount(name: str, amount: float) -> str:
    number = _number(name, amount)
    if name == "CPU":
        return f"{number} CPU" if amount == 1 else f"{number} CPUs"
    return f"{number} of memory" if name == "memory" else f"{number} {name}"


def _number(name: str, amount: float) -> str:
    return f"{amount / 1024**2:,.0f} MiB" if name == "memory" else f"{amount:g}"


def _check_amount(name: str, amount: object) -> None:
    if not is_number(amount) or not 0 <= amount < math.inf:
        raise DeclarationError(f"{name} must be a number from 0, not {amount!r}")


def _check_text(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise DeclarationError(f"{name} must be a name, not {value!r}")


def _check_strategy(strategy: object) -> None:
    if isinstance(strategy, str) and strategy not in ("DEFAULT", "SPREAD"):
        raise DeclarationError(
            f"scheduling_strategy must be 'DEFAULT', 'SPREAD' or one of Ray's objects, not {strategy!r}"
        )


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise DeclarationError(f"{name} must be a dict with names as keys, not {value!r}")
    return value
