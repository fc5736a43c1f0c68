"""What became of rows, counted: of a block, of a shard, of a pipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows that came, and where they went.

    Attributes:
        records: input records read.
        written, rejected: what became of rows.
        dropped, added: rows that hooks dropped and added.
        deferred: rows that pydantic was given, whole or in part.
        bytes_read: bytes of input.
    """

    records: int = 0
    written: int = 0
    rejected: int = 0
    dropped: int = 0
    added: int = 0
    deferred: int = 0
    bytes_read: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def came(self) -> int:
        """Rows that came in: records, and what hooks added."""
        return self.records + self.added

    @property
    def went(self) -> int:
        """Rows that went somewhere: written, rejected or dropped."""
        return self.written + self.rejected + self.dropped


#: The names of the counts, in order.
COUNTED = tuple(field.name for field in fields(Counts))


def total(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    return sum(counts, Counts())
