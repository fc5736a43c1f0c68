"""Commit: staged parts become what users see, in one atomic step a file, in the driver alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace

import pyarrow as pa

from zoopipe.adapters.base import OutputAdapter
from zoopipe.columns import is_record_batch
from zoopipe.errors import LedgerError, OutputError
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.schemas import found_reject_schema
from zoopipe.runtime.state import Output
from zoopipe.runtime.task import ShardResult
from zoopipe.runtime.threads import in_thread
from zoopipe.stages.rejects import META_NAMES, renumbered
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.staging import Staging
from zoopipe.values import rows_of

# Rejects are encoded by about so much, as blocks are read. By the few rows of a batch as it was staged,
# 20,000 of them (150 batches) take 70 ms, by 1 MiB 20.
_ENCODED_BYTES = 1 << 20


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
    planned = run.planned
    # Two files, each with bytes to move and a disk to wait for.
    rejects = in_thread(lambda: _finish_rejects(run), "zoopipe-rejects")
    try:
        written = _finish_output(run)
    finally:
        wait([rejects])
    outputs = [_output(planned.staging, written, planned.merge, rejects=False)]
    if planned.reject_staging is not None:
        files = rejects.result()
        outputs.insert(0, _output(planned.reject_staging, files, planned.merge, rejects=True))
    published = tuple(part for output in outputs for _, part in output.moves)
    for output in outputs:
        home = planned.reject_staging if output.rejects else planned.staging
        assert home is not None, "rejects have a staging"
        for _, part in output.moves:
            home.check(part.path)
    planned.state.commit(outputs)
    return published


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


def _finish_output(run: PipeRun) -> list[Part]:
    """Makes the staged parts whole files, to be published in this order."""
    planned = run.planned
    parts = [result.part for result in run.results if result.part is not None]
    groups = [parts] if planned.merge else [[part] for part in parts]
    adapter = planned.pipe.output_adapter
    files = [
        _finished(
            adapter,
            _whole(planned, planned.staging, leader, number, adapter),
            leader,
            rest,
            planned.output_schema,
        )
        for number, (leader, *rest) in enumerate(groups, 1)
    ]
    _check_rows(adapter, files, sum(part.rows for part in parts))
    return files


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


def _finish_rejects(run: PipeRun) -> list[Part]:
    """Writes staged rejects in the format of the error output, numbered in the whole input."""
    planned, adapter = run.planned, run.planned.pipe.error_output_adapter
    if adapter is None or planned.reject_staging is None:
        return []
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
    return [
        _write_rejects(planned, home, adapter, group, number, schema)
        for number, group in enumerate(groups, 1)
    ]


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
    return tuple(name for name in names if name not in META_NAMES)
