"""Planning: what a driver settles before the first row is read."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from zoopipe.adapters.base import InputPlan, OutputAdapter
from zoopipe.adapters.tables import TableOutputAdapter
from zoopipe.errors import DeclarationError, OutputError
from zoopipe.runtime.fingerprint import fingerprint
from zoopipe.runtime.schemas import (
    numbered_schema,
    output_schema,
    read_columns,
    reject_schema,
)
from zoopipe.runtime.state import Finished, StateFile
from zoopipe.stages.rejects import META_NAMES
from zoopipe.storage.objects import staging_of, target_of
from zoopipe.storage.parts import Part
from zoopipe.storage.staging import Staging

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedPipe:
    """A pipe, ready to run: its shards, its columns and where its attempts write.

    Attributes:
        index: the pipe's place in its manager.
        pipe: the declaration.
        input: what is known of the input.
        read_columns: the columns of the input that attempts read.
        output_schema, reject_schema: the columns of output and error output, where they are known.
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
    read_columns: tuple[str, ...] | None
    output_schema: pa.Schema | None
    reject_schema: pa.Schema | None
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

        Effect: they are gone, unless a resume is to find them, or whoever finishes the commit; the input is
            closed.
        """
        self.input.close()
        stays = not is_done and (self.resumes or self.state.is_committed)
        for staging in self.stagings:
            if stays:
                staging.release()
            else:
                staging.remove()
        if not stays and self.pipe.output_adapter.taker is not None:
            self.pipe.output_adapter.taker.leave()


def _staging_of(adapter: OutputAdapter, taken: Counter[str]) -> Staging:
    """A staging folder for each output of the run, also of those that write one table.

    All runs take the first of a table's: who holds it has the table.
    """
    target = adapter.target()
    if not isinstance(adapter, TableOutputAdapter):
        return staging_of(target, adapter.storage)
    taken[target] += 1
    number = taken[target]
    return Staging(target if number == 1 else f"{target}~{number}")


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
    taken: Counter[str] = Counter()
    planned: list[PlannedPipe] = []
    try:
        for index, pipe in enumerate(pipes):
            planned.append(_plan_pipe(index, pipe, shards, merge, taken))
    except BaseException:
        for each in planned:
            each.input.close()
        raise
    return planned


def _plan_pipe(
    index: int, pipe: Pipe, shards: int, merge: bool, taken: Counter[str]
) -> PlannedPipe:
    plan = pipe.input_adapter.plan(shards)
    try:
        return _planned(index, pipe, plan, shards, merge, taken)
    except BaseException:
        plan.close()
        raise


def _planned(
    index: int, pipe: Pipe, plan: InputPlan, shards: int, merge: bool, taken: Counter[str]
) -> PlannedPipe:
    if plan.why_whole and shards > 1:
        logger.warning(
            "pipe %d runs as one shard, %d were asked for: %s (%r)",
            index,
            shards,
            plan.why_whole,
            pipe.input_adapter,
        )
    staging = _staging_of(pipe.output_adapter, taken)
    reject_staging, rejects = None, None
    if pipe.error_output_adapter is not None:
        reject_staging = _staging_of(pipe.error_output_adapter, taken)
        if pipe.error_output_adapter.target() == pipe.output_adapter.target():
            raise OutputError(f"output and error output are both {staging.target}")
        rejects = reject_schema(pipe.input_adapter, pipe.error_output_adapter, plan)
    if not merge:
        for each in filter(None, (staging, reject_staging)):
            # The names are longer, and others may be there.
            for number in range(1, len(plan.shards) + 1):
                target_of(each.published(number))
    schema = numbered_schema(pipe, output_schema(pipe, plan))
    pipe.output_adapter.check(schema)
    planned = PlannedPipe(
        index=index,
        pipe=pipe,
        input=plan,
        read_columns=read_columns(pipe, plan),
        output_schema=schema,
        reject_schema=rejects,
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
        rejects = planned.reject_schema
        wanted.append((pipe.error_output_adapter, META_NAMES if rejects is None else rejects.names))
    if not pipe.hooks and (pipe.schema_model is not None or planned.input.columns is not None):
        schema = planned.output_schema
        wanted.append((pipe.output_adapter, () if schema is None else schema.names))
    elif pipe.row_numbers is not None:
        wanted.append((pipe.output_adapter, [pipe.row_numbers]))
    for adapter, columns in wanted:
        missing = adapter.lacks(columns)
        if missing:
            raise DeclarationError(
                f"{adapter.output} has no place for {', '.join(missing)}: name them in fieldnames="
            )
