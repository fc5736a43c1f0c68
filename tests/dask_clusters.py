"""Small Dask clusters for tests: a scheduler and workers, each a process of its own, on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_runs import wait_until


@dataclass
class DaskCluster:
    """A running cluster.

    Attributes:
        folder: the scheduler file and the logs.
        options: what scheduler and workers are given beside the usual, as certificates.
    """

    folder: Path
    options: Sequence[str] = ()
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def scheduler_file(self) -> Path:
        return self.folder / "scheduler.json"

    @property
    def address(self) -> str:
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def start_scheduler(self, *options: str) -> subprocess.Popen[bytes]:
        started = self._start(
            "scheduler",
            *("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"),
            *("--scheduler-file", str(self.scheduler_file), *options),
        )
        wait_until(lambda: self.scheduler_file.exists() and self.scheduler_file.read_text())
        return started

    def start_worker(self, *options: str) -> subprocess.Popen[bytes]:
        """Starts a worker of one thread; returns when the scheduler has it."""
        name = f"worker-{len(self.processes)}"
        log = self.folder / "scheduler-0.log"
        started = self._start(
            "worker",
            *(self.address, "--name", name, "--nthreads", "1", "--no-dashboard"),
            *("--local-directory", str(self.folder), *options),
        )
        wait_until(lambda: f"name: {name}\n" in log.read_text(), 60)
        return started

    def _start(self, kind: str, *options: str) -> subprocess.Popen[bytes]:
        log = self.folder / f"{kind}-{len(self.processes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *options, *self.options],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        """What all of its processes have logged."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


def end(process: subprocess.Popen[Any], how: int = signal.SIGKILL) -> None:
    """Ends a process and what it started."""
    if process.poll() is None:
        os.killpg(process.pid, how)
    process.wait(20)


@contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, worker_options: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[DaskCluster]:
    """A cluster with `workers` workers."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster = DaskCluster(folder, options)
    try:
        cluster.start_scheduler()
        for _ in range(workers):
            cluster.start_worker(*worker_options)
        yield cluster
    finally:
        for process in reversed(cluster.processes):
            end(process)
