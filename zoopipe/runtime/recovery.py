"""The targets of a run: taken, with what an earlier run has left: finished, gone on with, or removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from zoopipe.errors import LedgerError, OutputError, ResumeError
from zoopipe.runtime.fingerprint import differences
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.state import Committing, Finished, State, at_home, finish_commit, read_state
from zoopipe.storage.objects import staging_at, staging_folders_of
from zoopipe.storage.parts import Part, writing
from zoopipe.storage.staging import Staging
from zoopipe.storage.stores import Overtaken
from zoopipe.storage.urls import found_from, is_local, seen_from

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
        found = [_recover(pipe.staging, pipe.reject_staging) for pipe in planned]
        ready = [
            _resumed(pipe, state) if resume else pipe
            for pipe, state in zip(planned, found, strict=True)
        ]
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


def _recover(staging: Staging, reject_staging: Staging | None) -> State | None:
    """Finishes the commit of a dead run that had come so far, and says what that run had done.

    Args:
        staging, reject_staging: locked by this process.

    Raises:
        OutputError: a rename failed; nothing is lost, and this can be tried again.
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
    with ExitStack() as stack:
        rejects = state.begun.rejects_beside(staging)
        if rejects is not None and (reject_staging is None or reject_staging.target != rejects):
            # It had another error output.
            reject_staging = _staging_of(rejects)
            reject_staging.acquire()
            stack.callback(reject_staging.remove)
        try:
            finish_commit(state.committing, staging, reject_staging)
        except ValueError as error:
            raise OutputError(f"cannot read the state in {staging.folder}: {error}") from error
        except Overtaken as error:
            # What it had done is of no use: another run's result is there.
            logger.warning("%s; the run that was cut off is given up", error)
            return None
    logger.warning(
        "%s: an earlier run was cut off while it published; that is done", staging.target
    )
    return state


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
        kept = tuple(_kept(planned, state, is_staged=False))
        return replace(planned, kept=kept, published=_published(planned, state.committing))
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


def _published(planned: PlannedPipe, record: Committing) -> tuple[Part, ...]:
    homes = {False: planned.staging, True: planned.reject_staging or planned.staging}
    return tuple(
        replace(part, path=homes[move.rejects].beside(move.target))
        for move, part in zip(record.moves, record.published, strict=True)
    )


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
