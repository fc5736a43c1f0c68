"""The scripts of `deploy/local`: who joins, who can reach it, what is left behind."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import pytest

# In a process of its own: the test's process is nobody's driver.
RAY_NODES = """
import json, ray
ray.init(log_to_driver=False, logging_level="error")
print(json.dumps([node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]))
"""
DASK_NODES = """
import json, os
from distributed import Client
with Client(os.environ["DASK_SCHEDULER_ADDRESS"]) as client:
    print(json.dumps(list(client.ncores().values())))
"""


def test_ray_cluster_has_a_head_and_two_workers_when_start_returns(
    ray_cluster: Any, call: Any
) -> None:
    asked = call(sys.executable, "-c", RAY_NODES, **ray_cluster.variables)
    assert sorted(json.loads(asked.stdout)) == [0, 1, 1], asked.stderr


def test_dask_cluster_has_two_workers_when_start_returns(dask_cluster: Any, call: Any) -> None:
    asked = call(sys.executable, "-c", DASK_NODES, **dask_cluster.variables)
    assert json.loads(asked.stdout) == [1, 1], asked.stderr


@pytest.mark.parametrize(
    ("kind", "names"), [("ray", {"gcs_server", "raylet"}), ("dask", {"python"})]
)
def test_cluster_listens_on_loopback_only_when_it_runs(
    kind: str, names: set[str], request: pytest.FixtureRequest
) -> None:
    processes = request.getfixturevalue(f"{kind}_cluster").processes()
    assert names <= {name.rstrip("0123456789.") for name in map(psutil.Process.name, processes)}
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening and listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_ray_cluster_refuses_a_request_when_it_shows_no_token(ray_cluster: Any) -> None:
    address = ray_cluster.variables["RAY_API_SERVER_ADDRESS"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{address}/api/jobs/", timeout=10)
    assert refused.value.code == 401
    refused.value.close()


@pytest.mark.parametrize("kind", ["ray", "dask"])
def test_stop_leaves_nothing_and_other_clusters_alone_when_the_first_process_was_killed(
    kind: str, request: pytest.FixtureRequest, running: Any, call: Any
) -> None:
    other = request.getfixturevalue(f"{kind}_cluster")
    before = set(other.processes())
    with running(kind) as cluster:
        processes = cluster.processes()
        assert not before & set(processes)
        min(processes, key=psutil.Process.create_time).kill()
    assert before == set(other.processes())
    nodes = {"ray": RAY_NODES, "dask": DASK_NODES}[kind]
    asked = call(sys.executable, "-c", nodes, **other.variables)
    assert sum(json.loads(asked.stdout)) == 2, asked.stderr


def test_start_refuses_when_a_cluster_runs_in_the_folder(dask_cluster: Any, local: Any) -> None:
    started = local("dask", "start", dask_cluster.folder)
    assert started.returncode == 1
    assert "a cluster is running in" in started.stderr
    assert len(dask_cluster.processes()) > 3


def test_start_refuses_and_keeps_a_folder_when_it_is_not_a_cluster_s(
    tmp_path: Path, local: Any
) -> None:
    pytest.importorskip("distributed", reason="pip install 'zoopipe[dask]'")
    (tmp_path / "thesis.txt").write_text("years of work")
    for command, code in (("start", 1), ("stop", 0)):
        assert local("dask", command, tmp_path).returncode == code
        assert (tmp_path / "thesis.txt").read_text() == "years of work"
