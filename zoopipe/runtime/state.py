"""What a run has done, beside its staging, so that another can go on where it was cut off.

`state.jsonl` has one line of JSON for each event: the plan of the run, each shard that is done, and the
commit record. A line is written at once; the last one may be cut short by the run's end, and then did not
happen. The lines of shards need not be durable: a part that a power cut has damaged has another checksum,
and its shard is run again. The commit record is made durable before the first file is published: from
then on the run is finished by whoever comes next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pyarrow as pa

from zoopipe.adapters.base import Shard
from zoopipe.adapters.tables import Place, TableOutputAdapter
from zoopipe.errors import OutputError
from zoopipe.redact import redact
from zoopipe.runtime.record import (
    Committing,
    Loaded,
    Move,
    Stale,
    finish_commit,
    keep_old,
    left,
    publish,
    publish_ahead,
    take_back,
)
from zoopipe.runtime.task import ShardResult
from zoopipe.storage.parts import Part, sync_folder, writing
from zoopipe.storage.staging import Staging
from zoopipe.storage.urls import found_from, name_of, seen_from

_FILE = "state.jsonl"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Begun:
    """The first line: what is run.

    Attributes:
        plan: the plan's fingerprint.
        rejects: the target of the error output, seen from the folder of the output: both may be moved
            before somebody goes on; or None.
    """

    format: int
    plan: dict[str, str]
    rejects: str | None = None

    def rejects_beside(self, staging: Staging) -> str | None:
        """The target of the error output of the run whose output this is the staging of."""
        return None if self.rejects is None else found_from(self.rejects, staging.target)


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that is done; in the file, paths are names in the staging folders."""

    shard: int
    attempts: int
    result: ShardResult


@dataclass(frozen=True, slots=True)
class Happened:
    """The note that the transaction of a run is committed; from then on the database need not know it."""

    run: str


@dataclass(frozen=True, slots=True)
class _Line:
    begun: Begun | None = None
    finished: Finished | None = None
    committing: Committing | None = None
    happened: Happened | None = None


@cache
def _lines() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_Line)


@dataclass(slots=True)
class State:
    """What is known of a run that was cut off.

    Attributes:
        begun: its plan.
        finished: by shard, the last line counts.
        committing: its commit record, where it came so far.
        has_happened: whether it is on record that its transaction was committed.
    """

    begun: Begun
    finished: dict[int, Finished] = field(default_factory=dict)
    committing: Committing | None = None
    has_happened: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Staged parts that are loaded into a table, in this order.

    Attributes:
        part: what the table is given in all.
    """

    adapter: TableOutputAdapter
    schema: pa.Schema
    parts: Sequence[Part]
    part: Part


@dataclass(frozen=True, slots=True)
class Output:
    """What is published of one of a pipe's two outputs: files, or a table.

    Attributes:
        rejects: whether it is the error output.
        moves: staged files, and what their targets will hold.
        stale: published parts of an earlier run that are removed.
        load: what is loaded, of a table.
    """

    rejects: bool
    moves: Sequence[tuple[str, Part]] = ()
    stale: Sequence[str] = ()
    load: Load | None = None

    @property
    def published(self) -> list[Part]:
        """What readers will see."""
        return [part for _, part in self.moves] + ([] if self.load is None else [self.load.part])


class StateFile:
    """The state of one pipe's run, written by its driver.

    Args:
        staging, reject_staging: locked by this process.

    Attributes:
        path: the file.
        is_committed: whether something is published by the commit record, so that all of it has to be.
    """

    def __init__(self, staging: Staging, reject_staging: Staging | None) -> None:
        self._staging = staging
        self._reject_staging = reject_staging
        self.path = staging.folder / _FILE
        self.is_committed = False
        self._announced: Committing | None = None
        # How large the file was before the commit record.
        self._before = 0

    def begin(self, plan: dict[str, str], kept: Iterable[Finished]) -> None:
        """Begins anew, with the shards that are kept of an earlier run."""
        rejects = None
        if self._reject_staging is not None:
            rejects = seen_from(self._reject_staging.target, self._staging.target)
        lines = [_Line(begun=Begun(_FORMAT, plan, rejects))]
        lines += [_Line(finished=_named(finished)) for finished in kept]
        draft = self._staging.folder / f"{_FILE}.draft"
        with writing(draft):
            draft.write_bytes(b"".join(map(_dumped, lines)))
            os.replace(draft, self.path)

    def add(self, finished: Finished) -> None:
        """Notes that a shard is done."""
        self._append(_Line(finished=_named(finished)))

    def commit(self, outputs: Sequence[Output]) -> None:
        """Writes the commit record, durably, and does what it says.

        Args:
            outputs: files that are published, in order; staged files are durable and whole.

        Effect: if this raises and `is_committed` is false, no target was touched; if it is true
            `finish_commit` goes on, in the next run.
        """
        record = _record(outputs, None, "")
        self._put_on_record(record)
        try:
            publish(record, record.moves, self._staging, self._reject_staging)
        except OutputError:
            # Where nothing was published, nothing has to be finished, and nobody is to do it later.
            if len(left(record, self._staging, self._reject_staging)) == len(record.moves):
                self._retract()
            raise

    def announce(self, outputs: Sequence[Output], database: Place, run: str) -> Committing:
        """Writes the commit record of a pipe whose tables are about to be committed, durably, and publishes
        the files of its rejects.

        Effect: until the transaction is committed `take_back` undoes it.
        """
        record = _record(outputs, database, run)
        if self._reject_staging is not None:
            keep_old(record, self._reject_staging)
        self._put_on_record(record)
        self._announced = record
        if self._reject_staging is not None:
            publish_ahead(record, self._reject_staging)
        return record

    def take_back(self) -> None:
        """Puts files of rejects back as they were: the transaction did not happen."""
        if self._announced is not None:
            take_back(self._announced, self._reject_staging)
            self._retract()

    def note(self, run: str) -> None:
        """Notes that the transaction of a run is committed, durably."""
        self._append(_Line(happened=Happened(run)), durable=True)

    def finish(self, record: Committing) -> None:
        """Publishes the files that a transaction is followed by."""
        finish_commit(record, self._staging, self._reject_staging)

    def _put_on_record(self, record: Committing) -> None:
        # Names first: a record that is there names files that are.
        folders = [self._staging.folder]
        if self._reject_staging is not None:
            folders.append(self._reject_staging.folder)
        for folder in dict.fromkeys([*folders, *(folder.parent for folder in folders)]):
            sync_folder(folder)
        self._before = self._append(_Line(committing=record), durable=True)
        self.is_committed = True

    def _retract(self) -> None:
        """Takes the commit record back: nothing that it says has happened."""
        self.is_committed = False
        with suppress(OSError):
            os.truncate(self.path, self._before)

    def _append(self, line: _Line, durable: bool = False) -> int:
        """Adds a line, and says how large the file was before. If this raises it is so again, as far as the
        disk allows: what was said to have failed does not take place later."""
        data = _dumped(line)
        with writing(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                before = os.fstat(descriptor).st_size
                try:
                    if os.write(descriptor, data) < len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    if durable:
                        os.fsync(descriptor)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(descriptor, before)
                    raise
            finally:
                os.close(descriptor)
        return before


def _record(outputs: Sequence[Output], database: Place | None, run: str) -> Committing:
    """The commit record of some outputs: paths are names in it."""
    moves = [(output, staged, part) for output in outputs for staged, part in output.moves]
    return Committing(
        tuple(
            Move(name_of(staged), name_of(part.path), output.rejects, part.upload)
            for output, staged, part in moves
        ),
        tuple(Stale(name_of(path), output.rejects) for output in outputs for path in output.stale),
        tuple(replace(part, path=name_of(part.path), upload=None) for _, _, part in moves),
        database,
        run,
        tuple(
            Loaded(replace(output.load.part, path=name_of(output.load.part.path)), output.rejects)
            for output in outputs
            if output.load is not None
        ),
    )


def read_state(staging: Staging) -> State | None:
    """What a dead run left in a staging folder; None where it had not begun.

    Lines that are cut short or damaged did not happen: their shards are run again.

    Raises:
        OutputError: the disk failed.
    """
    path = staging.folder / _FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
    state: State | None = None
    for text in data.split(b"\n"):
        try:
            line = _lines().validate_json(text, strict=False)
        except ValueError:
            continue
        if line.begun is not None:
            state = State(line.begun) if line.begun.format == _FORMAT else None
        elif state is not None and line.finished is not None:
            state.finished[line.finished.shard] = line.finished
        elif state is not None and line.committing is not None:
            state.committing, state.has_happened = line.committing, False
        elif state is not None and line.happened is not None and state.committing is not None:
            state.has_happened = line.happened.run == state.committing.run
    return state


def _dumped(line: _Line) -> bytes:
    return bytes(_lines().dump_json(line, exclude_none=True)) + b"\n"


def _named(finished: Finished) -> Finished:
    """With the names of staged files in place of their paths, and no password in those of the input."""
    result = finished.result
    ranges = tuple(replace(part, path=redact(part.path)) for part in result.ranges)
    return replace(
        finished,
        result=replace(
            result, ranges=ranges, part=_base(result.part), rejects=_base(result.rejects)
        ),
    )


def _base(part: Part | None) -> Part | None:
    return None if part is None else replace(part, path=name_of(part.path))


def at_home(
    finished: Finished, shard: Shard, staging: Staging, reject_staging: Staging | None
) -> Finished:
    """With the paths of staged files in place of their names, and those of the shard's input as they are.

    Raises:
        ValueError: a name leads out of its folder, or there is no folder for it.
    """
    paths = {redact(part.path): part.path for part in shard.ranges}
    ranges = tuple(
        replace(part, path=paths.get(part.path, part.path)) for part in finished.result.ranges
    )
    result = replace(finished.result, ranges=ranges)
    part, rejects = result.part, result.rejects
    if part is not None:
        part = replace(part, path=staging.file(part.path))
    if rejects is not None:
        if reject_staging is None:
            raise ValueError("rejects were staged, and there is no error output")
        rejects = replace(rejects, path=reject_staging.file(rejects.path))
    return replace(finished, result=replace(result, part=part, rejects=rejects))
