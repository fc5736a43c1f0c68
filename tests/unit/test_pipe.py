"""`Pipe`: a declaration that does no I/O, and the simplest way to run it."""

from __future__ import annotations

import os
import pickle
import threading
import time

import pytest
from local_runs import Item, items, items_pipe, staged, wait_until, write_items
from oracle import json_lines

from zoopipe import (
    BaseHook,
    CSVInputAdapter,
    JSONOutputAdapter,
    MultiThreadExecutor,
    Pipe,
    PipeStatus,
    RunFailed,
)
from zoopipe.errors import DeclarationError, InputError


def declared(tmp_path, **options):
    return items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl", **options)


def test_pipe_does_no_io_when_made(tmp_path):
    declared(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("input_adapter", "in.csv"),
        ("output_adapter", "out.jsonl"),
        ("error_output_adapter", "bad.jsonl"),
        ("schema_model", dict),
        ("schema_model", Item(id=1, name="x")),
        ("executor", "threads"),
        ("pre_validation_hooks", [BaseHook]),
        ("post_validation_hooks", ["hook"]),
        ("max_errors", -1),
        ("max_errors", True),
        ("max_errors", "101%"),
        ("max_errors", "many"),
        ("max_errors", 0.5),
    ],
)
def test_pipe_is_refused_when_an_argument_is_of_the_wrong_type(tmp_path, argument, value):
    arguments = {
        "input_adapter": CSVInputAdapter(tmp_path / "in.csv"),
        "output_adapter": JSONOutputAdapter(tmp_path / "out.jsonl"),
    }
    with pytest.raises(DeclarationError, match=argument):
        Pipe(**{**arguments, argument: value})


def test_unknown_option_is_refused(tmp_path):
    with pytest.raises(TypeError):
        declared(tmp_path, worker=3)


def test_pipe_runs_when_pickled_and_read_back(tmp_path):
    write_items(tmp_path / "in.csv", 20)
    pipe = declared(tmp_path)
    pipe.run()
    (tmp_path / "out.jsonl").unlink()
    report = pickle.loads(pickle.dumps(pipe)).run()
    assert report.success_count == 20
    assert json_lines(tmp_path / "out.jsonl") == items(20)


def test_with_executor_keeps_everything_else(tmp_path):
    hook = BaseHook()
    pipe = declared(tmp_path, pre_validation_hooks=[hook], max_errors="5%")
    other = pipe.with_executor(MultiThreadExecutor(2))
    assert isinstance(other.executor, MultiThreadExecutor)
    assert (other.hooks, other.max_errors, other.schema_model) == ((hook,), "5%", Item)


def test_run_gives_the_final_report(tmp_path):
    write_items(tmp_path / "in.csv", 100, bad=(3, 50))
    report = declared(tmp_path).run()
    assert (report.total_processed, report.success_count, report.error_count) == (100, 98, 2)
    assert report.status is PipeStatus.COMPLETED
    assert dict(report.error_summary) == {"id: int_parsing": 2}
    assert json_lines(tmp_path / "out.jsonl") == items(100, bad=(3, 50))


def test_run_runs_again_when_called_twice(tmp_path):
    pipe = declared(tmp_path)
    for count in (3, 5):
        write_items(tmp_path / "in.csv", count)
        assert pipe.run().total_processed == count
        assert json_lines(tmp_path / "out.jsonl") == items(count)


def test_report_raises_before_the_start(tmp_path):
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = declared(tmp_path).report


def test_start_raises_when_the_pipe_is_running(tmp_path):
    write_items(tmp_path / "in.csv", 10)
    go_on = threading.Event()
    pipe = declared(tmp_path, post_validation_hooks=[lambda row: go_on.wait(20) and row])
    with pipe:
        assert pipe.is_running
        with pytest.raises(RuntimeError, match="already running"):
            pipe.start()
        assert pipe.wait(timeout=0.05) is False
        go_on.set()
    assert pipe.report.status is PipeStatus.COMPLETED
    assert not pipe.is_running
    assert staged(tmp_path) == []


def test_run_raises_before_reading_when_the_input_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"in\.csv.*No such file"):
        declared(tmp_path).run()
    assert list(tmp_path.iterdir()) == []


def test_shutdown_returns_within_its_timeout_when_a_hook_blocks(tmp_path):
    write_items(tmp_path / "in.csv", 10)
    (tmp_path / "out.jsonl").write_text("old\n")
    reached, go_on = threading.Event(), threading.Event()

    def block(row):
        reached.set()
        go_on.wait(30)
        return row

    pipe = declared(tmp_path, post_validation_hooks=[block])
    pipe.start()
    assert reached.wait(20)
    began = time.monotonic()
    pipe.shutdown(timeout=0.2)
    assert time.monotonic() - began < 1.2
    assert pipe.report.status is PipeStatus.ABORTED
    go_on.set()
    wait_until(lambda: not any(t.name == "zoopipe-pipe" for t in threading.enumerate()))
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert staged(tmp_path) == []


def test_next_run_is_right_when_a_thread_of_an_earlier_one_was_left_behind(tmp_path):
    write_items(tmp_path / "in.csv", 10)
    first, reached, go_on = [True], threading.Event(), threading.Event()

    def block_once(row):
        if first and first.pop():
            reached.set()
            go_on.wait(30)
        return row

    pipe = declared(tmp_path, post_validation_hooks=[block_once])
    pipe.start()
    assert reached.wait(20)
    pipe.shutdown(timeout=0)
    pipe.start()
    go_on.set()
    assert pipe.wait(20)
    assert pipe.report.success_count == 10
    assert json_lines(tmp_path / "out.jsonl") == items(10)


def test_run_raises_run_failed_when_a_batch_hook_raises(tmp_path):
    class Broken(BaseHook):
        def execute(self, entries, store):
            raise KeyError("secret value")

    write_items(tmp_path / "in.csv", 10)
    with pytest.raises(RunFailed, match=r"pipe 0, shard 1 of 1: Broken raised KeyError") as raised:
        declared(tmp_path, pre_validation_hooks=[Broken()]).run()
    assert "secret" not in str(raised.value)
    assert os.listdir(tmp_path) == ["in.csv"]
