"""The columns of a run: what is read of the input, and what output and error output hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from zoopipe.adapters.base import InputAdapter, InputPlan, OutputAdapter
from zoopipe.columns import encoded_field, is_record_batch
from zoopipe.errors import DeclarationError
from zoopipe.records import parse_records
from zoopipe.stages.rejects import META_NAMES, META_SCHEMA, original_name
from zoopipe.validation import compile_plan
from zoopipe.validation.arrow_schema import arrow_schema, asks_for_sample
from zoopipe.values import from_rows

if TYPE_CHECKING:
    from pydantic import BaseModel

    from zoopipe.pipe import Pipe


def read_columns(pipe: Pipe, plan: InputPlan) -> tuple[str, ...] | None:
    """The columns that attempts read: all, unless the input can leave out what nobody will look at.

    Hooks before validation, and entries, show whole rows; so does a model that looks at rows as a whole.
    Of a rejected row all columns are fetched then (`Block.whole`).
    """
    if plan.columns is None or pipe.schema_model is None or not pipe.input_adapter.prunes:
        return plan.columns
    if pipe.pre_validation_hooks or pipe.has_entries:
        return plan.columns
    wanted = compile_plan(pipe.schema_model).reads
    if wanted is None:
        return plan.columns
    # A batch without columns would not know how many rows it has.
    return tuple(name for name in plan.columns if name in wanted) or plan.columns[:1]


def output_schema(pipe: Pipe, plan: InputPlan) -> pa.Schema | None:
    """The columns of the output; None where they are not known.

    Raises:
        DeclarationError: the output stores types, and the model's rows have none that could be known.
    """
    adapter, model = pipe.output_adapter, pipe.schema_model
    if adapter.typed:
        return adapter.stores(adapter.schema or _types(pipe, plan))
    names = _model_columns(model, plan) if model is not None else plan.columns or plan.head
    return None if names is None else names_only(names)


def _types(pipe: Pipe, plan: InputPlan) -> pa.Schema:
    """The types of an output's columns: the model's, or else those of the input."""
    model = pipe.schema_model
    if model is not None:
        sample = _accepted(pipe, plan) if asks_for_sample(model) else None
        return arrow_schema(model, sample, extra_columns(model, plan))
    if plan.schema is not None:
        return plan.schema
    if plan.columns is not None:
        return pipe.input_adapter.types(plan)
    return _found_types(pipe, plan)


def _accepted(pipe: Pipe, plan: InputPlan) -> pa.RecordBatch | None:
    """The first rows of the input that the model accepts."""
    sample = pipe.input_adapter.sample(plan)
    assert pipe.schema_model is not None, "it is a model that accepts rows"
    return None if sample is None else compile_plan(pipe.schema_model).columns(sample).batch


def _found_types(pipe: Pipe, plan: InputPlan) -> pa.Schema:
    """The types of records of JSON without a model, as the first ones have them: a column whose values are
    of several types, or not simple, is JSON text.

    Raises:
        DeclarationError: there is no record to tell them from.
    """
    sample = pipe.input_adapter.sample(plan)
    if sample is not None and not is_record_batch(sample.schema):
        return _never_null(sample)
    records = [] if sample is None else parse_records(sample.column(0).to_pylist()).values
    rows = [record for record in records if isinstance(record, dict)]
    if not rows:
        raise DeclarationError(
            f"the columns of {pipe.output_adapter.output} are not known, for no record is at the start of "
            "the input: give the pipe a model, or the output a schema="
        )
    return _never_null(from_rows(rows))


def _never_null(sample: pa.RecordBatch) -> pa.Schema:
    """The types of a sample; JSON, which holds whatever may come, where all of a column is null."""
    return pa.schema(
        [
            encoded_field(field.name, "json") if column.null_count == len(column) else field
            for field, column in zip(sample.schema, sample.columns, strict=True)
        ]
    )


def numbered_schema(pipe: Pipe, schema: pa.Schema | None) -> pa.Schema | None:
    """The columns of the output with that of the row numbers behind them, where the pipe asks for one.

    Raises:
        DeclarationError: there is a column of that name.
    """
    name = pipe.row_numbers
    if name is None or schema is None:
        return schema
    if name in schema.names:
        raise DeclarationError(f"row_numbers names a column that the rows have already: {name!r}")
    return schema.append(pa.field(name, pa.int64() if pipe.output_adapter.typed else pa.null()))


def reject_schema(
    source: InputAdapter, adapter: OutputAdapter, plan: InputPlan
) -> pa.Schema | None:
    """The columns of an error output: those of the input, then why a row was rejected; None where
    records have columns of their own."""
    if plan.columns is None:
        return None
    if not adapter.typed:
        return names_only((*map(original_name, plan.columns), *META_NAMES))
    types = plan.schema or source.types(plan)
    originals = (each.with_name(original_name(each.name)) for each in types)
    # Of a record that did not parse no column is known.
    fields = [*(each.with_nullable(True) for each in originals), *META_SCHEMA]
    return adapter.stores(pa.schema(fields))


def found_reject_schema(adapter: OutputAdapter, names: Sequence[str]) -> pa.Schema:
    """The columns of an error output for records of JSON with keys of their own.

    Args:
        names: their keys.
    """
    if not adapter.typed:
        return names_only((*names, *META_NAMES))
    # A rejected value may be of any type.
    fields = [*(encoded_field(name, "json") for name in names), *META_SCHEMA]
    return adapter.stores(pa.schema(fields))


def names_only(names: Sequence[str]) -> pa.Schema:
    """A schema for outputs that ask for no types."""
    return pa.schema([(name, pa.null()) for name in names])


def _model_columns(model: type[BaseModel], plan: InputPlan) -> tuple[str, ...] | None:
    """The columns of what a model accepts: its own, then those of the input that it lets through."""
    names = compile_plan(model).names
    return None if names is None else (*names, *extra_columns(model, plan))


def extra_columns(model: type[BaseModel], plan: InputPlan) -> tuple[str, ...]:
    """The columns of the input that a model lets through beside its own."""
    if model.model_config.get("extra") != "allow":
        return ()
    known = {*(compile_plan(model).names or ()), *model.model_fields}
    known.update(str(info.validation_alias or info.alias) for info in model.model_fields.values())
    return tuple(name for name in plan.columns or plan.head or () if name not in known)
