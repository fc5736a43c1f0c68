"""Commit: staged parts become what users see, in one atomic step a file, in the driver alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace

import pyarrow as pa

from zoopipe.adapters.base import OutputAdapter
from zoopipe.adapters.tables import TableOutputAdapter, stored
from zoopipe.columns import is_record_batch
from zoopipe.errors import LedgerError, OutputError
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.schemas import found_reject_schema
from zoopipe.runtime.state import Load, Output
from zoopipe.runtime.tables import Loading, tables_of
from zoopipe.runtime.task import ShardResult
from zoopipe.runtime.threads import in_thread
from zoopipe.stages.rejects import META_NAMES, renumbered
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.staging import Staging
from zoopipe.values import rows_of

# Rejects are encoded by about so much, as blocks are read. By the few rows of a batch as it was staged,
# 20,000 of them (150 batches) take 70 ms, by 1 MiB 20.
_ENCODED_BYTES = 1 << 20


def commit_all(runs: Sequence[PipeRun]) -> list[tuple[Part, ...]]:
    """Publishes pipes that are published together: one pipe, or those with tables of one database.

    Returns:
        What was published of each: files, or tables with the rows that they were given.

    Raises:
        LedgerError, OutputError: as for `commit`; nothing has happened, unless the `state.is_committed` of a
            pipe says that something has, or may have.
    """
    if not any(tables_of(run.planned.pipe) for run in runs):
        return [commit(run) for run in runs]
    outputs = [_finished_outputs(run) for run in runs]
    for run in runs:
        # All is read; a transaction that reads a table would keep it from being replaced.
        run.planned.input.close()
    Loading([(run.planned, each) for run, each in zip(runs, outputs, strict=True)]).commit()
    return [_published(each) for each in outputs]


def commit(run: PipeRun) -> tuple[Part, ...]:
    """Publishes a pipe's output and rejects, the rejects first: who sees an output sees them too.

    Returns:
        The published files, in that order.

    Effect: all staged files are compared with what their workers say of them, made whole and durable, and
        all targets looked at, before the commit record is written; each file appears whole, by one
        rename. If this raises no target was touched, unless `run.planned.state.is_committed`: then the
        staging holds what is left to do.

    Raises:
        LedgerError: a staged file is not what its worker wrote.
        OutputError: the disk is full or failed, or the target's folder vanished.
    """
    outputs = _finished_outputs(run)
    run.planned.state.commit(outputs)
    return _published(outputs)


def _published(outputs: Sequence[Output]) -> tuple[Part, ...]:
    return tuple(part for output in outputs for part in output.published)


def _finished_outputs(run: PipeRun) -> list[Output]:
    """Makes whole what is staged of a pipe, its rejects first, and looks at the targets of files."""
    planned = run.planned
    # Two files, each with bytes to move and a disk to wait for.
    rejects = in_thread(lambda: _finish_rejects(run), "zoopipe-rejects")
    try:
        outputs = [_finish_output(run)]
    finally:
        wait([rejects])
    if (found := rejects.result()) is not None:
        outputs.insert(0, found)
    for output in outputs:
        home = planned.reject_staging if output.rejects else planned.staging
        assert home is not None, "rejects have a staging"
        for _, part in output.moves:
            home.check(part.path)
    return outputs


def _output(home: Staging, files: Sequence[Part], merge: bool, rejects: bool) -> Output:
    """Which staged file becomes which published one, and what has to go."""
    if merge:
        (file,) = files
        return Output(rejects, [(file.path, replace(file, path=home.published(None)))])
    moves = [
        (file.path, replace(file, path=home.published(number)))
        for number, file in enumerate(files, 1)
    ]
    return Output(rejects, moves, home.published_beyond(len(files)))


def _finish_output(run: PipeRun) -> Output:
    """Makes the staged parts whole files, to be published in this order; those of a table stay as they are."""
    planned = run.planned
    parts = [result.part for result in run.results if result.part is not None]
    adapter, schema = planned.pipe.output_adapter, planned.output_schema
    if isinstance(adapter, TableOutputAdapter):
        return _load(adapter, planned.staging, parts, schema, rejects=False)
    groups = [parts] if planned.merge else [[part] for part in parts]
    files = [
        _finished(
            adapter,
            _whole(planned, planned.staging, leader, number, adapter),
            leader,
            rest,
            schema,
        )
        for number, (leader, *rest) in enumerate(groups, 1)
    ]
    _check_rows(adapter, files, sum(part.rows for part in parts))
    return _output(planned.staging, files, planned.merge, rejects=False)


def _load(
    adapter: TableOutputAdapter,
    home: Staging,
    parts: Sequence[Part],
    schema: pa.Schema | None,
    rejects: bool,
) -> Output:
    """What a table is given, each part compared with its checksum."""
    assert schema is not None, "a table is given a schema"
    for part in parts:
        if not os.path.exists(part.path):
            raise OutputError(
                f"{part.path} is not here, where the driver looks for what a worker has staged for "
                f"{adapter.output}: the folder {home.folder.parent} has to be one that all nodes share"
            )
        home.check_part(part)
    rows, size = sum(part.rows for part in parts), sum(part.size_bytes for part in parts)
    whole = Part(home.target, rows, size, "")
    return Output(rejects, load=Load(adapter, stored(adapter, schema), parts, whole))


def _whole(
    planned: PlannedPipe, home: Staging, leader: Part, number: int, adapter: OutputAdapter
) -> PartFile:
    """The file number `number` of an output, with the part that leads in it."""
    target = home.published(None if planned.merge else number)
    return home.whole(leader, target, adapter.codec)


def _finished(
    adapter: OutputAdapter,
    file: PartFile,
    leader: Part,
    others: Sequence[Part],
    schema: pa.Schema | None,
) -> Part:
    """Makes a part that leads, with which `file` begins, a whole file."""
    try:
        return adapter.finish(file, leader, others, schema)
    except BaseException:
        file.abandon()
        raise


def _finish_rejects(run: PipeRun) -> Output | None:
    """Writes staged rejects in the format of the error output, numbered in the whole input."""
    planned, adapter = run.planned, run.planned.pipe.error_output_adapter
    if adapter is None or planned.reject_staging is None:
        return None
    home = planned.reject_staging
    for result in run.results:
        if result.rejects is not None:
            home.check_part(result.rejects)
    schema = planned.reject_schema
    if schema is None and (adapter.needs_columns or adapter.typed):
        schema = found_reject_schema(adapter, _names_in(run.results, home))
    groups: list[list[tuple[ShardResult, int]]] = []
    for numbered in zip(run.results, run.records_before(), strict=True):
        if not groups or not planned.merge:
            groups.append([])
        groups[-1].append(numbered)
    files = [
        _write_rejects(planned, home, adapter, group, number, schema)
        for number, group in enumerate(groups, 1)
    ]
    if isinstance(adapter, TableOutputAdapter):
        return _load(adapter, home, files, schema, rejects=True)
    return _output(home, files, planned.merge, rejects=True)


def _write_rejects(
    planned: PlannedPipe,
    home: Staging,
    adapter: OutputAdapter,
    group: Sequence[tuple[ShardResult, int]],
    number: int,
    schema: pa.Schema | None,
) -> Part:
    file = PartFile(home.here(f"rejects-{number:05d}"))
    try:
        writer = adapter.open_part(file, schema, leads=True)
        for result, before in group:
            for batch in _joined(_staged(result, home)):
                encoded = writer.encode(renumbered(batch, before))
                if encoded.refused:
                    message = encoded.refused[0][1]["msg"]
                    raise OutputError(f"a rejected row cannot be written: {message}")
                writer.write(encoded)
        whole = writer.close()
    except BaseException:
        file.discard()
        raise
    rejected = sum(result.counts.rejected for result, _ in group)
    _check_rows(adapter, [whole], rejected)
    if isinstance(adapter, TableOutputAdapter):
        return whole
    file = _whole(planned, home, whole, number, adapter)
    return _finished(adapter, file, whole, [], schema)


def _check_rows(adapter: OutputAdapter, files: Sequence[Part], expected: int) -> None:
    """Raises `LedgerError` unless files hold as many rows as went there."""
    found = sum(file.rows for file in files)
    if found != expected:
        raise LedgerError(
            f"the books do not balance: {adapter.output} would hold {found} rows, {expected} were "
            "staged for it; nothing is published"
        )


def _staged(result: ShardResult, home: Staging) -> Iterator[pa.RecordBatch]:
    """The rejects that an attempt staged."""
    if result.rejects is None:
        return
    with home.storage.native(result.rejects.path) as file, pa.ipc.open_stream(file) as stream:
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


def _names_in(results: Sequence[ShardResult], home: Staging) -> tuple[str, ...]:
    """The keys of all rejected records, first seen first."""
    names: dict[str, None] = {}
    for result in results:
        for batch in _staged(result, home):
            if is_record_batch(batch.schema):
                for row in rows_of(batch.select([0])):
                    names.update(dict.fromkeys(row))
            else:
                names.update(dict.fromkeys(batch.schema.names))
    return tuple(name for name in names if name not in META_NAMES)
