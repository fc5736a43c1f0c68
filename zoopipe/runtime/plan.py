"""Planning: what a driver settles before the first row is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from zoopipe.adapters.base import InputPlan, OutputAdapter
from zoopipe.errors import DeclarationError, OutputError
from zoopipe.stages.rejects import META_NAMES, reject_columns
from zoopipe.storage.staging import Staging, resolve_target
from zoopipe.validation import compile_plan

if TYPE_CHECKING:
    from pydantic import BaseModel

    from zoopipe.pipe import Pipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedPipe:
    """A pipe, ready to run: its shards, its columns and where its attempts write.

    Attributes:
        index: the pipe's place in its manager.
        pipe: the declaration.
        input: what is known of the input.
        output_columns, reject_columns: the columns of outputs that need a header.
        staging, reject_staging: the staging folders of output and error output.
        merge: whether one file is published, or one a shard.
        counted: whether the shards are counted before they are run, because hooks ask for the
            number of each record in the whole input.
    """

    index: int
    pipe: Pipe
    input: InputPlan
    output_columns: tuple[str, ...] | None
    reject_columns: tuple[str, ...] | None
    staging: Staging
    reject_staging: Staging | None
    merge: bool
    counted: bool

    def remove_staging(self) -> None:
        """Removes what attempts have staged."""
        self.staging.remove()
        if self.reject_staging is not None:
            self.reject_staging.remove()


def target_of(adapter: OutputAdapter) -> Path:
    """The file that an output adapter publishes."""
    return resolve_target(adapter.output)


def plan_pipes(pipes: Sequence[Pipe], shards: int, merge: bool) -> list[PlannedPipe]:
    """Plans every pipe, or none.

    Effect: staging folders exist beside the targets; if this raises, none is left.

    Raises:
        InputError: an input is missing, cannot be read or has no usable header.
        OutputError: an output cannot be written.
    """
    run_id = uuid4().hex[:12]
    planned: list[PlannedPipe] = []
    try:
        for index, pipe in enumerate(pipes):
            planned.append(_plan_pipe(index, pipe, shards, merge, run_id))
    except BaseException:
        for done in planned:
            done.remove_staging()
        raise
    return planned


def _plan_pipe(index: int, pipe: Pipe, shards: int, merge: bool, run_id: str) -> PlannedPipe:
    plan = pipe.input_adapter.plan(shards)
    if plan.why_whole and shards > 1:
        logger.warning(
            "pipe %d runs as one shard, %d were asked for: %s (%r)",
            index,
            shards,
            plan.why_whole,
            pipe.input_adapter,
        )
    model = pipe.schema_model
    columns = _model_columns(model, plan) if model is not None else plan.columns or plan.head
    names = reject_columns(plan.columns)
    staging = Staging(target_of(pipe.output_adapter), run_id)
    reject_staging = None
    if pipe.error_output_adapter is not None:
        reject_staging = Staging(target_of(pipe.error_output_adapter), run_id)
    planned = PlannedPipe(
        index=index,
        pipe=pipe,
        input=plan,
        output_columns=columns,
        reject_columns=names,
        staging=staging,
        reject_staging=reject_staging,
        merge=merge,
        counted=pipe.has_entries and len(plan.shards) > 1,
    )
    try:
        staging.create()
        pipe.output_adapter.check(columns)
        _check_columns(planned)
        if reject_staging is not None:
            if reject_staging.target == staging.target:
                raise OutputError(f"output and error output are both {staging.target}")
            reject_staging.create()
    except BaseException:
        planned.remove_staging()
        raise
    return planned


def _check_columns(planned: PlannedPipe) -> None:
    """Refuses outputs that have no place for a column that every row has.

    Raises:
        DeclarationError: naming the output and the columns.
    """
    pipe = planned.pipe
    wanted: list[tuple[OutputAdapter, Sequence[str]]] = []
    if pipe.error_output_adapter is not None:
        names = META_NAMES if planned.reject_columns is None else planned.reject_columns
        wanted.append((pipe.error_output_adapter, names))
    if not pipe.hooks and (pipe.schema_model is not None or planned.input.columns is not None):
        wanted.append((pipe.output_adapter, planned.output_columns or ()))
    for adapter, columns in wanted:
        missing = adapter.lacks(columns)
        if missing:
            raise DeclarationError(
                f"{adapter.output} has no place for {', '.join(missing)}: name them in fieldnames="
            )


def _model_columns(model: type[BaseModel], plan: InputPlan) -> tuple[str, ...] | None:
    """The columns of what a model accepts: its own, then those of the input that it lets through."""
    names = compile_plan(model).names
    if names is None or model.model_config.get("extra") != "allow":
        return names
    known = {*names, *model.model_fields}
    known.update(str(info.validation_alias or info.alias) for info in model.model_fields.values())
    return (*names, *(name for name in plan.columns or plan.head or () if name not in known))
