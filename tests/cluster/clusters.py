"""A Ray and a Dask cluster of real hosts: a head without CPUs, and workers with one each."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.network import Host, Network, wait_until

HERE = Path(__file__).parent
START_S = 60.0
_BIN = Path(sys.executable).parent


class Cluster(ABC):
    """A cluster on hosts of its own; what it changes, `restore` puts right."""

    kind: str
    package: str
    subnet: int

    def __init__(self, folder: Path, workers: int = 2) -> None:
        self.network = Network(self.kind, self.subnet, folder)
        self.head = self.network.add_host()
        self.workers = [self.network.add_host() for _ in range(workers)]
        self._probe: Probe | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """What engines are given to find the cluster."""

    @property
    @abstractmethod
    def env(self) -> Mapping[str, str]:
        """The environment of every process of the cluster, and of its drivers."""

    @abstractmethod
    def _head_command(self) -> list[str]:
        """What runs on the head."""

    @abstractmethod
    def _worker_command(self, host: Host) -> list[str]:
        """What runs on a worker."""

    def start(self) -> None:
        """Starts the head and all workers, and waits until the cluster has them."""
        self.head.start(self._head_command(), "head.log", self.env)
        self._probe = Probe(self)
        for host in self.workers:
            self.start_worker(host)
        self.wait_for(self.workers)

    def start_worker(self, host: Host) -> None:
        """Starts what makes a host a worker."""
        host.start(self._worker_command(host), "worker.log", self.env)

    def wait_for(self, hosts: list[Host], limit_s: float = START_S) -> float:
        """Waits until just these hosts are workers of the cluster; says how many seconds it took."""
        wanted = sorted(host.address for host in hosts)
        what = f"{self.kind} workers to be {wanted}"
        return wait_until(lambda: self.ask("nodes") == wanted, limit_s, what)

    def ask(self, question: str) -> Any:
        """The answer of the probe on the head."""
        assert self._probe is not None, "the cluster has been started"
        return self._probe.ask(question)

    def restore(self) -> None:
        """Makes every host a worker again. One that was cut off is started anew, for the cluster may
        be about to give it up."""
        alive = self.ask("nodes")
        worn = [
            host
            for host in self.workers
            if host.was_cut or not host.is_up or host.address not in alive
        ]
        for host in worn:
            host.kill_all()
            host.heal()
        self.wait_for([host for host in self.workers if host not in worn])
        for host in worn:
            host.was_cut = False
            self.start_worker(host)
        self.wait_for(self.workers)

    def logs(self) -> str:
        """The ends of all logs, for messages."""
        named = [(self.head, "head.log"), (self.head, "probe.log")]
        named += [(host, "worker.log") for host in self.workers]
        return "\n".join(f"--- {host.address} {name}\n{host.log(name)}" for host, name in named)

    def close(self) -> None:
        """Ends the cluster."""
        if self._probe is not None:
            self._probe.close()
        self.network.close()


class RayCluster(Cluster):
    """Ray, set to notice within seconds that a host is gone."""

    kind, package = "ray", "ray"
    subnet = 1

    @property
    def address(self) -> str:
        return f"{self.head.address}:6379"

    @property
    def env(self) -> Mapping[str, str]:
        return RAY_ENV

    def _head_command(self) -> list[str]:
        return [
            *self._start(self.head, num_cpus=0),
            "--head",
            "--port=6379",
            "--include-dashboard=false",
        ]

    def _worker_command(self, host: Host) -> list[str]:
        return [*self._start(host, num_cpus=1), f"--address={self.address}"]

    def _start(self, host: Host, num_cpus: int) -> list[str]:
        return [
            str(_BIN / "ray"),
            "start",
            "--block",
            "--disable-usage-stats",
            f"--node-ip-address={host.address}",
            f"--num-cpus={num_cpus}",
            "--object-store-memory=80000000",
            f"--temp-dir={host.folder}",
        ]


# The head asks each host every half second, and gives it up when it does not answer for 3 * (1 + 0.5) s;
# with Ray's own settings that takes over a minute.
RAY_ENV = {
    # A token of our own: what a Ray of this user's home has or has not does not matter.
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "c105" * 16,
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


class DaskCluster(Cluster):
    """Dask, set to notice within seconds that a host is gone."""

    kind, package = "dask", "distributed"
    subnet = 2

    @property
    def address(self) -> str:
        return f"tcp://{self.head.address}:8786"

    @property
    def env(self) -> Mapping[str, str]:
        return DASK_ENV

    def _head_command(self) -> list[str]:
        return [
            str(_BIN / "dask"),
            "scheduler",
            f"--host={self.head.address}",
            "--port=8786",
            "--no-dashboard",
        ]

    def _worker_command(self, host: Host) -> list[str]:
        return [
            str(_BIN / "dask"),
            "worker",
            self.address,
            f"--host={host.address}",
            "--nworkers=1",
            "--nthreads=1",
            "--no-nanny",
            "--no-dashboard",
            f"--local-directory={host.folder}",
        ]


# Below ten heartbeats of half a second each it would not go, and only without nannies it works at all:
# with one the scheduler first asks the nanny, until its own connection times out.
DASK_ENV = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}

KINDS: dict[str, type[Cluster]] = {"ray": RayCluster, "dask": DaskCluster}


class Probe:
    """The program on the head that is asked about the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        command = [sys.executable, str(HERE / "probe.py"), cluster.kind, cluster.address]
        with open(cluster.head.folder / "probe.log", "ab") as log:
            self._process = subprocess.Popen(
                cluster.head.command(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **cluster.env},
                start_new_session=True,
            )
        self._cluster = cluster
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="probe", daemon=True).start()
        assert self._answer() == "ready"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def _answer(self) -> Any:
        try:
            line = self._answers.get(timeout=START_S)
        except queue.Empty:
            line = ""
        if not line:
            raise AssertionError(f"the probe does not answer:\n{self._cluster.logs()}")
        return json.loads(line)

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=20)
