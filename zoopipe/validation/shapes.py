"""Whole JSON records to typed columns, where it is proved that the columns are what `json.loads` gives.

The records of a file mostly look alike. A few records of each block say which shapes there are; the
records that are exactly of one of them are read by Arrow, and all others are deferred: the caller
gives them to `json.loads`. So a shape may be as strict as it likes, and is never wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
_NEWLINE = text_scalar("\n")


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
        for shape in self._learned(records):
            for read in _READERS:
                try:
                    found = read(shape, records)
                except pa.ArrowInvalid:
                    # Arrow refuses what was proved, or a pattern is too large for it.
                    continue
                if found is None:
                    continue
                yield found
                if found.rows is None:
                    return
                records = records.filter(pc.invert(found.rows))

    def _learned(self, records: pa.StringArray) -> list[Shape]:
        """The shapes that some records have, of those that are spread over all; most frequent first."""
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
        # A shape that its own record is not of finds no others.
        matches = {shape: _matches(shape, sample) for shape in shapes}
        fitting = [shape for shape in shapes if matches[shape]]
        fitting.sort(key=lambda shape: (-matches[shape], shape.pattern))
        return fitting[:_MOST_SHAPES]


def _matches(shape: Shape, records: pa.StringArray) -> int:
    """How many of the records are of a shape; none where Arrow has no room for its pattern."""
    try:
        return int(pc.match_substring_regex(records, pattern=shape.pattern).true_count)
    except pa.ArrowInvalid:
        return 0


def _read_parsed(shape: Shape, records: pa.StringArray) -> Found | None:
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


_READERS = (read_quoted, _read_parsed)


def _all_rows(length: int) -> pa.UInt64Array:
    return pc.indices_nonzero(pc.invert(mask_of(length, ())))


def _positions(rows: pa.UInt64Array | None, mask: pa.BooleanArray | None) -> pa.UInt64Array | None:
    """The positions `rows` (None: all) for which `mask` (None: all) is true."""
    if rows is None or mask is None:
        return rows if mask is None else pc.indices_nonzero(mask)
    return rows.filter(mask)
