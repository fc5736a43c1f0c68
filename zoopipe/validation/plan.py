"""The column plan: what of a pydantic model can be proved over columns, compiled once.

The model's *core schema* is what pydantic runs, so it is what the plan reads; annotations are never
looked at. Reading is by white list: a key or a type that is not known to be harmless sends the whole
model to pydantic, row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator

from zoopipe.adapters.base import Reason
from zoopipe.arrays import FALSE, mask_of, nulls, positions_of, repeat, text_array
from zoopipe.columns import (
    NonFinite,
    encoded_field,
    encoding_of,
    is_record_batch,
    json_text,
    record_batch,
    rows_of,
)
from zoopipe.errors import DeclarationError
from zoopipe.validation.kernels import KERNELS, Kernel, NullableKernel

_MODEL_KEYS = {"type", "cls", "schema", "custom_init", "root_model", "config", "ref", "metadata"}
_FIELDS_KEYS = {"type", "fields", "model_name", "computed_fields"}
# Names alone: rows are written by field name unless `serialize_by_alias`, which is no harmless config.
_FIELD_KEYS = {"type", "schema", "metadata", "validation_alias", "serialization_alias"}
_HARMLESS_CONFIG = {"title", "frozen"}
_SCALAR_KEYS = {"type", "metadata", "microseconds_precision"}
_OVERRIDABLE = ("model_validate", "model_dump", "model_dump_json", "__init__")
_DEFAULT_TYPES = (str, int, float, bool, type(None))


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


@dataclass(frozen=True)
class _FieldPlan:
    name: str
    source: str
    kernel: Kernel
    validator: SchemaValidator
    default: Any  # the value of a field whose column is missing
    has_default: bool


def compile_plan(model: type[BaseModel], nonfinite: NonFinite = "null") -> ModelPlan:
    """The plan for a model.

    Args:
        model: a pydantic model class.
        nonfinite: how `nan` and infinities are spelled in the text of accepted rows.

    Raises:
        DeclarationError: `model` is no pydantic model, or is not completely defined.
    """
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise DeclarationError(f"schema_model must be a pydantic BaseModel class, not {model!r}")
    if not model.__pydantic_complete__:
        try:
            model.model_rebuild()
        except Exception as error:
            raise DeclarationError(f"{model.__name__} is not fully defined: {error}") from error
    return ModelPlan(model, _field_plans(model), nonfinite)


def _field_plans(model: type[BaseModel]) -> tuple[_FieldPlan, ...] | None:
    """A plan a field, or None where some part of the model needs whole rows."""
    if any(_is_overridden(model, name) for name in _OVERRIDABLE):
        return None
    schema: Mapping[str, Any] = model.__pydantic_core_schema__
    if schema["type"] != "model" or not schema.keys() <= _MODEL_KEYS:
        return None
    config = {key: value for key, value in schema.get("config", {}).items() if value is not None}
    if schema["custom_init"] or schema["root_model"] or not config.keys() <= _HARMLESS_CONFIG:
        return None
    fields: Mapping[str, Any] = schema["schema"]
    if fields["type"] != "model-fields" or not fields.keys() <= _FIELDS_KEYS:
        return None
    if fields.get("computed_fields"):
        return None
    plans = [_field_plan(name, entry) for name, entry in fields["fields"].items()]
    return tuple(plan for plan in plans if plan) if plans and all(plans) else None


def _is_overridden(model: type[BaseModel], name: str) -> bool:
    function = getattr(getattr(model, name), "__func__", getattr(model, name))
    original = getattr(getattr(BaseModel, name), "__func__", getattr(BaseModel, name))
    return function is not original


def _field_plan(name: str, entry: Mapping[str, Any]) -> _FieldPlan | None:
    if not entry.keys() <= _FIELD_KEYS or not _harmless_metadata(entry):
        return None
    source = entry.get("validation_alias", name)
    schema: Mapping[str, Any] = entry["schema"]
    default, has_default = None, False
    if schema["type"] == "default":
        if (
            not schema.keys() <= {"type", "schema", "default", "metadata"}
            or "default" not in schema
        ):
            return None
        default, has_default = schema["default"], True
        if type(default) not in _DEFAULT_TYPES:
            return None
        schema = schema["schema"]
    full, nullable = schema, schema["type"] == "nullable"
    if nullable:
        if not schema.keys() <= {"type", "schema", "metadata"}:
            return None
        schema = schema["schema"]
    kernel = KERNELS.get(schema["type"])
    known = schema.keys() <= _SCALAR_KEYS and schema.get("microseconds_precision") in (
        None,
        "truncate",
    )
    if not isinstance(source, str) or kernel is None or not known or not _harmless_metadata(schema):
        return None
    if default is not None and not _default_fits(default, kernel):
        return None
    validator = SchemaValidator({"type": "list", "items_schema": dict(full)})
    kernel = NullableKernel(kernel) if nullable else kernel
    return _FieldPlan(name, source, kernel, validator, default, has_default)


def _harmless_metadata(schema: Mapping[str, Any]) -> bool:
    """Metadata only speaks of JSON schemas; anything that is not plainly that is not trusted."""
    return all(key.startswith("pydantic_js") for key in schema.get("metadata") or {})


def _default_cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json_text(value)


def _default_fits(value: Any, kernel: Kernel) -> bool:
    """Defaults are not validated; one of another type than its field's has to go to pydantic."""
    kinds = {None: str, "int": int, "float": float, "bool": bool}
    return type(value) is kinds.get(kernel.logical) and _default_cell(value) != "null"


class ModelPlan:
    """A model, ready to be run over batches.

    Attributes:
        model: the pydantic model.
        names: its field names, in the order of its output.
        columnar: whether rows can be proved by columns at all.
    """

    def __init__(
        self,
        model: type[BaseModel],
        fields: tuple[_FieldPlan, ...] | None,
        nonfinite: NonFinite,
    ) -> None:
        self.model = model
        self.names = tuple(model.model_fields) + tuple(model.model_computed_fields)
        self.columnar = fields is not None
        self._fields = fields or ()
        self._nonfinite: NonFinite = nonfinite
        self._schema = pa.schema(
            [
                encoded_field(plan.name, plan.kernel.encoding, plan.kernel.logical)
                for plan in self._fields
            ]
        )
        own_dump = any(_is_overridden(model, name) for name in ("model_dump", "model_dump_json"))
        self._plain_dump = nonfinite == "null" and not own_dump

    def columns(self, batch: pa.RecordBatch, rows: Sequence[Any] | None = None) -> Accepted:
        """The batch's rows, validated, as a batch of the model's columns.

        Args:
            batch: the rows as read: columns of text, or of any type.
            rows: the same rows as Python values, where they are at hand already.

        Returns:
            Columns in the encodings of `zoopipe.columns`; one `record` column where the model
            needs whole rows.
        """
        if not self._applies_to(batch):
            return self.whole_rows(rows_of(batch) if rows is None else rows)
        cells, unproved = self._prove(batch)
        accepted = Accepted(deferred=len(unproved))
        if unproved:
            cells = self._defer(batch, cells, unproved, accepted)
        result = pa.RecordBatch.from_arrays(cells, schema=self._schema)
        if accepted.refused:
            refused = mask_of(batch.num_rows, (position for position, _ in accepted.refused))
            keep = pc.invert(refused)
            accepted.kept = positions_of(keep)
            result = result.filter(keep)
        accepted.batch = result
        return accepted

    def rows(self, rows: Sequence[Any], batch: pa.RecordBatch | None = None) -> Accepted:
        """The rows, validated, as dicts of Python values (`model_dump()`).

        Args:
            rows: dicts, or whatever was read.
            batch: the same rows as columns, where they are at hand.
        """
        if batch is None or not self._applies_to(batch):
            return self._python_rows(rows)
        cells, unproved = self._prove(batch)
        slow = self._each([rows[position] for position in unproved], unproved, _python_dump)
        names = [plan.name for plan in self._fields]
        proved_mask = pc.invert(mask_of(batch.num_rows, unproved))
        values = [
            plan.validator.validate_python(cell.filter(proved_mask).to_pylist())
            if plan.source in batch.schema.names
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
        for plan in self._fields:
            if plan.source not in names:
                if not plan.has_default:
                    return False
                continue
            column = batch.schema.field(plan.source)
            if not pa.types.is_string(column.type) or encoding_of(column) != "plain":
                return False
        return True

    def _prove(self, batch: pa.RecordBatch) -> tuple[list[pa.Array], list[int]]:
        """The text of every field, and the rows in which some field is not proved."""
        cells, missing = [], None
        for plan in self._fields:
            if plan.source not in batch.schema.names:
                length = batch.num_rows
                text = _default_cell(plan.default)
                cells.append(nulls(length) if text is None else repeat(text, length))
                continue
            proof = plan.kernel.prove(batch.column(plan.source))
            cells.append(proof.cells)
            if proof.proved is not None:
                proved = proof.proved
                if proved.null_count:
                    proved = pc.fill_null(proved, FALSE)
                missing = proved if missing is None else pc.and_(missing, proved)
        return cells, [] if missing is None else positions_of(pc.invert(missing))

    def _defer(
        self, batch: pa.RecordBatch, cells: list[pa.Array], unproved: list[int], accepted: Accepted
    ) -> list[pa.Array]:
        """Gives the unproved rows to pydantic, and patches what it makes of them into the cells."""
        rows = rows_of(batch.filter(mask_of(batch.num_rows, unproved)))
        slow = self._each(rows, unproved, _json_dump)
        accepted.refused = slow.refused
        kept = slow.kept
        if not kept:
            return cells
        mask = mask_of(batch.num_rows, kept)
        patched = []
        for plan, cell in zip(self._fields, cells, strict=True):
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
        """Every row by pydantic, as `model_dump()`, beside the instance that it is a dump of."""
        accepted = self._each(
            rows, range(len(rows)), lambda instance: (instance.model_dump(), instance)
        )
        pairs: list[Any] = accepted.values
        accepted.values = [value for value, _ in pairs]
        if not self.columnar:
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


def reasons_of(error: ValidationError) -> list[Reason]:
    """pydantic's own errors, without the values that caused them."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        {
            "loc": [clean_text(part) if isinstance(part, str) else part for part in item["loc"]],
            "type": item["type"],
            "msg": clean_text(item["msg"]),
        }
        for item in found
    ]


def raised_reason(error: BaseException, kind: str) -> Reason:
    """A reason for an exception that user code raised on a row."""
    return {"loc": [], "type": kind, "msg": clean_text(f"{type(error).__name__}: {error}")}


def clean_text(text: str) -> str:
    """Text that UTF-8 holds: a lone surrogate, which JSON can smuggle in, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
