"""Clusters on this machine, by the scripts of `deploy/local`, and the sample job's results."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import psutil
import pytest
from oracle import csv_dicts, text_lines, validated

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ROWS = 20_000
OUTPUTS = ("orders.jsonl", "rejected.jsonl")


@dataclass(frozen=True)
class Cluster:
    """A running cluster: its folder, and the variables that `start` printed."""

    folder: Path
    variables: Mapping[str, str]

    def processes(self) -> list[psutil.Process]:
        return module("local/processes.py").LocalCluster(self.folder).processes()


@dataclass(frozen=True)
class Job:
    """A folder with the sample job's input, and what one process makes of it."""

    folder: Path
    expected: Mapping[str, bytes]

    def outputs(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in OUTPUTS}


def module(path: str) -> ModuleType:
    """A module of `deploy/`, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"deployed_{Path(path).stem}", DEPLOY / path)
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def call(
    *command: str | Path, timeout_s: float = 100, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, with the environment's own scripts first on PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "PATH": path, "PYTHONWARNINGS": "", **variables},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def running(kind: str) -> Iterator[Cluster]:
    """A cluster of its own, of a head and two workers with a CPU each; `stop` leaves nothing of it."""
    # Ray's Unix sockets need a short path; pytest's own folders are too long.
    with tempfile.TemporaryDirectory(prefix="zp") as parent:
        folder = Path(parent) / kind
        started = local(kind, "start", folder)
        assert started.returncode == 0, started.stderr
        words = shlex.split(started.stdout)
        variables = dict(word.split("=", 1) for word in words if word != "export")
        cluster = Cluster(folder, variables)
        processes = cluster.processes()
        assert len(processes) > 3
        try:
            yield cluster
        finally:
            stopped = local(kind, "stop", folder)
        assert stopped.returncode == 0, stopped.stderr
        assert [process for process in processes if _runs(process)] == []
        assert not folder.exists()


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def local(kind: str, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Calls a script of `deploy/local`."""
    script = DEPLOY / "local" / f"{kind}_cluster.py"
    return call(sys.executable, script, command, "--folder", folder)


@pytest.fixture(scope="session", name="running")
def _running() -> Callable[[str], AbstractContextManager[Cluster]]:
    return running


@pytest.fixture(scope="session", name="call")
def _call() -> Callable[..., subprocess.CompletedProcess[str]]:
    return call


@pytest.fixture(scope="session", name="local")
def _local() -> Callable[[str, str, Path], subprocess.CompletedProcess[str]]:
    return local


@pytest.fixture(scope="session")
def deploy() -> Path:
    """The folder `deploy/`."""
    return DEPLOY


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Cluster]:
    """A Ray cluster for a module's tests; a cluster that is left idle takes CPU from other tests."""
    pytest.importorskip("aiohttp", reason="job submission needs ray[default]")
    pytest.importorskip("ray", reason="pip install 'zoopipe[ray]'")
    with running("ray") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def dask_cluster() -> Iterator[Cluster]:
    """A Dask cluster for a module's tests."""
    pytest.importorskip("distributed", reason="pip install 'zoopipe[dask]'")
    with running("dask") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The job's results by one worker process; the accepted rows are those of the row loop."""
    folder = tmp_path_factory.mktemp("orders")
    ran = call(
        "zoopipe",
        *("run", f"{DEPLOY / 'job.py'}:pipe", "--workers", "1"),
        ZOOPIPE_JOB_FOLDER=str(folder),
        ZOOPIPE_JOB_ROWS=str(ROWS),
    )
    assert ran.returncode == 0, ran.stderr
    rows = csv_dicts((folder / "orders.csv").read_bytes())
    lines, refused = validated(rows, module("job.py").Order)
    assert (len(rows), len(refused)) == (ROWS, ROWS // 50)
    assert text_lines(folder / "orders.jsonl") == lines
    assert len(text_lines(folder / "rejected.jsonl")) == len(refused)
    job = Job(folder, {})
    return Job(folder, job.outputs())


@pytest.fixture
def job(one_process: Job) -> Job:
    """The job's folder without outputs: rejected rows name their file, so that it must be the same one."""
    for name in OUTPUTS:
        (one_process.folder / name).unlink(missing_ok=True)
    return one_process
