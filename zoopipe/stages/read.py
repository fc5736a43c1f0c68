"""Reading: a shard's blocks, with `skip_rows` and `limit` counted where the input is one shard."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator

from zoopipe.adapters.base import Block, InputAdapter, Shard


def read_blocks(
    adapter: InputAdapter, shard: Shard, columns: tuple[str, ...] | None
) -> Generator[Block, None, None]:
    """The blocks of `shard`, without the records before `skip` and after `limit`."""
    blocks = adapter.read(shard, columns)
    if shard.skip or shard.limit is not None:
        blocks = _trimmed(blocks, shard.skip, shard.limit)
    # A generator can be closed, and with it the file that is read.
    yield from blocks


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
    rows = block.row_records if block.row_records is not None else range(block.records)
    first = bisect_left(rows, low)
    count = bisect_left(rows, high) - first
    whole_offsets = block.offsets
    block.batch = block.batch.slice(first, count)
    block.row_records = [record - low for record in rows[first : first + count]]
    block.unparsed = [
        type(item)(item.record - low, item.reasons, item.text)
        for item in block.unparsed
        if low <= item.record < high
    ]
    block.offsets = lambda: whole_offsets()[low:high]
    block.records = high - low
    return block
