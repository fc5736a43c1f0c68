"""`PipeManager`: what is declared, and the life of a run."""

from __future__ import annotations

import os
import threading
import time

import pytest
from local_runs import (
    Fault,
    block_for_ever,
    items,
    items_pipe,
    staged,
    wait_until,
    workers,
    write_items,
)
from oracle import json_lines

from zoopipe import (
    BaseHook,
    CSVInputAdapter,
    DeclarationError,
    FlowReport,
    JSONOutputAdapter,
    MultiProcessEngine,
    OutputError,
    Pipe,
    PipeManager,
    PipeStatus,
    RunFailed,
)


def pipes(tmp_path, count, rows=10, **options):
    """`count` pipes, each with an input and an output of its own."""
    return [
        items_pipe(
            write_items(tmp_path / f"in{number}.csv", rows),
            tmp_path / f"out{number}.jsonl",
            **options,
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("given", [[], ["pipe"], [None]])
def test_manager_is_refused_when_it_has_no_pipes(given):
    with pytest.raises(DeclarationError, match="at least one Pipe"):
        PipeManager(given)


def test_manager_is_refused_when_the_engine_is_none(tmp_path):
    with pytest.raises(DeclarationError, match="engine must be a BaseEngine"):
        PipeManager(pipes(tmp_path, 1), engine="processes")


@pytest.mark.parametrize("workers", [0, -1, 1.5, "4", True, None])
def test_parallelize_is_refused_when_workers_is_no_count(tmp_path, workers):
    with pytest.raises(DeclarationError, match="workers"):
        PipeManager.parallelize_pipe(pipes(tmp_path, 1)[0], workers=workers)


def test_manager_says_what_it_runs(tmp_path):
    given = pipes(tmp_path, 3)
    manager = PipeManager(given)
    assert manager.pipes == tuple(given)
    assert manager.pipe_count == 3
    assert repr(manager) == "PipeManager(3 pipes, MultiProcessEngine)"


# Outputs that are one file.


def spelled(tmp_path, spelling, monkeypatch):
    """Another way to write tmp_path / 'out.jsonl'."""
    if spelling == "relative":
        monkeypatch.chdir(tmp_path)
        return "out.jsonl"
    if spelling == "dotted":
        (tmp_path / "folder").mkdir()
        return tmp_path / "folder" / ".." / "out.jsonl"
    if spelling == "link":
        (tmp_path / "link.jsonl").symlink_to(tmp_path / "out.jsonl")
        return tmp_path / "link.jsonl"
    if spelling == "linked folder":
        (tmp_path / "folder").symlink_to(tmp_path, target_is_directory=True)
        return tmp_path / "folder" / "out.jsonl"
    return tmp_path / "out.jsonl"


SPELLINGS = ["same", "relative", "dotted", "link", "linked folder"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_manager_is_refused_when_two_pipes_write_one_file(tmp_path, monkeypatch, spelling):
    source = tmp_path / "in.csv"
    given = [
        items_pipe(source, tmp_path / "out.jsonl"),
        items_pipe(source, spelled(tmp_path, spelling, monkeypatch)),
    ]
    with pytest.raises(DeclarationError, match=r"pipe 0 and .* pipe 1 are the same file"):
        PipeManager(given)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_manager_is_refused_when_output_is_the_error_output(tmp_path, monkeypatch, spelling):
    rejected = JSONOutputAdapter(spelled(tmp_path, spelling, monkeypatch))
    pipe = items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl", error_output_adapter=rejected)
    with pytest.raises(DeclarationError, match="the same file"):
        PipeManager([pipe])


@pytest.mark.parametrize(
    ("output", "cause"),
    [("/dev/null", "device"), (".", "folder"), ("x" * 300, "too long")],
)
def test_manager_is_refused_when_the_output_is_no_file(tmp_path, output, cause):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 1), tmp_path / output)
    with pytest.raises(OutputError, match=cause):
        PipeManager([pipe])


def test_start_raises_when_the_output_folder_is_a_file(tmp_path):
    source = write_items(tmp_path / "in.csv", 1)
    manager = PipeManager([items_pipe(source, source / "below" / "out.jsonl")])
    with pytest.raises(OutputError, match=r"below/out\.jsonl.*Not a directory"):
        manager.run()
    assert not manager.is_running
    assert os.listdir(tmp_path) == ["in.csv"]


def test_no_pipe_is_started_when_one_cannot_be_planned(tmp_path):
    given = [*pipes(tmp_path, 2), items_pipe(tmp_path / "missing.csv", tmp_path / "x.jsonl")]
    with pytest.raises(Exception, match=r"missing\.csv"):
        PipeManager(given).start()
    assert sorted(os.listdir(tmp_path)) == ["in0.csv", "in1.csv"]


# Its life.


@pytest.mark.parametrize("ask", ["report", "pipe_reports", "get", "wait"])
def test_asking_raises_when_the_run_has_not_been_started(tmp_path, ask):
    manager = PipeManager(pipes(tmp_path, 1))
    asks = {
        "report": lambda: manager.report,
        "pipe_reports": lambda: manager.pipe_reports,
        "get": lambda: manager.get_pipe_report(0),
        "wait": manager.wait,
    }
    with pytest.raises(RuntimeError, match="has not been started"):
        asks[ask]()


def test_shutdown_does_nothing_when_the_run_has_not_been_started(tmp_path):
    PipeManager(pipes(tmp_path, 1)).shutdown()


def test_start_wait_shutdown_publish_without_further_calls(tmp_path):
    manager = PipeManager(pipes(tmp_path, 2))
    manager.start()
    assert manager.wait() is True
    assert json_lines(tmp_path / "out1.jsonl") == items(10)
    manager.shutdown()
    assert not manager.is_running
    assert manager.report.status is PipeStatus.COMPLETED
    assert staged(tmp_path) == []


@pytest.mark.parametrize("index", [-1, 2, 100])
def test_get_pipe_report_raises_when_the_index_is_out_of_range(tmp_path, index):
    with PipeManager(pipes(tmp_path, 2)) as manager:
        manager.wait()
        with pytest.raises(IndexError, match="out of range"):
            manager.get_pipe_report(index)
    assert manager.get_pipe_report(1).pipe_index == 1


def test_run_runs_again_when_called_twice(tmp_path):
    manager = PipeManager(pipes(tmp_path, 1))
    assert manager.run().total_processed == 10
    write_items(tmp_path / "in0.csv", 12)
    assert manager.run().total_processed == 12
    assert json_lines(tmp_path / "out0.jsonl") == items(12)


def test_run_raises_and_the_others_finish_when_one_pipe_fails(tmp_path):
    def fail():
        raise ValueError

    given = pipes(tmp_path, 3)
    given[1] = items_pipe(
        tmp_path / "in1.csv", tmp_path / "out1.jsonl", pre_validation_hooks=[Fault(1, fail)]
    )
    manager = PipeManager(given)
    with pytest.raises(RunFailed, match=r"pipe 1.*Fault raised ValueError"):
        manager.run()
    assert [report.status.value for report in manager.pipe_reports] == [
        "completed",
        "failed",
        "completed",
    ]
    assert manager.wait(0) is True
    assert manager.report.total_processed >= 20
    assert not (tmp_path / "out1.jsonl").exists()
    assert staged(tmp_path) == []


class WaitFor(BaseHook):
    """Lets a batch go on when a file is there."""

    def __init__(self, path, at=1):
        super().__init__()
        self.path, self.at = path, at

    def execute(self, entries, store):
        if entries and entries[-1]["position"] + 1 >= self.at:
            wait_until(self.path.exists, 30)
        return entries


def test_wait_is_for_the_whole_call_when_many_pipes_run(tmp_path):
    gate = tmp_path / "gate"
    manager = PipeManager(
        pipes(tmp_path, 4, pre_validation_hooks=[WaitFor(gate)]), MultiProcessEngine(max_workers=4)
    )
    with manager:
        began = time.monotonic()
        assert manager.wait(timeout=0.3) is False
        assert 0.3 <= time.monotonic() - began < 0.9
        with pytest.raises(RuntimeError, match="already running"):
            manager.start()
        assert not any(report.is_finished for report in manager.pipe_reports)
        gate.touch()
    assert manager.report.status is PipeStatus.COMPLETED


def test_report_is_live_and_frozen_while_the_run_goes_on(tmp_path):
    gate = tmp_path / "gate"
    rows = 100_000  # more than a block of 1 MiB
    source = write_items(tmp_path / "in.csv", rows, bad=(7,))
    pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[WaitFor(gate, at=rows)])
    quick = items_pipe(write_items(tmp_path / "b.csv", 5), tmp_path / "b.jsonl")
    with PipeManager([pipe, quick], MultiProcessEngine(max_workers=2)) as manager:
        wait_until(lambda: manager.get_pipe_report(0).total_processed > 0)
        wait_until(lambda: manager.get_pipe_report(1).is_finished)
        early = manager.report
        assert early.status is PipeStatus.RUNNING
        assert early.is_alive
        assert not early.is_finished
        assert 5 < early.total_processed < rows
        assert early.success_count + early.error_count == early.total_processed
        assert early.error_count == 1
        assert 0 < early.bytes_read < early.bytes_total
        assert early.eta_s > 0
        worker = workers()[0]
        assert 0.5 < early.ram_bytes / worker.memory_info().rss < 2
        assert not (tmp_path / "out.jsonl").exists()
        gate.touch()
        wait_until(lambda: manager.report.is_finished)
        assert len(json_lines(tmp_path / "out.jsonl")) == rows - 1
    late = manager.report
    assert (late.total_processed, late.success_count, late.error_count) == (rows + 5, rows + 4, 1)
    assert late.bytes_read == pytest.approx(late.bytes_total, rel=0.001)
    assert (late.eta_s, late.is_alive, late.ram_bytes) == (0.0, False, 0)
    assert late.pipes[0].peak_ram_bytes > 10 * 2**20
    assert early.total_processed < rows


def test_output_is_readable_as_soon_as_the_report_is_finished(tmp_path):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 5000), tmp_path / "out.jsonl")
    manager = PipeManager.parallelize_pipe(pipe, workers=4)
    for _ in range(5):
        (tmp_path / "out.jsonl").unlink(missing_ok=True)
        manager.start()
        while not manager.report.is_finished:
            pass
        assert json_lines(tmp_path / "out.jsonl") == items(5000)
        manager.wait()


def test_leaving_with_stops_at_once_when_an_exception_is_on_its_way(tmp_path):
    (tmp_path / "out0.jsonl").write_text("old\n")
    given = pipes(tmp_path, 2, pre_validation_hooks=[WaitFor(tmp_path / "never")])
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), PipeManager(given) as manager:
        wait_until(lambda: len(workers()) == 2)
        began = time.monotonic()
        manager.shutdown(timeout=0.1)
        raise ZeroDivisionError
    assert time.monotonic() - began < 2
    assert manager.report.status is PipeStatus.ABORTED
    assert workers() == []
    assert staged(tmp_path) == []
    assert (tmp_path / "out0.jsonl").read_text() == "old\n"


def test_leaving_with_does_not_run_to_the_end_when_an_exception_is_on_its_way(tmp_path):
    source = write_items(tmp_path / "in.csv", 400_000)
    pipe = items_pipe(
        source, tmp_path / "out.jsonl", post_validation_hooks=[lambda row: row], executor=None
    )
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), PipeManager([pipe]) as manager:
        wait_until(lambda: manager.report.total_processed)
        began = time.monotonic()
        raise ZeroDivisionError
    assert time.monotonic() - began < 2
    assert manager.report.status is PipeStatus.ABORTED
    assert 0 < manager.report.total_processed < 400_000
    assert not (tmp_path / "out.jsonl").exists()
    assert staged(tmp_path) == []


@pytest.mark.parametrize("timeout", [0.0, 0.5])
def test_shutdown_kills_by_force_when_a_hook_blocks(tmp_path, timeout):
    given = pipes(tmp_path, 2, pre_validation_hooks=[Fault(1, block_for_ever)])
    manager = PipeManager(given, MultiProcessEngine(max_workers=2))
    manager.start()
    wait_until(lambda: len(workers()) == 2)
    began = time.monotonic()
    manager.shutdown(timeout)
    assert time.monotonic() - began < timeout + 1
    assert workers() == []
    assert staged(tmp_path) == []
    assert [report.status.value for report in manager.pipe_reports] == ["aborted", "aborted"]
    assert manager.wait(0)
    manager.shutdown()


def test_two_hundred_pipes_finish_when_two_run_at_a_time(tmp_path):
    source = write_items(tmp_path / "in.csv", 3)
    given = [items_pipe(source, tmp_path / f"out{number}.jsonl") for number in range(200)]
    before = len(os.listdir("/proc/self/fd"))
    manager = PipeManager(given, MultiProcessEngine(max_workers=2))
    manager.start()
    most = 0
    while not manager.wait(0.005):
        most = max(most, len(workers()))
    assert most <= 2
    report = manager.report
    assert report.status is PipeStatus.COMPLETED
    assert report.total_processed == report.success_count == 600
    assert all(json_lines(tmp_path / f"out{number}.jsonl") == items(3) for number in range(200))
    assert workers() == []
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert not [t for t in threading.enumerate() if t.name.startswith("zoopipe")]


def test_report_stays_with_its_run_after_the_end(tmp_path):
    manager = PipeManager(pipes(tmp_path, 1))
    report = manager.run()
    assert isinstance(report, FlowReport)
    assert manager.report == report


def test_one_adapter_may_be_the_input_of_two_pipes(tmp_path):
    adapter = CSVInputAdapter(write_items(tmp_path / "in.csv", 9))
    given = [Pipe(adapter, JSONOutputAdapter(tmp_path / f"{i}.jsonl")) for i in range(2)]
    assert PipeManager(given).run().success_count == 18
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()


def test_failed_pipe_leaves_nothing_staged_when_the_others_still_run(tmp_path):
    gate = tmp_path / "gate"

    def fail():
        raise ValueError

    (slow,) = pipes(tmp_path, 1, pre_validation_hooks=[WaitFor(gate)])
    failing = items_pipe(
        write_items(tmp_path / "b.csv", 100_000),
        tmp_path / "b.jsonl",
        pre_validation_hooks=[Fault(100_000, fail)],
    )
    with PipeManager([slow, failing], MultiProcessEngine(max_workers=2)) as manager:
        wait_until(lambda: manager.get_pipe_report(1).is_finished)
        wait_until(lambda: not manager.get_pipe_report(1).is_alive)
        assert [path.name.split(".zoopipe")[0] for path in staged(tmp_path)] == [".out0.jsonl"]
        # What it had done is still told.
        assert 0 < manager.get_pipe_report(1).total_processed < 100_000
        gate.touch()
    assert manager.get_pipe_report(0).status is PipeStatus.COMPLETED
