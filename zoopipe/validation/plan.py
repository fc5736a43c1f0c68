"""The column plan of a model, compiled once: rows that kernels prove stay columns, all other rows
are given to pydantic, and what it makes of them is patched in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from zoopipe.arrays import mask_of, no_nulls, nulls, positions_of, repeat, text_array
from zoopipe.checks import check_model
from zoopipe.columns import (
    NonFinite,
    encoded_field,
    encoding_of,
    from_values,
    is_record_batch,
    json_text,
    record_batch,
    rows_of,
)
from zoopipe.errors import DeclarationError
from zoopipe.reasons import Reason, raised_reason, reasons_of
from zoopipe.validation.fieldwise import NO_VALUE, Refused
from zoopipe.validation.schema import (
    Reading,
    default_cell,
    dump_names,
    has_own_text,
    is_overridden,
    read_model,
)


@dataclass(slots=True)
class Accepted:
    """What pydantic makes of a batch.

    Attributes:
        batch: the accepted rows as columns (from `columns`).
        values: the accepted rows as dicts of Python values (from `rows`).
        kept: the positions of the accepted rows in what was given; None where all were.
        refused: position and pydantic's reasons, for each refused row.
        deferred: how many rows went to pydantic one by one.
        instances: the accepted rows as instances of the model (from `rows`, where the model may
            write a value differently from how pydantic writes any value of its type).
    """

    batch: pa.RecordBatch | None = None
    values: list[dict[str, Any]] = field(default_factory=list)
    kept: list[int] | None = None
    refused: list[tuple[int, list[Reason]]] = field(default_factory=list)
    deferred: int = 0
    instances: list[BaseModel] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """How a field is checked, and why: by kernels in `columns`, by pydantic over `its column` alone, or by
    pydantic in `whole rows`."""

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
        self._fields = reading.fields
        self._sources = frozenset(plan.source for plan in reading.fields)
        self._nonfinite: NonFinite = nonfinite
        self._python = [(plan, plan.python) for plan in reading.fields if plan.python is not None]
        self._has_own_text = has_own_text(model)
        own_dump = any(is_overridden(model, name) for name in ("model_dump", "model_dump_json"))
        self._plain_dump = nonfinite == "null" and not own_dump

    def explain(self) -> list[FieldExplanation]:
        """How each field is checked, and why."""
        obstacles = self._reading.obstacles
        found = []
        for name in self.model.model_fields:
            own, model_wide = obstacles.get(name), obstacles.get("")
            if own or model_wide:
                found.append(
                    FieldExplanation(name, "whole rows", own or f"the model: {model_wide}")
                )
            elif obstacles:
                others = ", ".join(obstacles)
                found.append(FieldExplanation(name, "whole rows", f"another field: {others}"))
            elif why := next((plan.why for plan, _ in self._python if plan.name == name), ""):
                found.append(FieldExplanation(name, "its column", why))
            else:
                found.append(FieldExplanation(name, "columns", "proved, else deferred to pydantic"))
        return found

    def columns(self, batch: pa.RecordBatch) -> Accepted:
        """The batch's rows, validated, as a batch of the model's columns.

        Args:
            batch: the rows as read: columns of text, or of any type.

        Returns:
            Columns in the encodings of `zoopipe.columns`; one `record` column where the model
            needs whole rows.
        """
        if not self._applies_to(batch):
            return self.whole_rows(rows_of(batch))
        cells, unproved = self._prove(batch)
        if not unproved and not self._python:
            return Accepted(batch=self._assembled(cells, {}))
        slow, values, refused = self._in_order(batch, unproved)
        dumped = {}
        for plan, python in self._python:
            column = python.dump(values[plan.name], refused)
            for position, row in zip(slow.kept or (), slow.values, strict=True):
                column[position] = row[plan.name]
            dumped[plan.name] = column
        if slow.kept:
            cells = self._patched(cells, slow, batch.num_rows)
        accepted = Accepted(refused=slow.refused, deferred=len(unproved))
        accepted.refused += [(position, row.reasons) for position, row in refused.items()]
        result = self._assembled(cells, dumped)
        if accepted.refused:
            accepted.refused.sort(key=lambda item: item[0])
            keep = pc.invert(mask_of(batch.num_rows, (at for at, _ in accepted.refused)))
            accepted.kept = positions_of(keep)
            result = result.filter(keep)
        accepted.batch = result
        return accepted

    def _assembled(
        self, cells: Sequence[pa.Array | None], dumped: Mapping[str, list[Any]]
    ) -> pa.RecordBatch:
        """The fields' columns: cells that kernels proved, and values that pydantic dumped."""
        columns, fields = [], []
        for plan, column in zip(self._fields, cells, strict=True):
            if plan.kernel is None:
                column, field = from_values(plan.name, dumped[plan.name], self._nonfinite)
            else:
                field = encoded_field(plan.name, plan.kernel.encoding, plan.kernel.logical)
            columns.append(column)
            fields.append(field)
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

    def _in_order(
        self, batch: pa.RecordBatch, unproved: list[int]
    ) -> tuple[Accepted, dict[str, list[Any]], dict[int, Refused]]:
        """Gives pydantic what it has to see: unproved rows whole, of the others the fields that need
        Python; every validator sees the rows in their order.

        Returns:
            The rows that were given whole; the values of the fields, by row; the other rows that one
            of those fields refused.
        """
        rows = rows_of(batch.filter(mask_of(batch.num_rows, unproved))) if unproved else []
        if not self._python:
            return self._each(rows, unproved, _json_dump), {}, {}
        fields = [
            (python, batch.column(plan.source).to_pylist(), [NO_VALUE] * batch.num_rows)
            for plan, python in self._python
        ]
        refused: dict[int, Refused] = {}
        slow = Accepted()
        kept: list[int] = []
        start = 0
        for position, row in zip([*unproved, batch.num_rows], [*rows, None], strict=True):
            for python, cells, values in fields:
                python.check(cells, values, range(start, position), refused)
            if row is not None:
                one = self._each([row], [position], _json_dump)
                slow.values += one.values
                slow.refused += one.refused
                kept += one.kept or ()
            start = position + 1
        slow.kept = kept
        names = [plan.name for plan, _ in self._python]
        return slow, dict(zip(names, (values for _, _, values in fields), strict=True)), refused

    def rows(self, rows: Sequence[Any], batch: pa.RecordBatch | None = None) -> Accepted:
        """The rows, validated, as dicts of Python values (`model_dump()`).

        Args:
            rows: dicts, or whatever was read.
            batch: the same rows as columns, where they are at hand.
        """
        if batch is None or self._python or not self._applies_to(batch):
            return self._python_rows(rows)
        cells, unproved = self._prove(batch)
        slow = self._each([rows[position] for position in unproved], unproved, _python_dump)
        names = [plan.name for plan in self._fields]
        proved_mask = pc.invert(mask_of(batch.num_rows, unproved))
        values = [
            plan.validator.validate_python(cell.filter(proved_mask).to_pylist())
            if cell is not None and plan.source in batch.schema.names
            # Defaults are not validated: `x: int = None` is None.
            else [plan.default] * (batch.num_rows - len(unproved))
            for plan, cell in zip(self._fields, cells, strict=True)
        ]
        fast = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        if not unproved:
            return Accepted(values=fast)
        ordered = dict(zip(positions_of(proved_mask), fast, strict=True))
        ordered.update(zip(slow.kept or [], slow.values, strict=True))
        kept = sorted(ordered)
        return Accepted(
            values=[ordered[position] for position in kept],
            kept=kept,
            refused=slow.refused,
            deferred=len(unproved),
        )

    def _applies_to(self, batch: pa.RecordBatch) -> bool:
        """Whether the batch is columns of text that the kernels can be asked about."""
        if not self.columnar or is_record_batch(batch.schema):
            return False
        names = set(batch.schema.names)
        if self._reading.forbids_extra and not names <= self._sources:
            return False
        for plan in self._fields:
            if plan.source not in names:
                if not plan.has_default:
                    return False
                continue
            column = batch.schema.field(plan.source)
            if not pa.types.is_string(column.type) or encoding_of(column) != "plain":
                return False
        return True

    def _prove(self, batch: pa.RecordBatch) -> tuple[list[pa.Array | None], list[int]]:
        """The text of every field that has a kernel, and the rows in which one is not proved."""
        cells: list[pa.Array | None] = []
        missing = None
        for plan in self._fields:
            if plan.kernel is None:
                cells.append(None)
                continue
            if plan.source not in batch.schema.names:
                length = batch.num_rows
                text = default_cell(plan.default)
                cells.append(nulls(length) if text is None else repeat(text, length))
                continue
            proof = plan.kernel.prove(batch.column(plan.source))
            assert proof is not None, "kernels know text"
            cells.append(proof.cells)
            if proof.proved is not None:
                proved = no_nulls(proof.proved)
                missing = proved if missing is None else pc.and_(missing, proved)
        return cells, [] if missing is None else positions_of(pc.invert(missing))

    def _patched(
        self, cells: Sequence[pa.Array | None], slow: Accepted, rows: int
    ) -> list[pa.Array | None]:
        """The cells with those of the rows that pydantic was given whole."""
        mask = mask_of(rows, slow.kept or ())
        patched: list[pa.Array | None] = []
        for plan, cell in zip(self._fields, cells, strict=True):
            if plan.kernel is None:
                patched.append(None)
                continue
            values = [row[plan.name] for row in slow.values]
            if plan.kernel.encoding == "json":
                values = [
                    None if value is None else json_text(value, self._nonfinite) for value in values
                ]
            patched.append(pc.replace_with_mask(cell, mask, text_array(values)))
        return patched

    def whole_rows(self, rows: Sequence[Any]) -> Accepted:
        """Every row by pydantic, as one JSON text a row."""
        accepted = self._each(rows, range(len(rows)), self._text)
        accepted.batch = record_batch(text_array(accepted.values))  # type: ignore[arg-type]
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
            return _kept_if_refused(self._each(rows, range(len(rows)), _python_dump))
        accepted = self._each(
            rows, range(len(rows)), lambda instance: (instance.model_dump(), instance)
        )
        pairs: list[Any] = accepted.values
        accepted.values = [value for value, _ in pairs]
        accepted.instances = [instance for _, instance in pairs]
        return _kept_if_refused(accepted)

    def _each(self, rows: Sequence[Any], positions: Sequence[int], dump: Any) -> Accepted:
        """pydantic, row by row; `positions` are the rows' places in the batch."""
        accepted = Accepted(deferred=len(rows))
        validate, kept = self.model.model_validate, []
        for position, row in zip(positions, rows, strict=True):
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


def _json_dump(instance: BaseModel) -> dict[str, Any]:
    return instance.model_dump(mode="json")


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
