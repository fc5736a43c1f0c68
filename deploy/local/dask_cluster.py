"""A Dask cluster of a scheduler and two workers on this machine: `python dask_cluster.py start`, `stop`."""

from __future__ import annotations

from distributed import Client
from processes import LOOPBACK, LocalCluster, command_line, free_ports


def launch(cluster: LocalCluster, workers: int, cpus: int, timeout_s: float) -> dict[str, str]:
    """Starts the scheduler and the workers, each CPU a process, and waits until all have joined."""
    port = free_ports(1)[0]
    address = f"tcp://{LOOPBACK}:{port}"
    scheduler_file = cluster.folder / "scheduler.json"
    cluster.spawn("scheduler", _command("scheduler", port=port, scheduler_file=scheduler_file))
    cluster.wait_until(scheduler_file.exists, timeout_s)
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        size = {"nworkers": cpus, "nthreads": 1}
        command = _command("worker", name=name, local_directory=cluster.folder / name, **size)
        cluster.spawn(name, [*command, address])
    with Client(address, timeout=timeout_s) as client:
        cluster.wait_until(lambda: len(client.ncores()) == workers * cpus, timeout_s)
    return {"DASK_SCHEDULER_ADDRESS": address}


def _command(role: str, **options: object) -> list[str]:
    options |= {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0"}
    written = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return ["-m", "dask", role, *written]


main = command_line("dask", launch)

if __name__ == "__main__":
    main()
