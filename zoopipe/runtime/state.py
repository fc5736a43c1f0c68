"""What a run has done, beside its staging, so that another can go on where it was cut off.

`state.jsonl` has one line of JSON for each event: the plan of the run, each shard that is done, and the
commit record. A line is written at once; the last one may be cut short by the run's end, and then did not
happen. The lines of shards need not be durable: a part that a power cut has damaged has another checksum,
and its shard is run again. The commit record is made durable before the first rename: from then on the run
is finished by whoever comes next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from zoopipe.adapters.tables import Place, TableOutputAdapter
from zoopipe.errors import OutputError
from zoopipe.runtime.task import ShardResult
from zoopipe.storage.parts import Part, sync_folder, writing
from zoopipe.storage.publish import publish
from zoopipe.storage.staging import Staging

_FILE = "state.jsonl"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Begun:
    """The first line: what is run.

    Attributes:
        plan: the plan's fingerprint.
        rejects: the target of the error output, or None.
    """

    format: int
    plan: dict[str, str]
    rejects: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that is done; in the file, paths are names in the staging folders."""

    shard: int
    attempts: int
    result: ShardResult


@dataclass(frozen=True, slots=True)
class Move:
    """A staged file and the target that it becomes, by their names; `rejects` says of which output."""

    staged: str
    target: str
    rejects: bool


@dataclass(frozen=True, slots=True)
class Stale:
    """A published part of an earlier run that this one has no part for; likewise."""

    target: str
    rejects: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table, as what it was given; its path is a name, and `rejects` says of which output."""

    part: Part
    rejects: bool


@dataclass(frozen=True, slots=True)
class Committing:
    """The commit record.

    Attributes:
        moves: the renames, in order.
        stale: what is removed after them.
        published: what the targets hold when they are done; paths are names.
        database: where tables are loaded: all of this happens if, and only if, that transaction did.
        run: what the transaction says of itself in the database.
        tables: what is loaded.
    """

    moves: tuple[Move, ...]
    stale: tuple[Stale, ...]
    published: tuple[Part, ...]
    database: Place | None = None
    run: str = ""
    tables: tuple[Loaded, ...] = ()


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
    moves: Sequence[tuple[Path, Part]] = ()
    stale: Sequence[Path] = ()
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

    def begin(self, plan: dict[str, str], kept: Iterable[Finished]) -> None:
        """Begins anew, with the shards that are kept of an earlier run."""
        rejects = None if self._reject_staging is None else str(self._reject_staging.target)
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
        record = self._record(outputs, None, "")
        try:
            _publish(record, record.moves, self._staging, self._reject_staging)
        except OutputError:
            # Where nothing was renamed, nothing has to be finished.
            self.is_committed = not all(
                staged.exists() for output in outputs for staged, _ in output.moves
            )
            raise

    def announce(self, outputs: Sequence[Output], database: Place, run: str) -> Committing:
        """Writes the commit record of a pipe whose tables are about to be committed, durably, and publishes
        the files of its rejects.

        Effect: until the transaction is committed `take_back` undoes it.
        """
        homes = {False: self._staging, True: self._reject_staging or self._staging}
        for output in outputs:
            for staged, part in output.moves:
                if output.rejects:
                    _keep_old(staged, part.path)
        record = self._announced = self._record(outputs, database, run)
        rejects = [move for move in record.moves if move.rejects]
        for move in rejects:
            publish(homes[True].file(move.staged), homes[True].beside(move.target))
        return record

    def take_back(self) -> None:
        """Puts files of rejects back as they were: the transaction did not happen."""
        if self._announced is not None:
            take_back(self._announced, self._reject_staging)
        self.is_committed = False

    def note(self, run: str) -> None:
        """Notes that the transaction of a run is committed, durably."""
        self._append(_Line(happened=Happened(run)), durable=True)

    def finish(self, record: Committing) -> None:
        """Publishes the files that a transaction is followed by."""
        finish_commit(record, self._staging, self._reject_staging)

    def _record(self, outputs: Sequence[Output], database: Place | None, run: str) -> Committing:
        """Writes the commit record, durably."""
        record = Committing(
            tuple(
                Move(staged.name, part.path.name, output.rejects)
                for output in outputs
                for staged, part in output.moves
            ),
            tuple(Stale(path.name, output.rejects) for output in outputs for path in output.stale),
            tuple(
                replace(part, path=Path(part.path.name))
                for output in outputs
                for _, part in output.moves
            ),
            database,
            run,
            tuple(
                Loaded(
                    replace(output.load.part, path=Path(output.load.part.path.name)), output.rejects
                )
                for output in outputs
                if output.load is not None
            ),
        )
        # Names first: a record that is there names files that are.
        folders = [self._staging.folder]
        if self._reject_staging is not None:
            folders.append(self._reject_staging.folder)
        for folder in dict.fromkeys([*folders, *(folder.parent for folder in folders)]):
            sync_folder(folder)
        self._append(_Line(committing=record), durable=True)
        self.is_committed = True
        return record

    def _append(self, line: _Line, durable: bool = False) -> None:
        data = _dumped(line)
        with writing(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                if os.write(descriptor, data) < len(data):
                    os.write(descriptor, b"\n")
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _keep_old(staged: Path, target: Path) -> None:
    """Keeps a target, or that there is none, under a name beside the staged file that takes its place."""
    old, new = _undo(staged)
    with writing(target):
        old.unlink(missing_ok=True)
        new.unlink(missing_ok=True)
        try:
            os.link(target, old)
        except FileNotFoundError:
            new.touch()


def _undo(staged: Path) -> tuple[Path, Path]:
    return staged.with_name(f"{staged.name}.old"), staged.with_name(f"{staged.name}.new")


def take_back(record: Committing, reject_staging: Staging | None) -> None:
    """Undoes what a commit record says of files that come before its transaction; safe to repeat.

    Raises:
        OutputError: a rename failed; who repeats this goes on.
    """
    for move in record.moves:
        if not move.rejects or reject_staging is None:
            continue
        target = reject_staging.beside(move.target)
        old, new = _undo(reject_staging.file(move.staged))
        with writing(target):
            if old.exists():
                os.replace(old, target)
            elif new.exists():
                target.unlink(missing_ok=True)
                new.unlink()
        sync_folder(target.parent)


def finish_commit(record: Committing, staging: Staging, reject_staging: Staging | None) -> None:
    """Does what the commit record of a dead run says and it had not done yet; safe to repeat.

    Effect: when this returns all targets are published, durably.

    Raises:
        OutputError: a rename failed; who repeats this goes on.
    """
    left = []
    for move in record.moves:
        staged = (reject_staging or staging if move.rejects else staging).file(move.staged)
        with writing(staged):
            if staged.exists():
                left.append(move)
    _publish(record, left, staging, reject_staging)


def _publish(
    record: Committing, moves: Iterable[Move], staging: Staging, reject_staging: Staging | None
) -> None:
    homes = {False: staging, True: reject_staging or staging}
    for move in moves:
        home = homes[move.rejects]
        publish(home.file(move.staged), home.beside(move.target))
    for stale in record.stale:
        path = homes[stale.rejects].beside(stale.target)
        with writing(path):
            path.unlink(missing_ok=True)
    for folder in dict.fromkeys(home.target.parent for home in homes.values()):
        sync_folder(folder)


def read_state(staging: Staging) -> State | None:
    """What a dead run left in a staging folder; None where it had not begun.

    Lines that are cut short or damaged did not happen: their shards are run again.
    """
    try:
        data = (staging.folder / _FILE).read_bytes()
    except FileNotFoundError:
        return None
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
    """With the names of staged files in place of their paths."""
    result = finished.result
    return replace(
        finished, result=replace(result, part=_base(result.part), rejects=_base(result.rejects))
    )


def _base(part: Part | None) -> Part | None:
    return None if part is None else replace(part, path=Path(part.path.name))


def at_home(finished: Finished, staging: Staging, reject_staging: Staging | None) -> Finished:
    """With the paths of staged files in place of their names.

    Raises:
        ValueError: a name leads out of its folder, or there is no folder for it.
    """
    result = finished.result
    part, rejects = result.part, result.rejects
    if part is not None:
        part = replace(part, path=staging.file(str(part.path)))
    if rejects is not None:
        if reject_staging is None:
            raise ValueError("rejects were staged, and there is no error output")
        rejects = replace(rejects, path=reject_staging.file(str(rejects.path)))
    return replace(finished, result=replace(result, part=part, rejects=rejects))
