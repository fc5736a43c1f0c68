"""The job scripts of `deploy/` on real clusters: what they publish is what one process publishes."""

from __future__ import annotations

from typing import Any

import pytest


def test_ray_submit_publishes_the_bytes_of_one_process_when_the_job_runs_on_a_cluster(
    ray_cluster: Any, job: Any, call: Any, deploy: Any
) -> None:
    pytest.importorskip("zoopipe_ray", reason="pip install 'zoopipe[ray]'")
    ran = call(
        deploy / "ray" / "submit.sh", ZOOPIPE_JOB_FOLDER=str(job.folder), **ray_cluster.variables
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "succeeded" in ran.stdout
    assert job.outputs() == job.expected


def test_ray_engine_joins_the_local_cluster_when_what_start_printed_is_set(
    ray_cluster: Any, job: Any, call: Any, deploy: Any
) -> None:
    pytest.importorskip("zoopipe_ray", reason="pip install 'zoopipe[ray]'")
    ran = call(
        *("zoopipe", "run", f"{deploy / 'job.py'}:pipe", "--engine", "ray"),
        *("--workers", "2", "--shards", "8"),
        ZOOPIPE_JOB_FOLDER=str(job.folder),
        **ray_cluster.variables,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert job.outputs() == job.expected


def test_ray_submit_fails_with_the_reason_when_the_job_fails(
    ray_cluster: Any, job: Any, call: Any, deploy: Any
) -> None:
    ran = call(
        deploy / "ray" / "submit.sh",
        *("--engine", "steam"),
        ZOOPIPE_JOB_FOLDER=str(job.folder),
        **ray_cluster.variables,
    )
    assert ran.returncode == 1
    assert "there is no engine 'steam'" in ran.stdout + ran.stderr
    assert not (job.folder / "orders.jsonl").exists()


def test_dask_submit_publishes_the_bytes_of_one_process_when_the_job_runs_on_a_cluster(
    dask_cluster: Any, job: Any, call: Any, deploy: Any
) -> None:
    pytest.importorskip("zoopipe_dask", reason="pip install 'zoopipe[dask]'")
    ran = call(
        deploy / "dask" / "submit.sh", ZOOPIPE_JOB_FOLDER=str(job.folder), **dask_cluster.variables
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert job.outputs() == job.expected


@pytest.mark.parametrize(
    ("script", "missing", "given"),
    [
        ("ray/submit.sh", "RAY_API_SERVER_ADDRESS", {"ZOOPIPE_JOB_FOLDER": "/data"}),
        ("ray/submit.sh", "ZOOPIPE_JOB_FOLDER", {"RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"}),
        ("dask/submit.sh", "DASK_SCHEDULER_ADDRESS", {"ZOOPIPE_JOB_FOLDER": "/data"}),
        ("dask/submit.sh", "ZOOPIPE_JOB_FOLDER", {"DASK_SCHEDULER_ADDRESS": "tcp://127.0.0.1:1"}),
    ],
)
def test_submit_says_what_is_missing_when_a_variable_is_not_set(
    script: str, missing: str, given: dict[str, str], call: Any, deploy: Any
) -> None:
    ran = call("env", "--unset", missing, deploy / script, **given)
    assert ran.returncode == 2
    assert f"{missing}: is to be" in ran.stderr
