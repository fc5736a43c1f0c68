"""`DaskEngine`: real clusters on loopback, workers that die, stops, addresses that are wrong."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dask_clusters import DaskCluster, dask_cluster
from local_runs import (
    Fault,
    items_pipe,
    staged,
    wait_until,
    write_items,
)

from zoopipe import (
    DaskEngine,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
)
from zoopipe.runtime.engine import Attempt, End
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes

# Two workers with nannies serve most tests; what breaks a cluster has one of its own.


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test makes the driver print."""
    yield
    assert capfd.readouterr() == ("", "")


@contextmanager
def connected(engine: DaskEngine) -> Iterator[DaskEngine]:
    engine.connect()
    try:
        yield engine
    finally:
        engine.disconnect()


@contextmanager
def attempts(engine: DaskEngine, pipe: Pipe, shards: int = 1) -> Iterator[list[Attempt]]:
    """Attempts at a pipe's shards, launched, without a supervisor."""
    (planned,) = plan_pipes([pipe], shards, True)
    run = PipeRun(planned)
    try:
        with connected(engine):
            wait_until(lambda: engine.slots() >= shards)
            yield [engine.launch(run.next_task()) for _ in range(shards)]
    finally:
        planned.remove_staging()


def ends(engine: DaskEngine, count: int = 1, limit_s: float = 20) -> dict[Attempt, End]:
    """How the next `count` attempts end."""
    found: dict[Attempt, End] = {}
    until = time.monotonic() + limit_s
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} attempts ended"
        found.update(engine.ended(0.1))
    return found


def mark_and_wait(mark: Path, go: Path) -> None:
    mark.write_text(str(os.getpid()))
    while not go.exists():
        time.sleep(0.01)


def mark_and_block(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    threading.Event().wait()


def blocked_pipe(folder: Path, fault: Callable[[], object], count: int = 3, at: int = 1) -> Pipe:
    source = write_items(folder / "in.csv", count)
    return items_pipe(source, folder / "out.jsonl", pre_validation_hooks=[Fault(at, fault)])


# Runs.


def test_output_and_rejects_are_the_same_bytes_when_run_as_shards(cluster, tmp_path):
    source = write_items(tmp_path / "in.csv", 5000, bad=range(7, 5000, 11))

    def pipe(name: str) -> Pipe:
        rejects = JSONOutputAdapter(tmp_path / f"{name}-bad.jsonl")
        return items_pipe(source, tmp_path / f"{name}.jsonl", error_output_adapter=rejects)

    pipe("one").run()
    manager = PipeManager.parallelize_pipe(pipe("dask"), 5, engine=DaskEngine(cluster.address))
    report = manager.run()
    for ending in (".jsonl", "-bad.jsonl"):
        assert (tmp_path / f"dask{ending}").read_bytes() == (tmp_path / f"one{ending}").read_bytes()
    assert (report.success_count, report.error_count) == (5000 - 454, 454)
    assert staged(tmp_path) == []
    assert manager.run().success_count == 5000 - 454  # An engine runs again.
