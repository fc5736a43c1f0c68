"""Whole JSON records through a model: those of one shape as columns, the rest row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import LazyPositions, int64_array
from zoopipe.columns import NonFinite, encoded_field, logical_of, quoted, text_form
from zoopipe.records import parse_records
from zoopipe.validation.accepted import Accepted
from zoopipe.validation.functions import user_functions
from zoopipe.validation.schema import Reading
from zoopipe.validation.shapes import NoShape, Shapes, Wanted
from zoopipe.validation.whole import WholeRows
from zoopipe.values import from_values

Check = Callable[[pa.RecordBatch], Accepted | None]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some of the records, checked.

    Attributes:
        accepted: what was found; refused ones by their place among all records.
        rows: where the rows of `accepted.checked` stand among all; None for all.
    """

    accepted: Accepted
    rows: pa.Array | None

    def kept(self) -> pa.Array | None:
        """Where the accepted records stand among all; None for all."""
        selection = self.accepted.selection
        if selection is None:
            return self.rows
        return pc.indices_nonzero(selection) if self.rows is None else self.rows.filter(selection)


class Records:
    """A model, run over records that are the JSON text of a row each.

    Args:
        reading: what was read of the model.
        whole: the model, for rows that have to be seen whole.
        nonfinite: how `nan` and infinities are spelled in the text of accepted rows.
    """

    def __init__(self, reading: Reading, whole: WholeRows, nonfinite: NonFinite) -> None:
        self._whole = whole
        self._nonfinite: NonFinite = nonfinite
        self._keys = [plan.key for plan in reading.fields if plan.key is not None]
        self._has_functions = any(any(user_functions(plan.entry)) for plan in reading.fields)
        self._shapes = _shapes(reading)

    def columns(self, records: pa.StringArray, check: Check) -> Accepted:
        """The accepted records as columns, or as one column of JSON text.

        Args:
            records: the text of each.
            check: gives what is accepted of records that were read as columns.
        """
        return self._of_shapes(records, check) or self._of_rows(records)

    def _of_rows(self, records: pa.StringArray) -> Accepted:
        parsed = parse_records(records.to_pylist())
        accepted = self._whole.lines(parsed.values)
        if parsed.unparsed:
            rows = parsed.rows
            kept = range(len(rows)) if accepted.kept is None else accepted.kept
            accepted.kept = [rows[at] for at in kept]
            accepted.refused = [(rows[at], reasons) for at, reasons in accepted.refused]
            accepted.unparsed = parsed.unparsed
        return accepted

    def _of_shapes(self, records: pa.StringArray, check: Check) -> Accepted | None:
        """The records, most of them as columns; None where too few are of a shape, or validators would
        not see them in their order."""
        if self._shapes is None:
            return None
        shaped, deferred = self._shapes.split(records)
        if not shaped or (self._has_functions and (len(shaped) > 1 or len(deferred))):
            return None
        pieces = []
        for part in shaped:
            accepted = check(part.batch)
            if accepted is None:
                return None
            if part.rows is not None and accepted.refused:
                places = part.rows.take(int64_array([at for at, _ in accepted.refused])).to_pylist()
                reasons = [reasons for _, reasons in accepted.refused]
                accepted.refused = list(zip(places, reasons, strict=True))
            pieces.append(_Piece(accepted, part.rows))
        if len(deferred):
            pieces.append(
                self._row_by_row(records.take(deferred).to_pylist(), deferred.to_pylist())
            )
        return _together(pieces, self._nonfinite)

    def _row_by_row(self, texts: Sequence[str], rows: Sequence[int]) -> _Piece:
        """Records by pydantic, as columns of what they are in JSON."""
        parsed = parse_records(texts, rows)
        accepted = self._whole.json_values(parsed.values)
        accepted.unparsed = parsed.unparsed
        accepted.refused = [(parsed.rows[at], reasons) for at, reasons in accepted.refused]
        columns, fields = [], []
        for key in self._keys:
            values = [row[key] for row in accepted.values]
            column, field = from_values(key, values, self._nonfinite)
            columns.append(column)
            fields.append(field)
        accepted.checked = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
        kept = accepted.kept or ()
        return _Piece(accepted, int64_array([parsed.rows[at] for at in kept]))


def _together(pieces: Sequence[_Piece], nonfinite: NonFinite) -> Accepted:
    """What was found of all pieces, in the records' order."""
    result = Accepted()
    for piece in pieces:
        found = piece.accepted
        result.refused += found.refused
        result.unparsed += found.unparsed
        result.deferred += found.deferred
        result.deferred_to += found.deferred_to
    result.refused.sort(key=lambda item: item[0])
    filled = [piece for piece in pieces if piece.rows is None or len(piece.rows)]
    if len(filled) == 1:
        # Nothing was accepted of the others: the columns stay as they are.
        (piece,) = filled
        result.checked, result.selection = piece.accepted.checked, piece.accepted.selection
        kept = piece.kept()
    else:
        batches = [batch for piece in filled if (batch := piece.accepted.batch) is not None]
        places = [rows for piece in filled if (rows := piece.kept()) is not None]
        kept = pa.concat_arrays([rows.cast(pa.int64()) for rows in places])
        order = pc.sort_indices(kept)
        result.checked, kept = _stacked(batches, nonfinite).take(order), kept.take(order)
    result.kept = None if kept is None else LazyPositions(kept)
    return result


def _stacked(batches: Sequence[pa.RecordBatch], nonfinite: NonFinite) -> pa.RecordBatch:
    """Batches of the same columns, one under the other; where they are encoded in different ways,
    in one that they share."""
    columns, fields = [], []
    for name in batches[0].schema.names:
        pieces = [(batch.column(name), batch.schema.field(name)) for batch in batches]
        column, field = _stacked_column(name, pieces, nonfinite)
        columns.append(column)
        fields.append(field)
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def _stacked_column(
    name: str, pieces: Sequence[tuple[pa.Array, pa.Field]], nonfinite: NonFinite
) -> tuple[pa.Array, pa.Field]:
    first = pieces[0][1]
    if all(field.equals(first, check_metadata=True) for _, field in pieces):
        return pa.concat_arrays([column for column, _ in pieces]), first
    texts = [text_form(column, field, nonfinite) for column, field in pieces]
    encodings = {encoding for encoding, _ in texts}
    if len(encodings) == 1:
        logicals = {logical_of(field) for _, field in pieces}
        logical = logicals.pop() if len(logicals) == 1 else None
        field = encoded_field(name, encodings.pop(), logical)
        return pa.concat_arrays([text for _, text in texts]), field
    columns = [quoted(column, field, nonfinite) for column, field in pieces]
    return pa.concat_arrays(columns), encoded_field(name, "json")


def _shapes(reading: Reading) -> Shapes | None:
    """What reads a model's records by their shapes; None where columns could not hold them."""
    if not reading.fields or reading.extra == "allow":
        return None
    wanted: dict[str, Wanted] = {}
    for plan in reading.fields:
        kind = pa.null() if plan.kernel is None else plan.kernel.json_type
        for path in plan.paths:
            name = str(path[0])
            if kind is None or len(path) > 1 or name in wanted:
                return None
            wanted[name] = Wanted(kind, nullable=True)
    try:
        return Shapes(wanted, ignore_extra=reading.extra == "ignore")
    except NoShape:
        return None
