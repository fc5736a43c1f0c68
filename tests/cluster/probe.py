"""A program on the head of a cluster that answers questions of the tests about it.

`probe.py ray|dask ADDRESS` reads questions, a line each, and prints answers, a line of JSON each:

| question | answer |
|---|---|
| nodes | the addresses of the workers that the cluster believes in |
| busy | what runs or waits on the cluster, by name |
| visit | for each worker the address that a task sees as its own there |
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

_VISIT_S = 20.0


def own_address(other: str) -> str:
    """This host's address, as it would speak to another one."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((other, 9))
        return str(probe.getsockname()[0])


class RayProbe:
    """Asks Ray."""

    def __init__(self, address: str) -> None:
        import ray

        self._ray = ray
        self._head = address.partition(":")[0]
        ray.init(address=address, log_to_driver=False, logging_level="error")

    def _workers(self) -> dict[str, str]:
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return {node["NodeManagerAddress"]: node["NodeID"] for node in nodes}

    def nodes(self) -> list[str]:
        return sorted(set(self._workers()) - {self._head})

    def busy(self) -> list[str]:
        total, free = self._ray.cluster_resources(), self._ray.available_resources()
        return [f"CPU {total.get('CPU', 0) - free.get('CPU', 0):g}"] if _taken(total, free) else []

    def visit(self) -> dict[str, str]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(num_cpus=1, max_retries=0)(own_address)
        found = {
            address: task.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(self._head)
            for address, node in self._workers().items()
            if address != self._head
        }
        return {a: self._ray.get(ref, timeout=_VISIT_S) for a, ref in found.items()}


def _taken(total: dict[str, float], free: dict[str, float]) -> bool:
    return free.get("CPU", 0.0) < total.get("CPU", 0.0)


class DaskProbe:
    """Asks Dask."""

    def __init__(self, address: str) -> None:
        from distributed import Client

        self._head = str(urlsplit(address).hostname)
        self._client = Client(address, timeout="20s", set_as_default=False)

    def _workers(self) -> dict[str, str]:
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        return {str(urlsplit(name).hostname): name for name in workers}

    def nodes(self) -> list[str]:
        return sorted(self._workers())

    def busy(self) -> list[str]:
        def tasks(dask_scheduler: Any) -> list[str]:
            return [f"{key} {task.state}" for key, task in dask_scheduler.tasks.items()]

        return list(self._client.run_on_scheduler(tasks))

    def visit(self) -> dict[str, str]:
        found = {
            address: self._client.submit(own_address, self._head, workers=[name], pure=False)
            for address, name in self._workers().items()
        }
        return {address: future.result(_VISIT_S) for address, future in found.items()}


def main(kind: str, address: str) -> None:
    # Whatever a library prints is for the log, not an answer.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    probe: Any = RayProbe(address) if kind == "ray" else DaskProbe(address)
    questions: dict[str, Callable[[], Any]] = {
        "nodes": probe.nodes,
        "busy": probe.busy,
        "visit": probe.visit,
    }
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(questions[line.strip()]()), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
