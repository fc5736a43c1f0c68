"""Tables of one run: which pipes are committed together, and that one commit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from zoopipe.adapters.tables import Database, Place, TableOutputAdapter, staged_rows
from zoopipe.errors import DeclarationError, LedgerError, OutputError, ZooPipeError
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.record import Committing
from zoopipe.runtime.state import Load, Output, StateFile
from zoopipe.storage.urls import name_of

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

logger = logging.getLogger(__name__)


def tables_of(pipe: Pipe) -> list[TableOutputAdapter]:
    """The outputs of a pipe that are tables, that of its rejects first."""
    outputs = (pipe.error_output_adapter, pipe.output_adapter)
    return [adapter for adapter in outputs if isinstance(adapter, TableOutputAdapter)]


def place_of(pipe: Pipe) -> Place | None:
    """The database that a pipe is loaded into; None where it writes files."""
    return next((adapter.place for adapter in tables_of(pipe)), None)


def together(planned: Sequence[PlannedPipe]) -> list[tuple[int, ...]]:
    """For each pipe the indices of those that are published with it, itself included: pipes with tables of
    one database are, but for those that are published already."""
    places = [None if each.published else place_of(each.pipe) for each in planned]
    return [
        (at,) if place is None else tuple(n for n, other in enumerate(places) if other == place)
        for at, place in enumerate(places)
    ]


def check_declared(pipes: Sequence[Pipe]) -> None:
    """Refuses outputs that are the same file, and tables that cannot be loaded together.

    Raises:
        DeclarationError: naming both.
    """
    taken: dict[str, tuple[str, object]] = {}
    for index, pipe in enumerate(pipes):
        if len({adapter.place for adapter in tables_of(pipe)}) > 1:
            raise DeclarationError(
                f"output and error output of pipe {index} are in two databases, which cannot change in "
                "one instant: put both into one, or write the rejects to a file"
            )
        mine = set()
        for role, adapter in (
            ("output", pipe.output_adapter),
            ("error output", pipe.error_output_adapter),
        ):
            if adapter is None:
                continue
            target, user = adapter.target(), f"the {role} of pipe {index}"
            is_table = isinstance(adapter, TableOutputAdapter)
            options = (
                (adapter.mode, adapter.key) if isinstance(adapter, TableOutputAdapter) else None
            )
            other, others = taken.setdefault(target, (user, options))
            if other != user and (not is_table or target in mine):
                kind = "table" if is_table else "file"
                raise DeclarationError(f"{other} and {user} are the same {kind}: {target}")
            if options != others:
                raise DeclarationError(
                    f"{other} and {user} are one table, {adapter.output}, with two modes or keys"
                )
            mine.add(target)


def check_tables(planned: Iterable[PlannedPipe]) -> None:
    """Refuses, before any row is read, tables that are there and must not be, and two pipes that would
    make one table of different columns.

    Raises:
        DeclarationError, OutputError: naming the table.
    """
    made: dict[object, object] = {}
    for pipe in planned:
        for adapter in tables_of(pipe.pipe):
            is_reject = adapter is pipe.pipe.error_output_adapter
            schema = pipe.reject_schema if is_reject else pipe.output_schema
            is_there = adapter.exists() and _is_there(adapter)
            if is_there and adapter.mode == "fail":
                raise OutputError(
                    f"{adapter.output} is there already, and mode='fail' is for one that is not"
                )
            if (is_there and adapter.mode != "replace") or schema is None:
                continue
            columns = [(field.name, field.type) for field in schema]
            if made.setdefault(adapter.target(), columns) != columns:
                raise DeclarationError(
                    f"two pipes would make {adapter.output} of different columns: give both the "
                    "same model, or schema="
                )


def _is_there(adapter: TableOutputAdapter) -> bool:
    with adapter.connect(writes=False) as database:
        return database.columns(adapter.table) is not None


class Loading:
    """The commit of pipes whose tables are in one database: all of it happens, or nothing.

    Args:
        pipes: what is published of each, its rejects first.
    """

    def __init__(self, pipes: Sequence[tuple[PlannedPipe, Sequence[Output]]]) -> None:
        self._pipes = pipes
        self._run = uuid4().hex
        loads = [output.load for _, outputs in pipes for output in outputs]
        self._loads = [load for load in loads if load is not None]
        self._targets = [name_of(load.part.path) for load in self._loads]
        self._adapter = self._loads[0].adapter

    def commit(self) -> None:
        """Loads, and publishes the files that go with it.

        Effect: staged parts become visible with the database's COMMIT, all at once; files of rejects are
            there before it, objects of rejects and other files follow. If this raises nothing has changed,
            unless a pipe's `state.is_committed` says that something has, or may have.

        Raises:
            LedgerError: a table took another number of rows than were staged.
            OutputError: the database refused, or a file could not be published.
        """
        with self._adapter.held():
            with self._adapter.connect() as database:
                database.begin()
                self._load(database)
                records = self._announced(database)
            self._forget(records)
        _publish_rest(records)

    def _load(self, database: Database) -> None:
        # First of all, for it takes the write lock of a database that has one.
        database.add_marks(self._targets, self._run)
        made = set()
        for load in self._loads:
            adapter = load.adapter
            if adapter.target() not in made:
                made.add(adapter.target())
                _make(database, load)
            rows = staged_rows(load.parts, load.schema)
            if adapter.mode == "upsert":
                count = database.upsert(adapter.table, rows, adapter.key)
            else:
                count = database.insert(adapter.table, rows)
            if count != load.part.rows:
                raise LedgerError(
                    f"the books do not balance: {adapter.output} took {count} rows, {load.part.rows} were "
                    "staged for it; nothing is loaded"
                )

    def _announced(self, database: Database) -> list[tuple[StateFile, Committing]]:
        """Puts on record what is about to happen, and lets it happen."""
        records: list[tuple[StateFile, Committing]] = []
        try:
            for planned, outputs in self._pipes:
                announced = planned.state.announce(outputs, self._adapter.place, self._run)
                records.append((planned.state, announced))
            database.commit()
        except ZooPipeError as error:
            database.close()
            if not self._has_happened(error):
                for planned, _ in self._pipes:
                    planned.state.take_back()
                raise
        return records

    def _has_happened(self, error: ZooPipeError) -> bool:
        """Whether a commit that raised came about all the same: an answer may be lost."""
        try:
            with self._adapter.connect() as database:
                return database.has_mark(self._targets[0], self._run)
        except ZooPipeError as second:
            raise OutputError(
                f"{error}; and whether it was loaded is not known, for then: {second}. All of it is staged: "
                "the same run, once more, finds out, and loads it if it was not"
            ) from error

    def _forget(self, records: Sequence[tuple[StateFile, Committing]]) -> None:
        """Notes beside the staged parts that they are loaded, and takes the note from the database."""
        for state, _ in records:
            state.note(self._run)
        with suppress(ZooPipeError), self._adapter.connect() as database:
            database.remove_marks(self._targets, self._run)


def _publish_rest(records: Sequence[tuple[StateFile, Committing]]) -> None:
    """Publishes the files that follow a transaction, all that can be."""
    failed: list[OutputError] = []
    for state, record in records:
        try:
            state.finish(record)
        except OutputError as error:
            failed.append(error)
    if failed:
        raise OutputError(
            f"{failed[0]}; the tables are loaded: the same run, once more, publishes what is left, and does "
            "not load them again"
        ) from failed[0]


def _make(database: Database, load: Load) -> None:
    """Makes the table, unless it is there and stays."""
    adapter = load.adapter
    is_there = database.columns(adapter.table) is not None
    if is_there and adapter.mode == "fail":
        raise OutputError(
            f"{adapter.output} is there already, and mode='fail' is for one that is not"
        )
    if adapter.mode == "replace":
        database.drop(adapter.table)
    if not is_there or adapter.mode == "replace":
        database.create(adapter.table, load.schema, adapter.key)


def was_loaded(record: Committing, state: StateFile, pipe: Pipe | None) -> bool:
    """Whether the transaction of a dead run was committed; if so this is noted beside its staging.

    Args:
        record: its commit record.
        state: its state; the staging is locked by this process.
        pipe: that which writes to the target now, where there is one.

    Raises:
        OutputError: it cannot be told.
    """
    assert record.database is not None, "there was a transaction"
    for adapter in _lookers(record.database, pipe):
        if not adapter.exists():
            return False
        with adapter.held(), adapter.connect() as database:
            has_happened = database.has_mark(_targets_of(record)[0], record.run)
            if has_happened:
                state.note(record.run)
                database.remove_marks(_targets_of(record), record.run)
        return has_happened
    raise OutputError(
        f"a run was cut off while it loaded {_targets_of(record)[0]} into {record.database.name}, and only an "
        "output of that database can tell whether it was: repeat that run as it was"
    )


def forget(record: Committing, pipe: Pipe | None) -> None:
    """Takes the marks of a dead run from the database, if they are there still: it is noted beside its
    staging that it was committed."""
    assert record.database is not None, "there was a transaction"
    for adapter in _lookers(record.database, pipe):
        with suppress(ZooPipeError), adapter.held(), adapter.connect() as database:
            database.remove_marks(_targets_of(record), record.run)
        return


def _targets_of(record: Committing) -> list[str]:
    return [table.part.path for table in record.tables]


def _lookers(place: Place, pipe: Pipe | None) -> Iterator[TableOutputAdapter]:
    """Adapters that know how to look into a database."""
    if pipe is not None:
        yield from (adapter for adapter in tables_of(pipe) if adapter.place == place)
    if place.kind == "duckdb":
        from zoopipe.adapters.duckdb import DuckDBOutputAdapter

        yield DuckDBOutputAdapter(place.name, "any")
    if place.kind == "sqlite":
        from zoopipe.adapters.sql import SQLOutputAdapter

        yield SQLOutputAdapter(f"sqlite:///{quote(place.name)}", "any")
