"""Lost workers, on real processes: tried again, waited for, searched for the record that ends them."""

from __future__ import annotations

import json
import logging
import os
import threading
from pathlib import Path

import pytest
from local_runs import Fault, items, items_pipe, kill_self, staged, wait_until, workers, write_items
from oracle import json_lines

from zoopipe import (
    BaseHook,
    ColumnHook,
    JSONOutputAdapter,
    MultiProcessEngine,
    MultiThreadExecutor,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
    WorkerLostError,
)
from zoopipe.runtime import supervise
from zoopipe.runtime.task import current_task

SOON = RetryPolicy(max_attempts=2, backoff_s=0)


class KillsAt(ColumnHook):
    """Ends its process when it sees one of the ids."""

    def __init__(self, *ids: int) -> None:
        super().__init__()
        self.ids = {str(number) for number in ids}

    def execute(self, batch):
        if not self.ids.isdisjoint(map(str, batch.column("id").to_pylist())):
            kill_self()
        return batch


class KillsOnce(BaseHook):
    """Ends its process when it sees an id, in the first attempt at a shard alone."""

    def __init__(self, *ids: int) -> None:
        super().__init__()
        self.ids = {str(number) for number in ids}

    def setup(self, store):
        self.attempt = current_task().attempt

    def execute(self, entries, store):
        if self.attempt == 1 and any(entry["raw_data"]["id"] in self.ids for entry in entries):
            kill_self()
        return entries


def run(folder: Path, hook, shards=3, count=6000, bad=(), retries=SOON, **options):
    pipe = items_pipe(
        write_items(folder / "in.csv", count, bad),
        folder / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(folder / "bad.jsonl", format="jsonl"),
        pre_validation_hooks=[hook],
        **options,
    )
    manager = PipeManager.parallelize_pipe(pipe, 2, shards=shards, retries=retries)
    report = manager.run()
    assert staged(folder) == []
    assert workers() == []
    return report


def test_shard_is_tried_again_when_its_worker_was_killed(tmp_path):
    report = run(tmp_path, KillsOnce(10, 5990), bad={7, 8})
    assert json_lines(tmp_path / "out.jsonl") == items(6000, {7, 8})
    assert [row["_row"] for row in json_lines(tmp_path / "bad.jsonl")] == [7, 8]
    assert (report.pipes[0].lost_count, report.total_processed) == (2, 6000)
    assert "lost 2 workers" in str(report)


@pytest.mark.parametrize("executor", [None, MultiThreadExecutor(2, batch_size=100)])
@pytest.mark.parametrize("ids", [(1,), (3456,), (2999, 3000, 6000)])
def test_record_is_rejected_when_it_ends_its_worker_each_time(tmp_path, ids, executor):
    report = run(tmp_path, KillsAt(*ids), bad={7, 3001}, executor=executor)
    assert json_lines(tmp_path / "out.jsonl") == items(6000, {7, 3001, *ids})
    rejects = {row["_row"]: row for row in json_lines(tmp_path / "bad.jsonl")}
    assert list(rejects) == sorted({7, 3001, *ids})
    for number in ids:
        row = rejects[number]
        assert (row["_stage"], row["id"], row["name"]) == ("worker", str(number), f"name {number}")
        (error,) = row["_errors"]
        assert error["type"] == "worker_lost"
        assert "signal 9 (SIGKILL)" in error["msg"]
        assert "MiB of memory" in error["msg"]
    assert report.error_count == 2 + len(ids)
    assert report.error_summary["worker_lost"] == len(ids)


def test_record_is_rejected_when_hooks_ask_for_positions(tmp_path):
    # Such shards are counted first, and the record's number in the input is known.
    run(tmp_path, Fault(4321, kill_self))
    assert json_lines(tmp_path / "out.jsonl") == items(6000, {4321})
    (row,) = json_lines(tmp_path / "bad.jsonl")
    assert (row["_row"], row["_stage"]) == (4321, "worker")


def test_offset_of_the_record_is_where_it_stands_in_the_file(tmp_path):
    run(tmp_path, KillsAt(777))
    (row,) = json_lines(tmp_path / "bad.jsonl")
    with open(tmp_path / "in.csv", "rb") as file:
        file.seek(row["_offset"])
        assert file.readline() == b"777,name 777\n"


def test_pipe_fails_when_no_one_record_ends_its_worker(tmp_path):
    class Accumulates(ColumnHook):
        """Ends its process after so many records, whichever they are."""

        seen = 0

        def execute(self, batch):
            self.seen += batch.num_rows
            if self.seen > 2500:
                kill_self()
            return batch

    with pytest.raises(RunFailed, match=r"SIGKILL.*tried \d times.*no one record"):
        run(tmp_path, Accumulates(), shards=1, executor=MultiThreadExecutor(1, batch_size=100))
    assert not (tmp_path / "out.jsonl").exists()


def test_pipe_fails_when_too_many_records_end_their_workers(tmp_path):
    with pytest.raises(RunFailed, match=r"shard 1 of 1: its worker.*SIGKILL"):
        run(tmp_path, KillsAt(*range(1, 12)), shards=1, count=20)


def test_only_the_first_loss_fails_the_pipe_when_there_is_one_attempt(tmp_path):
    with pytest.raises(RunFailed, match=r"shard 3 of 3: its worker.*SIGKILL"):
        run(tmp_path, KillsAt(6000), retries=RetryPolicy(max_attempts=1))


def test_next_try_waits_when_the_policy_says_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        manager = PipeManager.parallelize_pipe(
            items_pipe(
                write_items(tmp_path / "in.csv", 10),
                tmp_path / "out.jsonl",
                pre_validation_hooks=[KillsOnce(1)],
            ),
            1,
            retries=RetryPolicy(backoff_s=600),
        )
        with manager:
            wait_until(lambda: manager.get_pipe_report(0).lost_count)
            assert not manager.wait(0.3)
            manager.shutdown(0)
    assert manager.get_pipe_report(0).status is PipeStatus.ABORTED
    assert "shard 1 of 1, attempt 1: its worker" in caplog.text


def test_hook_that_raises_is_not_tried_again(tmp_path):
    tries = tmp_path / "tries"

    def fail():
        with open(tries, "a") as file:
            file.write(f"{os.getpid()}\n")
        raise RuntimeError("no")

    with pytest.raises(RunFailed, match="RuntimeError"):
        run(tmp_path, Fault(10, fail), shards=1)
    assert len(tries.read_text().splitlines()) == 1


def test_shard_is_tried_again_when_no_worker_could_be_started(tmp_path, monkeypatch):
    launch, refused = MultiProcessEngine.launch, []

    def refuse(self, task):
        if not refused:
            refused.append(task)
            raise WorkerLostError("no worker could be started: out of processes")
        return launch(self, task)

    monkeypatch.setattr(MultiProcessEngine, "launch", refuse)
    report = run(tmp_path, KillsAt(), count=30)
    assert json_lines(tmp_path / "out.jsonl") == items(30)
    assert report.pipes[0].lost_count == 0


# What a worker logs, and stalls.


def test_worker_log_reaches_the_driver_with_the_shard_and_not_without_end(tmp_path, caplog):
    def shout():
        for number in range(10_000):
            logging.getLogger("of.the.user").warning("line %d", number)
        logging.getLogger("of.the.user").info("not this")

    with caplog.at_level(logging.INFO):
        run(tmp_path, Fault(10, shout), shards=1, count=20)
    lines = [record.getMessage() for record in caplog.records if record.name == "of.the.user"]
    assert len(lines) == 100
    assert lines[0].startswith("pipe 0, shard 1 of 1, on this machine, process ")
    assert lines[99].endswith(": line 99")
    assert "more than 100 lines were logged" in caplog.text
    assert "not this" not in caplog.text


def test_stall_is_said_once_with_its_shard(tmp_path, caplog):
    gate = tmp_path / "gate"

    def wait_for_gate():
        wait_until(gate.exists)

    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 10),
        tmp_path / "out.jsonl",
        pre_validation_hooks=[Fault(1, wait_for_gate)],
    )
    manager = PipeManager([pipe], stall_timeout_s=0.2)
    with caplog.at_level(logging.WARNING), manager:
        wait_until(lambda: "stalls" in caplog.text)
        (worker,) = manager.get_pipe_report(0).workers
        assert (worker.shard, worker.attempt, worker.host) == (0, 1, "")
        assert worker.pid in [process.pid for process in workers()]
        assert worker.quiet_s >= 0.2
        assert worker.ram_bytes > 2**20
        gate.touch()
        manager.wait()
    assert caplog.text.count("shard 1 of 1 stalls: no progress for 0 s, on this machine") == 1
    assert manager.get_pipe_report(0).workers == ()
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["id"] == 1


def test_shutdown_gives_workers_the_time_that_it_was_given(tmp_path, monkeypatch):
    # More than the few seconds that a worker of a failed pipe has.
    monkeypatch.setattr(supervise, "_GRACE_S", 0.1)
    gate, begun, passed = (tmp_path / name for name in ("gate", "begun", "passed"))

    def hold():
        begun.touch()
        wait_until(gate.exists)
        passed.touch()

    source = write_items(tmp_path / "in.csv", 10)
    pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[Fault(1, hold)])
    manager = PipeManager([pipe])
    manager.start()
    wait_until(begun.exists)
    stopping = threading.Thread(target=manager.shutdown, args=(60,))
    stopping.start()
    assert not manager.wait(1)
    gate.touch()
    stopping.join(20)
    assert passed.exists()
    assert manager.report.status is PipeStatus.ABORTED
