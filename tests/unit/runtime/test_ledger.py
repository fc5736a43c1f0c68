"""The books of a run: what balances, what tiles, and where a seam is loose."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoopipe.adapters.base import FileRange, Shard
from zoopipe.counts import Counts
from zoopipe.errors import LedgerError
from zoopipe.runtime.ledger import check_balance, check_tiling, first_loose_seam
from zoopipe.runtime.task import ShardResult
from zoopipe.storage.files import END
from zoopipe.storage.parts import Part


def read(*ranges, path="a", part=None, rejects=None, **counts):
    found = tuple(FileRange(path, start, end) for start, end in ranges)
    return ShardResult(found, Counts(**counts), part, rejects)


def planned(*bounds, path="a", limit=None):
    return [
        Shard(index, (FileRange(path, start, end, exact=index == 0),), limit=limit)
        for index, (start, end) in enumerate(bounds)
    ]


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"records": 5, "written": 3, "rejected": 2},
        {"records": 5, "added": 2, "written": 6, "dropped": 1},
    ],
)
def test_books_balance_when_every_row_went_one_way(counts):
    check_balance(read((0, 1), **counts), "shard")


@pytest.mark.parametrize("counts", [{"records": 1}, {"written": 1}, {"records": 2, "dropped": 3}])
def test_books_do_not_balance_when_a_row_is_lost_or_doubled(counts):
    with pytest.raises(LedgerError, match="shard 1: the books do not balance"):
        check_balance(read((0, 1), **counts), "shard 1")


@pytest.mark.parametrize("name", ["part", "rejects"])
def test_books_do_not_balance_when_other_rows_were_staged_than_went_there(name):
    staged = {name: Part(Path("staged"), 4, 100, "0" * 16)}
    with pytest.raises(LedgerError, match=r"5 rows were .*, 4 were staged"):
        check_balance(read((0, 1), records=10, written=5, rejected=5, **staged), "shard 1")


PLAN = planned((10, 40), (40, 70), (70, 100))


@pytest.mark.parametrize(
    ("results", "seam"),
    [
        ([read((10, 45)), read((45, 72)), read((72, 100))], None),
        ([read((10, 45)), read((50, 72)), read((72, 100))], (1, 45)),
        ([read((10, 45)), read((45, 72)), read((71, 100))], (2, 72)),
        ([read((10, 45)), read((44, 72)), read((71, 100))], (1, 45)),
        ([read((10, 45)), None, read((71, 100))], None),
        ([None, read((44, 72)), read((71, 100))], None),
    ],
)
def test_first_loose_seam_is_found(results, seam):
    assert first_loose_seam(PLAN, results) == seam


def test_seam_is_tight_when_the_next_shard_begins_a_file():
    plan = [Shard(0, (FileRange("a", 5, 9),)), Shard(1, (FileRange("a", 5, 9),))]
    assert first_loose_seam(plan, [read((5, 9)), read((5, 9))]) is None
    check_tiling(plan, [read((5, 9)), read((5, 9))])


def test_ranges_tile_when_ends_moved_to_record_ends():
    check_tiling(PLAN, [read((10, 20), (20, 45)), read((45, 72)), read((72, 100))])


@pytest.mark.parametrize(
    "results",
    [
        [read((10, 45)), read((46, 72)), read((72, 100))],
        [read((10, 45)), read((45, 72)), read((72, 99))],
        [read((11, 45)), read((45, 72)), read((72, 100))],
        [read((10, 45), path="b"), read((45, 72)), read((72, 100))],
        [read((10, 45)), read((45, 72))],
    ],
)
def test_ranges_do_not_tile_when_bytes_are_missing(results):
    with pytest.raises(LedgerError):
        check_tiling(PLAN, results)


def test_ranges_tile_when_the_end_is_unknown_or_a_limit_ends_early():
    check_tiling(planned((0, END)), [read((0, 12345))])
    check_tiling(planned((0, 100), limit=3), [read((0, 30))])
