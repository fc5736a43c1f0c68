"""One batch through the fields of a model: kernels prove what they can, pydantic gets the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import int64_array, no_nulls, positions_of
from zoopipe.validation.fieldwise import FieldsValidator, Findings
from zoopipe.validation.kernels import Proof
from zoopipe.validation.schema import FieldPlan, Reading
from zoopipe.values import holds_encoded, python_values, rows_of


@dataclass(slots=True)
class Checked:
    """A field's values in a batch.

    Attributes:
        plan: the field.
        column: its column in the batch, where it has one of its own.
        proof: the cells that its kernel proved; None where it has none, or knows no such column.
        rows: the rows of which pydantic was given this field.
        values: what it made of them.
        is_default: whether the batch has no column of it, so that every row has the default.
    """

    plan: FieldPlan
    column: pa.Array | None = None
    proof: Proof | None = None
    rows: Sequence[int] = ()
    values: list[Any] = field(default_factory=list)
    is_default: bool = False


class BatchCheck:
    """What is found of a batch, field by field.

    Attributes:
        columns: the fields' values, in the model's order.
        extra: the columns that are no field.
        findings: the rows that are refused.
        deferred: how many rows pydantic was given, of each field.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.columns: list[Checked] = []
        self.extra: list[str] = []
        self.findings = Findings()
        self.deferred: Counter[str] = Counter()
        self._batch = batch
        self._given: set[int] = set()
        self._all_given = False

    @property
    def deferred_rows(self) -> int:
        """How many rows pydantic was given at least one field of."""
        return int(self._batch.num_rows) if self._all_given else len(self._given)

    def field(self, plan: FieldPlan, source: str, as_values: bool) -> None:
        """Checks a field that has a column.

        Args:
            plan: the field.
            source: its column.
            as_values: whether Python values are asked for, and not text: what is nested in a cell
                is then pydantic's to make.
        """
        column, column_field = self.column(source)
        proof = None
        nested = as_values and pa.types.is_nested(column.type)
        if plan.kernel is not None and not nested and not holds_encoded(column_field):
            proof = plan.kernel.prove(column)
        rows: Sequence[int]
        if proof is None:
            rows = range(len(column))
        elif proof.proved is None:
            rows = ()
        else:
            rows = positions_of(pc.invert(no_nulls(proof.proved)))
        rows = self.findings.going_on(rows)
        checked = Checked(plan, column, proof, rows)
        if rows:
            cells = column if len(rows) == len(column) else column.take(int64_array(rows))
            loc = source if plan.loc_by_alias else plan.name
            checked.values = plan.validator.check(
                python_values(cells, column_field), rows, loc, self.findings
            )
            self._count(plan.name, rows)
        self.columns.append(checked)

    def together(self, plans: Sequence[FieldPlan], validator: FieldsValidator) -> None:
        """Checks some fields by pydantic, row by row."""
        names = [
            name
            for name in dict.fromkeys(str(path[0]) for plan in plans for path in plan.paths)
            if name in self._batch.schema.names
        ]
        given = (
            rows_of(self._batch.select(names))
            if names
            else [{} for _ in range(self._batch.num_rows)]
        )
        rows = self.findings.going_on(range(len(given)))
        values = validator.check([given[row] for row in rows], rows, self.findings)
        for plan in plans:
            self.columns.append(Checked(plan, rows=rows, values=values[plan.name]))
            self._count(plan.name, rows)

    def column(self, name: str) -> tuple[pa.Array, pa.Field]:
        """A column of the batch."""
        at = self._batch.schema.get_field_index(name)
        return self._batch.column(at), self._batch.schema.field(at)

    def _count(self, name: str, rows: Sequence[int]) -> None:
        self.deferred[name] += len(rows)
        if len(rows) == self._batch.num_rows:
            self._all_given = True
        else:
            self._given.update(rows)


class FieldChecks:
    """The fields of a model, run over batches.

    Args:
        reading: what was read of the model; it has fields.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._fields = reading.fields
        self._group_of = {place: group for group in reading.groups for place in group}
        self._places = {plan.name: place for place, plan in enumerate(self._fields)}
        self._names = {name for plan in self._fields for name in (plan.name, plan.key)}
        self._together: dict[frozenset[int], FieldsValidator] = {}

    def run(self, batch: pa.RecordBatch, *, as_values: bool) -> BatchCheck | None:
        """Checks a batch; None where its rows have to be seen whole: it has columns that the model
        forbids, or that would hide a field of it."""
        sources = [self._source(plan, batch.schema.names) for plan in self._fields]
        check = BatchCheck(batch)
        if self._reading.extra != "ignore":
            used = {source for source in sources if source is not None}
            check.extra = [name for name in batch.schema.names if name not in used]
            if check.extra and (
                self._reading.extra == "forbid" or not self._names.isdisjoint(check.extra)
            ):
                return None
        for place, (plan, source) in enumerate(zip(self._fields, sources, strict=True)):
            group = self._group_of.get(place)
            if group is not None:
                if place == min(group):
                    self._run_together(check, group)
            elif source is not None and (source,) in plan.paths:
                check.field(plan, source, as_values)
            elif source is None and plan.has_default:
                check.columns.append(Checked(plan, is_default=True))
            else:
                self._run_together(check, frozenset({place}))
        check.columns.sort(key=lambda checked: self._places[checked.plan.name])
        return check

    def _run_together(self, check: BatchCheck, group: frozenset[int]) -> None:
        # Two threads that meet here make the same twice.
        if group not in self._together:
            self._together[group] = self._reading.together(sorted(group))
        check.together([self._fields[place] for place in sorted(group)], self._together[group])

    @staticmethod
    def _source(plan: FieldPlan, names: Sequence[str]) -> str | None:
        """The column that a field is looked up in, or that a path of it begins in."""
        return next((str(path[0]) for path in plan.paths if path[0] in names), None)
