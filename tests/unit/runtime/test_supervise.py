"""The supervisor on a scripted engine: seams, ends in any order, engines that fail."""

from __future__ import annotations

import queue
import threading
from collections import deque

import pytest
from local_runs import items, items_pipe, staged, wait_until, write_items
from oracle import json_lines

from zoopipe import (
    BaseEngine,
    OutputError,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
    ZooPipeError,
)
from zoopipe.runtime.engine import Attempt, Done, Lost
from zoopipe.runtime.parcel import run_here
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import run_task
from zoopipe.storage import staging as staging_module


class ScriptedAttempt(Attempt):
    def __init__(self, task):
        self.task, self.progress = task, Progress()

    def kill(self):
        pass


class ScriptedEngine(BaseEngine):
    """Runs attempts in the supervisor's thread; ends come in reverse order, all at once.

    Args:
        script: (shard, attempt) and what happens instead of running it.
        connects: raised by `connect`.
    """

    def __init__(self, script=None, connects=None):
        self.script, self.connects = script or {}, connects
        self.waiting, self.launched, self.left = deque(), [], 0

    def connect(self):
        if self.connects:
            raise self.connects

    def slots(self):
        return 100

    def launch(self, task):
        self.launched.append((task.shard.index, task.attempt))
        fault = self.script.get((task.shard.index, task.attempt))
        if isinstance(fault, Exception):
            raise fault
        attempt = ScriptedAttempt(task)
        end = fault if isinstance(fault, Lost) else Done(run_task(task, attempt.progress))
        self.waiting.appendleft((attempt, end))
        return attempt

    def ended(self, timeout_s):
        ends = list(self.waiting)
        self.waiting.clear()
        return ends

    def disconnect(self):
        self.left += 1


def manager_of(tmp_path, engine, shards=4, retries=None, **options):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 400), tmp_path / "out.jsonl", **options)
    return PipeManager.parallelize_pipe(pipe, shards, engine=engine, retries=retries)


def test_rows_are_in_input_order_when_ends_come_in_reverse(tmp_path):
    engine = ScriptedEngine()
    manager_of(tmp_path, engine).run()
    assert json_lines(tmp_path / "out.jsonl") == items(400)
    assert engine.left == 1


def test_shard_is_run_again_when_it_began_at_a_wrong_place(tmp_path):
    # Each record spans lines that look like records: a cut inside one is guessed wrongly.
    quoted = "\n".join(f"{number},x" for number in range(2000))
    rows = [(str(number), quoted) for number in range(1, 7)]
    text = "id,name\n" + "".join(f'{number},"{name}"\n' for number, name in rows)
    (tmp_path / "in.csv").write_text(text)
    engine = ScriptedEngine()
    pipe = items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl")
    report = PipeManager.parallelize_pipe(pipe, 5, engine=engine).run()
    assert [(str(r["id"]), r["name"]) for r in json_lines(tmp_path / "out.jsonl")] == rows
    assert report.total_processed == 6
    assert len(engine.launched) > 5


def test_max_errors_forgives_what_a_shard_rejects_that_began_at_a_wrong_place(tmp_path):
    # Read from inside the quotes, a record is thousands of lines that do not validate.
    quoted = "\n".join(f"x{number},y" for number in range(2000))
    text = "id,name\n" + "".join(f'{number},"{quoted}"\n' for number in range(1, 7))
    (tmp_path / "in.csv").write_text(text)
    engine = ScriptedEngine()
    pipe = items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl", max_errors=0)
    report = PipeManager.parallelize_pipe(pipe, 5, engine=engine).run()
    assert (report.success_count, report.error_count) == (6, 0)
    assert len(engine.launched) > 5


@pytest.mark.parametrize("error", [ZooPipeError("no worker"), MemoryError("no worker")])
def test_pipe_fails_when_an_attempt_cannot_be_launched(tmp_path, error):
    engine = ScriptedEngine({(2, 1): error})
    manager = manager_of(tmp_path, engine)
    with pytest.raises(RunFailed, match="no worker"):
        manager.run()
    assert engine.left == 1
    assert staged(tmp_path) == []
    assert not (tmp_path / "out.jsonl").exists()


def test_pipe_fails_once_when_many_workers_are_lost(tmp_path):
    engine = ScriptedEngine({(number, 1): Lost("fell over") for number in range(4)})
    manager = manager_of(tmp_path, engine, retries=RetryPolicy(max_attempts=1))
    with pytest.raises(RunFailed, match="shard 4 of 4: fell over"):
        manager.run()
    assert manager.get_pipe_report(0).status is PipeStatus.FAILED


@pytest.mark.parametrize("error", [ZooPipeError("no cluster"), KeyError("no cluster")])
def test_run_ends_when_the_engine_cannot_connect(tmp_path, error):
    manager = manager_of(tmp_path, ScriptedEngine(connects=error))
    with pytest.raises(RunFailed, match="no cluster"):
        manager.run()
    assert not manager.is_running
    assert staged(tmp_path) == []


def test_shutdown_does_not_wait_for_a_cluster_that_does_not_answer(tmp_path):
    answers = threading.Event()

    class Slow(ScriptedEngine):
        def connect(self):
            assert answers.wait(20)

    engine = Slow()
    manager = manager_of(tmp_path, engine)
    manager.start()
    manager.shutdown(0.1)
    assert manager.report.status is PipeStatus.ABORTED
    assert staged(tmp_path) == []
    # What was joined too late is left.
    assert engine.left == 0
    answers.set()
    wait_until(lambda: engine.left == 1)


def test_engine_runs_again_after_a_failed_run(tmp_path):
    engine = ScriptedEngine({(0, 1): Lost("fell over")})
    manager = manager_of(tmp_path, engine, retries=RetryPolicy(max_attempts=1))
    with pytest.raises(RunFailed):
        manager.run()
    engine.script.clear()
    assert manager.run().success_count == 400


def test_one_engine_refuses_two_runs_at_once(tmp_path):
    gate = threading.Event()

    class Gated(ScriptedEngine):
        def ended(self, timeout_s):
            return super().ended(timeout_s) if gate.wait(timeout_s) else []

    engine = Gated()
    first = manager_of(tmp_path, engine)
    source = write_items(tmp_path / "b.csv", 3)
    second = PipeManager([items_pipe(source, tmp_path / "b.jsonl")], engine)
    with first:
        with pytest.raises(RuntimeError, match="already running"):
            second.start()
        gate.set()
    assert json_lines(tmp_path / "out.jsonl") == items(400)
    assert staged(tmp_path) == []


# Workers that are few, late, or not there.


class Threads(ScriptedEngine):
    """Runs each attempt in a thread, once its gate is open.

    Args:
        room: what `slots` says, one after the other, the last again and again.
        begins: whether attempts ever begin.
    """

    def __init__(self, room=(100,), begins=True):
        super().__init__()
        self.room, self.begins = deque(room), begins
        self.gate = threading.Event()
        self.running, self.most_at_once, self.released = 0, 0, 0
        self.over = queue.SimpleQueue()

    def slots(self):
        return self.room.popleft() if len(self.room) > 1 else self.room[0]

    def release_idle(self):
        self.released += 1

    def launch(self, task):
        self.launched.append((task.shard.index, task.attempt))
        attempt = ScriptedAttempt(task)
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        if self.begins:
            attempt.progress.begin(1)

        def work():
            self.gate.wait()
            self.over.put((attempt, run_here(task, attempt.progress)))

        threading.Thread(target=work, daemon=True).start()
        return attempt

    def ended(self, timeout_s):
        try:
            over = [self.over.get(timeout=timeout_s)]
        except queue.Empty:
            return []
        self.running -= len(over)
        return over

    def shortage(self):
        return "2 CPUs are asked for, there are 0"


@pytest.mark.parametrize("engine", [Threads(room=(0,)), Threads(begins=False)])
def test_run_fails_when_no_worker_begins_in_time(tmp_path, engine):
    engine.start_timeout_s = 0.3
    manager = manager_of(tmp_path, engine)
    manager.start()
    wait_until(lambda: "failed" in manager.report.status.value or manager.report.has_error)
    engine.gate.set()
    assert manager.wait(20)
    assert "no worker has begun for 0 s: 2 CPUs are asked for, there are 0" in manager.report.error
    assert staged(tmp_path) == []


def test_no_more_attempts_than_workers_run_at_once(tmp_path):
    engine = Threads()
    engine.gate.set()
    pipe = items_pipe(write_items(tmp_path / "in.csv", 400), tmp_path / "out.jsonl")
    PipeManager.parallelize_pipe(pipe, workers=2, shards=9, engine=engine).run()
    assert json_lines(tmp_path / "out.jsonl") == items(400)
    assert len(engine.launched) == 9
    assert engine.most_at_once == 2
    assert engine.released > 0


def test_workers_that_join_late_are_used(tmp_path):
    engine = Threads(room=(0, 0, 1, 1, 3))
    pipe = items_pipe(write_items(tmp_path / "in.csv", 400), tmp_path / "out.jsonl")
    manager = PipeManager.parallelize_pipe(pipe, workers=9, engine=engine)
    with manager:
        wait_until(lambda: len(manager.get_pipe_report(0).workers) == 3)
        assert engine.running == 3
        assert engine.released == 0
        engine.gate.set()
        assert manager.wait(20)
    assert json_lines(tmp_path / "out.jsonl") == items(400)


# Publishing, while others run.


@pytest.fixture
def held_publish(monkeypatch):
    """Publishing that waits until the event is set; the targets that wait, in `.waiting`."""
    held, publish = threading.Event(), staging_module.publish
    held.waiting = []

    def wait_and_publish(staged_file, target):
        held.waiting.append(target.name)
        assert held.wait(20)
        publish(staged_file, target)

    monkeypatch.setattr(staging_module, "publish", wait_and_publish)
    return held


def test_shards_of_others_go_on_while_a_pipe_is_published(tmp_path, held_publish):
    source = write_items(tmp_path / "in.csv", 400)
    pipes = [items_pipe(source, tmp_path / f"{name}.jsonl") for name in "ab"]
    engine = Threads(room=(1,))
    engine.gate.set()
    with PipeManager(pipes, engine) as manager:
        wait_until(lambda: manager.get_pipe_report(1).shards_done == 1)
        wait_until(lambda: held_publish.waiting == ["a.jsonl"])
        assert not manager.get_pipe_report(0).is_finished
        held_publish.set()
        assert manager.wait(20)
    assert [json_lines(tmp_path / f"{name}.jsonl") for name in "ab"] == [items(400)] * 2


def test_pipe_that_is_being_published_is_past_stopping(tmp_path, held_publish):
    engine = Threads()
    engine.gate.set()
    manager = manager_of(tmp_path, engine, shards=2)
    manager.start()
    wait_until(lambda: held_publish.waiting)
    stopping = threading.Thread(target=manager.shutdown, args=(0,))
    stopping.start()
    assert not manager.wait(0.3)
    held_publish.set()
    stopping.join(20)
    assert manager.report.status is PipeStatus.COMPLETED
    assert json_lines(tmp_path / "out.jsonl") == items(400)


def test_pipe_fails_when_it_cannot_be_published(tmp_path, monkeypatch):
    def refuse(staged_file, target):
        raise OutputError(f"cannot write {target}: no")

    monkeypatch.setattr(staging_module, "publish", refuse)
    with pytest.raises(RunFailed, match=r"cannot write .*out.jsonl: no"):
        manager_of(tmp_path, ScriptedEngine()).run()
    assert staged(tmp_path) == []
