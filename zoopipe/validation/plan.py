"""The column plan of a model, compiled once: what kernels prove stays columns, all else is given to
pydantic, and what it makes of that is patched in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from zoopipe.arrays import LazyPositions, mask_of, positions_of
from zoopipe.checks import check_model
from zoopipe.columns import NonFinite, is_record_batch
from zoopipe.errors import DeclarationError
from zoopipe.rows import zip_rows
from zoopipe.validation.accepted import Accepted
from zoopipe.validation.cells import column_of, values_of
from zoopipe.validation.check import BatchCheck, FieldChecks
from zoopipe.validation.explain import FieldExplanation, explanations, table
from zoopipe.validation.records import Records
from zoopipe.validation.schema import Reading, dump_names, read_model
from zoopipe.validation.whole import WholeRows
from zoopipe.values import python_values, rows_of


def compile_plan(model: type[BaseModel], nonfinite: NonFinite = "null") -> ModelPlan:
    """The plan for a model.

    Args:
        model: a pydantic model class.
        nonfinite: how `nan` and infinities are spelled in the text of accepted rows.

    Raises:
        DeclarationError: `model` is no pydantic model, or is not completely defined.
    """
    check_model(model)
    if not model.__pydantic_complete__:
        try:
            model.model_rebuild()
        except Exception as error:
            raise DeclarationError(f"{model.__name__} is not fully defined: {error}") from error
    return ModelPlan(model, read_model(model), nonfinite)


def explain(model: type[BaseModel]) -> str:
    """A table of how each field of a model is checked, and why.

    Raises:
        DeclarationError: as for `compile_plan`.
    """
    return table(compile_plan(model).explain())


class ModelPlan:
    """A model, ready to be run over batches.

    Attributes:
        model: the pydantic model.
        names: the keys of its dump, in order; None where only a dump could tell.
        columnar: whether rows can be proved by columns at all.
        reads: the names that its fields are looked up under; None where it may look at any column.
        whole: the model, for rows that have to be seen whole.
    """

    def __init__(
        self,
        model: type[BaseModel],
        reading: Reading,
        nonfinite: NonFinite,
    ) -> None:
        self.model = model
        self.names = dump_names(model)
        self.columnar = bool(reading.fields)
        paths = [path for plan in reading.fields for path in plan.paths]
        looks_at_all = not self.columnar or reading.extra != "ignore"
        self.reads = None if looks_at_all else frozenset(str(path[0]) for path in paths)
        self.whole = WholeRows(model, nonfinite)
        self._reading = reading
        self._checks = FieldChecks(reading)
        self._records = Records(reading, self.whole, nonfinite)
        self._nonfinite: NonFinite = nonfinite

    def explain(self) -> list[FieldExplanation]:
        """How each field is checked, and why."""
        return explanations(self._reading, self.model.model_fields)

    def columns(self, batch: pa.RecordBatch) -> Accepted:
        """The batch's rows, validated, as a batch of the model's columns.

        Args:
            batch: the rows as read: columns of text or of any type, or whole records.

        Returns:
            Columns in the encodings of `zoopipe.columns`; one `record` column where the model needs
            whole rows.
        """
        if is_record_batch(batch.schema):
            return self._records.columns(batch.column(0), self._of_columns)
        return self._of_columns(batch) or self.whole.lines(rows_of(batch))

    def rows(self, rows: Sequence[Any], batch: pa.RecordBatch | None = None) -> Accepted:
        """The rows, validated, as dicts of Python values (`model_dump()`).

        Args:
            rows: dicts, or whatever was read.
            batch: the same rows as columns, where they are at hand.
        """
        if batch is None or self.whole.has_own_text or is_record_batch(batch.schema):
            return self.whole.values(rows)
        return self._of_values(batch) or self.whole.values(rows)

    def _of_columns(self, batch: pa.RecordBatch) -> Accepted | None:
        """The rows of a batch of columns; None where they have to be seen whole."""
        check = self._checks.run(batch, as_values=False) if self.columnar else None
        if check is None:
            return None
        columns, fields = [], []
        for checked in check.columns:
            if checked.plan.key is not None:
                column, field = column_of(checked, check, batch.num_rows, self._nonfinite)
                columns.append(column)
                fields.append(field)
        for name in check.extra:
            column, field = check.column(name)
            columns.append(column)
            fields.append(field)
        accepted = _accepted(check)
        accepted.checked = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
        if accepted.refused:
            accepted.selection = _all_but(batch.num_rows, accepted)
            accepted.kept = LazyPositions(pc.indices_nonzero(accepted.selection))
        return accepted

    def _of_values(self, batch: pa.RecordBatch) -> Accepted | None:
        """The rows of a batch of columns as dicts; None where they have to be seen whole."""
        check = self._checks.run(batch, as_values=True) if self.columnar else None
        if check is None:
            return None
        columns: dict[str, list[Any]] = {
            checked.plan.key: values_of(checked, check, batch.num_rows)
            for checked in check.columns
            if checked.plan.key is not None
        }
        for name in check.extra:
            columns[name] = python_values(*check.column(name))
        accepted = _accepted(check)
        if accepted.refused:
            kept = positions_of(_all_but(batch.num_rows, accepted))
            columns = {name: [values[at] for at in kept] for name, values in columns.items()}
            accepted.kept = kept
        accepted.values = zip_rows(tuple(columns), list(columns.values()))
        return accepted


def _accepted(check: BatchCheck) -> Accepted:
    """What is known of a batch's rows besides their values; to be asked when all values are made."""
    return Accepted(
        refused=check.findings.refused(),
        deferred=check.deferred_rows,
        deferred_to=check.deferred,
    )


def _all_but(rows: int, accepted: Accepted) -> pa.BooleanArray:
    """A mask of the rows that are not refused."""
    return pc.invert(mask_of(rows, (row for row, _ in accepted.refused)))
