"""A Ray cluster of a head and two workers on this machine: `python ray_cluster.py start`, `stop`.

The head has no CPUs: it is where `ray job submit` runs drivers. Ray asks for a token, which is in the
cluster's folder.
"""

from __future__ import annotations

import json
import secrets
import signal
import threading
from pathlib import Path

import click
from processes import LOOPBACK, LocalCluster, command_line, free_ports

#: Ray listens on the loopback address alone where it takes the machine for one that cannot be part of a
#: cluster; otherwise it replaces 127.0.0.1 by the machine's own address. Drivers need it as well.
_LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_STORE_BYTES = 100 * 2**20


def launch(cluster: LocalCluster, workers: int, cpus: int, timeout_s: float) -> dict[str, str]:
    """Starts a process that keeps all nodes, and waits until they have joined."""
    token = cluster.folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    access = {_LOOPBACK_ONLY: "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    metrics = free_ports(2)
    ready = cluster.folder / "ready.json"
    cluster.spawn(
        "keeper",
        [__file__, "keep", str(ready), str(workers), str(cpus), str(timeout_s)],
        **access,
        RAY_TMPDIR=str(cluster.folder),
        RAY_USAGE_STATS_ENABLED="0",
        AUTOSCALER_METRIC_PORT=str(metrics[0]),
        DASHBOARD_METRIC_PORT=str(metrics[1]),
    )
    cluster.wait_until(ready.exists, timeout_s)
    return {**json.loads(ready.read_text()), **access}


main = command_line("ray", launch)


@main.command(hidden=True)
@click.argument("ready", type=click.Path(path_type=Path))
@click.argument("workers", type=int)
@click.argument("cpus", type=int)
@click.argument("timeout_s", type=float)
def keep(ready: Path, workers: int, cpus: int, timeout_s: float) -> None:
    """Start the nodes, write how they are reached to READY, and end them on SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    from ray.cluster_utils import Cluster

    gcs, dashboard, client, agent = free_ports(4)
    nodes = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "gcs_server_port": gcs,
            "include_dashboard": True,
            "dashboard_host": LOOPBACK,
            "dashboard_port": dashboard,
            "dashboard_agent_listen_port": agent,
            "ray_client_server_port": client,
            "object_store_memory": _STORE_BYTES,
        },
    )
    for _ in range(workers):
        nodes.add_node(num_cpus=cpus, object_store_memory=_STORE_BYTES, wait=False)
    nodes.wait_for_nodes(timeout_s)
    reached = {
        "RAY_ADDRESS": nodes.address,
        "RAY_API_SERVER_ADDRESS": f"http://{LOOPBACK}:{dashboard}",
    }
    writing = ready.with_suffix(".writing")
    writing.write_text(json.dumps(reached))
    writing.replace(ready)
    stopped.wait()
    nodes.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
