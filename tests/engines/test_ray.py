"""`RayEngine`: real clusters on loopback, actors that die, stops, addresses that are wrong, tokens."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from launching import attempts, connected, ends
from local_runs import (
    Fault,
    items,
    items_pipe,
    match_for_ever,
    python,
    staged,
    wait_until,
    write_items,
)
from oracle import json_lines
from ray_clusters import LOOPBACK, RayCluster, free_ports, ray_cluster

from zoopipe import (
    DeclarationError,
    EngineError,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
    PipeStatus,
    RayEngine,
    RetryPolicy,
    RunFailed,
    RunStopped,
)
from zoopipe.runtime import watch
from zoopipe.runtime.engine import Done, Lost, Raised
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.recovery import begin

TOKEN = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with ray_cluster(cpus=2) as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test makes the driver print."""
    yield
    assert capfd.readouterr() == ("", "")


def mark_and_wait(marks: Path, go: Path) -> None:
    """Says which process it is in, and waits until it may go on."""
    (marks / f"worker-{os.getpid()}").touch()
    while not go.exists():
        time.sleep(0.01)


def mark_environment(mark: Path, name: str) -> None:
    mark.write_text(os.environ.get(name, "not set"))


def waiting_pipe(folder: Path, count: int = 3, at: int = 1, **options) -> Pipe:
    """A pipe that waits at a row for a file named `go`."""
    wait = partial(mark_and_wait, folder, folder / "go")
    return faulty_pipe(folder, wait, count, at, **options)


def faulty_pipe(folder: Path, fault: Callable[[], object], count: int = 3, at: int = 1, **options):
    source = write_items(folder / "in.csv", count)
    return items_pipe(
        source, folder / "out.jsonl", pre_validation_hooks=[Fault(at, fault)], **options
    )


def marked(folder: Path) -> list[int]:
    """The processes that have said which they are."""
    return sorted(int(path.name.removeprefix("worker-")) for path in folder.glob("worker-*"))


# Options.


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("address", "10.0.0.1"),
        ("address", "http://10.0.0.1:8265"),
        ("address", 6379),
        ("num_cpus", -1),
        ("num_cpus", "2"),
        ("num_cpus", True),
        ("memory", 0.5),
        ("resources", ["gpu"]),
        ("resources", {"gpu": -1}),
        ("runtime_env", "env.yaml"),
        ("namespace", ""),
        ("max_workers", 0),
        ("scheduling_strategy", "EVERYWHERE"),
        ("start_timeout_s", 0),
        ("start_timeout_s", float("inf")),
    ],
)
def test_engine_is_refused_when_an_option_cannot_be_used(option, value):
    with pytest.raises(DeclarationError, match=option):
        RayEngine(**{option: value})


def test_import_of_the_engine_loads_no_ray(tmp_path):
    done = python(
        """
        import sys
        from zoopipe import RayEngine
        RayEngine("auto", num_cpus=2)
        print("ray" in sys.modules)
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


# Runs.


def test_output_and_rejects_are_the_same_bytes_when_run_as_shards(cluster, tmp_path):
    source = write_items(tmp_path / "in.csv", 5000, bad=range(7, 5000, 11))

    def pipe(name: str) -> Pipe:
        rejects = JSONOutputAdapter(tmp_path / f"{name}-bad.jsonl")
        return items_pipe(source, tmp_path / f"{name}.jsonl", error_output_adapter=rejects)

    pipe("one").run()
    manager = PipeManager.parallelize_pipe(pipe("ray"), 5, engine=RayEngine(cluster.address))
    report = manager.run()
    for ending in (".jsonl", "-bad.jsonl"):
        assert (tmp_path / f"ray{ending}").read_bytes() == (tmp_path / f"one{ending}").read_bytes()
    assert (report.success_count, report.error_count) == (5000 - 454, 454)
    assert staged(tmp_path) == []
    # An engine runs again.
    assert manager.run().success_count == 5000 - 454


def test_output_is_the_same_when_ray_s_client_joins(cluster, tmp_path):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 3000), tmp_path / "out.jsonl")
    PipeManager.parallelize_pipe(pipe, 3, engine=RayEngine(cluster.client_address)).run()
    assert json_lines(tmp_path / "out.jsonl") == items(3000)


def test_actors_are_used_again_when_there_are_many_small_pipes(cluster, tmp_path):
    source = write_items(tmp_path / "in.csv", 5)
    (tmp_path / "go").touch()
    fault = Fault(1, partial(mark_and_wait, tmp_path, tmp_path / "go"))
    pipes = [
        items_pipe(source, tmp_path / f"out{number}.jsonl", pre_validation_hooks=[fault])
        for number in range(200)
    ]
    report = PipeManager(pipes, RayEngine(cluster.address)).run()
    assert report.status is PipeStatus.COMPLETED
    assert json_lines(tmp_path / "out199.jsonl") == items(5)
    assert len(marked(tmp_path)) <= 2


def test_runtime_env_reaches_the_workers(cluster, tmp_path):
    mark = tmp_path / "seen"
    pipe = faulty_pipe(tmp_path, partial(mark_environment, mark, "ZOO_TEST"))
    engine = RayEngine(cluster.address, runtime_env={"env_vars": {"ZOO_TEST": "zebra"}})
    PipeManager([pipe], engine).run()
    assert mark.read_text() == "zebra"


SCRIPT = """
import sys, threading
from pydantic import BaseModel
from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager, RayEngine
import beside

class Row(BaseModel):
    id: int
    name: beside.Name

def numbered(row):
    row["name"] += beside.SUFFIX
    return row

if __name__ == "__main__":
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"), schema_model=Row,
                pre_validation_hooks=[numbered])
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=RayEngine(max_workers=2))
    {run}
"""
BESIDE = """
from typing import Annotated
from pydantic import AfterValidator

SUFFIX = "!"
Name = Annotated[str, AfterValidator(str.upper)]
"""


def run_script(folder: Path, run: str = "manager.run()", **environment: str):
    """Runs `SCRIPT` in a process of its own."""
    write_items(folder / "in.csv", 2000)
    (folder / "beside.py").write_text(BESIDE)
    known = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return python(SCRIPT.replace("{run}", run), folder, env={**known, **environment})


def shouted(count: int) -> list[dict]:
    return [{**item, "name": f"{item['name'].upper()}!"} for item in items(count)]


def test_code_of_main_and_of_a_module_beside_reaches_the_cluster_that_ray_address_names(
    cluster, tmp_path
):
    done = run_script(tmp_path, RAY_ADDRESS=cluster.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json_lines(tmp_path / "out.jsonl") == shouted(2000)


def test_nothing_is_left_or_printed_when_ray_was_started_for_a_run(tmp_path):
    run = """
    import os, psutil, ray
    def listening():
        ours = {p.pid for p in psutil.Process().children(recursive=True)}
        return {c.laddr.ip for c in psutil.net_connections("tcp")
                if c.status == "LISTEN" and c.pid in ours}
    manager.start()
    while not manager.report.total_processed and not manager.wait(0.05): pass
    addresses = listening()
    assert addresses and all(a.removeprefix("::ffff:") == "127.0.0.1" for a in addresses), addresses
    assert manager.wait(30) and manager.report.status.value == "completed", manager.report
    assert not ray.is_initialized()
    assert psutil.Process().children(recursive=True) == []
    """
    done = run_script(tmp_path, run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json_lines(tmp_path / "out.jsonl") == shouted(2000)


def test_cluster_without_tokens_is_joined_when_a_ray_that_asks_for_one_was_started_before(
    cluster, tmp_path
):
    run = f"""
    import os
    assert "RAY_AUTH_MODE" not in os.environ
    manager.run()
    assert "RAY_AUTH_MODE" not in os.environ
    PipeManager([pipe], RayEngine("{cluster.address}")).run()
    """
    done = run_script(tmp_path, run)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json_lines(tmp_path / "out.jsonl") == shouted(2000)


def test_connection_of_the_caller_is_used_and_left_when_there_is_one(cluster, tmp_path):
    run = f"""
    import ray
    ray.init("{cluster.address}", log_to_driver=False, logging_level="ERROR")
    job = ray.get_runtime_context().get_job_id()
    manager.run()
    assert ray.is_initialized() and ray.get_runtime_context().get_job_id() == job
    from zoopipe import EngineError
    try:
        RayEngine("127.0.0.1:1").connect()
    except EngineError as error:
        print(error)
    assert ray.is_initialized()
    """
    done = run_script(tmp_path, run, **LOOPBACK)
    assert done.returncode == 0, done.stderr
    assert "not to 127.0.0.1:1" in done.stdout
    assert cluster.address in done.stdout
    assert json_lines(tmp_path / "out.jsonl") == shouted(2000)


# What is heard of attempts.


def test_driver_hears_of_every_worker_while_it_runs(cluster, tmp_path):
    pipe = waiting_pipe(tmp_path, count=4000, at=3900, schema_model=None)
    with attempts(engine := RayEngine(cluster.address), pipe) as (attempt,):
        wait_until(lambda: attempt.progress.counts.records > 0)
        assert attempt.progress.host == "127.0.0.1"
        wait_until(lambda: marked(tmp_path) == [attempt.progress.pid])
        assert attempt.progress.rss_bytes > 10 * 1024**2
        (tmp_path / "go").touch()
        assert isinstance(ends(engine)[attempt], Done)
        assert attempt.progress.counts.records == 4000


def test_attempts_share_the_actors_that_there_is_room_for(cluster, tmp_path):
    (tmp_path / "go").touch()
    pipe = waiting_pipe(tmp_path, count=4000)
    with attempts(engine := RayEngine(cluster.address), pipe, shards=6) as launched:
        found = ends(engine, 6)
    assert set(found) == set(launched)
    assert {type(end) for end in found.values()} == {Done}
    assert len({attempt.progress.pid for attempt in launched}) <= 2


# Workers that die, and are stopped.


def test_attempt_is_lost_with_process_and_host_when_its_worker_is_killed(cluster, tmp_path):
    with attempts(engine := RayEngine(cluster.address), waiting_pipe(tmp_path)) as (attempt,):
        wait_until(lambda: marked(tmp_path))
        (pid,) = marked(tmp_path)
        psutil.Process(pid).kill()
        end = ends(engine, limit_s=5)[attempt]
    assert isinstance(end, Lost)
    assert end.has_begun
    assert end.reason.startswith(f"its worker (process {pid} on 127.0.0.1) was killed or crashed")
    assert "\n" not in end.reason


def test_run_goes_on_with_another_actor_when_a_worker_is_killed(cluster, tmp_path):
    pipe = waiting_pipe(tmp_path, count=3000)
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=RayEngine(cluster.address))
    with manager:
        wait_until(lambda: marked(tmp_path))
        psutil.Process(marked(tmp_path)[0]).kill()
        (tmp_path / "go").touch()
        assert manager.wait(30)
    assert manager.report.status is PipeStatus.COMPLETED, manager.report.error
    assert json_lines(tmp_path / "out.jsonl") == items(3000)


def test_attempt_stops_when_it_is_asked_to(cluster, tmp_path):
    pipe = waiting_pipe(tmp_path, count=3000, at=1)
    with attempts(engine := RayEngine(cluster.address), pipe) as (attempt,):
        wait_until(lambda: marked(tmp_path))
        attempt.ask_to_stop()
        # It stops before its next block, once this one lets it, and hears of it meanwhile.
        release = threading.Timer(1.0, (tmp_path / "go").touch)
        release.start()
        end = ends(engine)[attempt]
        release.join()
    assert isinstance(end, Raised)
    assert isinstance(end.error, RunStopped)


def test_attempt_that_waits_for_room_ends_at_once_when_it_is_asked_to_stop(cluster, tmp_path):
    engine = RayEngine(cluster.address, num_cpus=64)
    with attempts(engine, waiting_pipe(tmp_path)) as (attempt,):
        attempt.ask_to_stop()
        end = ends(engine, limit_s=3)[attempt]
    assert isinstance(end.error, RunStopped)
    assert not attempt.progress.has_begun


def test_attempt_is_lost_at_once_and_its_process_ends_when_it_is_killed(cluster, tmp_path):
    with attempts(engine := RayEngine(cluster.address), waiting_pipe(tmp_path)) as (attempt,):
        wait_until(lambda: marked(tmp_path))
        attempt.kill()
        attempt.kill()
        assert isinstance(ends(engine, limit_s=1)[attempt], Lost)
        assert engine.ended(0.3) == []
        wait_until(lambda: not psutil.pid_exists(marked(tmp_path)[0]))


def test_cpus_are_given_back_while_the_engine_is_connected(cluster, tmp_path):
    import ray

    (tmp_path / "go").touch()
    with attempts(engine := RayEngine(cluster.address), waiting_pipe(tmp_path)) as (attempt,):
        assert isinstance(ends(engine)[attempt], Done)
        assert ray.available_resources()["CPU"] == 1
        engine.release_idle()
        wait_until(lambda: ray.available_resources()["CPU"] == 2)
        wait_until(lambda: not psutil.pid_exists(attempt.progress.pid))


def test_another_actor_is_hired_when_an_idle_one_has_died(cluster, tmp_path):
    (tmp_path / "go").touch()
    (planned,) = begin(plan_pipes([waiting_pipe(tmp_path, count=3000)], 2, True), resume=False)
    run = PipeRun(planned)
    with connected(RayEngine(cluster.address, max_workers=1)) as engine:
        first = engine.launch(run.next_task())
        assert isinstance(ends(engine)[first], Done)
        psutil.Process(first.progress.pid).kill()
        wait_until(lambda: not psutil.pid_exists(first.progress.pid))
        wait_until(lambda: not engine._actors._actors)
        second = engine.launch(run.next_task())
        assert isinstance(ends(engine)[second], Done)
    planned.leave(is_done=False)


def test_worker_ends_itself_when_no_driver_asks_for_news(tmp_path):
    done = python(
        """
        import threading
        from zoopipe_ray import worker
        worker.ALONE_S = 1.0
        worker.RayWorker()
        threading.Event().wait()
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_workers_end_when_the_driver_is_killed(cluster, tmp_path):
    run = """
    import os, pathlib, signal, time
    def wait():
        pathlib.Path(f"{folder}/worker-{os.getpid()}").touch()
        while True: time.sleep(0.1)
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"),
                pre_validation_hooks=[lambda row: wait()])
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=RayEngine())
    manager.start()
    while len(list(pathlib.Path(f"{folder}").glob("worker-*"))) < 2: time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
    """.replace("{folder}", str(tmp_path))
    run_script(tmp_path, run, RAY_ADDRESS=cluster.address)
    assert len(marked(tmp_path)) == 2
    wait_until(lambda: not any(map(psutil.pid_exists, marked(tmp_path))), 30)


# Clusters without room.


def test_shortage_names_what_is_asked_for_and_what_is_free(cluster, tmp_path):
    pipe = waiting_pipe(tmp_path, count=3000, at=1)
    with attempts(RayEngine(cluster.address, num_cpus=2), pipe):
        wait_until(lambda: marked(tmp_path))
        (tmp_path / "two").mkdir()
        other = RayEngine(cluster.address, start_timeout_s=2)
        manager = PipeManager([waiting_pipe(tmp_path / "two")], other)
        with manager:
            assert manager.wait(20)
        assert (
            "an actor needs 1 CPU, and of the cluster's 2 CPUs 0 are free" in manager.report.error
        )
        assert staged(tmp_path / "two") == []


def test_shortage_says_so_when_no_node_is_large_enough(cluster):
    with connected(RayEngine(cluster.address, num_cpus=64, memory=2**30)) as engine:
        assert engine.slots() == 1
        sentence = engine.shortage()
    assert sentence.startswith("an actor needs 64 CPUs and 1,024 MiB of memory, and of the cluster")
    assert sentence.endswith("no node has that much")


def test_slots_are_what_the_nodes_have_room_for(cluster):
    with connected(RayEngine(cluster.address, num_cpus=0.5)) as engine:
        assert engine.slots() == 4
    with connected(RayEngine(cluster.address, max_workers=7)) as engine:
        assert engine.slots() == 7


# Addresses, versions, tokens.


def refusal(engine: RayEngine, limit_s: float = 15) -> str:
    """What the engine says when it cannot connect, in one line and in time."""
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        engine.connect()
    assert time.monotonic() - began < limit_s
    engine.disconnect()
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_connect_says_so_when_nothing_listens(scheme):
    address = f"{scheme}127.0.0.1:{free_ports(1)[0]}"
    assert refusal(RayEngine(address)).startswith(f"there is no Ray cluster at {address}: ")


def test_connect_says_so_when_what_listens_is_no_ray():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = refusal(RayEngine(address))
    assert said.startswith(f"there is no Ray cluster at {address}: ")


def test_connect_says_so_when_a_name_does_not_resolve():
    assert "there is no Ray cluster at no-such-host.invalid:6379" in refusal(
        RayEngine("no-such-host.invalid:6379")
    )


def test_connect_ends_in_time_when_the_address_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        said = refusal(RayEngine(address, start_timeout_s=2), limit_s=5)
    assert "within 2 s" in said


def test_two_engines_share_a_connection_and_the_last_one_closes_it(cluster):
    import ray

    with connected(RayEngine(cluster.address)):
        with connected(RayEngine(cluster.address)) as second:
            assert second.slots() == 2
            assert "is connected to the Ray cluster" in refusal(RayEngine("127.0.0.1:1"))
        assert ray.is_initialized()
    assert not ray.is_initialized()


def test_forked_process_is_refused_when_its_parent_uses_ray(cluster):
    reading, writing = os.pipe()
    with connected(RayEngine(cluster.address)):
        child = os.fork()
        if child == 0:
            try:
                RayEngine(cluster.address).connect()
            except EngineError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            assert "this process was forked from one that uses Ray" in pipe.read()
        os.waitpid(child, 0)


def test_survey_asks_every_node(cluster):
    import ray

    ((host, answer),) = RayEngine(cluster.address).survey(os.getppid)
    assert host == "127.0.0.1"
    assert psutil.Process(answer).name() == "raylet"
    ((_, answer),) = RayEngine(cluster.address).survey(partial(int, "x"))
    assert answer == "ValueError: invalid literal for int() with base 10: 'x'"
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def guarded_cluster() -> Iterator[RayCluster]:
    with ray_cluster(cpus=1, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as found:
        yield found


def test_run_joins_when_the_environment_has_the_token(guarded_cluster, tmp_path):
    access = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    done = run_script(tmp_path, RAY_ADDRESS=guarded_cluster.address, **access)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json_lines(tmp_path / "out.jsonl") == shouted(2000)


def test_token_is_read_when_ray_was_imported_before_it_was_set(guarded_cluster, monkeypatch):
    import ray

    assert not ray.is_initialized()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    with connected(RayEngine(guarded_cluster.address)) as engine:
        assert engine.slots() == 1


@pytest.mark.parametrize("scheme", ["", "ray://"])
@pytest.mark.parametrize("token", [None, "f" * 64])
def test_connect_is_refused_when_the_token_is_missing_or_wrong(
    guarded_cluster, monkeypatch, scheme, token
):
    address = guarded_cluster.client_address if scheme else guarded_cluster.address
    monkeypatch.setenv("RAY_AUTH_MODE", "token" if token else "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", token or "")
    said = refusal(RayEngine(address))
    assert f"the Ray cluster at {address} refuses this driver" in said
    assert "RAY_AUTH_TOKEN_PATH" in said
    assert TOKEN not in said


def mark_and_match(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    match_for_ever()


def test_worker_that_says_nothing_is_ended_when_records_have_a_limit(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(watch, "_SILENT_S", 1.0)
    mark = tmp_path / "mark"
    pipe = faulty_pipe(tmp_path, partial(mark_and_match, mark))
    manager = PipeManager(
        [pipe],
        RayEngine(cluster.address, max_workers=1),
        retries=RetryPolicy(max_attempts=1),
        record_timeout_s=1.0,
    )
    with pytest.raises(RunFailed, match="has said nothing for"):
        manager.run()
    wait_until(lambda: not psutil.pid_exists(int(mark.read_text())))
    assert staged(tmp_path) == []
