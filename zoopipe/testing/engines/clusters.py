"""Clusters: no room for a worker, and files that a worker cannot see."""

from __future__ import annotations

import time
from pathlib import Path

from zoopipe.manager import PipeManager
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import LIMIT_S, EngineBinding, failed, needs
from zoopipe.testing.items import Vanishing, items_pipe, write_items

# How much longer than `start_timeout_s` it may take to say that there is no worker.
_MORE_S = 15.0


class ClusterTests(EngineBinding):
    """What can only be wrong where workers are elsewhere."""

    @needs("has_cluster")
    def test_run_fails_in_time_when_there_is_no_room_for_a_worker(
        self, engine_without_room: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 10)
        manager = PipeManager([items_pipe(source, tmp_path / "out.jsonl")], engine_without_room)
        began = time.monotonic()
        sentence = failed(manager, tmp_path)
        took = time.monotonic() - began
        assert took < engine_without_room.start_timeout_s + _MORE_S < LIMIT_S
        assert "worker" in sentence
        assert "\n" not in sentence
        assert not (tmp_path / "out.jsonl").exists()

    @needs("has_cluster")
    def test_pipe_fails_with_worker_and_path_when_a_worker_cannot_see_the_input(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 10)
        pipe = items_pipe(source, tmp_path / "out.jsonl")
        pipe.input_adapter = Vanishing(source)
        sentence = failed(PipeManager([pipe], engine), tmp_path)
        assert "worker " in sentence
        assert f"cannot read {source}" in sentence
        assert "use storage that every worker reaches" in sentence
        assert not (tmp_path / "out.jsonl").exists()
