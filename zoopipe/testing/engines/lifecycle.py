"""Start, wait, end, start again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from zoopipe.manager import PipeManager
from zoopipe.report import PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import LIMIT_S, EngineBinding, completed, running, waited
from zoopipe.testing.faults import Faults, Gate
from zoopipe.testing.items import expected, items_pipe, staged, write_items


class LifecycleTests(EngineBinding):
    """From `start` to the end, and once more."""

    def test_run_goes_from_start_to_its_end_when_nobody_interferes(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 10)
        pipe = items_pipe(
            source, tmp_path / "out.jsonl", pre_validation_hooks=[Faults({(0, 1): gate})]
        )
        manager = PipeManager([pipe], engine)
        assert not manager.is_running
        with running(manager):
            gate.wait_for(0)
            assert manager.is_running
            assert engine.is_running
            began = time.monotonic()
            assert manager.wait(0.2) is False
            assert 0.2 <= time.monotonic() - began < 2.0
            assert not (tmp_path / "out.jsonl").exists()
            gate.open()
            assert manager.wait(LIMIT_S) is True
            # Readable at once: the commit comes before the end.
            assert (tmp_path / "out.jsonl").read_text() == expected(source).text
            assert not manager.is_running
            assert not engine.is_running
            assert engine.wait(0) is True
        manager.shutdown()
        engine.shutdown()
        assert manager.report.status is PipeStatus.COMPLETED
        assert staged(tmp_path) == []

    def test_second_start_is_refused_when_the_first_run_goes_on(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path / "gate")
        source = write_items(tmp_path / "in.csv", 10)
        hooks = [Faults({(0, 1): gate})]
        manager = PipeManager(
            [items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=hooks)], engine
        )
        other = PipeManager([items_pipe(source, tmp_path / "other.jsonl")], engine)
        with running(manager):
            gate.wait_for(0)
            with pytest.raises(RuntimeError, match="already running"):
                manager.start()
            with pytest.raises(RuntimeError, match="already running"):
                other.start()
            gate.open()
            assert waited(manager).status is PipeStatus.COMPLETED
        assert (tmp_path / "out.jsonl").read_text() == expected(source).text
        assert not (tmp_path / "other.jsonl").exists()
        assert staged(tmp_path) == []

    def test_manager_and_engine_run_again_when_a_run_has_ended(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 10)
        manager = PipeManager([items_pipe(source, tmp_path / "out.jsonl")], engine)
        assert completed(manager).success_count == 10
        write_items(source, 25)
        assert completed(manager).success_count == 25
        assert (tmp_path / "out.jsonl").read_text() == expected(source).text
        other = PipeManager([items_pipe(source, tmp_path / "other.jsonl")], engine)
        assert completed(other).success_count == 25
        assert (tmp_path / "other.jsonl").read_text() == expected(source).text

    def test_reports_are_refused_when_nothing_was_started(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        manager = PipeManager([items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl")], engine)
        for asked in (manager, engine):
            assert not asked.is_running
            with pytest.raises(RuntimeError, match="has not been started"):
                _ = asked.report
            with pytest.raises(RuntimeError, match="has not been started"):
                _ = asked.pipe_reports
            with pytest.raises(RuntimeError, match="has not been started"):
                asked.get_pipe_report(0)
            with pytest.raises(RuntimeError, match="has not been started"):
                asked.wait(0)
        manager.shutdown()
        engine.shutdown()

    def test_report_is_refused_when_its_index_is_out_of_range(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 3)
        manager = PipeManager([items_pipe(source, tmp_path / "out.jsonl")], engine)
        completed(manager)
        assert manager.get_pipe_report(0) == engine.get_pipe_report(0) == manager.pipe_reports[0]
        for index in (1, -1):
            with pytest.raises(IndexError, match="out of range"):
                manager.get_pipe_report(index)
            with pytest.raises(IndexError, match="out of range"):
                engine.get_pipe_report(index)
