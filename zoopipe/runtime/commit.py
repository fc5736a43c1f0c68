"""Commit: staged parts become what users see, in one atomic step a file, in the driver alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from zoopipe.adapters.base import OutputAdapter, Part
from zoopipe.columns import is_record_batch, rows_of
from zoopipe.errors import OutputError
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.task import Task
from zoopipe.stages.rejects import META_NAMES, renumbered
from zoopipe.storage.staging import (
    Staging,
    part_target,
    publish,
    remove_parts_beyond,
    resolve_target,
)


def commit(run: PipeRun) -> None:
    """Publishes a pipe's output and rejects, the rejects first: who sees an output sees them too.

    Effect: all files are whole and durable, and all targets looked at, before the first is renamed;
    each file appears whole. There is one rename a file: when one fails, those before it are done.

    Raises:
        OutputError: the disk is full or failed, or the target's folder vanished.
    """
    planned = run.planned
    parts = [Part(task.part, r.written) for task, r in zip(run.parts, run.results, strict=True)]
    groups = [parts] if planned.merge else [[part] for part in parts]
    for leader, *others in groups:
        planned.pipe.output_adapter.finish(leader.path, others, leader.rows, planned.output_columns)
    outputs = [([leader.path for leader, *_ in groups], planned.staging.target)]
    if planned.reject_staging is not None:
        rejects = _write_all_rejects(run, planned.reject_staging)
        outputs = [(rejects, planned.reject_staging.target), *outputs]
    moves = [move for files, target in outputs for move in _moves(files, target, planned.merge)]
    for _, target in moves:
        resolve_target(str(target))
    for staged, target in moves:
        publish(staged, target)
    if not planned.merge:
        for files, target in outputs:
            remove_parts_beyond(target, len(files))


def _moves(files: Sequence[Path], target: Path, merge: bool) -> list[tuple[Path, Path]]:
    """Which staged file becomes which published one."""
    if merge:
        return [(files[0], target)]
    return [(file, part_target(target, number)) for number, file in enumerate(files, 1)]


def _write_all_rejects(run: PipeRun, staging: Staging) -> list[Path]:
    """Writes staged rejects in the format of the error output, numbered in the whole input."""
    planned = run.planned
    adapter = planned.pipe.error_output_adapter
    assert adapter is not None, "a reject staging comes with an adapter"
    columns = planned.reject_columns
    if columns is None and adapter.needs_columns:
        columns = _names_in(run.parts)
    before = planned.input.first_record
    groups: list[list[tuple[Task, int]]] = []
    for task, result in zip(run.parts, run.results, strict=True):
        if not groups or not planned.merge:
            groups.append([])
        groups[-1].append((task, before))
        before += result.records
    return [
        _write_rejects(adapter, group, staging.folder / f"rejects-{number:05d}", columns)
        for number, group in enumerate(groups, 1)
    ]


def _write_rejects(
    adapter: OutputAdapter,
    group: Sequence[tuple[Task, int]],
    path: Path,
    columns: tuple[str, ...] | None,
) -> Path:
    writer = adapter.open_part(path, columns, leads=True)
    rows = 0
    try:
        for task, before in group:
            for batch in _staged(task):
                encoded = writer.encode(renumbered(batch, before))
                if encoded.refused:
                    message = encoded.refused[0][1]["msg"]
                    raise OutputError(f"a rejected row cannot be written: {message}")
                writer.write(encoded)
                rows += encoded.rows
        writer.close()
    except BaseException:
        writer.discard()
        raise
    adapter.finish(path, [], rows, columns)
    return path


def _staged(task: Task) -> Iterator[pa.RecordBatch]:
    """The rejects that an attempt staged."""
    if task.rejects is None or not task.rejects.exists():
        return
    with pa.OSFile(str(task.rejects)) as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def _names_in(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The keys of all rejected records, first seen first, and the columns that say why."""
    names: dict[str, None] = {}
    for task in tasks:
        for batch in _staged(task):
            if is_record_batch(batch.schema):
                for row in rows_of(batch.select([0])):
                    names.update(dict.fromkeys(row))
    return (*(name for name in names if name not in META_NAMES), *META_NAMES)
