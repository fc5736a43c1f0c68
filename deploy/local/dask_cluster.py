"""A Dask cluster of a scheduler and two workers on this machine: `python dask_cluster.py start`, `stop`."""

from __future__ import annotations

from pathlib import Path

from distributed import Client
from processes import LOOPBACK, LocalCluster, command_line, free_ports


def launch(cluster: LocalCluster, workers: int, cpus: int, timeout_s: float) -> dict[str, str]:
    """Starts the scheduler and the workers, each CPU a process, and waits until all have joined."""
    port = free_ports(1)[0]
    address = f"tcp://{LOOPBACK}:{port}"
    scheduler_file = cluster.folder / "scheduler.json"
    listening = ("--host", LOOPBACK, "--dashboard-address", f"{LOOPBACK}:0")
    cluster.spawn(
        "scheduler",
        [*_module("scheduler"), *listening]
        + ["--port", str(port), "--scheduler-file", str(scheduler_file)],
    )
    cluster.wait_until(scheduler_file.exists, timeout_s)
    for number in range(1, workers + 1):
        scratch = cluster.folder / f"worker-{number}"
        cluster.spawn(
            f"worker-{number}",
            [*_module("worker"), address, *listening, *_size(cpus, scratch)]
            + ["--name", f"worker-{number}"],
        )
    with Client(address, timeout=timeout_s) as client:
        cluster.wait_until(
            lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == workers * cpus, timeout_s
        )
    return {"DASK_SCHEDULER_ADDRESS": address}


def _module(name: str) -> list[str]:
    return ["-m", f"distributed.cli.dask_{name}"]


def _size(cpus: int, scratch: Path) -> list[str]:
    return ["--nworkers", str(cpus), "--nthreads", "1", "--local-directory", str(scratch)]


main = command_line("dask", launch)

if __name__ == "__main__":
    main()
