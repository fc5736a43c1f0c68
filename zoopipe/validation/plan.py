"""The column plan of a model, compiled once: what kernels prove stays columns, all else is given to
pydantic, and what it makes of that is patched in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from zoopipe.arrays import LazyPositions, mask_of, no_nulls, positions_of, text_array, zeros
from zoopipe.checks import check_model
from zoopipe.columns import (
    NonFinite,
    encoded_field,
    from_values,
    is_record_batch,
    json_text,
    json_texts,
    logical_of,
    python_values,
    quoted,
    record_batch,
    rows_of,
    text_form,
)
from zoopipe.errors import DeclarationError
from zoopipe.reasons import Reason, raised_reason, reasons_of
from zoopipe.validation.check import BatchCheck, Checked, FieldChecks
from zoopipe.validation.schema import (
    Reading,
    dump_names,
    has_own_text,
    is_overridden,
    read_model,
)

#: Stands for a model's whole rows where fields are counted by their names.
WHOLE_ROWS = ""


@dataclass(slots=True)
class Accepted:
    """What pydantic makes of a batch.

    Attributes:
        checked: all rows as columns (from `columns`); what stands in refused ones means nothing.
        selection: which rows of `checked` are accepted; None where all are.
        values: the accepted rows as dicts of Python values (from `rows`).
        kept: the positions of the accepted rows in what was given; None where all were.
        refused: position and pydantic's reasons, for each refused row.
        deferred: how many rows pydantic was given, whole or in part.
        deferred_to: how many it was given of each field, or as `WHOLE_ROWS`.
        instances: the accepted rows as instances of the model (from `rows`, where the model may
            write a value differently from how pydantic writes any value of its type).
    """

    checked: pa.RecordBatch | None = None
    selection: pa.BooleanArray | None = None
    values: list[dict[str, Any]] = field(default_factory=list)
    kept: Sequence[int] | None = None
    refused: list[tuple[int, list[Reason]]] = field(default_factory=list)
    deferred: int = 0
    deferred_to: Counter[str] = field(default_factory=Counter)
    instances: list[BaseModel] = field(default_factory=list)

    @property
    def batch(self) -> pa.RecordBatch | None:
        """The accepted rows as columns (from `columns`)."""
        if self.checked is None or self.selection is None:
            return self.checked
        return self.checked.filter(self.selection)


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """How a field is checked, and why: by kernels in `columns`, by pydantic over `its column` alone or
    over several columns `with` others, or by pydantic in `whole rows`."""

    name: str
    how: str
    why: str


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
    rows = [("field", "checked in", "why")]
    rows += [(field.name, field.how, field.why) for field in compile_plan(model).explain()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


class ModelPlan:
    """A model, ready to be run over batches.

    Attributes:
        model: the pydantic model.
        names: the keys of its dump, in order; None where only a dump could tell.
        columnar: whether rows can be proved by columns at all.
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
        self._reading = reading
        self._checks = FieldChecks(reading)
        self._nonfinite: NonFinite = nonfinite
        self._has_own_text = has_own_text(model)
        own_dump = any(is_overridden(model, name) for name in ("model_dump", "model_dump_json"))
        self._plain_dump = nonfinite == "null" and not own_dump

    def explain(self) -> list[FieldExplanation]:
        """How each field is checked, and why."""
        obstacles = self._reading.obstacles
        if not obstacles:
            return list(map(self._explained, range(len(self._reading.fields))))
        found = []
        for name in self.model.model_fields:
            own, model_wide = obstacles.get(name), obstacles.get("")
            why = own or (f"the model: {model_wide}" if model_wide else None)
            why = why or f"another field: {', '.join(obstacles)}"
            found.append(FieldExplanation(name, "whole rows", why))
        return found

    def _explained(self, place: int) -> FieldExplanation:
        fields = self._reading.fields
        plan = fields[place]
        group = next((group for group in self._reading.groups if place in group), frozenset())
        if len(group) > 1:
            others = ", ".join(fields[other].name for other in sorted(group - {place}))
            why = "validators that share a function, or may look at other fields"
            return FieldExplanation(plan.name, f"with {others}", why)
        if plan.kernel is None or group:
            return FieldExplanation(plan.name, "its column", plan.why)
        return FieldExplanation(plan.name, "columns", "proved, else deferred to pydantic")

    def columns(self, batch: pa.RecordBatch) -> Accepted:
        """The batch's rows, validated, as a batch of the model's columns.

        Args:
            batch: the rows as read: columns of text, or of any type.

        Returns:
            Columns in the encodings of `zoopipe.columns`; one `record` column where the model needs
            whole rows.
        """
        check = self._check(batch, as_values=False)
        if check is None:
            return self.whole_rows(rows_of(batch))
        columns, fields = [], []
        for checked in check.columns:
            if checked.plan.key is not None:
                column, column_field = self._cells(checked, check, batch.num_rows)
                columns.append(column)
                fields.append(column_field)
        for name in check.extra:
            at = batch.schema.get_field_index(name)
            columns.append(batch.column(at))
            fields.append(batch.schema.field(at))
        result = pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
        accepted = _accepted(check)
        accepted.checked = result
        if accepted.refused:
            accepted.selection = _all_but(batch.num_rows, accepted)
            accepted.kept = LazyPositions(accepted.selection)
        return accepted

    def _check(self, batch: pa.RecordBatch | None, *, as_values: bool) -> BatchCheck | None:
        """The batch, checked field by field; None where that cannot be done."""
        if not self.columnar or batch is None or is_record_batch(batch.schema):
            return None
        return self._checks.run(batch, as_values=as_values)

    def _cells(self, checked: Checked, check: BatchCheck, rows: int) -> tuple[pa.Array, pa.Field]:
        """A field's column: cells that a kernel proved, and values that pydantic made."""
        plan, proof = checked.plan, checked.proof
        assert plan.key is not None
        if checked.is_default:
            column, column_field = from_values(plan.key, [plan.default_json], self._nonfinite)
            return column.take(zeros(rows)), column_field
        dumped = plan.dumper.dump(checked.values, checked.rows, "json", check.findings)
        if proof is None:
            values = _spread(rows, checked.rows, dumped)
            return from_values(plan.key, values, self._nonfinite)
        patches = {
            row: value
            for row, value in zip(checked.rows, dumped, strict=True)
            if row not in check.findings
        }
        column_field = proof.field(plan.key)
        if not patches:
            return proof.cells, column_field
        return self._patched(proof.cells, column_field, patches)

    def _patched(
        self, cells: pa.Array, cells_field: pa.Field, patches: Mapping[int, Any]
    ) -> tuple[pa.Array, pa.Field]:
        """Proved cells with what pydantic made of some others."""
        values = list(patches.values())
        encoding, text = text_form(cells, cells_field, self._nonfinite)
        logical = logical_of(cells_field)
        if encoding != "json" and not all(isinstance(value, str | None) for value in values):
            # A value that is no string, among strings: all are written as JSON.
            text, encoding, logical = quoted(text, cells_field), "json", None
        texts = json_texts(values, self._nonfinite) if encoding == "json" else text_array(values)
        patched = pc.replace_with_mask(text, mask_of(len(cells), patches), texts)
        return patched, encoded_field(cells_field.name, encoding, logical)

    def rows(self, rows: Sequence[Any], batch: pa.RecordBatch | None = None) -> Accepted:
        """The rows, validated, as dicts of Python values (`model_dump()`).

        Args:
            rows: dicts, or whatever was read.
            batch: the same rows as columns, where they are at hand.
        """
        check = None if self._has_own_text else self._check(batch, as_values=True)
        if check is None or batch is None:
            return self._python_rows(rows)
        columns: dict[str, list[Any]] = {
            checked.plan.key: self._values(checked, check, batch.num_rows)
            for checked in check.columns
            if checked.plan.key is not None
        }
        for name in check.extra:
            at = batch.schema.get_field_index(name)
            columns[name] = python_values(batch.column(at), batch.schema.field(at))
        accepted = _accepted(check)
        kept: Sequence[int] = range(batch.num_rows)
        if accepted.refused:
            kept = positions_of(_all_but(batch.num_rows, accepted))
            columns = {name: [values[at] for at in kept] for name, values in columns.items()}
            accepted.kept = kept
        names = tuple(columns)
        accepted.values = [
            dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        return accepted

    def _values(self, checked: Checked, check: BatchCheck, rows: int) -> list[Any]:
        """A field's values as Python has them; anything in rows that are refused."""
        plan, proof = checked.plan, checked.proof
        if checked.is_default:
            return plan.dumper.dump([plan.default] * rows, range(rows), "python", check.findings)
        dumped = plan.dumper.dump(checked.values, checked.rows, "python", check.findings)
        if proof is None or checked.column is None:
            return _spread(rows, checked.rows, dumped)
        if proof.proved is None:
            values: list[Any] = plan.many.validate_python(checked.column.to_pylist())
            return values
        proved = no_nulls(proof.proved)
        values = plan.many.validate_python(checked.column.filter(proved).to_pylist())
        spread = _spread(rows, positions_of(proved), values)
        for row, value in zip(checked.rows, dumped, strict=True):
            spread[row] = value
        return spread

    def whole_rows(self, rows: Sequence[Any]) -> Accepted:
        """Every row by pydantic, as one JSON text a row."""
        accepted = self._each(rows, self._text)
        accepted.checked = record_batch(text_array(accepted.values))  # type: ignore[arg-type]
        return _kept_if_refused(accepted)

    def hooked_text(self, row: Any, instance: BaseModel) -> str:
        """The JSON text of a row that hooks have had, made of what `rows` gave for `instance`.

        A value that no hook changed is written as the model writes it, serializers and all; any
        other one as pydantic writes a value of its type.
        """
        dumped = instance.model_dump()
        if _same(row, dumped):
            return self._text(instance)
        as_json = instance.model_dump(mode="json")
        if all(isinstance(part, dict) for part in (row, dumped, as_json)):
            unchanged = [
                name
                for name in row
                if name in dumped and name in as_json and _same(row[name], dumped[name])
            ]
            row = {**row, **{name: as_json[name] for name in unchanged}}
        return json_text(row, self._nonfinite)

    def _text(self, instance: BaseModel) -> str:
        """An instance as one line of JSON."""
        if self._plain_dump:
            return instance.model_dump_json()
        return json_text(instance.model_dump(mode="json"), self._nonfinite)

    def _python_rows(self, rows: Sequence[Any]) -> Accepted:
        """Every row by pydantic, as `model_dump()`, beside the instance that it is a dump of where the
        model has its own ways to write it."""
        if not self._has_own_text:
            return _kept_if_refused(self._each(rows, _python_dump))
        accepted = self._each(rows, lambda instance: (instance.model_dump(), instance))
        pairs: list[Any] = accepted.values
        accepted.values = [value for value, _ in pairs]
        accepted.instances = [instance for _, instance in pairs]
        return _kept_if_refused(accepted)

    def _each(self, rows: Sequence[Any], dump: Any) -> Accepted:
        """pydantic, row by row."""
        accepted = Accepted(deferred=len(rows), deferred_to=Counter({WHOLE_ROWS: len(rows)}))
        validate, kept = self.model.model_validate, []
        for position, row in enumerate(rows):
            try:
                value = dump(validate(row))
            except ValidationError as error:
                accepted.refused.append((position, reasons_of(error)))
            except Exception as error:
                # A validator may raise anything; the row is refused, the run goes on.
                accepted.refused.append((position, [raised_reason(error, "validator_error")]))
            else:
                accepted.values.append(value)
                kept.append(position)
        accepted.kept = kept
        return accepted


def _python_dump(instance: BaseModel) -> dict[str, Any]:
    return instance.model_dump()


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


def _spread(length: int, rows: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """A list of `length` with each value at its row, and None elsewhere."""
    if len(rows) == length:
        return list(values)
    spread: list[Any] = [None] * length
    for row, value in zip(rows, values, strict=True):
        spread[row] = value
    return spread


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of equal types all the way down: 1 is not True here."""
    if value is other:
        return True
    if type(value) is not type(other):
        return False
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other)


def _kept_if_refused(accepted: Accepted) -> Accepted:
    if not accepted.refused:
        accepted.kept = None
    return accepted
