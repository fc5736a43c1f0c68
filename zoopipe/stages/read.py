"""Reading: a shard's blocks, with `skip_rows` and `limit` counted where the input is one shard."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise

from zoopipe.adapters.base import Block, InputAdapter, Shard


def read_blocks(
    adapter: InputAdapter,
    shard: Shard,
    columns: tuple[str, ...] | None,
    most_records: int | None = None,
) -> Generator[Block, None, None]:
    """The blocks of `shard`, without the records before `skip` and after `limit`.

    Args:
        most_records: the most that a block may hold; where rows go through Python, so that progress
            is shown, and a stop obeyed, while a block's worth of them is still on its way.
    """
    blocks = adapter.read(shard, columns)
    if shard.skip or shard.limit is not None:
        blocks = _trimmed(blocks, shard.skip, shard.limit)
    # A generator can be closed, and with it the file that is read.
    for block in blocks:
        if most_records is None or block.records <= most_records:
            yield block
        else:
            yield from cut_block(block, range(most_records, block.records, most_records))


def _trimmed(blocks: Iterator[Block], skip: int, limit: int | None) -> Iterator[Block]:
    for block in blocks:
        low = min(skip, block.records)
        skip -= low
        high = block.records if limit is None else min(block.records, low + limit)
        if limit is not None:
            limit -= high - low
        yield _slice(block, low, high)
        if limit == 0:
            return


def _slice(block: Block, low: int, high: int) -> Block:
    """The records `low` to `high` of a block."""
    if (low, high) == (0, block.records):
        return block
    rows, all_offsets, all_columns = block.row_records, block.offsets, block.whole
    first, count = low, high - low
    if rows is not None:
        first = bisect_left(rows, low)
        count = bisect_left(rows, high) - first
        block.row_records = [record - low for record in rows[first : first + count]]
    block.batch = block.batch.slice(first, count)
    if all_columns is not None:
        block.whole = lambda: all_columns().slice(first, count)
    block.unparsed = [
        replace(item, record=item.record - low)
        for item in block.unparsed
        if low <= item.record < high
    ]
    if all_offsets is not None:
        block.offsets = lambda: all_offsets()[low:high]
    if block.origins is not None:
        block.origins = block.origins[low:high]
    block.records = high - low
    return block


def cut_block(block: Block, cuts: Iterable[int]) -> Iterator[Block]:
    """A block cut before the records `cuts`, in order; the last piece stands for the bytes of all.

    Each cut is asked for when the pieces before it were taken.
    """
    for low, high in pairwise(chain([0], cuts, [block.records])):
        piece = _slice(replace(block), low, high)
        if high < block.records:
            piece.end, piece.bytes_read = block.start, 0
        yield piece
