"""Commit: staged parts become what users see, in one atomic step a file, in the driver alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from pathlib import Path

import pyarrow as pa

from zoopipe.adapters.base import OutputAdapter, Part
from zoopipe.columns import is_record_batch
from zoopipe.errors import OutputError
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.task import ShardResult
from zoopipe.runtime.threads import in_thread
from zoopipe.stages.rejects import META_NAMES, renumbered
from zoopipe.storage.staging import (
    part_target,
    publish,
    remove_parts_beyond,
    resolve_target,
)
from zoopipe.values import rows_of

# Rejects are encoded by about so much, as blocks are read. By the few rows of a batch as it was staged,
# 20,000 of them (150 batches) take 70 ms, by 1 MiB 20.
_ENCODED_BYTES = 1 << 20


def commit(run: PipeRun) -> None:
    """Publishes a pipe's output and rejects, the rejects first: who sees an output sees them too.

    Effect: all files are whole and durable, and all targets looked at, before the first is renamed;
    each file appears whole. There is one rename a file: when one fails, those before it are done.

    Raises:
        OutputError: the disk is full or failed, or the target's folder vanished.
    """
    planned = run.planned
    # Two files, each with bytes to move and a disk to wait for.
    rejects = in_thread(lambda: _finish_rejects(run), "zoopipe-rejects")
    try:
        outputs = [(_finish_output(run), planned.staging.target)]
    finally:
        wait([rejects])
    if planned.reject_staging is not None:
        outputs = [(rejects.result(), planned.reject_staging.target), *outputs]
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


def _finish_output(run: PipeRun) -> list[Path]:
    """Makes the staged parts whole files, to be published in this order."""
    planned = run.planned
    parts = [Part(result.part, result.written) for result in run.results if result.part is not None]
    groups = [parts] if planned.merge else [[part] for part in parts]
    for leader, *others in groups:
        planned.pipe.output_adapter.finish(leader.path, others, leader.rows, planned.output_columns)
    return [leader.path for leader, *_ in groups]


def _finish_rejects(run: PipeRun) -> list[Path]:
    """Writes staged rejects in the format of the error output, numbered in the whole input."""
    planned, adapter = run.planned, run.planned.pipe.error_output_adapter
    if adapter is None or planned.reject_staging is None:
        return []
    columns = planned.reject_columns
    if columns is None and adapter.needs_columns:
        columns = _names_in(run.results)
    before = planned.input.first_record
    groups: list[list[tuple[ShardResult, int]]] = []
    for result in run.results:
        if not groups or not planned.merge:
            groups.append([])
        groups[-1].append((result, before))
        before += result.records
    return [
        _write_rejects(
            adapter, group, planned.reject_staging.folder / f"rejects-{number:05d}", columns
        )
        for number, group in enumerate(groups, 1)
    ]


def _write_rejects(
    adapter: OutputAdapter,
    group: Sequence[tuple[ShardResult, int]],
    path: Path,
    columns: tuple[str, ...] | None,
) -> Path:
    writer = adapter.open_part(path, columns, leads=True)
    rows = 0
    try:
        for result, before in group:
            for batch in _joined(_staged(result)):
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


def _staged(result: ShardResult) -> Iterator[pa.RecordBatch]:
    """The rejects that an attempt staged."""
    if result.rejects is None:
        return
    with pa.OSFile(str(result.rejects)) as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def _joined(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches: there is one for each block that had a rejected row."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        held.append(batch)
        size += batch.nbytes
        if size >= _ENCODED_BYTES:
            yield from pa.Table.from_batches(held).combine_chunks().to_batches()
            held, size = [], 0
    if held:
        yield from pa.Table.from_batches(held).combine_chunks().to_batches()


def _names_in(results: Sequence[ShardResult]) -> tuple[str, ...]:
    """The keys of all rejected records, first seen first, and the columns that say why."""
    names: dict[str, None] = {}
    for result in results:
        for batch in _staged(result):
            if is_record_batch(batch.schema):
                for row in rows_of(batch.select([0])):
                    names.update(dict.fromkeys(row))
    return (*(name for name in names if name not in META_NAMES), *META_NAMES)
