"""What is published: order, merge, rejects, many pipes at once, and books that balance."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel

from zoopipe.adapters.csv import CSVOutputAdapter
from zoopipe.adapters.json import JSONInputAdapter, JSONOutputAdapter
from zoopipe.executors import MultiThreadExecutor
from zoopipe.manager import PipeManager
from zoopipe.pipe import Pipe
from zoopipe.report import PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import EngineBinding, completed, running, waited
from zoopipe.testing.faults import Faults, Journal, Raise
from zoopipe.testing.items import (
    Item,
    Positions,
    Twice,
    expected,
    items_pipe,
    rejects_in,
    staged,
    write_items,
)

_ROWS = 400
_BAD = (1, 2, 57, 199, 200, 201, 399, 400)


class ResultTests(EngineBinding):
    """The same bytes as in one process, and no row lost or doubled."""

    @pytest.mark.parametrize("shards", [1, 2, 3, 7])
    def test_output_and_rejects_are_those_of_one_process_when_shards_differ(
        self, engine: BaseEngine, tmp_path: Path, shards: int
    ) -> None:
        source = write_items(tmp_path / "in.csv", _ROWS, _BAD, plain=False)
        wanted = expected(source)
        found = []
        for name in ("alone", "engine"):
            pipe = items_pipe(
                source,
                tmp_path / f"{name}.jsonl",
                error_output_adapter=JSONOutputAdapter(tmp_path / f"{name}-bad.jsonl"),
            )
            if name == "alone":
                pipe.run()
            else:
                report = completed(PipeManager.parallelize_pipe(pipe, shards, engine=engine))
                assert (report.total_processed, report.success_count, report.error_count) == (
                    _ROWS,
                    len(wanted.rows),
                    len(_BAD),
                )
                assert report.pipes[0].shard_count == report.pipes[0].shards_done == shards
            files = (tmp_path / f"{name}.jsonl", tmp_path / f"{name}-bad.jsonl")
            found.append([file.read_bytes() for file in files])
        assert found[1] == found[0]
        assert found[1][0].decode() == wanted.text
        # Numbered in the whole input, not in a shard.
        assert rejects_in(tmp_path / "engine-bad.jsonl") == wanted.rejects
        assert [number for number, _ in wanted.rejects] == list(_BAD)
        assert staged(tmp_path) == []

    def test_no_more_attempts_than_workers_run_at_once_when_there_are_more_shards(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal = Journal(tmp_path / "journal")
        source = write_items(tmp_path / "in.csv", 90)
        pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[journal])
        completed(PipeManager.parallelize_pipe(pipe, workers=1, shards=5, engine=engine))
        assert (tmp_path / "out.jsonl").read_text() == expected(source).text
        begun, ended = journal.times("setup"), journal.times("teardown")
        assert begun.keys() == {(shard, 1) for shard in range(5)}
        spans = sorted((begun[place], ended[place]) for place in begun)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))

    def test_one_header_is_written_when_shards_of_csv_are_merged(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 40, plain=False)
        pipe = items_pipe(source, tmp_path / "unused")
        pipe.output_adapter = CSVOutputAdapter(tmp_path / "out.csv")
        executor = MultiThreadExecutor(2)
        completed(PipeManager.parallelize_pipe(pipe, 3, executor=executor, engine=engine))
        # Canonical cells, so that a copy is the same text.
        assert (tmp_path / "out.csv").read_text() == source.read_text()

    @pytest.mark.parametrize("model", [None, Item], ids=["no model", "model"])
    def test_records_beyond_a_limit_are_rejected_alone_when_their_neighbours_are_good(
        self, engine: BaseEngine, tmp_path: Path, model: type[BaseModel] | None
    ) -> None:
        item = '{"id":1,"name":"a","price":"1.50","day":"2024-01-01","more":%s}\n'
        deep = {depth: "[" * (depth - 1) + "]" * (depth - 1) for depth in (200, 201, 260, 5000)}
        more = ["0", deep[200], deep[201], "0", deep[260], "NaN", deep[5000], f'"{"x" * 2000}"']
        source = tmp_path / "in.jsonl"
        source.write_text("".join(item % value for value in more * 5))
        pipe = Pipe(
            JSONInputAdapter(source, max_record_bytes=1500),
            JSONOutputAdapter(tmp_path / "out.jsonl"),
            error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
            schema_model=model,
        )
        report = completed(PipeManager.parallelize_pipe(pipe, 3, engine=engine))
        assert (report.success_count, report.error_count) == (15, 25)
        kinds = {3: "json_invalid", 5: "json_invalid", 6: "json_invalid"}
        kinds |= {7: "record_too_long", 8: "record_too_long"}
        assert [(row, errors[0]["type"]) for row, errors in rejects_in(tmp_path / "bad.jsonl")] == [
            (8 * turn + row, kind) for turn in range(5) for row, kind in kinds.items()
        ]

    def test_each_shard_is_a_file_when_it_should_not_be_merged(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 90)
        (tmp_path / "out_part_00004.jsonl").write_text("of a wider run before\n")
        pipe = items_pipe(source, tmp_path / "out.jsonl")
        completed(PipeManager.parallelize_pipe(pipe, 3, should_merge=False, engine=engine))
        names = [f"out_part_0000{number}.jsonl" for number in (1, 2, 3)]
        assert sorted(path.name for path in tmp_path.glob("out*")) == names
        parts = [(tmp_path / name).read_text() for name in names]
        assert all(parts)
        assert "".join(parts) == expected(source).text

    def test_books_balance_when_rows_are_rejected_added_and_dropped(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 100, bad=(10, 20))
        doubled = items_pipe(source, tmp_path / "a.jsonl", post_validation_hooks=[Twice()])
        thinned = items_pipe(
            source, tmp_path / "b.jsonl", post_validation_hooks=[Positions(drop={0, 50, 99})]
        )
        for pipe, counts in ((doubled, (100, 98, 196, 2, 0)), (thinned, (100, 0, 95, 2, 3))):
            report = completed(PipeManager.parallelize_pipe(pipe, 3, engine=engine)).pipes[0]
            assert (
                report.total_processed,
                report.added_count,
                report.success_count,
                report.error_count,
                report.dropped_count,
            ) == counts
        assert (tmp_path / "a.jsonl").read_text().count("\n") == 196
        assert (tmp_path / "b.jsonl").read_text().count("\n") == 95

    def test_two_hundred_small_pipes_are_all_published_when_run_at_once(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        sources = [
            write_items(tmp_path / "in" / f"{number}.csv", 2, first=number) for number in range(200)
        ]
        pipes = [
            items_pipe(source, tmp_path / "out" / f"{number}.jsonl")
            for number, source in enumerate(sources)
        ]
        report = completed(PipeManager(pipes, engine))
        assert [pipe.success_count for pipe in report.pipes] == [2] * 200
        assert [pipe.pipe_index for pipe in report.pipes] == list(range(200))
        for number, source in enumerate(sources):
            written = (tmp_path / "out" / f"{number}.jsonl").read_text()
            assert written == expected(source).text
        assert staged(tmp_path) == []

    def test_other_pipes_are_published_when_one_fails(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 20)
        (tmp_path / "2.jsonl").write_text("old\n")
        pipes = [
            items_pipe(
                source,
                tmp_path / f"{number}.jsonl",
                pre_validation_hooks=[Faults({(0, None): Raise()})] if number == 2 else None,
            )
            for number in range(5)
        ]
        manager = PipeManager(pipes, engine)
        with running(manager):
            report = waited(manager)
        done, bad = PipeStatus.COMPLETED, PipeStatus.FAILED
        assert [pipe.status for pipe in report.pipes] == [done, done, bad, done, done]
        assert [pipe.has_error for pipe in report.pipes] == [False, False, True, False, False]
        assert report.status is PipeStatus.FAILED
        assert report.error is not None
        assert "pipe 2" in report.error
        assert "Faults raised RuntimeError" in report.error
        assert (tmp_path / "2.jsonl").read_text() == "old\n"
        for number in (0, 1, 3, 4):
            assert (tmp_path / f"{number}.jsonl").read_text() == expected(source).text
        assert staged(tmp_path) == []
