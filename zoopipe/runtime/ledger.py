"""The books of a pipe: every record of the input was read once, and went one way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from zoopipe.adapters.base import FileRange, Shard, append_range
from zoopipe.errors import LedgerError
from zoopipe.runtime.task import ShardResult
from zoopipe.storage.files import END


def first_loose_seam(
    shards: Sequence[Shard], results: Sequence[ShardResult | None]
) -> tuple[int, int] | None:
    """The first shard that did not begin where the one before it ended.

    Only a shard planned to begin somewhere inside a file can have a loose seam before it.

    The first shard begins at a known place, so every seam before the one found is right, and so is
    the end of the shard before it.

    Returns:
        The shard's index and the byte where it has to begin; None where all seams known so far are
        tight.
    """
    for index in range(1, len(results)):
        before, after = results[index - 1], results[index]
        if before is None or after is None:
            return None
        last, first = before.ranges[-1], after.ranges[0]
        if not shards[index].ranges[0].exact and last.end != first.start:
            return index, last.end
    return None


def check_balance(result: ShardResult, label: str) -> None:
    """Raises `LedgerError` unless read + added == written + rejected + dropped, all of them staged."""
    counts = result.counts
    if counts.came != counts.went:
        raise LedgerError(
            f"{label}: the books do not balance: {counts.came} rows came in, {counts.went} went out; "
            "nothing is published"
        )
    for name, part, rows in (
        ("written", result.part, counts.written),
        ("rejected", result.rejects, counts.rejected),
    ):
        if part is not None and part.rows != rows:
            raise LedgerError(
                f"{label}: the books do not balance: {rows} rows were {name}, {part.rows} were staged; "
                "nothing is published"
            )


def check_tiling(shards: Sequence[Shard], results: Sequence[ShardResult]) -> None:
    """Raises `LedgerError` unless the ranges that were read tile those that were planned."""
    read = _joined([part for result in results for part in result.ranges])
    planned = _joined([part for shard in shards for part in shard.ranges])
    if shards[-1].limit is not None:
        # The reader ends with the last record that is asked for; what it read is still without gaps.
        planned = planned[: len(read)]
        read = [replace(r, end=p.end) for r, p in zip(read, planned, strict=False)]
    for got, wanted in zip(read, planned, strict=False):
        end_differs = got.end < wanted.end if wanted.end != END else False
        start_differs = wanted.exact and got.start != wanted.start
        if got.path != wanted.path or start_differs or end_differs:
            raise LedgerError(
                f"{wanted.unit} {got.start} to {got.end} of {got.path} were read, "
                f"{wanted.start} to {wanted.end} of {wanted.path} were planned: "
                "did the file change while it was read?"
            )
    if len(read) != len(planned):
        raise LedgerError(f"{len(read)} ranges were read, {len(planned)} were planned")


def _joined(ranges: Sequence[FileRange]) -> list[FileRange]:
    """Ranges with those that touch made one."""
    joined: list[FileRange] = []
    for part in ranges:
        append_range(joined, part)
    return joined
