"""The ledger of a run: what was read, byte by byte, what became of it, and what was published."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zoopipe.counts import Counts, total
from zoopipe.redact import redact
from zoopipe.storage.urls import name_of

if TYPE_CHECKING:
    from zoopipe.adapters.base import FileRange
    from zoopipe.storage.parts import Part


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """The entry of a shard that is done.

    Attributes:
        shard: its index, from 0.
        attempts: how many times it was tried, this time included.
        ranges: what was read of each file or table, from one record's start to another's.
        counts: what became of the rows.
        part, rejects: what the attempt staged, with size and checksum; rejects None where there are
            none, or where no error output takes them.
    """

    shard: int
    attempts: int
    ranges: tuple[FileRange, ...]
    counts: Counts
    part: Part | None
    rejects: Part | None


@dataclass(frozen=True, slots=True)
class PipeLedger:
    """The books of one pipe.

    Attributes:
        pipe_index: the pipe's place in its manager.
        shards: an entry for each shard that is done, in input order.
        published: the files that readers see, rejects first, with size and checksum; empty before the
            commit.
    """

    pipe_index: int
    shards: tuple[ShardEntry, ...] = ()
    published: tuple[Part, ...] = ()

    @property
    def counts(self) -> Counts:
        """The sum over the shards."""
        return total(entry.counts for entry in self.shards)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of a run: `read + added == written + rejected + dropped`, for each shard and in all."""

    pipes: tuple[PipeLedger, ...] = ()

    @property
    def counts(self) -> Counts:
        """The sum over all pipes."""
        return total(pipe.counts for pipe in self.pipes)

    def to_dict(self) -> dict[str, Any]:
        """The ledger as JSON holds it."""
        return {
            "counts": asdict(self.counts),
            "pipes": [
                {
                    "pipe": pipe.pipe_index,
                    "counts": asdict(pipe.counts),
                    "shards": [_entry(entry) for entry in pipe.shards],
                    "published": [_file(part) for part in pipe.published],
                }
                for pipe in self.pipes
            ],
        }

    def to_json(self) -> str:
        """The ledger as JSON, indented."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def _entry(entry: ShardEntry) -> dict[str, Any]:
    return {
        "shard": entry.shard,
        "attempts": entry.attempts,
        "ranges": [
            {"path": redact(part.path), "unit": part.unit, "start": part.start, "end": part.end}
            for part in entry.ranges
        ],
        "counts": asdict(entry.counts),
        "part": None if entry.part is None else _file(entry.part),
        "rejects": None if entry.rejects is None else _file(entry.rejects),
    }


def _file(part: Part) -> dict[str, Any]:
    return {
        "path": redact(_shown(part.path)),
        "rows": part.rows,
        "bytes": part.size_bytes,
        "xxh64": part.checksum or None,
    }


def _shown(path: str) -> str:
    """A staged file by its name: its folder is gone when this is read."""
    return name_of(path) if ".zoopipe/" in path else path
