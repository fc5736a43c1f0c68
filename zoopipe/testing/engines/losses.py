"""Workers that die: once, always, or whenever they see one record."""

from __future__ import annotations

from pathlib import Path

from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.manager import PipeManager
from zoopipe.runtime.engine import BaseEngine
from zoopipe.runtime.retry import RetryPolicy
from zoopipe.testing.engines.binding import EngineBinding, completed, failed, needs
from zoopipe.testing.faults import Faults, Journal, Kill, Loop, Poison
from zoopipe.testing.items import (
    expected,
    items_pipe,
    json_rows,
    rejects_in,
    staged,
    write_items,
)

_AT_ONCE = RetryPolicy(max_attempts=2, backoff_s=0)


class LossTests(EngineBinding):
    """A death costs the shard that ran there, and never a row."""

    @needs("isolates_processes")
    def test_only_the_lost_shard_is_run_again_when_a_worker_is_killed(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal = Journal(tmp_path / "journal")
        source = write_items(tmp_path / "in.csv", 120, bad=(3, 44, 70, 118))
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[journal, Faults({(1, 1): Kill()}, at=20)],
            error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
        )
        manager = PipeManager.parallelize_pipe(
            pipe, workers=2, shards=3, engine=engine, retries=_AT_ONCE
        )
        report = completed(manager).pipes[0]
        wanted = expected(source)
        assert (tmp_path / "out.jsonl").read_text() == wanted.text
        assert rejects_in(tmp_path / "bad.jsonl") == wanted.rejects
        assert (report.total_processed, report.success_count, report.error_count) == (120, 116, 4)
        assert report.lost_count == 1
        assert journal.times("setup").keys() == {(0, 1), (1, 1), (1, 2), (2, 1)}
        assert journal.times("teardown").keys() == {(0, 1), (1, 2), (2, 1)}
        assert staged(tmp_path) == []

    @needs("isolates_processes")
    def test_pipe_fails_with_shard_and_reason_when_its_only_attempt_is_killed(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 60)
        (tmp_path / "out.jsonl").write_text("old\n")
        pipe = items_pipe(
            source, tmp_path / "out.jsonl", pre_validation_hooks=[Faults({(1, None): Kill()})]
        )
        manager = PipeManager.parallelize_pipe(
            pipe, 2, engine=engine, retries=RetryPolicy(max_attempts=1)
        )
        sentence = failed(manager, tmp_path)
        assert "shard 2 of 2: its worker" in sentence
        assert "\n" not in sentence
        assert manager.get_pipe_report(0).lost_count == 1
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
        # Workers are there again for who comes next.
        other = PipeManager([items_pipe(source, tmp_path / "other.jsonl")], engine)
        assert completed(other).success_count == 60

    @needs("isolates_processes")
    def test_record_is_rejected_and_the_rest_written_when_it_kills_its_worker_each_time(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        # The place of the record is one that a search by halves comes to with few deaths.
        source = write_items(tmp_path / "in.csv", 2200, bad=(5, 2100))
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[Poison("id", "1024", Kill())],
            error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
        )
        manager = PipeManager.parallelize_pipe(pipe, 2, engine=engine, retries=_AT_ONCE)
        report = completed(manager).pipes[0]
        rows = [row for row in expected(source).rows if row["id"] != 1024]
        assert json_rows(tmp_path / "out.jsonl") == rows
        first, poisonous, last = json_rows(tmp_path / "bad.jsonl")
        assert (first["_row"], first["_stage"]) == (5, "validate")
        assert (poisonous["_row"], poisonous["_stage"]) == (1024, "worker")
        assert (poisonous["id"], poisonous["name"]) == ("1024", "item 1024")
        assert [error["type"] for error in poisonous["_errors"]] == ["worker_lost"]
        assert (last["_row"], last["_stage"]) == (2100, "validate")
        assert (report.total_processed, report.success_count, report.error_count) == (2200, 2197, 3)
        assert report.lost_count >= 2
        assert staged(tmp_path) == []

    @needs("isolates_processes", "can_kill")
    def test_record_is_rejected_and_the_rest_written_when_it_never_comes_back(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 2200, bad=(5, 2100))
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[Poison("id", "1024", Loop())],
            error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
        )
        manager = PipeManager.parallelize_pipe(
            pipe, 2, engine=engine, retries=_AT_ONCE, record_timeout_s=2.0
        )
        report = completed(manager).pipes[0]
        rows = [row for row in expected(source).rows if row["id"] != 1024]
        assert json_rows(tmp_path / "out.jsonl") == rows
        first, endless, last = json_rows(tmp_path / "bad.jsonl")
        assert (first["_row"], first["_stage"]) == (5, "validate")
        assert (endless["_row"], endless["_stage"]) == (1024, "worker")
        assert [error["type"] for error in endless["_errors"]] == ["record_timeout"]
        assert (last["_row"], last["_stage"]) == (2100, "validate")
        assert (report.total_processed, report.success_count, report.error_count) == (2200, 2197, 3)
        assert report.lost_count >= 2
        assert staged(tmp_path) == []
