"""`MultiProcessEngine`: workers that die, start methods, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from local_runs import (
    Fault,
    items,
    items_pipe,
    kill_self,
    python,
    script_file,
    staged,
    wait_until,
    workers,
    write_items,
)
from oracle import json_lines

from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    JSONOutputAdapter,
    MultiProcessEngine,
    MultiThreadExecutor,
    Pipe,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_engine_is_refused_when_max_workers_is_no_count(value):
    with pytest.raises(DeclarationError, match="max_workers"):
        MultiProcessEngine(max_workers=value)


def test_engine_is_refused_when_the_start_method_is_unknown():
    with pytest.raises(DeclarationError, match="start_method must be one of"):
        MultiProcessEngine(start_method="thread")


def test_engine_has_a_slot_for_each_cpu_when_not_told_otherwise():
    assert MultiProcessEngine().slots() == len(os.sched_getaffinity(0))


# Workers that die.


ONCE = RetryPolicy(max_attempts=1)


def run_with_fault(tmp_path, fault, at=3000, shards=4):
    """A sharded pipe with a fault on a row of its third shard, and its manager after the run."""
    (tmp_path / "out.jsonl").write_text("old\n")
    (tmp_path / "bad.jsonl").write_text("old rejects\n")
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 5000, bad=(1, 2)),
        tmp_path / "out.jsonl",
        pre_validation_hooks=[Fault(at, fault)],
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
    )
    manager = PipeManager.parallelize_pipe(pipe, shards, retries=ONCE)
    with pytest.raises(RunFailed) as raised:
        manager.run()
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert (tmp_path / "bad.jsonl").read_text() == "old rejects\n"
    assert staged(tmp_path) == []
    assert workers() == []
    return manager, str(raised.value)


def test_run_names_shard_and_signal_when_a_worker_is_killed(tmp_path):
    manager, sentence = run_with_fault(tmp_path, kill_self)
    assert "shard 3 of 4" in sentence
    assert "SIGKILL" in sentence
    report = manager.get_pipe_report(0)
    assert (report.status, report.has_error, report.is_alive, report.is_finished) == (
        PipeStatus.FAILED,
        True,
        False,
        True,
    )
    assert report.error in sentence
    assert report.total_processed > 0


def test_run_names_the_exit_code_when_a_worker_exits(tmp_path):
    _, sentence = run_with_fault(tmp_path, lambda: os._exit(3))
    assert "shard 3 of 4" in sentence
    assert "exit code 3" in sentence


def test_run_says_so_when_a_hook_calls_sys_exit(tmp_path):
    _, sentence = run_with_fault(tmp_path, lambda: sys.exit(5))
    assert "SystemExit was raised, by a hook or a validator" in sentence


def test_run_names_the_hook_when_it_raises(tmp_path):
    def divide():
        return 1 / 0

    _, sentence = run_with_fault(tmp_path, divide)
    assert "shard 3 of 4" in sentence
    assert "Fault raised ZeroDivisionError" in sentence


def test_other_pipes_finish_when_a_worker_is_killed(tmp_path):
    source = write_items(tmp_path / "in.csv", 50)
    given = [items_pipe(source, tmp_path / f"out{number}.jsonl") for number in range(6)]
    given[2] = items_pipe(
        source, tmp_path / "out2.jsonl", pre_validation_hooks=[Fault(7, kill_self)]
    )
    manager = PipeManager(given, MultiProcessEngine(max_workers=2), ONCE)
    with pytest.raises(RunFailed, match=r"pipe 2, shard 1 of 1.*SIGKILL"):
        manager.run()
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [
        f"out{number}.jsonl" for number in (0, 1, 3, 4, 5)
    ]
    assert json_lines(tmp_path / "out5.jsonl") == items(50)
    assert staged(tmp_path) == []


def test_run_ends_when_a_worker_is_killed_from_outside(tmp_path):
    source = write_items(tmp_path / "in.csv", 10)
    blocked = threading.Event()
    pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[Fault(1, blocked.wait)])
    with PipeManager([pipe], retries=ONCE) as manager:
        wait_until(workers)
        workers()[0].kill()
        assert manager.wait(10)
    assert "SIGKILL" in manager.report.error


def test_result_larger_than_a_pipe_buffer_arrives(tmp_path):
    # A reason of its own for each of some thousand columns: several hundred KiB of summary.
    names = [f"a_rather_long_column_name_{'x' * 40}_{number}" for number in range(6000)]
    (tmp_path / "in.csv").write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")

    from pydantic import create_model

    model = create_model("Wide", **{f"missing_{name}": (int, ...) for name in names})
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "in.csv"), JSONOutputAdapter(tmp_path / "o"), schema_model=model
    )
    report = PipeManager([pipe]).run()
    assert report.error_count == 1
    assert len(report.error_summary) == len(names)


def test_run_ends_when_a_hook_leaves_a_thread_running(tmp_path):
    class Leaves(Fault):
        def setup(self, store):
            threading.Thread(target=threading.Event().wait, daemon=False).start()

    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 3),
        tmp_path / "out.jsonl",
        pre_validation_hooks=[Leaves(99, kill_self)],
    )
    manager = PipeManager([pipe])
    manager.start()
    assert manager.wait(10)
    assert manager.report.success_count == 3
    assert workers() == []


def test_pipe_that_does_not_pickle_fails_alone_when_processes_are_spawned(tmp_path):
    lock = threading.Lock()
    source = write_items(tmp_path / "in.csv", 3)
    model = {"schema_model": None}
    given = [
        items_pipe(
            source, tmp_path / "a.jsonl", post_validation_hooks=[lambda r: lock and r], **model
        ),
        items_pipe(source, tmp_path / "b.jsonl", **model),
    ]
    manager = PipeManager(given, MultiProcessEngine(start_method="spawn"))
    with pytest.raises(RunFailed, match=r"pipe 0.*does not pickle"):
        manager.run()
    assert manager.get_pipe_report(1).status is PipeStatus.COMPLETED


def test_error_of_a_local_class_arrives_as_its_sentence(tmp_path):
    from zoopipe import ZooPipeError

    class OwnError(ZooPipeError):
        def __init__(self, message):
            super().__init__(message)

    class Own(JSONOutputAdapter):
        def open_part(self, file, schema, leads):
            raise OwnError("no part for you")

    pipe = Pipe(CSVInputAdapter(write_items(tmp_path / "in.csv", 3)), Own(tmp_path / "o.jsonl"))
    with pytest.raises(RunFailed, match="shard 1 of 1: no part for you"):
        PipeManager([pipe]).run()


# Start methods, as a user's own script.

SCRIPT = """
import sys
from pydantic import BaseModel
from zoopipe import (BaseHook, CSVInputAdapter, JSONOutputAdapter, MultiProcessEngine,
                     MultiThreadExecutor, Pipe, PipeManager)

class User(BaseModel):
    id: int
    name: str

class Count(BaseHook):
    def execute(self, entries, store):
        for entry in entries:
            entry["validated_data"]["position"] = entry["position"]
        return entries

def double(row):
    return {{**row, "twice": row["id"] * 2}}

def main():
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"), schema_model=User,
                post_validation_hooks=[double, Count()], executor=MultiThreadExecutor(2))
    manager = PipeManager.parallelize_pipe(
        pipe, workers=3, engine=MultiProcessEngine(2, start_method={method!r}))
    report = manager.run()
    assert report.success_count == 200, report

{call}
"""
GUARDED = "if __name__ == '__main__':\n    main()"


@pytest.mark.parametrize(
    ("method", "call"),
    [(None, "main()"), ("fork", GUARDED), ("forkserver", GUARDED), ("spawn", GUARDED)],
)
def test_script_with_its_own_model_and_hooks_runs(tmp_path, method, call):
    write_items(tmp_path / "in.csv", 200)
    done = python(SCRIPT.format(method=method, call=call), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json_lines(tmp_path / "out.jsonl") == [
        {**row, "twice": row["id"] * 2, "position": row["id"] - 1} for row in items(200)
    ]


def test_spawned_script_says_what_it_needs_when_it_has_no_guard(tmp_path):
    write_items(tmp_path / "in.csv", 200)
    done = python(SCRIPT.format(method="spawn", call="main()"), tmp_path)
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert staged(tmp_path) == []


def test_threads_inside_forked_workers_run_when_the_parent_has_threads(tmp_path):
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            json.dumps(list(range(100)))

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        pipe = items_pipe(write_items(tmp_path / "in.csv", 30_000), tmp_path / "out.jsonl")
        pipe.run()  # Arrow's own threads exist in the parent from here on.
        manager = PipeManager.parallelize_pipe(pipe, 4, executor=MultiThreadExecutor(3))
        manager.start()
        assert manager.wait(60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert json_lines(tmp_path / "out.jsonl") == items(30_000)


# Signals.

BLOCKED = """
import os, pathlib, sys, threading
from zoopipe import CSVInputAdapter, JSONOutputAdapter, MultiProcessEngine, Pipe, PipeManager

def block(row):
    pathlib.Path(f"worker-{{os.getpid()}}").touch()
    threading.Event().wait()

if __name__ == "__main__":
    pipes = [Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter(f"out{{i}}.jsonl"),
                  pre_validation_hooks=[block]) for i in range(2)]
    manager = PipeManager(pipes, MultiProcessEngine(2, {method!r}))
    {run}
"""


def started(tmp_path, method="fork", run="manager.run()"):
    """A script whose two workers have come to a hook that blocks, and the workers' ids."""
    write_items(tmp_path / "in.csv", 3)
    (tmp_path / "out0.jsonl").write_text("old\n")
    script = script_file(BLOCKED.format(method=method, run=run), tmp_path)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(list(tmp_path.glob("worker-*"))) == 2)
    return process, [int(path.name.split("-")[1]) for path in tmp_path.glob("worker-*")]


def gone(pids):
    return all(
        not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        for pid in pids
    )


@pytest.mark.parametrize(
    ("method", "run", "presses"),
    [
        ("fork", "manager.run()", 2),
        ("forkserver", "manager.run()", 2),
        ("spawn", "manager.run()", 2),
        ("fork", "manager.start(); manager.wait()", 1),
    ],
)
def test_ctrl_c_leaves_nothing_behind(tmp_path, method, run, presses):
    process, pids = started(tmp_path, method, run)
    for _ in range(presses):
        os.killpg(process.pid, signal.SIGINT)
        if presses > 1:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)
            presses = 1
    _, errors = process.communicate(timeout=10)
    # Killed by SIGINT is 130 to a shell.
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 or "During handling" in errors
    assert errors.strip().splitlines()[-1].startswith("KeyboardInterrupt")
    assert gone(pids)
    assert staged(tmp_path) == []
    assert (tmp_path / "out0.jsonl").read_text() == "old\n"
    assert not (tmp_path / "out1.jsonl").exists()


def test_ctrl_c_is_130_to_a_shell_and_one_traceback_when_workers_obey(tmp_path):
    write_items(tmp_path / "in.csv", 300_000)
    script_file(
        """
        import pathlib
        from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager

        def slow(row):
            pathlib.Path("running").touch()
            return row

        pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"),
                    pre_validation_hooks=[slow])
        PipeManager.parallelize_pipe(pipe, 2).run()
        """,
        tmp_path,
    )
    process = subprocess.Popen(
        ["sh", "-c", f"trap '' INT; (trap - INT; exec {sys.executable} script.py); echo $?"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=None,
    )
    wait_until((tmp_path / "running").exists)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=10)
    assert errors.count("Traceback") == 1
    assert errors.strip().splitlines()[-1].startswith("KeyboardInterrupt")
    assert out.strip() == "130"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "running", "script.py"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_end_when_the_driver_is_killed(tmp_path, method):
    process, pids = started(tmp_path, method)
    process.kill()
    process.communicate()
    wait_until(lambda: gone(pids), 5)
    assert (tmp_path / "out0.jsonl").read_text() == "old\n"


def test_script_that_ends_without_waiting_leaves_nothing_behind(tmp_path):
    process, pids = started(
        tmp_path,
        run="manager.start()\n    while len(list(pathlib.Path().glob('worker-*'))) < 2: pass",
    )
    process.communicate(timeout=10)
    assert gone(pids)
    assert staged(tmp_path) == []
    assert (tmp_path / "out0.jsonl").read_text() == "old\n"
