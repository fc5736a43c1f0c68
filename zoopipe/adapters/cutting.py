"""Cutting an input of files into shards by bytes."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from zoopipe.adapters.base import Block, FileRange, InputPlan, Shard
from zoopipe.storage.files import END
from zoopipe.storage.filesystems import LOCAL, Storage

# How far a driver reads to find the record that `skip_rows` or `limit` names. Beyond it the
# input runs as one shard, and its worker counts.
_SEEK_BYTES = 1 << 26


def cut_files(
    ranges: Sequence[FileRange],
    shards: int,
    *,
    columns: tuple[str, ...] | None,
    skip: int,
    limit: int | None,
    read: Callable[[Shard], Iterator[Block]],
    storage: Storage = LOCAL,
) -> InputPlan:
    """A plan for files that can be read from any byte on, and for those that cannot.

    Args:
        ranges: what is to be read of each file, in order; one that ends at `END` is not cut.
        shards: how many shards are wanted.
        columns: the plan's columns.
        skip, limit: records, of the whole input, to leave out and to read at most.
        read: reads a shard; used to find where `skip` and `limit` fall.
        storage: where URLs are.
    """
    total = None
    if all(part.end != END for part in ranges):
        total = sum(part.end - part.start for part in ranges)
    folder = os.getcwd()
    whole = Shard(0, tuple(ranges), skip, limit, folder)
    plan = InputPlan((whole,), columns, total, skip, identity=_identity(ranges, storage))
    if shards == 1:
        return plan
    if skip or limit is not None:
        bounded = _bounded(whole, read)
        if bounded is None:
            far = "skip_rows or limit end so far into it that a worker has to count"
            return replace(plan, why_whole=far)
        ranges = bounded
    pieces = _cut(ranges, shards, storage)
    why = None
    if len(pieces) == 1:
        uncut = any(part.end == END for part in ranges)
        why = "no byte range of it can be read alone" if uncut else "it is too small to cut"
    cut = tuple(Shard(index, parts, folder=folder) for index, parts in enumerate(pieces))
    return replace(plan, shards=cut, why_whole=why)


def _identity(ranges: Sequence[FileRange], storage: Storage) -> dict[str, str]:
    """Size, and etag or time of the last change, of each file."""
    return {path: storage.identity(path) for path in {part.path: None for part in ranges}}


def _cut(ranges: Sequence[FileRange], shards: int, storage: Storage) -> list[tuple[FileRange, ...]]:
    """At most `shards` runs of ranges, of about the same number of bytes each."""
    sizes = [_size(part, storage) for part in ranges]
    total = sum(sizes)
    bounds = sorted({total * number // shards for number in range(1, shards)} - {0, total})
    pieces: list[list[FileRange]] = [[] for _ in range(len(bounds) + 1)]
    before = 0
    for part, size in zip(ranges, sizes, strict=True):
        inner = [bound - before for bound in bounds if before < bound < before + size]
        if part.end == END:
            pieces[bisect_right(bounds, before)].append(part)
            inner = []
        else:
            for low, high in pairwise([0, *inner, size]):
                piece = FileRange(
                    part.path, part.start + low, part.start + high, part.exact and low == 0
                )
                pieces[bisect_right(bounds, before + low)].append(piece)
        before += size
    return [tuple(piece) for piece in pieces if piece]


def _size(part: FileRange, storage: Storage) -> int:
    # What is before the start of a compressed file can be more than the file's own size.
    end = storage.size(part.path) if part.end == END else part.end
    return max(end - part.start, 0)


def _bounded(whole: Shard, read: Callable[[Shard], Iterator[Block]]) -> list[FileRange] | None:
    """The ranges that hold just the records `skip` to `skip + limit`; None where that is far."""
    if any(part.end == END for part in whole.ranges):
        return None
    last = None if whole.limit is None else whole.skip + whole.limit
    start = stop = None
    records = consumed = 0
    for index, part in enumerate(whole.ranges):
        for block in read(Shard(0, (part,))):
            for number in (whole.skip, last):
                if number is None or not records <= number < records + block.records:
                    continue
                assert block.offsets is not None, "files that are cut by bytes have places in bytes"
                place = (index, block.start + block.offsets()[number - records])
                start = place if number == whole.skip else start
                stop = place if number == last else stop
            if start and (stop or last is None):
                return _between(whole.ranges, start, stop)
            records += block.records
            consumed += block.end - block.start
            if consumed > _SEEK_BYTES:
                return None
    return _between(whole.ranges, start, stop)


def _between(
    ranges: Sequence[FileRange], start: tuple[int, int] | None, stop: tuple[int, int] | None
) -> list[FileRange]:
    """The ranges from one place to another, each an index and a byte; None is the end of all."""
    end = (len(ranges) - 1, ranges[-1].end)
    start, stop = start or end, stop or end
    kept = list(ranges[start[0] : stop[0] + 1])
    kept[-1] = replace(kept[-1], end=stop[1])
    kept[0] = replace(kept[0], start=start[1], end=max(kept[0].end, start[1]), exact=True)
    return kept
