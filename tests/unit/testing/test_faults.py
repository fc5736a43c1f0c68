"""Scripted faults act at their shard, attempt and record, and nowhere else."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sharded import run_sharded

from zoopipe import HookError, Pipe, SingleThreadExecutor, ZooPipeError
from zoopipe.testing import (
    Allocate,
    Exit,
    Faults,
    Gate,
    Journal,
    Kill,
    Log,
    Poison,
    Raise,
    Slow,
    items_pipe,
    wait_until,
    write_items,
)
from zoopipe.testing.items import as_is


class Note:
    """Notes in a file that it was called: hooks are not shared with a worker."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, shard: int, attempt: int) -> None:
        with open(self.path, "a") as file:
            file.write(f"{shard}-{attempt}\n")

    def notes(self) -> list[str]:
        return self.path.read_text().split() if self.path.exists() else []


def pipe_with(folder: Path, *hooks: object, count: int = 40) -> Pipe:
    """A pipe whose blocks have ten rows."""
    return items_pipe(
        write_items(folder / "in.csv", count),
        folder / "out.jsonl",
        pre_validation_hooks=[as_is, *hooks],
        executor=SingleThreadExecutor(batch_size=10),
    )


@pytest.mark.parametrize(
    ("script", "noted"),
    [
        ([(1, 1)], ["1-1"]),
        ([(1, 2)], []),
        ([(0, None), (2, 1)], ["0-1", "2-1"]),
        ([(7, None)], []),
    ],
)
def test_fault_acts_once_when_its_attempt_runs(tmp_path, script, noted):
    note = Note(tmp_path / "notes")
    run_sharded(pipe_with(tmp_path, Faults(dict.fromkeys(script, note))), 3)
    assert note.notes() == noted


@pytest.mark.parametrize(("at", "blocks"), [(1, 0), (10, 0), (11, 1), (40, 3)])
def test_fault_acts_before_the_block_of_its_record_goes_on(tmp_path, at, blocks):
    class Counted(Exception):
        pass

    seen = []
    faults = Faults({(0, 1): lambda shard, attempt: seen.append(counted.blocks)}, at)

    class Count(Faults):
        blocks = 0

        def execute(self, batch):
            self.blocks += 1
            return batch

    counted = Count({})
    run_sharded(pipe_with(tmp_path, faults, counted), 1)
    assert seen == [blocks]


def test_fault_does_not_act_when_there_are_fewer_records(tmp_path):
    note = Note(tmp_path / "notes")
    run_sharded(pipe_with(tmp_path, Faults({(0, 1): note}, at=41)), 1)
    assert note.notes() == []


def test_fault_acts_at_every_block_when_told_so(tmp_path):
    note = Note(tmp_path / "notes")
    run_sharded(pipe_with(tmp_path, Faults({(0, 1): note}, at=15, again=True)), 1)
    assert note.notes() == ["0-1"] * 3


def test_poison_acts_where_its_record_is_read(tmp_path):
    note = Note(tmp_path / "notes")
    run_sharded(pipe_with(tmp_path, Poison("id", "39", note)), 2)
    assert note.notes() == ["1-1"]


def test_raise_and_exit_are_what_a_hook_does(tmp_path):
    with pytest.raises(HookError, match="Faults raised RuntimeError"):
        run_sharded(pipe_with(tmp_path, Faults({(0, None): Raise()})), 1)
    with pytest.raises(SystemExit):
        run_sharded(pipe_with(tmp_path, Faults({(0, None): Exit(4)})), 1)


def test_log_speaks_at_warning_and_at_info(tmp_path, caplog):
    caplog.set_level(logging.INFO, "zoopipe.testing")
    Log(3)(5, 1)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"] * 3
    assert caplog.messages[-1] == "line 2 of shard 5"


def test_slow_and_allocate_come_back(tmp_path):
    Slow(0.0)(0, 1)
    Allocate(1 << 20)(0, 1)


def test_kill_ends_the_process_by_its_signal():
    script = "from zoopipe.testing import Kill; Kill({})(0, 1)"
    for number, code in ("", signal.SIGKILL), (int(signal.SIGTERM), signal.SIGTERM):
        done = subprocess.run([sys.executable, "-c", script.format(number)], timeout=60)
        assert done.returncode == -code


def test_gate_holds_an_attempt_until_it_is_opened(tmp_path):
    gate = Gate(tmp_path / "gate")
    assert (gate.begun, gate.held) == (set(), set())
    passed = []
    threads = [
        threading.Thread(target=lambda shard=shard: (gate(shard, 1), passed.append(shard)))
        for shard in (0, 1)
    ]
    for thread in threads:
        thread.start()
    assert gate.wait_for(0) == gate.wait_for(1) == os.getpid()
    assert gate.begun == gate.held == {(0, 1), (1, 1)}
    gate.open(1)
    threads[1].join(10)
    assert passed == [1]
    assert gate.held == {(0, 1)}
    gate.open()
    threads[0].join(10)
    assert passed == [1, 0]
    assert gate.begun == {(0, 1), (1, 1)}
    gate(2, 1)
    assert gate.held == set()


def test_gate_is_not_held_when_its_process_is_gone(tmp_path):
    script = "import sys, pathlib; from zoopipe.testing import Gate; Gate(pathlib.Path(sys.argv[1]))(0, 1)"
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "gate")])
    gate = Gate(tmp_path / "gate")
    assert gate.wait_for(0) == process.pid
    assert gate.held == {(0, 1)}
    process.kill()
    process.wait()
    assert gate.held == set()


def test_gate_has_a_limit(tmp_path):
    with pytest.raises(TimeoutError):
        Gate(tmp_path / "gate", limit_s=0.01)(0, 1)
    with pytest.raises(TimeoutError):
        Gate(tmp_path / "gate").wait_for(1, limit_s=0.01)


def test_wait_until_returns_at_once_when_it_holds():
    began = time.monotonic()
    wait_until(lambda: True, 0)
    assert time.monotonic() - began < 1


def test_journal_notes_setup_and_teardown(tmp_path):
    (tmp_path / "journal").mkdir()
    journal = Journal(tmp_path / "journal")
    before, running = time.monotonic(), []
    look = Faults({(1, 1): lambda shard, attempt: running.append(journal.running)})
    run_sharded(pipe_with(tmp_path, journal, look), 2)
    assert (running, journal.running) == ([{(1, 1)}], set())
    for what in ("setup", "teardown"):
        times = journal.times(what)
        assert times.keys() == {(0, 1), (1, 1)}
        assert all(before <= at <= time.monotonic() for (at,) in times.values())


def test_faults_pickle(tmp_path):
    actions = (Kill(), Raise(), Exit(), Log(1), Allocate(1), Slow(0.1), Gate(tmp_path))
    for action in actions:
        copy = pickle.loads(pickle.dumps(Faults({(0, 1): action}, at=3)))
        assert (copy.script, copy.at) == ({(0, 1): action}, 3)


def test_journal_raises_when_there_is_no_folder(tmp_path):
    with pytest.raises((ZooPipeError, FileNotFoundError)):
        run_sharded(pipe_with(tmp_path, Journal(tmp_path / "none")), 1)
