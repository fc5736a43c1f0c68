"""The properties of the commit that docs/commit.md states, one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from local_runs import Item, items, items_pipe, staged, wait_until, write_items
from oracle import csv_dicts, json_lines, text_lines, validated

from zoopipe import (
    JSONOutputAdapter,
    PipeManager,
    RetryPolicy,
    RunFailed,
    ZooPipeError,
)
from zoopipe.runtime import piperun as piperun_module
from zoopipe.runtime.commit import commit
from zoopipe.runtime.engine import Lost
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.recovery import begin
from zoopipe.runtime.task import run_task
from zoopipe.testing.faults import Faults, Gate, Kill

BAD = range(1, 901, 40)


@pytest.fixture
def source(tmp_path):
    return write_items(tmp_path / "in.csv", 900, bad=BAD)


def pipe_of(folder, *hooks):
    return items_pipe(
        folder / "in.csv",
        folder / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(folder / "bad.jsonl"),
        pre_validation_hooks=hooks,
    )


def check_published(folder):
    """All of the output, and nothing else."""
    lines, refused = validated(csv_dicts((folder / "in.csv").read_bytes()), Item)
    assert text_lines(folder / "out.jsonl") == lines
    assert [row["_row"] for row in json_lines(folder / "bad.jsonl")] == [row for row, _ in refused]
    assert staged(folder) == []


# Complete: what is published is what every shard has written.


@pytest.mark.parametrize("shards", [1, 7])
def test_published_files_are_whole_and_alone(tmp_path, source, shards):
    PipeManager.parallelize_pipe(pipe_of(tmp_path), 2, shards=shards).run()
    check_published(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["bad.jsonl", "in.csv", "out.jsonl"]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("output", ["out", "bad"])
@pytest.mark.parametrize("damage", ["changed", "shorter", "gone"])
def test_nothing_is_published_when_a_staged_file_is_not_what_was_written(
    tmp_path, source, monkeypatch, output, damage, merge
):
    for name in ("out.jsonl", "bad.jsonl"):
        (tmp_path / name).write_text("old\n")
    check_balance = piperun_module.check_balance

    def damage_and_check(result, label):
        part = result.part if output == "out" else result.rejects
        if "shard 2 of" in label:
            path = Path(part.path)
            data = path.read_bytes()
            if damage == "gone":
                path.unlink()
            else:
                path.write_bytes(data[:-1] if damage == "shorter" else b"#" + data[1:])
        check_balance(result, label)

    monkeypatch.setattr(piperun_module, "check_balance", damage_and_check)
    manager = PipeManager.parallelize_pipe(pipe_of(tmp_path), 1, shards=3, should_merge=merge)
    why = "No such file" if damage == "gone" else "is not what was written"
    with pytest.raises(RunFailed, match=why):
        manager.run()
    for name in ("out.jsonl", "bad.jsonl"):
        assert (tmp_path / name).read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["bad.jsonl", "in.csv", "out.jsonl"]


# Exclusive: nothing of an attempt that was lost or failed is published.


def test_nothing_of_a_lost_attempt_is_published(tmp_path, source):
    pipe = pipe_of(tmp_path, Faults({(1, 1): Kill(), (1, 2): Kill()}, at=50))
    policy = RetryPolicy(max_attempts=3, backoff_s=0)
    report = PipeManager.parallelize_pipe(pipe, 2, shards=3, retries=policy).run()
    assert report.pipes[0].lost_count == 2
    check_published(tmp_path)


# Concurrent: shards may end at once and in any order, and so may runs.


@pytest.mark.parametrize("last", range(4))
def test_order_in_which_shards_end_makes_no_difference(tmp_path, source, last):
    gate = Gate(tmp_path / "gate")
    manager = PipeManager.parallelize_pipe(
        pipe_of(tmp_path, Faults({(last, 1): gate})), 4, shards=4
    )
    with manager:
        wait_until(lambda: manager.get_pipe_report(0).shards_done == 3)
        gate.open()
        manager.wait()
    check_published(tmp_path)


RUN = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from zoopipe import ColumnHook, CSVInputAdapter, JSONOutputAdapter, Pipe
from zoopipe.testing.faults import Faults, Gate
import pyarrow as pa

class Tag(ColumnHook):
    def __init__(self, tag):
        super().__init__()
        self.tag = tag
    def execute(self, batch):
        return batch.append_column("tag", pa.array([self.tag] * batch.num_rows))

def pipe_of(tag, output, rejects):
    return Pipe(
        CSVInputAdapter("in.csv"),
        JSONOutputAdapter(output),
        rejects and JSONOutputAdapter(rejects),
        pre_validation_hooks=[Faults({{(0, 1): Gate(Path("gate"))}}), Tag(tag)],
    )

a = pipe_of("a", {a!r}, {a_rejects!r})
b = pipe_of("b", {b!r}, {b_rejects!r})
"""


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (("out.jsonl", None), ("out.jsonl", None)),
        (("out.jsonl", None), ("./out.jsonl", None)),
        (("out.jsonl", "bad.jsonl"), ("bad.jsonl", "out.jsonl")),
        (("out.jsonl", "bad.jsonl"), ("more.jsonl", "bad.jsonl")),
        (("out.jsonl", "bad.jsonl"), ("bad.jsonl", None)),
    ],
)
def test_one_of_two_runs_on_one_target_wins_whole(tmp_path, a, b):
    write_items(tmp_path / "in.csv", 900)
    path = [str(Path(__file__).parent.parent)]
    text = RUN.format(path=path, a=a[0], a_rejects=a[1], b=b[0], b_rejects=b[1])
    (tmp_path / "job.py").write_text(text)
    for name in ("out.jsonl", "bad.jsonl", "more.jsonl"):
        (tmp_path / name).write_text("old\n")
    runs = {
        name: subprocess.Popen(
            [sys.executable, "-m", "zoopipe", "run", f"job.py:{name}", "-w", "2"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    }
    # The one that has the target waits at its gate until the other has given up.
    wait_until(lambda: any(run.poll() is not None for run in runs.values()))
    (loser,) = (name for name, run in runs.items() if run.poll() is not None)
    (winner,) = set(runs) - {loser}
    _, stderr = runs[loser].communicate(timeout=60)
    assert runs[loser].returncode == 2, stderr
    assert f"another run is writing it (process {runs[winner].pid} on" in stderr
    assert "Traceback" not in stderr
    Gate(tmp_path / "gate").open()
    _, stderr = runs[winner].communicate(timeout=60)
    assert runs[winner].returncode == 0, stderr
    output, rejects = a if winner == "a" else b
    assert json_lines(tmp_path / output) == [
        {"id": str(row["id"]), "name": row["name"], "tag": winner} for row in items(900)
    ]
    if rejects:
        assert (tmp_path / rejects).read_bytes() == b""
    for name in {"out.jsonl", "bad.jsonl", "more.jsonl"} - {Path(output).name, rejects}:
        assert (tmp_path / name).read_text() == "old\n"
    assert staged(tmp_path) == []


# Abortable: a run that is ended before its commit leaves everything as it was.


def test_run_that_is_stopped_leaves_all_as_it_was(tmp_path, source):
    (tmp_path / "out.jsonl").write_text("old\n")
    gate = Gate(tmp_path / "gate")
    manager = PipeManager.parallelize_pipe(pipe_of(tmp_path, Faults({(2, 1): gate})), 1, shards=3)
    manager.start()
    gate.wait_for(2)
    manager.shutdown(0)
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["gate", "in.csv", "out.jsonl"]


# Continuity of correctness: what was published stays, whatever goes on after.


def test_attempt_that_was_given_up_changes_nothing_when_it_goes_on(tmp_path, source):
    gate = Gate(tmp_path / "gate")
    pipe = pipe_of(tmp_path, Faults({(0, 1): gate}, at=50))
    (planned,) = begin(plan_pipes([pipe], 1, True), resume=False)
    run, errors = PipeRun(planned), []

    def attempt(task):
        try:
            run_task(task, Progress())
        except ZooPipeError as error:
            errors.append(error)

    first = run.next_task()
    run.launched(first, Progress())
    straggler = threading.Thread(target=attempt, args=(first,))
    straggler.start()
    gate.wait_for(0)
    run.lost(first, Lost("cut off"), RetryPolicy(), 0.0)
    run.ended(first)
    second = run.next_task()
    progress = Progress()
    run.launched(second, progress)
    run.done(second, run_task(second, progress))
    commit(run)
    planned.leave(is_done=True)
    published = {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    gate.open()
    straggler.join(60)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.jsonl")} == published
    check_published(tmp_path)


def test_run_that_does_not_balance_publishes_nothing_and_says_both_numbers(
    tmp_path, source, monkeypatch
):
    check_balance = piperun_module.check_balance

    def lose_a_row(result, label):
        counts = replace(result.counts, written=result.counts.written - 1)
        check_balance(replace(result, counts=counts), label)

    monkeypatch.setattr(piperun_module, "check_balance", lose_a_row)
    with pytest.raises(RunFailed, match="900 rows came in, 899 went out; nothing is published"):
        PipeManager.parallelize_pipe(pipe_of(tmp_path), 1).run()
    assert os.listdir(tmp_path) == ["in.csv"]
