"""A cluster that runs before the clock starts: two workers of one CPU each, in processes of their own.

`python running.py ray` or `dask` starts one, prints its address, and ends it when nobody holds its
standard input any more, however that came about.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

WORKERS = 2
FOLDER = str(Path(__file__).parent.parent)
_HEAD_STORE_BYTES = 100 << 20
# Enough for Ray Data to hold all of an input of millions of rows.
_STORE_BYTES = 2 << 30
_END_S = 60
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
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _HEAD_STORE_BYTES}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(WORKERS):
            cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES, wait=False)
        cluster.wait_for_nodes(_END_S)
        _wait_for_the_end(cluster.address)
        cluster.shutdown()


def _wait_for_the_end(address: str) -> None:
    # What Ray says while it starts is not the address.
    _out.write(f"{address}\n")
    _out.flush()
    sys.stdin.read()


if __name__ == "__main__":
    sys.path.append(FOLDER)
    _out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    {"dask": _keep_dask, "ray": _keep_ray}[sys.argv[1]]()
