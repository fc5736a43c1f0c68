"""Stops in the middle: `shutdown()`, and a driver that dies."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from zoopipe.executors import SingleThreadExecutor
from zoopipe.manager import PipeManager
from zoopipe.report import PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import (
    LIMIT_S,
    EngineBinding,
    completed,
    needs,
    running,
    shut_down,
    write_script,
)
from zoopipe.testing.faults import Faults, Gate, Journal, Slow, wait_until
from zoopipe.testing.items import as_is, expected, items_pipe, staged, write_items

# How soon after a shutdown a worker is gone that had to be killed.
_GONE_S = 10.0
# How soon workers end when their driver has died.
_ORPHANED_S = 30.0


class StopTests(EngineBinding):
    """What is stopped leaves nothing behind, and can be started again."""

    @needs("can_kill")
    def test_shutdown_ends_attempts_by_force_when_they_do_not_come_back(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 60)
        (tmp_path / "out.jsonl").write_text("old\n")
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[Faults({(0, None): gate, (1, None): gate, (2, None): gate})],
        )
        manager = PipeManager.parallelize_pipe(pipe, 3, engine=engine)
        with running(manager):
            gate.wait_for(0)
            assert (0, 1) in gate.held
            shut_down(manager, timeout_s=0.5)
            assert not manager.is_running
            assert manager.report.status is PipeStatus.ABORTED
            assert staged(tmp_path) == []
            wait_until(lambda: not gate.held, _GONE_S)
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
        # Nobody is left who would go through the gate, so the same manager starts from nothing.
        gate.open()
        assert completed(manager).success_count == 60
        assert (tmp_path / "out.jsonl").read_text() == expected(source).text

    def test_shutdown_stops_attempts_between_blocks_when_they_obey(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal, gate = Journal(tmp_path / "journal"), Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 2000)
        # Two hundred blocks, which would take twenty seconds.
        slow = Faults({(0, 1): Slow(0.1)}, again=True)
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[as_is, journal, Faults({(0, 1): gate}), slow],
            executor=SingleThreadExecutor(batch_size=10),
        )
        manager = PipeManager([pipe], engine)
        with running(manager):
            gate.wait_for(0)
            stopping = threading.Thread(target=manager.shutdown, args=(LIMIT_S,), daemon=True)
            stopping.start()
            wait_until(lambda: manager.report.status is PipeStatus.ABORTED)
            gate.open()
            stopping.join(LIMIT_S / 2)
            assert not stopping.is_alive()
            assert manager.report.total_processed < 1000
        # It was not killed: its hooks were torn down.
        assert journal.times("teardown").keys() == {(0, 1)}
        assert not (tmp_path / "out.jsonl").exists()
        assert staged(tmp_path) == []

    @needs("isolates_processes")
    def test_attempts_end_when_their_driver_is_killed(
        self, engine_source: str, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal, gate = Journal(tmp_path / "journal"), Gate(tmp_path / "gate")
        write_items(tmp_path / "in.csv", 6000)
        (tmp_path / "out.jsonl").write_text("old\n")
        script = write_script(_GATED, engine_source, tmp_path)
        with open(tmp_path / "errors.txt", "w") as errors:
            driver = subprocess.Popen([sys.executable, script.name], cwd=tmp_path, stderr=errors)
            try:
                wait_until(lambda: gate.begun or driver.poll() is not None, LIMIT_S)
                assert driver.poll() is None, (tmp_path / "errors.txt").read_text()
                gate.wait_for(0)
                assert journal.running == {(0, 1)}
            finally:
                driver.kill()
                driver.wait()
        # Its hook comes back now, and it would go on for a minute.
        gate.open()
        wait_until(lambda: not journal.running, _ORPHANED_S)
        assert (tmp_path / "out.jsonl").read_text() == "old\n"


_GATED = """
    from pathlib import Path
    from zoopipe import PipeManager, SingleThreadExecutor
    from zoopipe.testing import Faults, Gate, Journal, Slow, items_pipe
    from zoopipe.testing.items import as_is

    def main():
        folder = Path.cwd()
        hooks = [
            as_is,
            Journal(folder / "journal"),
            Faults({(0, None): Gate(folder / "gate")}),
            Faults({(0, None): Slow(0.1)}, again=True),
        ]
        executor = SingleThreadExecutor(batch_size=10)
        pipe = items_pipe("in.csv", "out.jsonl", pre_validation_hooks=hooks, executor=executor)
        PipeManager([pipe], make_engine()).run()
"""
