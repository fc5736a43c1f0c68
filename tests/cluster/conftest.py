"""The clusters: each is started once for a module's tests, and made whole again after each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster.clusters import KINDS, Cluster
from cluster.gated import gated_pipe
from cluster.jobs import Job, OneProcess, digests, write_orders
from cluster.network import why_not


def _demand(reason: str | None) -> None:
    """Skips the test where there is a reason to; CI has to have what it needs."""
    if reason is not None:
        if os.environ.get("CI"):
            pytest.fail(f"CI has to run this: {reason}")
        pytest.skip(reason)


@pytest.fixture(scope="module", params=sorted(KINDS))
def shared_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    kind = KINDS[request.param]
    missing = importlib.util.find_spec(kind.package) is None
    _demand(f"{kind.package} is not installed" if missing else why_not())
    # Short, for Ray's sockets are in it.
    folder = Path(tempfile.mkdtemp(prefix="zp-", dir="/tmp"))
    cluster = kind(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder)


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """A head and two workers; whole again when the test is over."""
    yield shared_cluster
    shared_cluster.restore()


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> OneProcess:
    """The input, and what one process makes of it."""
    folder = tmp_path_factory.mktemp("one-process")
    source = folder / "orders.csv"
    write_orders(source)
    (folder / "gate").mkdir()
    gated_pipe(source, folder).run()
    return OneProcess(source, digests(folder))


@pytest.fixture
def start_job(
    cluster: Cluster, tmp_path: Path, one_process: OneProcess
) -> Iterator[Callable[..., Job]]:
    """Starts the job on the cluster; it is ended when the test is over."""
    jobs: list[Job] = []

    def start(**options: Any) -> Job:
        jobs.append(Job(cluster, one_process.source, tmp_path, **options))
        return jobs[-1]

    yield start
    for job in jobs:
        job.close()
