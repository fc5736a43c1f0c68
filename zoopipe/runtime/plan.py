"""Planning: what a driver settles before the first row is read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoopipe.adapters.base import InputPlan, OutputAdapter
from zoopipe.errors import DeclarationError, OutputError
from zoopipe.runtime.fingerprint import fingerprint
from zoopipe.runtime.state import Finished, StateFile
from zoopipe.stages.rejects import META_NAMES, reject_columns
from zoopipe.storage.parts import Part
from zoopipe.storage.publish import resolve_target
from zoopipe.storage.staging import Staging
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
        plan: the fingerprint of all this.
        state: what is done so far, on disk.
        resumes: whether what is done stays on disk when the run is stopped or fails.
        kept: the shards that an earlier run has done.
        published: what an earlier run has published, which had come so far.
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
    plan: dict[str, str]
    state: StateFile
    resumes: bool = False
    kept: tuple[Finished, ...] = ()
    published: tuple[Part, ...] = ()

    @property
    def stagings(self) -> list[Staging]:
        """The staging folders, that of the state last."""
        folders = [] if self.reject_staging is None else [self.reject_staging]
        return [*folders, self.staging]

    def leave(self, is_done: bool) -> None:
        """Ends the hold on the staging folders; safe to call twice.

        Args:
            is_done: whether the pipe is published.

        Effect: they are gone, unless a resume is to find them, or whoever finishes the commit.
        """
        stays = not is_done and (self.resumes or self.state.is_committed)
        for staging in self.stagings:
            if stays:
                staging.release()
            else:
                staging.remove()


def target_of(adapter: OutputAdapter) -> Path:
    """The file that an output adapter publishes."""
    return resolve_target(adapter.output)


def plan_pipes(pipes: Sequence[Pipe], shards: int, merge: bool) -> list[PlannedPipe]:
    """Plans every pipe.

    Args:
        pipes: the declarations.
        shards: how many shards each input is cut into.
        merge: whether one file is published, or one a shard.

    Effect: none; the targets are not held yet.

    Raises:
        InputError: an input is missing, cannot be read or has no usable header.
        OutputError: an output cannot be written.
    """
    return [_plan_pipe(index, pipe, shards, merge) for index, pipe in enumerate(pipes)]


def _plan_pipe(index: int, pipe: Pipe, shards: int, merge: bool) -> PlannedPipe:
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
    staging = Staging(target_of(pipe.output_adapter))
    reject_staging = None
    if pipe.error_output_adapter is not None:
        reject_staging = Staging(target_of(pipe.error_output_adapter))
        if reject_staging.target == staging.target:
            raise OutputError(f"output and error output are both {staging.target}")
    if pipe.row_numbers is not None and columns is not None:
        if pipe.row_numbers in columns:
            raise DeclarationError(
                f"row_numbers names a column that the rows have already: {pipe.row_numbers!r}"
            )
        columns = (*columns, pipe.row_numbers)
    pipe.output_adapter.check(columns)
    planned = PlannedPipe(
        index=index,
        pipe=pipe,
        input=plan,
        output_columns=columns,
        reject_columns=names,
        staging=staging,
        reject_staging=reject_staging,
        merge=merge,
        counted=_needs_numbers(pipe) and len(plan.shards) > 1,
        plan=fingerprint(pipe, plan, merge),
        state=StateFile(staging, reject_staging),
    )
    _check_columns(planned)
    return planned


def _needs_numbers(pipe: Pipe) -> bool:
    """Whether workers have to know the number of each record in the whole input."""
    asks = pipe.has_entries or pipe.row_numbers is not None
    return asks and not pipe.input_adapter.keeps_origins


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
    elif pipe.row_numbers is not None:
        wanted.append((pipe.output_adapter, [pipe.row_numbers]))
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
