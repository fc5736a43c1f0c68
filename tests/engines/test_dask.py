"""`DaskEngine`: real clusters on loopback, workers that die, stops, addresses that are wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from dask_clusters import DaskCluster, dask_cluster, end
from launching import attempts, connected, ends
from local_runs import (
    Fault,
    items,
    items_pipe,
    kill_self,
    match_for_ever,
    python,
    staged,
    wait_until,
    workers,
    write_items,
)
from oracle import json_lines

from zoopipe import (
    DaskEngine,
    DeclarationError,
    EngineError,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
    RunStopped,
)
from zoopipe.runtime import watch
from zoopipe.runtime.engine import Attempt, Done, Lost, Raised

# Two workers with nannies serve most tests; what breaks a cluster has one of its own.


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
        yield found


def launched(
    engine: DaskEngine, pipe: Pipe, shards: int = 1
) -> AbstractContextManager[list[Attempt]]:
    """Attempts at a pipe's shards, each on a worker that is there: the engine places them at once."""
    return attempts(engine, pipe, shards, least_slots=shards)


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No test makes the driver print."""
    yield
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


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


# Options.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"max_workers": 0}, "max_workers must be a whole number from 1"),
        ({"start_timeout_s": 0}, "start_timeout_s must be a number above 0"),
        ({"start_timeout_s": float("nan")}, "start_timeout_s must be a number above 0"),
        ({"resources": {"GPU": -1}}, r"resources\['GPU'\] must be a number above 0"),
        ({"address": ""}, "address must be a text"),
        ({"address": 8786}, "address must be a text"),
        ({"client": "tcp://host:8786"}, "client must be a Dask Client or cluster object"),
        ({"security": "cert.pem"}, "security must be a distributed.Security"),
        ({"address": "tcp://a:1", "scheduler_file": "s.json"}, "address and scheduler_file each"),
    ],
)
def test_engine_is_refused_when_an_option_cannot_be(options, sentence):
    with pytest.raises(DeclarationError, match=sentence):
        DaskEngine(**options)


def test_engine_loads_no_dask_when_it_is_made():
    script = "import sys; from zoopipe import DaskEngine; DaskEngine('tcp://a:1'); "
    script += "print({'dask', 'distributed', 'tornado'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"set()\n", b"")


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


def test_pipe_of_megabytes_is_sent_without_a_warning_and_gives_the_same_bytes(cluster, tmp_path):
    names = {number: f"{number} {'x' * 1000}" for number in range(12_000)}

    def named(row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "name": names[row["id"]][:9]}

    source = write_items(tmp_path / "in.csv", 400)
    pipe = items_pipe(source, tmp_path / "out.jsonl", post_validation_hooks=[named])
    engine = DaskEngine(cluster.address)
    assert PipeManager.parallelize_pipe(pipe, 2, shards=6, engine=engine).run().success_count == 400
    rows = json_lines(tmp_path / "out.jsonl")
    assert rows == [{"id": n, "name": names[n][:9]} for n in range(1, 401)]


SCRIPT = """
import beside
from pydantic import BaseModel
from zoopipe import CSVInputAdapter, DaskEngine, JSONOutputAdapter, Pipe, PipeManager

class User(BaseModel):
    id: int
    name: str

def main():
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"), schema_model=User,
                post_validation_hooks=[beside.double])
    report = PipeManager.parallelize_pipe(pipe, 3, engine=DaskEngine({options})).run()
    assert report.success_count == 200, report

{call}
"""
GUARDED = "if __name__ == '__main__':\n    main()"


def run_user_script(folder: Path, options: str, call: str) -> subprocess.CompletedProcess[str]:
    write_items(folder / "in.csv", 200)
    (folder / "beside.py").write_text(
        "def double(row):\n    return {**row, 'twice': row['id'] * 2}"
    )
    return python(SCRIPT.format(options=options, call=call), folder)


def test_models_of_a_script_and_of_a_module_beside_it_reach_the_workers(cluster, tmp_path):
    done = run_user_script(tmp_path, repr(cluster.address), "main()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wanted = [{**row, "twice": row["id"] * 2} for row in items(200)]
    assert json_lines(tmp_path / "out.jsonl") == wanted


def test_local_run_leaves_no_process_when_it_has_ended(tmp_path):
    source = write_items(tmp_path / "in.csv", 100)
    pipe = items_pipe(source, tmp_path / "out.jsonl")
    before = {process.pid for process in workers()}
    engine = DaskEngine(max_workers=2)
    assert PipeManager.parallelize_pipe(pipe, 2, engine=engine).run().success_count == 100
    assert json_lines(tmp_path / "out.jsonl") == items(100)
    assert {process.pid for process in workers()} <= before
    assert not [thread for thread in threading.enumerate() if "dask-client" in thread.name]


def test_local_run_in_a_script_prints_nothing_when_it_is_guarded(tmp_path):
    done = run_user_script(tmp_path, "max_workers=2", GUARDED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_script_says_what_it_needs_when_it_starts_local_workers_without_a_guard(tmp_path):
    done = run_user_script(tmp_path, "max_workers=1, start_timeout_s=20", "main()")
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert staged(tmp_path) == []


ENDS_EARLY = """
import os, pathlib, sys, threading
from zoopipe import CSVInputAdapter, DaskEngine, JSONOutputAdapter, Pipe, PipeManager

def block(row):
    pathlib.Path(f"worker-{os.getpid()}").touch()
    threading.Event().wait()

if __name__ == "__main__":
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"),
                pre_validation_hooks=[block])
    PipeManager([pipe], DaskEngine(max_workers=1)).start()
    while WAITS and not list(pathlib.Path().glob("worker-*")):
        pass
"""


@pytest.mark.parametrize("waits", [True, False])
def test_script_that_ends_without_waiting_leaves_nothing_and_prints_nothing(tmp_path, waits):
    write_items(tmp_path / "in.csv", 3)
    done = python(ENDS_EARLY.replace("WAITS", str(waits)), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for mark in tmp_path.glob("worker-*"):
        assert not psutil.pid_exists(int(mark.name.split("-")[1]))
    assert staged(tmp_path) == []
    assert not (tmp_path / "out.jsonl").exists()


# What is joined.


@pytest.mark.parametrize("given", ["client", "cluster"])
def test_cluster_of_the_caller_is_used_and_left_running(tmp_path, given):
    from distributed import Client, LocalCluster

    source = write_items(tmp_path / "in.csv", 100)
    pipe = items_pipe(source, tmp_path / "out.jsonl")
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        engine = DaskEngine(client=client if given == "client" else cluster)
        assert PipeManager.parallelize_pipe(pipe, 2, engine=engine).run().success_count == 100
        assert client.submit(sum, [1, 2]).result(10) == 3
    with pytest.raises(EngineError, match="is not connected"):
        engine.connect()


def test_address_in_the_environment_is_joined(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", cluster.address)
    before = workers()
    with connected(DaskEngine(max_workers=1)) as engine:
        assert engine.slots() == 1
        assert workers() == before


def test_scheduler_file_is_read_when_it_is_given(cluster):
    with connected(DaskEngine(scheduler_file=cluster.scheduler_file)) as engine:
        wait_until(lambda: engine.slots() == 2)


def test_connect_names_the_scheduler_file_when_it_does_not_come(tmp_path):
    with pytest.raises(EngineError, match=f"file {tmp_path / 'no.json'} holds no address"):
        DaskEngine(scheduler_file=tmp_path / "no.json", start_timeout_s=0.5).connect()


def refused(engine: DaskEngine, limit_s: float) -> str:
    """The one sentence with which joining fails, in time."""
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        engine.connect()
    assert time.monotonic() - began < limit_s
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_connect_names_the_address_when_nobody_listens(free_port):
    sentence = refused(DaskEngine(f"tcp://127.0.0.1:{free_port}", start_timeout_s=1), 5)
    assert sentence.startswith(f"no Dask scheduler answers at tcp://127.0.0.1:{free_port}")
    assert "within 1 s" in sentence


def test_connect_names_the_address_when_it_is_of_another_kind():
    assert "gopher://x:1" in refused(DaskEngine("gopher://x:1", start_timeout_s=1), 5)


def test_connect_ends_in_time_when_another_service_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert address in refused(DaskEngine(address, start_timeout_s=1), 8)


def test_connect_names_the_versions_when_the_schedulers_differ(cluster, monkeypatch):
    import distributed.versions

    real = distributed.versions._version_cached
    old = {"distributed": "2020.1.0"}
    monkeypatch.setattr(
        distributed.versions, "_version_cached", lambda name: old.get(name) or real(name)
    )
    assert (
        f"the Dask scheduler at {cluster.address} has distributed {real('distributed')} (the driver "
        "has 2020.1.0): install the same versions everywhere"
    ) == refused(DaskEngine(cluster.address), 20)


def test_run_names_resources_when_no_worker_has_them(cluster, tmp_path):
    engine = DaskEngine(cluster.address, resources={"GPU": 2}, start_timeout_s=0.5)
    sentence = refused(engine, 10)
    assert "of the 2 workers" in sentence
    assert 'dask worker --resources "GPU=2"' in sentence


def test_survey_asks_each_host_once(cluster):
    answers = DaskEngine(cluster.address).survey(os.getppid)
    assert [host for host, _ in answers] == ["127.0.0.1"]
    assert psutil.pid_exists(int(answers[0][1]))
    assert DaskEngine(cluster.address).survey(partial(divmod, 1, 0)) == [
        ("127.0.0.1", "ZeroDivisionError: integer division or modulo by zero")
    ]
    slow = DaskEngine(cluster.address, start_timeout_s=1).survey(partial(time.sleep, 3))
    assert [answer.endswith("does not answer within 1 s") for _, answer in slow] == [True]


# Workers that come, die and stop.


def test_attempt_is_lost_with_host_and_process_when_its_worker_is_killed(cluster, tmp_path):
    pipe = blocked_pipe(tmp_path, kill_self)
    engine = DaskEngine(cluster.address)
    with launched(engine, pipe) as [attempt]:
        (end_,) = ends(engine).values()
        pid = attempt.progress.pid
        assert end_ == Lost(
            f"its worker on 127.0.0.1 (process {pid}) was lost: it died, or cannot be reached", True
        )
        # Its nanny starts another one, which is used.
        wait_until(lambda: engine.slots() == 2)
    assert attempt.progress.host == "127.0.0.1"


def test_attempt_is_lost_when_dask_retires_its_worker(cluster, tmp_path):
    from distributed import Client

    mark, go = tmp_path / "mark", tmp_path / "go"
    pipe = blocked_pipe(tmp_path, partial(mark_and_wait, mark, go))
    engine = DaskEngine(cluster.address)
    started = cluster.start_worker("--resources", "retired=1")
    engine = DaskEngine(cluster.address, resources={"retired": 1})
    with launched(engine, pipe) as [attempt]:
        wait_until(mark.exists)
        with Client(cluster.address, set_as_default=False) as client:
            client.retire_workers([attempt.place.address])
        (end_,) = ends(engine).values()
        go.touch()
    assert isinstance(end_, Lost)
    assert end_.reason.endswith("was lost: Dask closed it")
    assert started.wait(20) == 0


def test_attempt_goes_on_when_dask_pauses_its_worker(tmp_path):
    from distributed import Client

    def pause(dask_worker: Any) -> None:
        dask_worker.status = type(dask_worker.status).paused

    mark, go = tmp_path / "mark", tmp_path / "go"
    pipe = blocked_pipe(tmp_path, partial(mark_and_wait, mark, go))
    # Without a limit nobody looks at its memory, and it stays as it is told.
    with dask_cluster(tmp_path / "dask", 1, ["--no-nanny", "--memory-limit", "0"]) as cluster:
        engine = DaskEngine(cluster.address)
        with launched(engine, pipe) as [attempt]:
            wait_until(mark.exists)
            with Client(cluster.address, set_as_default=False) as client:
                client.run(pause)
            # A worker that joins makes the driver look at all of them.
            cluster.start_worker("--no-nanny")
            wait_until(lambda: engine.slots() == 2)
            assert engine.launch(attempt.task).place != attempt.place
            go.touch()
            assert all(isinstance(end_, Done) for end_ in ends(engine, 2).values())


def test_attempt_ends_as_stopped_when_it_is_asked_to(cluster, tmp_path):
    mark, go = tmp_path / "mark", tmp_path / "go"
    pipe = blocked_pipe(tmp_path, partial(mark_and_wait, mark, go), count=60_000)
    engine = DaskEngine(cluster.address)
    with launched(engine, pipe) as [attempt]:
        wait_until(mark.exists)
        asked = cluster.log().count("function 'stop'")
        attempt.ask_to_stop()
        wait_until(lambda: cluster.log().count("function 'stop'") > asked)
        go.touch()
        (end_,) = ends(engine).values()
    assert isinstance(end_, Raised)
    assert isinstance(end_.error, RunStopped)


def test_worker_is_restarted_when_an_attempt_that_is_killed_does_not_stop(cluster, tmp_path):
    mark = tmp_path / "mark"
    engine = DaskEngine(cluster.address)
    with launched(engine, blocked_pipe(tmp_path, partial(mark_and_block, mark))) as [attempt]:
        wait_until(mark.exists)
        attempt.kill()
        (end_,) = ends(engine, limit_s=2).values()
        assert isinstance(end_, Lost)
        assert end_.reason == (
            f"its worker on 127.0.0.1 (process {attempt.progress.pid}) was given up and restarted"
        )
        wait_until(lambda: not psutil.pid_exists(int(mark.read_text())), 5)
        wait_until(lambda: engine.slots() == 2)


def test_thread_is_left_behind_when_a_worker_has_no_nanny(tmp_path):
    mark = tmp_path / "mark"
    with dask_cluster(tmp_path / "dask", 1, ["--no-nanny", "--nthreads", "2"]) as cluster:
        engine = DaskEngine(cluster.address)
        with launched(engine, blocked_pipe(tmp_path, partial(mark_and_block, mark))) as [attempt]:
            wait_until(mark.exists)
            assert engine.slots() == 2
            attempt.kill()
            (end_,) = ends(engine, limit_s=2).values()
            assert isinstance(end_, Lost)
            assert end_.reason.endswith("was given up, and its thread was left behind")
            # The worker and its other thread are there.
            assert engine.slots() == 1
            assert psutil.pid_exists(int(mark.read_text()))


def test_worker_that_joins_late_is_used(tmp_path):
    gates = tmp_path / "gates"
    gates.mkdir()

    def gate() -> None:
        (gates / str(os.getpid())).touch()
        while not (gates / "go").exists():
            time.sleep(0.01)

    with dask_cluster(tmp_path / "dask", 1, ["--no-nanny"]) as cluster:
        source = write_items(tmp_path / "in.csv", 4)
        pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[Each(gate)])
        manager = PipeManager.parallelize_pipe(pipe, 2, engine=DaskEngine(cluster.address))
        with manager:
            wait_until(lambda: len(list(gates.iterdir())) == 1)
            cluster.start_worker("--no-nanny")
            wait_until(lambda: len(list(gates.iterdir())) == 2)
            (gates / "go").touch()
        assert manager.report.success_count == 4


class Each(Fault):
    """Acts in every batch."""

    def __init__(self, fault: Callable[[], object]) -> None:
        super().__init__(0, fault)

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        self.fault()
        return entries


def test_attempts_run_only_where_their_resources_are(tmp_path):
    with dask_cluster(tmp_path / "dask", 0) as cluster:
        cluster.start_worker("--no-nanny")
        special = cluster.start_worker("--no-nanny", "--nthreads", "4", "--resources", "GPU=2")
        pids = tmp_path / "pids"
        pids.mkdir()
        source = write_items(tmp_path / "in.csv", 40)
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[Each(lambda: (pids / str(os.getpid())).touch())],
        )
        engine = DaskEngine(cluster.address, resources={"GPU": 1})
        assert PipeManager.parallelize_pipe(pipe, 4, engine=engine).run().success_count == 40
        assert [int(path.name) for path in pids.iterdir()] == [special.pid]
        with connected(engine):
            assert engine.slots() == 2


def test_connect_says_that_a_cluster_is_empty_when_it_has_no_workers(tmp_path):
    with dask_cluster(tmp_path / "dask", 0) as cluster:
        sentence = refused(DaskEngine(cluster.address, start_timeout_s=1), 5)
        assert sentence == (
            f"the Dask cluster at {cluster.address} has no workers: start some, as with "
            f"`dask worker {cluster.address}`"
        )
        # A worker that comes in time is waited for.
        later = threading.Thread(target=cluster.start_worker)
        later.start()
        with connected(DaskEngine(cluster.address)) as engine:
            assert engine.slots() == 1
        later.join()


def test_run_fails_with_one_sentence_when_the_scheduler_dies(tmp_path):
    mark = tmp_path / "mark"
    with dask_cluster(tmp_path / "dask", 1) as cluster:
        address = cluster.address
        pipe = blocked_pipe(tmp_path, partial(mark_and_block, mark))
        manager = PipeManager([pipe], DaskEngine(address))
        manager.start()
        wait_until(mark.exists)
        end(cluster.processes[0])
        assert manager.wait(20)
        # The worker ends, too: nobody waits for it.
        wait_until(lambda: not psutil.pid_exists(int(mark.read_text())), 30)
    assert manager.report.status is PipeStatus.FAILED
    assert manager.report.error == f"the connection to the Dask scheduler at {address} was lost"
    assert staged(tmp_path) == []


# TLS.


def certificate(folder: Path, name: str) -> dict[str, str]:
    """A certificate that only itself trusts, as `distributed.Security` is given it."""
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    asked = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout"
    subprocess.run(
        ["openssl", *asked.split(), str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return {
        "tls_ca_file": str(cert),
        "tls_client_cert": str(cert),
        "tls_client_key": str(key),
    }


def test_tls_cluster_is_joined_with_certificates_and_refuses_others(tmp_path):
    from distributed import Security

    ours = certificate(tmp_path, "ours")
    options = ["--protocol", "tls", "--tls-ca-file", ours["tls_ca_file"]]
    options += ["--tls-cert", ours["tls_client_cert"], "--tls-key", ours["tls_client_key"]]
    with dask_cluster(tmp_path / "dask", 1, options=options) as cluster:
        address = cluster.address
        assert address.startswith("tls://")
        source = write_items(tmp_path / "in.csv", 50)
        pipe = items_pipe(source, tmp_path / "out.jsonl")
        engine = DaskEngine(address, security=Security(**ours, require_encryption=True))
        assert PipeManager.parallelize_pipe(pipe, 2, engine=engine).run().success_count == 50
        theirs = certificate(tmp_path, "theirs")
        # The scheduler's certificate is trusted, but not the driver's.
        stranger = Security(**{**theirs, "tls_ca_file": ours["tls_ca_file"]})
        for security in (None, Security(**theirs), stranger):
            sentence = refused(DaskEngine(address, security=security, start_timeout_s=3), 10)
            assert "do not agree on TLS" in sentence, sentence
            assert "security=distributed.Security(" in sentence
        plain = address.replace("tls://", "tcp://")
        assert "tls://" in refused(DaskEngine(plain, start_timeout_s=1), 8)


def mark_and_match(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    match_for_ever()


def test_worker_that_says_nothing_is_ended_when_records_have_a_limit(
    cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(watch, "_SILENT_S", 1.0)
    mark = tmp_path / "mark"
    pipe = blocked_pipe(tmp_path, partial(mark_and_match, mark))
    manager = PipeManager(
        [pipe],
        DaskEngine(cluster.address),
        retries=RetryPolicy(max_attempts=1),
        record_timeout_s=1.0,
    )
    with pytest.raises(RunFailed, match="has said nothing for"):
        manager.run()
    wait_until(lambda: not psutil.pid_exists(int(mark.read_text())))
    assert staged(tmp_path) == []
