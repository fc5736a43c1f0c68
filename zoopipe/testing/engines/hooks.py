"""Hooks of each kind on workers, their mistakes, and what of a pipe pickles."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from zoopipe.manager import PipeManager
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.engines.binding import EngineBinding, completed, failed
from zoopipe.testing.faults import Exit, Faults, Journal, Raise
from zoopipe.testing.items import (
    Positions,
    Shout,
    expected,
    items_pipe,
    json_rows,
    write_items,
)


class HookTests(EngineBinding):
    """Python code in a pipe, on workers."""

    def test_hooks_of_each_kind_see_their_rows_when_a_pipe_is_sharded(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 100, bad=(7,))
        bonus = 1000

        def with_bonus(row: dict[str, Any]) -> dict[str, Any]:
            return {**row, "bonus": row["id"] + bonus}

        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[Shout()],
            post_validation_hooks=[with_bonus, Positions(), lambda row: {**row, "late": bonus}],
        )
        completed(PipeManager.parallelize_pipe(pipe, 3, engine=engine))
        found = json_rows(tmp_path / "out.jsonl")
        seen = [row.pop("seen") for row in found]
        assert found == [
            {
                **row,
                "name": row["name"].upper(),
                "bonus": row["id"] + 1000,
                "position": row["id"] - 1,
                "late": 1000,
            }
            for row in expected(source).rows
        ]
        # Each attempt has a store of its own, and counts from 1.
        starts = [at for at, count in enumerate(seen) if count == 1]
        assert len(starts) == 3
        ends = [*starts[1:], len(seen)]
        assert seen == [
            n + 1 for start, end in zip(starts, ends, strict=True) for n in range(end - start)
        ]

    def test_hooks_are_set_up_and_torn_down_once_in_each_attempt(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal = Journal(tmp_path / "journal")
        source = write_items(tmp_path / "in.csv", 60)
        pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[journal])
        completed(PipeManager.parallelize_pipe(pipe, 3, engine=engine))
        set_up, torn_down = journal.times("setup"), journal.times("teardown")
        assert set_up.keys() == torn_down.keys() == {(0, 1), (1, 1), (2, 1)}
        for place, times in set_up.items():
            assert len(times) == len(torn_down[place]) == 1
            assert times < torn_down[place]

    def test_pipe_fails_and_is_not_run_again_when_a_hook_raises(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        (tmp_path / "journal").mkdir()
        journal = Journal(tmp_path / "journal")
        source = write_items(tmp_path / "in.csv", 60)
        (tmp_path / "out.jsonl").write_text("old\n")
        # The first shard begins where it is known to; others may be run again for that reason alone.
        hooks = [journal, Faults({(0, None): Raise()}, at=5)]
        pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=hooks)
        sentence = failed(PipeManager.parallelize_pipe(pipe, 2, engine=engine), tmp_path)
        assert "shard 1 of 2" in sentence
        assert "Faults raised RuntimeError" in sentence
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
        attempts = [place for place in journal.times("setup") if place[0] == 0]
        assert attempts == [(0, 1)]
        assert len(journal.times("teardown")[0, 1]) == 1

    def test_pipe_fails_and_its_worker_lives_when_a_hook_calls_sys_exit(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        source = write_items(tmp_path / "in.csv", 60)
        pipe = items_pipe(
            source, tmp_path / "out.jsonl", pre_validation_hooks=[Faults({(0, None): Exit(3)})]
        )
        sentence = failed(PipeManager([pipe], engine), tmp_path)
        assert "shard 1 of 1" in sentence
        assert "SystemExit" in sentence
        assert not (tmp_path / "out.jsonl").exists()

    def test_hook_with_a_lock_is_refused_in_a_sentence_when_it_does_not_pickle(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        lock = threading.Lock()

        def guarded(row: dict[str, Any]) -> dict[str, Any]:
            with lock:
                return row

        source = write_items(tmp_path / "in.csv", 10)
        pipe = items_pipe(source, tmp_path / "out.jsonl", post_validation_hooks=[guarded])
        manager = PipeManager([pipe], engine)
        if self.pickles_tasks:
            sentence = failed(manager, tmp_path)
            assert "shard 1 of 1: the pipe cannot be sent to a worker" in sentence
            assert "does not pickle" in sentence
            assert "lock" in sentence
            assert "\n" not in sentence
            assert not (tmp_path / "out.jsonl").exists()
        else:
            completed(manager)
            assert json_rows(tmp_path / "out.jsonl") == expected(source).rows
