"""The Slurm example on a real Slurm: a controller and two nodes, all on this machine's loopback address."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "sinfo", "squeue")
NODES = ("first", "second")
CPUS = 2

CONFIGURATION = """
ClusterName=zoopipe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
# No address but the one above.
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory=4000
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory=4000
PartitionName=main Nodes=ALL Default=YES State=UP
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """A Slurm of two nodes; gives the environment in which its commands find it."""
    pytest.importorskip("dask_jobqueue", reason="pip install 'zoopipe[deploy]'")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt-get install munge slurmctld slurmd slurm-client")
    if os.getuid() != 0:
        pytest.skip("slurmd starts jobs as other users, so that it has to be root's")
    with tempfile.TemporaryDirectory(prefix="zs") as made, ExitStack() as stack:
        folder = Path(made)
        # munged refuses a socket that others cannot reach.
        folder.chmod(0o755)
        for name in ("munge", "state", *(f"spool-{node}" for node in NODES)):
            (folder / name).mkdir(mode=0o755)
        variables = configure(folder)

        def start(*command: str) -> None:
            log = stack.enter_context((folder / f"{command[0]}.log").open("ab"))
            process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **variables}
            )
            stack.callback(stop, process)

        munge = folder / "munge"
        options = {
            "key-file": folder / "key",
            "socket": munge / "socket",
            "pid-file": munge / "pid",
        }
        options |= {"log-file": munge / "log", "seed-file": munge / "seed"}
        start("munged", "--force", "--foreground", *(f"--{k}={v}" for k, v in options.items()))
        wait_until((munge / "socket").exists)
        start("slurmctld", "-D")
        for node in NODES:
            start("slurmd", "-D", "-N", node)
        wait_until(lambda: ask("sinfo", "--noheader", "--format=%D %T", **variables) == "2 idle")
        yield variables


def configure(folder: Path) -> dict[str, str]:
    """Writes the key and the configuration."""
    (folder / "key").touch(mode=0o600)
    (folder / "key").write_bytes(secrets.token_bytes(1024))
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [each.getsockname()[1] for each in sockets]
    text = CONFIGURATION.format(
        host=socket.gethostname(), folder=folder, ports=ports, nodes=NODES, cpus=CPUS
    )
    (folder / "slurm.conf").write_text(text)
    return {"SLURM_CONF": str(folder / "slurm.conf")}


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def ask(*command: str, **variables: str) -> str:
    ran = subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=20
    )
    return ran.stdout.strip()


def wait_until(holds: Callable[[], object], limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, f"waited {limit_s} s in vain"
        time.sleep(0.05)


def test_slurm_example_publishes_the_bytes_of_one_process_when_batch_jobs_run_it(
    slurm: dict[str, str], job: Any, call: Any, deploy: Path
) -> None:
    size = ("--nodes", len(NODES), "--cpus", CPUS, "--memory", "2GB", "--wait", 60)
    ran = call(
        *(
            sys.executable,
            deploy / "dask" / "slurm.py",
            "--folder",
            job.folder,
            "--interface",
            "lo",
        ),
        *size,
        **slurm,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert job.outputs() == job.expected
    accounts = [path.read_text() for path in (job.folder / "logs").iterdir()]
    assert any("at: 'tls://127.0.0.1" in text for text in accounts)
    # Certificates are for this run.
    assert {path.name for path in job.folder.iterdir()} == {"orders.csv", *job.expected, "logs"}
    # The batch jobs end with the run.
    wait_until(lambda: ask("squeue", "--noheader", **slurm) == "")
