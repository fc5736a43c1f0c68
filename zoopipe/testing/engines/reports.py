"""What a run says of itself, while it goes on and at its end."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import psutil
import pytest

from zoopipe.executors import SingleThreadExecutor
from zoopipe.manager import PipeManager
from zoopipe.report import PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import EngineBinding, running, waited
from zoopipe.testing.faults import Faults, Gate, wait_until
from zoopipe.testing.items import as_is, items_pipe, write_items

# How soon the driver has to know what a worker has done: twice a second, and some patience.
_SOON_S = 5.0


class ReportTests(EngineBinding):
    """Live from every worker, final and frozen."""

    def test_report_grows_when_a_worker_goes_on(self, engine: BaseEngine, tmp_path: Path) -> None:
        gate = Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 60, bad=(3,))
        # Blocks of ten rows: two of them are through when the third comes to the gate.
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[as_is, Faults({(0, 1): gate}, at=25)],
            executor=SingleThreadExecutor(batch_size=10),
        )
        manager = PipeManager([pipe], engine)
        with running(manager):
            pid = gate.wait_for(0)
            wait_until(lambda: manager.report.total_processed == 20, _SOON_S)
            wait_until(lambda: manager.report.pipes[0].ram_bytes, _SOON_S)
            live = manager.get_pipe_report(0)
            assert (live.status, live.is_alive, live.is_finished) == (
                PipeStatus.RUNNING,
                True,
                False,
            )
            assert (live.success_count, live.error_count) == (19, 1)
            assert (live.shards_done, live.shard_count, live.end_time) == (0, 1, None)
            (worker,) = live.workers
            assert (worker.shard, worker.attempt, worker.pid) == (0, 1, pid)
            assert (worker.total_processed, worker.error_count) == (20, 1)
            if self.has_cluster:
                assert worker.host
            assert 2**20 < worker.ram_bytes <= live.ram_bytes < psutil.virtual_memory().total
            assert (pid != os.getpid()) is self.isolates_processes
            gate.open()
            final = waited(manager).pipes[0]
        assert (final.status, final.is_alive, final.is_finished) == (
            PipeStatus.COMPLETED,
            False,
            True,
        )
        assert (final.total_processed, final.success_count, final.error_count) == (60, 59, 1)
        assert (final.shards_done, final.ram_bytes, final.workers) == (1, 0, ())
        assert final.lost_count == 0
        assert final.peak_ram_bytes >= live.ram_bytes
        # The header is read when the run is planned.
        assert final.bytes_read == final.bytes_total
        assert final.bytes_total == source.stat().st_size - len("id,name,price,day\n")
        assert final.error_summary == {"id: int_parsing": 1}
        assert final.error is None
        assert final.start_time is not None
        assert final.end_time is not None
        assert final.start_time <= final.end_time
        # A snapshot: it does not go on, and nobody can change it.
        assert (live.total_processed, live.is_finished) == (20, False)
        with pytest.raises(dataclasses.FrozenInstanceError):
            live.total_processed = 1  # type: ignore[misc]
