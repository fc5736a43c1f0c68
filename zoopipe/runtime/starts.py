"""Whether shards that run have begun at a record: looked up in the driver, when much depends on it.

A shard of a CSV file guesses where its first record begins, and the end of the shard before it checks the
guess. That may be long after so many of its rows were rejected that the run is to stop. Then the driver itself
reads from the last place that is sure to the guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from zoopipe.adapters.base import InputAdapter, Shard
from zoopipe.runtime.task import ShardResult
from zoopipe.runtime.threads import in_thread


class StartCheck:
    """Looks up, in a thread, which shards of a pipe begin at a record.

    Attributes:
        sure: the indices of those that are known to.
    """

    def __init__(self, adapter: InputAdapter, columns: tuple[str, ...] | None) -> None:
        self.sure: set[int] = set()
        self._adapter = adapter
        self._columns = columns
        self._going_on: Future[None] | None = None
        self._left = -1

    def begin(
        self,
        shards: Sequence[Shard],
        results: Sequence[ShardResult | None],
        is_wanted: Callable[[], bool],
    ) -> None:
        """Begins, unless that goes on, or was done when no fewer shards were left; arguments as for
        `sure_shards`."""
        left = results.count(None)
        if left == self._left or (self._going_on is not None and not self._going_on.done()):
            return
        self._left = left

        def look_up() -> None:
            for index in sure_shards(self._adapter, shards, results, self._columns, is_wanted):
                self.sure.add(index)

        self._going_on = in_thread(look_up, "zoopipe-starts")


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
