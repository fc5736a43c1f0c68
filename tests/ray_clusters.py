"""A Ray cluster of this machine for tests: loopback only, with ports and folders of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Listen on loopback addresses only; that is how Ray says it.
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_START_S = 60.0


@dataclass(frozen=True)
class RayCluster:
    """A running head.

    Attributes:
        address, client_address: what drivers join.
        folder: its files.
    """

    address: str
    client_address: str
    folder: Path


@contextmanager
def ray_cluster(cpus: int = 2, **environment: str) -> Iterator[RayCluster]:
    """A head that runs while this is open.

    Args:
        cpus: how many it offers.
        environment: variables for its processes.
    """
    # Ray's sockets are below this folder, and their paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="zr-", dir="/tmp"))
    port, client_port, *others = free_ports(6)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    names = ("node-manager-port", "object-manager-port", "dashboard-agent-listen-port")
    command = [
        *(sys.executable, "-c", "from ray.scripts.scripts import main; main()"),
        *("start", "--head", "--block", "--include-dashboard=false", "--disable-usage-stats"),
        *("--node-ip-address=127.0.0.1", f"--port={port}", f"--num-cpus={cpus}"),
        *(f"--temp-dir={folder}", f"--ray-client-server-port={client_port}"),
        *("--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"),
        *(f"--{name}={other}" for name, other in zip(names, others, strict=False)),
    ]
    log = folder / "head.log"
    with log.open("w") as output:
        head = psutil.Popen(
            command,
            env={**inherited, **LOOPBACK, **settings, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + _START_S
        while "Ray runtime started" not in log.read_text() or not _listens(client_port):
            assert head.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield RayCluster(f"127.0.0.1:{port}", f"ray://127.0.0.1:{client_port}", folder)
    finally:
        end_all(head)
        shutil.rmtree(folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def end_all(process: psutil.Popen) -> None:
    """Ends a process that was started here, with all that it started."""
    tree = [process, *process.children(recursive=True)]
    for each in tree:
        try:
            each.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(tree, timeout=10)
