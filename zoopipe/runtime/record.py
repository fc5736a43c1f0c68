"""The commit record: what is published, once it is written, by whoever comes next; and how that is taken back
where a database says that it did not happen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from zoopipe.adapters.tables import Place
from zoopipe.storage.parts import Part, Upload, sync_folder, writing
from zoopipe.storage.staging import Staging


@dataclass(frozen=True, slots=True)
class Move:
    """A staged file and the target that it becomes, by their names; `rejects` says of which output, `upload`
    what an object store has to be told."""

    staged: str
    target: str
    rejects: bool
    upload: Upload | None = None


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
        moves: what is published, in order.
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


def finish_commit(record: Committing, staging: Staging, reject_staging: Staging | None) -> None:
    """Does what the commit record of a dead run says and it had not done yet; safe to repeat.

    Effect: when this returns all targets are published, durably.

    Raises:
        OutputError: one could not be published; who repeats this goes on.
    """
    publish(record, left(record, staging, reject_staging), staging, reject_staging)


def left(record: Committing, staging: Staging, reject_staging: Staging | None) -> list[Move]:
    """The moves that are not done yet."""
    homes = {False: staging, True: reject_staging or staging}
    return [
        move
        for move in record.moves
        if not homes[move.rejects].is_published(*_ends(move, homes[move.rejects]))
    ]


def _ends(move: Move, home: Staging) -> tuple[str, str, Upload | None]:
    return home.file(move.staged), home.beside(move.target), move.upload


def publish(
    record: Committing, moves: Iterable[Move], staging: Staging, reject_staging: Staging | None
) -> None:
    """Publishes what some moves of a record say, then removes what is stale; durably."""
    homes = {False: staging, True: reject_staging or staging}
    for move in moves:
        home = homes[move.rejects]
        home.publish(*_ends(move, home))
    for stale in record.stale:
        home = homes[stale.rejects]
        home.unpublish(home.beside(stale.target))
    for folder in dict.fromkeys(home.published_in for home in homes.values()):
        if folder is not None:
            sync_folder(folder)


def publish_ahead(record: Committing, reject_staging: Staging) -> None:
    """Publishes the files of rejects before the transaction that they belong to; those in an object store,
    where nothing can be put back, follow it.

    Effect: after `keep_old`, `take_back` undoes it.
    """
    for move in _ahead(record, reject_staging):
        reject_staging.publish(*_ends(move, reject_staging))


def keep_old(record: Committing, reject_staging: Staging) -> None:
    """Keeps each target of `publish_ahead`, or that there is none, beside the staged file that takes its
    place."""
    for move in _ahead(record, reject_staging):
        staged, target, _ = _ends(move, reject_staging)
        old, new = _undo(staged)
        with writing(target):
            old.unlink(missing_ok=True)
            new.unlink(missing_ok=True)
            try:
                os.link(target, old)
            except FileNotFoundError:
                new.touch()


def take_back(record: Committing, reject_staging: Staging | None) -> None:
    """Undoes `publish_ahead`; safe to repeat.

    Raises:
        OutputError: a rename failed; who repeats this goes on.
    """
    if reject_staging is None:
        return
    for move in _ahead(record, reject_staging):
        staged, name, _ = _ends(move, reject_staging)
        old, new = _undo(staged)
        target = Path(name)
        with writing(target):
            if old.exists():
                os.replace(old, target)
            elif new.exists():
                target.unlink(missing_ok=True)
                new.unlink()
        sync_folder(target.parent)


def _ahead(record: Committing, reject_staging: Staging) -> list[Move]:
    """The moves that come before a transaction."""
    if not reject_staging.can_take_back:
        return []
    return [move for move in record.moves if move.rejects]


def _undo(staged: str) -> tuple[Path, Path]:
    return Path(f"{staged}.old"), Path(f"{staged}.new")
