"""What of a worker's log arrives in the driver's, and what the driver says of stalls."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from zoopipe.manager import PipeManager
from zoopipe.report import PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing import faults
from zoopipe.testing.engines.binding import EngineBinding, completed, needs, running, waited
from zoopipe.testing.faults import Faults, Gate, Log, wait_until
from zoopipe.testing.items import expected, items_pipe, write_items


class LogTests(EngineBinding):
    """Enough to know what is wrong, and never a flood."""

    @needs("isolates_processes")
    def test_hundred_warnings_arrive_with_their_shard_when_a_worker_logs_without_end(
        self,
        engine: BaseEngine,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.INFO)
        source = write_items(tmp_path / "in.csv", 20)
        pipe = items_pipe(
            source, tmp_path / "out.jsonl", pre_validation_hooks=[Faults({(0, 1): Log(10_000)})]
        )
        # As an application has it; a forked worker has it too, and must not use it.
        handler = logging.StreamHandler(sys.stderr)
        logging.getLogger().addHandler(handler)
        try:
            completed(PipeManager([pipe], engine))
        finally:
            logging.getLogger().removeHandler(handler)
        records = [record for record in caplog.records if record.name == faults.__name__]
        assert {record.levelno for record in records} == {logging.WARNING}
        lines = [record.getMessage() for record in records]
        assert len(lines) == 100
        assert all(line.startswith("pipe 0, shard 1 of 1, on ") for line in lines)
        endings = [line.rpartition(": ")[2] for line in lines]
        assert endings == [f"line {number} of shard 0" for number in range(100)]
        assert sum("more than 100 lines were logged" in line for line in caplog.messages) == 1
        out, err = capfd.readouterr()
        assert (out + err).count("of shard") == 100
        assert "chatter" not in out + err
        assert (tmp_path / "out.jsonl").read_text() == expected(source).text

    def test_stall_is_said_once_with_shard_and_place_when_there_is_no_progress(
        self, engine: BaseEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 20)
        pipe = items_pipe(
            source, tmp_path / "out.jsonl", pre_validation_hooks=[Faults({(0, 1): gate})]
        )
        manager = PipeManager([pipe], engine, stall_timeout_s=0.3)
        with running(manager):
            pid = gate.wait_for(0)
            wait_until(lambda: "stalls" in caplog.text)
            # Time to say it again, were it not said once.
            wait_until(lambda: manager.get_pipe_report(0).workers[0].quiet_s > 1.0)
            (worker,) = manager.get_pipe_report(0).workers
            assert (worker.shard, worker.attempt, worker.pid) == (0, 1, pid)
            gate.open()
            assert waited(manager).status is PipeStatus.COMPLETED
        said = [record for record in caplog.records if "stalls" in record.getMessage()]
        assert [record.levelno for record in said] == [logging.WARNING]
        sentence = said[0].getMessage()
        assert sentence.startswith("pipe 0, shard 1 of 1 stalls: no progress for ")
        assert sentence.endswith(f"on {worker.host or 'this machine'}, process {pid}")
