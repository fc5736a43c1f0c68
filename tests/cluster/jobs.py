"""A job on a cluster: the driver's script on the head, what it reports, and what its attempts say."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from cluster.clusters import HERE, Cluster
from cluster.network import Host, wait_until

OUTPUTS = ("out.jsonl", "rejected.jsonl")

ROWS = 220_000


def write_orders(path: Path) -> None:
    """Rows for shards of more than two blocks: some are bad, some hold newlines and commas in quotes."""
    with open(path, "w", newline="") as file:
        file.write("id,customer,price,note\n")
        for number in range(ROWS):
            price = "free" if number % 997 == 0 else f"{number % 5000}.25"
            note = '"left at the door,\nring twice"' if number % 31 == 0 else "left at the door"
            file.write(f"{number},customer {number % 4099:08d},{price},{note}\n")


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each output."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in OUTPUTS}


@dataclass(frozen=True)
class OneProcess:
    """The input, and the digests of what one process makes of it."""

    source: Path
    digests: dict[str, str]


@dataclass(frozen=True)
class Sighting:
    """An attempt that has come to the gate, or to its end, as its own process says."""

    shard: int
    attempt: int
    pid: int
    host: Host


class Job:
    """A job, from its start on the head of a cluster to its end.

    Args:
        cluster: where it runs.
        source: the input.
        folder: an empty folder of its own.
        held: the attempts that wait at the gate until it is opened, as (shard, attempt).
        shards, max_attempts, backoff_s: as for `PipeManager.parallelize_pipe`.
    """

    def __init__(
        self,
        cluster: Cluster,
        source: Path,
        folder: Path,
        held: Sequence[tuple[int, int]],
        shards: int = 6,
        max_attempts: int = 3,
        backoff_s: float = 0.1,
    ) -> None:
        self.cluster, self.folder, self.shards = cluster, folder, shards
        (folder / "gate").mkdir()
        options = {
            "engine": cluster.kind,
            "address": cluster.address,
            "source": str(source),
            "folder": str(folder),
            "workers": len(cluster.workers),
            "shards": shards,
            "held": held,
            "max_attempts": max_attempts,
            "backoff_s": backoff_s,
        }
        command = [sys.executable, str(HERE / "job.py"), json.dumps(options)]
        self.reports: list[dict[str, Any]] = []
        with open(folder / "driver.log", "wb") as log:
            self.driver = subprocess.Popen(
                cluster.head.command(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **cluster.env},
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="job", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.driver.stdout is not None
        for line in self.driver.stdout:
            self.reports.append(json.loads(line))

    @property
    def report(self) -> dict[str, Any]:
        """The newest report."""
        return self.reports[-1] if self.reports else {"status": "pending", "lost": 0, "workers": []}

    def wait_until(self, holds: Callable[[], object], what: str, limit_s: float = 60.0) -> None:
        """Waits for a state of the running job; fails, with its log, when it ends before."""

        def is_reached() -> bool:
            ended = self.driver.poll() is not None
            if holds():
                return True
            assert not ended, f"the job ended before {what}"
            return False

        try:
            wait_until(is_reached, limit_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.story()}") from None

    def finish(self, limit_s: float = 90.0) -> dict[str, Any]:
        """Waits for the driver's end; returns the final report."""
        try:
            self.driver.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the job did not end in {limit_s} s\n{self.story()}") from None
        self._reader.join(10)
        assert self.driver.returncode == 0, self.story()
        return self.report

    def begun(self, shard: int, attempt: int = 1) -> list[Sighting]:
        """The processes in which an attempt has come to the middle of its shard."""
        return [seen for seen in self.sightings() if (seen.shard, seen.attempt) == (shard, attempt)]

    def sightings(self, what: str = "begun") -> list[Sighting]:
        """All attempts that have come to the middle of their shard, or to their end."""
        networks = {host.network_id: host for host in self.cluster.network.hosts}
        found = []
        for path in sorted((self.folder / "gate").glob(f"{what}-*")):
            shard, attempt, pid = map(int, path.name.split("-")[1:])
            network = json.loads(path.read_text())["network"]
            found.append(Sighting(shard, attempt, pid, networks[network]))
        return found

    def hosts_used(self) -> set[str]:
        """The addresses of the hosts on which shards were run."""
        return {seen.host.address for seen in self.sightings()}

    def reported(self, shard: int) -> dict[str, Any] | None:
        """What the driver's newest report says of the worker that has a shard."""
        return next((w for w in self.report["workers"] if w["shard"] == shard), None)

    def held_at(self, shard: int) -> Sighting:
        """Waits until the first attempt at a shard is held, and the driver's report says so too."""
        self.wait_until(lambda: self.begun(shard), f"shard {shard} is held")
        (seen,) = self.begun(shard)
        self.wait_until(
            lambda: (self.reported(shard) or {"pid": 0})["pid"] == seen.pid,
            f"the report names process {seen.pid}",
        )
        worker = self.reported(shard)
        assert worker is not None
        assert worker["host"] == seen.host.address, worker
        return seen

    def open_gate(self) -> None:
        """Lets everyone go on who is held."""
        (self.folder / "gate" / "open").touch()

    def staged(self) -> list[str]:
        """What of the run is still staged."""
        return sorted(path.name for path in self.folder.iterdir() if ".zoopipe" in path.name)

    def wait_until_free(self) -> None:
        """Waits until nothing on the cluster is ours any more; that may take half a minute."""
        busy: list[str] = []

        def is_free() -> bool:
            busy[:] = self._busy()
            return not busy

        try:
            wait_until(is_free, 30, "the cluster to be free")
        except AssertionError as error:
            raise AssertionError(f"{error}: {busy}\n{self.story()}") from None

    def _busy(self) -> list[str]:
        """Processes that ran attempts and still do, and what the cluster still has to do for us."""
        left = [str(word) for word in self.cluster.ask("busy")]
        if self.cluster.kind == "ray":
            # An actor's process ends with it; a Dask worker lives on without its tasks.
            pids = {seen.pid for seen in self.sightings()}
            left += [f"process {pid}" for pid in pids if is_running(pid)]
        return left

    def story(self) -> str:
        """What is known of the job, for messages."""
        log = self.folder / "driver.log"
        words = log.read_text(errors="replace")[-6000:] if log.exists() else ""
        seen = "\n".join(
            f"{s.shard} {s.attempt} on {s.host.address}, {s.pid}" for s in self.sightings()
        )
        return f"last report: {self.report}\n--- seen\n{seen}\n--- driver\n{words}\n{self.cluster.logs()}"

    def close(self) -> None:
        """Ends the driver, if it still runs, and lets go whoever is held."""
        self.open_gate()
        if self.driver.poll() is None:
            os.killpg(self.driver.pid, signal.SIGKILL)
        self.driver.wait(20)
        self._reader.join(10)
        assert self.driver.stdout is not None
        self.driver.stdout.close()


def is_running(pid: int) -> bool:
    """Whether a process is there and is not only waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
