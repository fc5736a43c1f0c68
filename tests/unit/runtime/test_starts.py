"""Which shards have begun at a record, as the driver looks it up."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoopipe import CSVInputAdapter, JSONInputAdapter
from zoopipe.adapters.base import FileRange
from zoopipe.counts import Counts
from zoopipe.runtime.starts import sure_shards
from zoopipe.runtime.task import ShardResult


def sure(
    adapter: CSVInputAdapter | JSONInputAdapter, shards: int, most_blocks: int = 99
) -> list[int]:
    plan = adapter.plan(shards)
    assert len(plan.shards) == shards
    blocks = iter(range(most_blocks))
    return list(
        sure_shards(
            adapter,
            plan.shards,
            [None] * shards,
            plan.columns,
            lambda: next(blocks, None) is not None,
        )
    )


@pytest.mark.parametrize("name", ["plain", '"with ""quotes"""', '"two\nlines"'])
def test_all_shards_are_sure_when_none_begins_within_quotes(tmp_path: Path, name: str) -> None:
    (tmp_path / "in.csv").write_text("id,name\n" + f"1,{name}\n" * 500)
    assert sure(CSVInputAdapter(tmp_path / "in.csv"), 4) == [0, 1, 2, 3]


def test_shards_are_sure_up_to_one_that_begins_within_quotes(tmp_path: Path) -> None:
    # Read from inside the quotes, all lines look like records.
    quoted = "\n".join(f"x{number},y" for number in range(2000))
    text = "id,name\n" + "".join(f'{number},"{quoted}"\n' for number in range(1, 7))
    (tmp_path / "in.csv").write_text(text)
    assert sure(CSVInputAdapter(tmp_path / "in.csv"), 5) == [0]


def test_nothing_more_is_read_when_nobody_asks_any_more(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1}\n' * 500)
    assert sure(JSONInputAdapter(tmp_path / "in.jsonl"), 4, most_blocks=1) == [0, 1]


def test_end_of_a_shard_that_is_done_is_known_and_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\n" + "1,a\n" * 500)
    adapter = CSVInputAdapter(tmp_path / "in.csv")
    plan = adapter.plan(2)
    begin = next(iter(adapter.read(plan.shards[1], plan.columns))).start
    for end, expected in ((begin, [0, 1]), (begin - 4, [0])):
        done = ShardResult((FileRange("in.csv", 8, end),), Counts())
        found = sure_shards(adapter, plan.shards, [done, None], plan.columns, lambda: False)
        assert list(found) == expected
