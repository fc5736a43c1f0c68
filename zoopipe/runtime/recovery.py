"""The targets of a run: taken, with what an earlier run has left: finished, gone on with, or removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoopipe.errors import LedgerError, OutputError, ResumeError
from zoopipe.runtime.fingerprint import differences
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.record import finish_commit, take_back
from zoopipe.runtime.state import Finished, State, StateFile, at_home, read_state
from zoopipe.runtime.tables import check_tables, forget, was_loaded
from zoopipe.storage.objects import staging_at, staging_folders_of
from zoopipe.storage.parts import writing
from zoopipe.storage.staging import Staging
from zoopipe.storage.stores import Overtaken
from zoopipe.storage.urls import found_from, is_local, seen_from

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

logger = logging.getLogger(__name__)


def take_targets(planned: Sequence[PlannedPipe]) -> ExitStack:
    """Locks the staging folders of pipes for this process.

    Returns:
        What gives them back, as they were found, when it is closed.

    Effect: staging folders exist beside the targets; if this raises, none is held.

    Raises:
        OutputError: another run holds one, or it cannot be made or written to.
    """
    stagings = [staging for pipe in planned for staging in pipe.stagings]
    with ExitStack() as undo:
        # All runs in the same order: of two that want the same targets one gets them all.
        for staging in sorted(stagings, key=lambda each: each.folder):
            staging.acquire()
            undo.callback(staging.leave_unused)
        return undo.pop_all()


def begin(planned: Sequence[PlannedPipe], resume: bool) -> list[PlannedPipe]:
    """Takes the targets of pipes, and begins the run on them.

    Args:
        planned: the pipes.
        resume: go on with what an earlier run of the same plan has done, and let the next one go on
            with what this one will have done.

    Effect: what dead runs have left is published, kept or removed, and all folders are held until
        `PlannedPipe.leave`; if this raises, none is held, and what was left is still there.

    Raises:
        OutputError: another run holds a target, or it cannot be written.
        ResumeError: the earlier run was of another plan.
    """
    with take_targets(planned) as undo:
        found = [_recover(each.staging, each.reject_staging, each.pipe) for each in planned]
        ready = [
            _resumed(pipe, state) if resume else _unless_loaded(pipe, state)
            for pipe, state in zip(planned, found, strict=True)
        ]
        check_tables(pipe for pipe in ready if not pipe.published)
        for pipe in ready:
            _make_ready(pipe)
        undo.pop_all()
    return ready


def _make_ready(planned: PlannedPipe) -> None:
    """Clears the staging of all that is not kept, and begins the state."""
    if planned.published:
        return
    kept = {
        part.path
        for finished in planned.kept
        for part in (finished.result.part, finished.result.rejects)
        if part is not None
    }
    # The new state first: of what it does not name nothing is missed if this is cut off.
    planned.state.begin(planned.plan, planned.kept)
    for staging in planned.stagings:
        staging.clear({*kept, str(planned.state.path)})
    if planned.reject_staging is not None:
        _note_owner(planned.reject_staging, planned.staging)


# In the staging of an error output: where the output is in whose state it is spoken of.
_OWNER = "owner"


def _note_owner(reject_staging: Staging, staging: Staging) -> None:
    path = reject_staging.here(_OWNER)
    with writing(path):
        Path(path).write_text(seen_from(staging.target, reject_staging.target))


def _owner_of(folder: Path) -> Path | None:
    """The staging folder of the run's output, where a folder has the rejects of a run that was begun."""
    try:
        text = (folder / _OWNER).read_text()
        owner = _staging_of(found_from(text, staging_at(folder).target))
        state = read_state(owner)
    except (OSError, OutputError, ValueError):
        return None
    rejects = None if state is None else state.begun.rejects_beside(owner)
    is_its = rejects is not None and folder in staging_folders_of(rejects)
    return owner.folder if is_its else None


def _recover(
    staging: Staging, reject_staging: Staging | None, pipe: Pipe | None = None
) -> State | None:
    """Finishes the commit of a dead run that had come so far, and says what that run had done.

    Args:
        staging, reject_staging: locked by this process.
        pipe: that which is about to be run.

    Raises:
        OutputError: a rename failed, or a database cannot be asked; nothing is lost, and this can be tried
            again.
    """
    state = read_state(staging)
    if state is None or state.committing is None:
        return state
    if not staging.is_own:
        # It names files to rename and to remove; only this user's own runs may say so.
        raise OutputError(
            f"cannot write {staging.target}: a run of another user was cut off while it published it; "
            f"that user's `zoopipe clean {staging.target}` finishes it"
        )
    record = state.committing
    with ExitStack() as stack:
        rejects = state.begun.rejects_beside(staging)
        if rejects is not None and (reject_staging is None or reject_staging.target != rejects):
            # It had another error output.
            reject_staging = _staging_of(rejects)
            reject_staging.acquire()
            stack.callback(reject_staging.remove)
        try:
            if state.has_happened:
                forget(record, pipe)
            elif record.database is not None and not was_loaded(
                record, StateFile(staging, reject_staging), pipe
            ):
                take_back(record, reject_staging)
                return replace(state, committing=None)
            finish_commit(record, staging, reject_staging)
        except ValueError as error:
            raise OutputError(f"cannot read the state in {staging.folder}: {error}") from error
        except Overtaken as error:
            # What it had done is of no use: another run's result is there. What it loaded is loaded.
            logger.warning("%s; the run that was cut off is given up", error)
            return state if record.tables else None
    logger.warning(
        "%s: an earlier run was cut off while it published; that is done", staging.target
    )
    return state


def _unless_loaded(planned: PlannedPipe, state: State | None) -> PlannedPipe:
    """A pipe that is run anew, unless a dead run has loaded all of just this into a table.

    To replace a file a second time is no harm; rows of a table would be there twice.
    """
    if state is None or state.committing is None or not state.committing.tables:
        return planned
    differ = differences(state.begun.plan, planned.plan)
    if differ:
        logger.warning(
            "pipe %d: an earlier run, which was cut off, has loaded its rows into %s; this one differs from it "
            "(%s), and is run",
            planned.index,
            planned.pipe.output_adapter.output,
            "; ".join(differ),
        )
        return planned
    logger.warning(
        "pipe %d: an earlier run of the same plan has loaded all of it, and was cut off before it could say "
        "so; it is not loaded again",
        planned.index,
    )
    return _published(planned, state)


def _resumed(planned: PlannedPipe, state: State | None) -> PlannedPipe:
    """A pipe that goes on where a dead run of the same plan was cut off.

    Raises:
        ResumeError: that run was of another plan; the sentence says what differs.
    """
    planned = replace(planned, resumes=True)
    if state is None:
        return planned
    differ = differences(state.begun.plan, planned.plan)
    if state.committing is not None:
        if differ:
            # It is published; of another plan it is nothing to go on with.
            return planned
        logger.info("pipe %d: an earlier run has done everything", planned.index)
        return _published(planned, state)
    if differ:
        raise ResumeError(
            f"cannot resume the run on {planned.staging.target} that was cut off, for this one differs "
            f"from it: {'; '.join(differ)}. Run it as it was, or without resume to begin anew"
        )
    kept = tuple(_kept(planned, state, is_staged=True))
    logger.info(
        "pipe %d resumes: %d of %d shards are done",
        planned.index,
        len(kept),
        len(planned.input.shards),
    )
    return replace(planned, kept=kept)


def _published(planned: PlannedPipe, state: State) -> PlannedPipe:
    """A pipe of which a dead run has done, and published, everything."""
    record = state.committing
    assert record is not None, "it was published"
    homes = {False: planned.staging, True: planned.reject_staging or planned.staging}
    found = [(each.rejects, each.part) for each in record.tables]
    found += [
        (move.rejects, part) for move, part in zip(record.moves, record.published, strict=True)
    ]
    published = tuple(
        replace(part, path=homes[rejects].beside(part.path))
        for rejects, part in sorted(found, key=lambda each: not each[0])
    )
    kept = tuple(_kept(planned, state, is_staged=False))
    return replace(planned, kept=kept, published=published)


def _kept(planned: PlannedPipe, state: State, is_staged: bool) -> Iterator[Finished]:
    """The shards whose staged parts, where they are not published, are as they were written."""
    for index, finished in sorted(state.finished.items()):
        if not 0 <= index < len(planned.input.shards):
            continue
        try:
            shard = planned.input.shards[index]
            found = at_home(finished, shard, planned.staging, planned.reject_staging)
            homes = (planned.staging, planned.reject_staging)
            for part, home in zip((found.result.part, found.result.rejects), homes, strict=True):
                if part is not None and home is not None and is_staged:
                    home.check_part(part)
        except (LedgerError, OutputError, ValueError) as error:
            logger.warning("pipe %d: shard %d is run again: %s", planned.index, index + 1, error)
            continue
        yield found


def _staging_of(target: str) -> Staging:
    """The staging of a target that only its name is known of."""
    if is_local(target):
        return Staging(target)
    for folder in staging_folders_of(target):
        return staging_at(folder)
    raise OutputError(
        f"cannot finish what an earlier run was about to publish: this machine does not know {target}"
    )


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of a staging folder: a sentence, and whether it is gone.

    Attributes:
        place: the folder, or the target where that is a URL.
    """

    folder: Path
    sentence: str
    is_gone: bool
    place: str


def clean(paths: Sequence[str | os.PathLike[str]]) -> list[Cleaned]:
    """Removes what dead runs have staged, and leaves alone what live ones hold.

    Args:
        paths: targets, or folders that have targets in them, by path or URL; of URLs those that runs of this
            machine have written.

    Effect: a dead run that was cut off while it published is published first.
    """
    folders = [folder for path in paths for folder in staging_folders_of(path)]
    cleaned: dict[Path, Cleaned] = {}
    while folders:
        folder = folders.pop()
        owner = _owner_of(folder)
        if folder in cleaned:
            continue
        if owner is not None and owner not in cleaned:
            # Its commit may be one to finish, which takes these rejects too.
            folders += [folder, owner]
        elif owner is not None and not cleaned[owner].is_gone:
            kept = f"kept with {cleaned[owner].place}: {cleaned[owner].sentence}"
            cleaned[folder] = Cleaned(folder, kept, False, str(folder))
        else:
            cleaned[folder], beside = _clean(folder)
            folders += beside
    return [cleaned[folder] for folder in sorted(cleaned)]


def _clean(folder: Path) -> tuple[Cleaned, list[Path]]:
    """What became of a folder, and the folders that its run had for its error output."""
    place = str(folder)
    try:
        staging = staging_at(folder)
        place = place if is_local(staging.target) else staging.target
        staging.acquire()
        try:
            state = _recover(staging, None)
            staging.clear()
        except BaseException:
            staging.release()
            raise
        staging.remove()
    except OutputError as error:
        return Cleaned(folder, str(error), False, place), []
    if state is None:
        return Cleaned(folder, "removed", True, place), []
    rejects = state.begun.rejects_beside(staging)
    beside = [] if rejects is None else staging_folders_of(rejects)
    sentence = "removed" if state.committing is None else "published and removed"
    return Cleaned(folder, sentence, True, place), beside
