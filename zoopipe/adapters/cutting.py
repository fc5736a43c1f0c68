"""Cutting an input of files into shards: by bytes, or by what a format says can be read alone."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import pyarrow as pa

from zoopipe.adapters.base import Block, FileRange, InputPlan, Shard, Unit, append_range
from zoopipe.storage.files import END

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
) -> InputPlan:
    """A plan for files that can be read from any byte on, and for those that cannot.

    Args:
        ranges: what is to be read of each file, in order; one that ends at `END` is not cut.
        shards: how many shards are wanted.
        columns: the plan's columns.
        skip, limit: records, of the whole input, to leave out and to read at most.
        read: reads a shard; used to find where `skip` and `limit` fall.
    """
    total = None
    if all(part.end != END for part in ranges):
        total = sum(part.end - part.start for part in ranges)
    folder = os.getcwd()
    whole = Shard(0, tuple(ranges), skip, limit, folder)
    plan = InputPlan((whole,), columns, total, skip, identity=_identity(ranges))
    if shards == 1:
        return plan
    if skip or limit is not None:
        bounded = _bounded(whole, read)
        if bounded is None:
            far = "skip_rows or limit end so far into it that a worker has to count"
            return replace(plan, why_whole=far)
        ranges = bounded
    pieces = _cut(ranges, shards)
    why = None
    if len(pieces) == 1:
        uncut = any(part.end == END for part in ranges)
        why = "no byte range of it can be read alone" if uncut else "it is too small to cut"
    cut = tuple(Shard(index, parts, folder=folder) for index, parts in enumerate(pieces))
    return replace(plan, shards=cut, why_whole=why)


def _identity(ranges: Sequence[FileRange]) -> dict[str, str]:
    """Size and time of the last change of each file."""
    found = {path: os.stat(path) for path in {part.path: None for part in ranges}}
    return {
        path: f"{file.st_size} bytes, mtime {file.st_mtime_ns} ns" for path, file in found.items()
    }


def _cut(ranges: Sequence[FileRange], shards: int) -> list[tuple[FileRange, ...]]:
    """At most `shards` runs of ranges, of about the same number of bytes each."""
    sizes = [_size(part) for part in ranges]
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


def _size(part: FileRange) -> int:
    # What is before the start of a compressed file can be more than the file's own size.
    return max((os.path.getsize(part.path) if part.end == END else part.end) - part.start, 0)


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


@dataclass(frozen=True, slots=True)
class Units:
    """A file's row groups or batches, of which each can be read alone.

    Attributes:
        path: the file.
        sizes: the bytes of each.
        rows: the rows of each; None where they are not known.
    """

    path: str
    sizes: Sequence[int]
    rows: Sequence[int] | None


def cut_units(
    files: Sequence[Units],
    shards: int,
    *,
    unit: Unit,
    schema: pa.Schema,
    skip: int,
    limit: int | None,
) -> InputPlan:
    """A plan for files of units, cut into runs of about the same number of bytes; files without any are
    read no more.

    Args:
        files: at least one, in order.
        shards: how many shards are wanted.
        unit: what the files' units are called.
        schema: the plan's columns.
        skip, limit: records, of the whole input, to leave out and to read at most. Units that hold none
            of the others are not read.
    """
    places = [(file.path, at, size) for file in files for at, size in enumerate(file.sizes)]
    counts = [count for file in files for count in file.rows or ()]
    first, last = 0, len(places)
    is_known = all(file.rows is not None for file in files)
    if skip or limit is not None:
        if is_known:
            first, last = _span(counts, skip, limit)
        else:
            shards = 1
    cuts = _even_cuts([size for _, _, size in places[first:last]], shards)
    ranges = [
        _joined_units(places[first + low : first + high], unit) for low, high in pairwise(cuts)
    ]
    folder = os.getcwd()
    cut = [
        Shard(
            index,
            parts or (FileRange(files[0].path, 0, 0, unit=unit),),
            folder=folder,
            schema=schema,
        )
        for index, parts in enumerate(ranges)
    ]
    before = sum(counts[:first]) if is_known else 0
    cut[0] = replace(cut[0], skip=skip - before)
    if limit is not None:
        passed = max(sum(counts[: first + cuts[-2]]) - skip, 0) if len(cut) > 1 else 0
        cut[-1] = replace(cut[-1], limit=limit - passed)
    why = None
    if len(cut) == 1:
        why = f"it has too few {unit} to cut"
        if not is_known and (skip or limit is not None):
            why = "with skip_rows or limit a worker has to count"
    return InputPlan(
        shards=tuple(cut),
        columns=tuple(schema.names),
        schema=schema,
        bytes_total=sum(size for _, _, size in places[first:last]),
        first_record=skip,
        why_whole=why,
        identity=_identity([FileRange(file.path, 0, 0) for file in files]),
    )


def _span(counts: Sequence[int], skip: int, limit: int | None) -> tuple[int, int]:
    """The first unit that has one of the records from `skip` on, and the one behind the last."""
    ends = list(accumulate(counts))
    first = bisect_right(ends, skip)
    if limit is None or not ends:
        return first, len(ends)
    return first, max(min(bisect_left(ends, skip + limit) + 1, len(ends)), first)


def _even_cuts(sizes: Sequence[int], pieces: int) -> list[int]:
    """Where to cut a row of things so that at most so many pieces are of about one size, none empty."""
    sizes = [max(size, 1) for size in sizes]
    ends = list(accumulate(sizes))
    total = ends[-1] if ends else 0
    middles = [end - size / 2 for end, size in zip(ends, sizes, strict=True)]
    inner = {bisect_right(middles, total * number / pieces) for number in range(1, pieces)}
    return [0, *sorted(inner - {0, len(sizes)}), len(sizes)]


def _joined_units(places: Sequence[tuple[str, int, int]], unit: Unit) -> tuple[FileRange, ...]:
    joined: list[FileRange] = []
    for path, at, _ in places:
        append_range(joined, FileRange(path, at, at + 1, unit=unit))
    return tuple(joined)
