"""Whole JSON records to typed columns, where it is proved that the columns are what `json.loads` gives.

The records of a file mostly look alike. A few records of each block say which shapes there are; the
records that are exactly of one of them are read by Arrow, and all others are deferred: the caller
gives them to `json.loads`. So a shape may be as strict as it likes, and is never wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from zoopipe.arrays import int64_array, mask_of, text_bytes, text_scalar
from zoopipe.columns import concat
from zoopipe.validation.shape_quotes import Found, read_quoted
from zoopipe.validation.shape_text import (
    NoShape,
    Outline,
    Shape,
    Wanted,
    check_wanted,
    outline_of,
    shape_of,
)

__all__ = ["NoShape", "Shaped", "Shapes", "Wanted"]

_SAMPLE_RECORDS = 16
_MOST_SHAPES = 4
# Looking for the records of a shape takes a fifth of the time that json.loads and pydantic need.
_LEAST_SHARE, _MOST_SHARE = 1 / 8, 7 / 8
_NEWLINE = text_scalar("\n")
_Reader: TypeAlias = Callable[[Shape, pa.StringArray, bool], Found | None]


@dataclass(frozen=True, slots=True)
class Shaped:
    """Records of one shape.

    Attributes:
        batch: what is wanted of them, in typed columns: of the keys that are wanted those that are
            present, in the records' order.
        rows: their positions among the records that were given, ascending; None where it is all.
    """

    batch: pa.RecordBatch
    rows: pa.UInt64Array | None


class Shapes:
    """Reads records by their shapes. Keeps nothing between calls, so that threads may share it.

    Args:
        wanted: what is wanted of which key.
        ignore_extra: whether records may have other keys, with scalars for values.

    Raises:
        NoShape: a type is wanted that no column can be proved to have.
    """

    def __init__(self, wanted: Mapping[str, Wanted], *, ignore_extra: bool) -> None:
        for want in wanted.values():
            check_wanted(want.type)
        self._wanted = dict(wanted)
        self._ignore_extra = ignore_extra

    def split(self, records: pa.StringArray) -> tuple[list[Shaped], pa.UInt64Array]:
        """The records that are proved to be of a shape, and the positions of all others.

        Args:
            records: their texts, none of them null.

        Returns:
            For each shape the records that were read by it, and the positions, ascending, of the
            records that no shape was found for. No record is in two of these.
        """
        shaped: list[Shaped] = []
        rows = None
        for found in self._found(records):
            shaped.append(Shaped(found.batch, _positions(rows, found.rows)))
            if found.rows is None:
                return shaped, _all_rows(0)
            rows = _positions(rows, pc.invert(found.rows))
        return shaped, rows if rows is not None else _all_rows(len(records))

    def _found(self, records: pa.StringArray) -> Iterator[Found]:
        """Records by their shapes; each time of those that are still left."""
        readers: tuple[_Reader, ...] = (read_quoted, _read_parsed)
        for read, (shape, share) in product(readers, self._learned(records)):
            try:
                found = read(shape, records, share < _MOST_SHARE)
            except pa.ArrowInvalid:
                # Arrow refuses what was proved, or has no room for a pattern.
                continue
            if found is None:
                continue
            yield found
            if found.rows is None:
                return
            records = records.filter(pc.invert(found.rows))

    def _learned(self, records: pa.StringArray) -> list[tuple[Shape, float]]:
        """The shapes of some records that are spread over all, with their share of these; most
        frequent first."""
        count = min(len(records), _SAMPLE_RECORDS)
        places = [number * len(records) // count for number in range(count)]
        sample = records.take(int64_array(places))
        outlines: set[Outline] = set()
        for text in sample.to_pylist():
            with contextlib.suppress(NoShape):
                outlines.add(outline_of(text))
        shapes: set[Shape] = set()
        for outline in outlines:
            with contextlib.suppress(NoShape):
                shapes.add(shape_of(outline, self._wanted, ignore_extra=self._ignore_extra))
        # A shape that its own record is not of finds no others, and a rare one too few.
        shares = {shape: _matches(shape, sample) / count for shape in shapes}
        fitting = [item for item in shares.items() if item[1] >= max(_LEAST_SHARE, 1 / count)]
        fitting.sort(key=lambda item: (-item[1], item[0].pattern))
        return fitting[:_MOST_SHAPES]


def _matches(shape: Shape, records: pa.StringArray) -> int:
    """How many of the records are of a shape; none where Arrow has no room for its pattern."""
    try:
        return int(pc.match_substring_regex(records, pattern=shape.pattern).true_count)
    except pa.ArrowInvalid:
        return 0


def _read_parsed(shape: Shape, records: pa.StringArray, mixed: bool) -> Found | None:
    """The records of a shape, found by its pattern and read by Arrow's JSON reader.

    Raises:
        pa.ArrowInvalid: Arrow cannot read them.
    """
    rows = pc.match_substring_regex(records, pattern=shape.pattern)
    if not rows.true_count:
        return None
    if rows.true_count == len(records):
        rows = None
    else:
        records = records.filter(rows)
    data = pa.py_buffer(text_bytes(concat(records, _NEWLINE)))
    table = pa_json.read_json(
        pa.BufferReader(data),
        read_options=pa_json.ReadOptions(use_threads=False, block_size=data.size + 1),
        parse_options=pa_json.ParseOptions(
            explicit_schema=shape.schema, unexpected_field_behavior="ignore"
        ),
    )
    if table.num_rows != len(records) or table.schema != shape.schema:
        raise pa.ArrowInvalid("records were not read as they are")
    (batch,) = table.combine_chunks().to_batches()
    return Found(batch, rows)


def _all_rows(length: int) -> pa.UInt64Array:
    return pc.indices_nonzero(pc.invert(mask_of(length, ())))


def _positions(rows: pa.UInt64Array | None, mask: pa.BooleanArray | None) -> pa.UInt64Array | None:
    """The positions `rows` (None: all) for which `mask` (None: all) is true."""
    if rows is None or mask is None:
        return rows if mask is None else pc.indices_nonzero(mask)
    return rows.filter(mask)
