"""Whether shards that run have begun at a record: looked up in the driver, when much depends on it.

A shard of a CSV file guesses where its first record begins, and the end of the shard before it checks the
guess. That may be long after so many of its rows were rejected that the run is to stop. Then the driver itself
reads from the last place that is sure to the guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from zoopipe.adapters.base import InputAdapter, Shard
from zoopipe.runtime.task import ShardResult


def sure_shards(
    adapter: InputAdapter,
    shards: Sequence[Shard],
    results: Sequence[ShardResult | None],
    columns: tuple[str, ...] | None,
    is_wanted: Callable[[], bool],
) -> Iterator[int]:
    """The shards that begin where the one before them ends, one after the other; ends with the first that does
    not, and when nobody asks any more.

    Args:
        adapter: reads them.
        shards: of a pipe, in order.
        results: of those that are done.
        columns: of the input.
        is_wanted: asked before each block that is read.

    Raises:
        InputError: the input cannot be read here.
    """
    end: int | None = None
    for index, shard in enumerate(shards):
        guess = shard.ranges[0]
        if not guess.exact:
            if end is None or next(iter(adapter.read(shard, columns))).start != end:
                return
            shard = shard.starting_at(end)
        yield index
        result = results[index]
        if result is not None:
            end = result.ranges[-1].end
            continue
        for block in adapter.read(shard, columns):
            if not is_wanted():
                return
            end = block.end
