"""A cluster that runs before the clock starts: two workers of one CPU each, in processes of their own.

`python running.py ray` or `dask` starts one, prints its address, and ends it when nobody holds its
standard input any more, however that came about.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

WORKERS = 2
FOLDER = str(Path(__file__).parent.parent)
# Enough for Ray Data to hold all of an input of millions of rows.
_STORE_BYTES = 2 << 30
_END_S = 60
# A process that still imports takes most of a CPU.
_LOOK_S, _AT_REST_S, _REST_S = 0.25, 0.05, 15
_kept: list[subprocess.Popen[str]] = []


def start(kind: str) -> str:
    """The address of a new cluster, once all workers have joined; for a contender's `prepare`."""
    command = [sys.executable, "-I", __file__, kind]
    keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    _kept.append(keeper)
    address = keeper.stdout.readline().strip()
    if not address:
        raise RuntimeError(f"the {kind} cluster did not start")
    return address


def stop() -> None:
    """Ends the cluster; for a contender's `finish`."""
    keeper = _kept.pop()
    keeper.stdin.close()
    keeper.wait(_END_S)


def _keep_dask() -> None:
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=WORKERS, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    ) as cluster:
        cluster.wait_for_workers(WORKERS, timeout=_END_S)
        _wait_for_the_end(cluster.scheduler_address)


def _keep_ray() -> None:
    from ray.cluster_utils import Cluster

    # So that Ray's workers find contenders; Dask's have the path of this process.
    os.environ["PYTHONPATH"] = FOLDER
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        os.environ.update(RAY_TMPDIR=folder, RAY_USAGE_STATS_ENABLED="0")
        node = {"num_cpus": 1, "object_store_memory": _STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **node})
        for _ in range(WORKERS - 1):
            cluster.add_node(**node, wait=False)
        cluster.wait_for_nodes(_END_S)
        _wait_for_the_end(cluster.address)
        cluster.shutdown()


def _wait_for_the_end(address: str) -> None:
    _wait_for_rest()
    _out.write(f"{address}\n")
    _out.flush()
    sys.stdin.read()


def _wait_for_rest() -> None:
    """Waits until what has just been started has done its imports, as on a cluster that runs."""
    end = time.monotonic() + _REST_S
    before, now = -1.0, _cpu_s()
    while now - before > _AT_REST_S and time.monotonic() < end:
        time.sleep(_LOOK_S)
        before, now = now, _cpu_s()


def _cpu_s() -> float:
    """Seconds of CPU that the cluster's processes have used."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            used += sum(process.cpu_times()[:2])
    return used


if __name__ == "__main__":
    # What Ray and Dask print while they start is not the address.
    sys.path.append(FOLDER)
    _out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    {"dask": _keep_dask, "ray": _keep_ray}[sys.argv[1]]()
