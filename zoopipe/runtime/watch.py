"""Attempts, watched while they run: which stall, and which a record keeps for ever."""

from __future__ import annotations

import logging
from dataclasses import replace

from zoopipe.runtime.engine import Attempt, Lost
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.retry import Supervision

logger = logging.getLogger(__name__)

# How long a worker may be silent, which says twice a second what it does, where records have a time limit: a
# cluster's head that is busy or is started anew may take nearly as long to pass on what they say.
_SILENT_S = 60.0


class Watch:
    """What a supervisor has seen of the attempts that run; it looks some ten times a second."""

    def __init__(self, supervision: Supervision) -> None:
        self._stall_s = supervision.stall_timeout_s
        self._record_s = supervision.record_timeout_s
        # By the identity of the attempt.
        self._stalled: set[int] = set()
        self._overdue: set[int] = set()
        self._reasons: dict[int, str] = {}

    def condemns(self, attempt: Attempt) -> bool:
        """Whether the attempt's worker has to be ended, because it has had the same records in hand for
        too long, or says nothing any more. That an attempt makes no progress is only said, once."""
        progress = attempt.progress
        if not progress.has_begun:
            return False
        self._watch_stall(attempt)
        if self._record_s is None:
            return False
        progress.look()
        if progress.held_s > self._record_s:
            self._overdue.add(id(attempt))
            self._reasons[id(attempt)] = _overdue(progress, self._record_s)
        elif progress.silent_s > max(self._record_s, _SILENT_S):
            self._reasons[id(attempt)] = (
                f"its worker, {place_of(progress)}, has said nothing for {progress.silent_s:.0f} s, "
                "and was ended"
            )
        return id(attempt) in self._reasons

    def _watch_stall(self, attempt: Attempt) -> None:
        key, progress = id(attempt), attempt.progress
        if progress.quiet_s() < self._stall_s:
            self._stalled.discard(key)
        elif key not in self._stalled:
            self._stalled.add(key)
            logger.warning(
                "%s stalls: no progress for %.0f s, on %s",
                attempt.task.label,
                progress.quiet_s(),
                place_of(progress),
            )

    def is_overdue(self, attempt: Attempt) -> bool:
        """Whether the attempt was condemned for what it had in hand."""
        return id(attempt) in self._overdue

    def explained(self, attempt: Attempt, lost: Lost) -> Lost:
        """How an attempt was lost, with the reason for which it was condemned, if it was."""
        return replace(lost, reason=self._reasons.get(id(attempt), lost.reason))

    def forget(self, attempt: Attempt) -> None:
        """Hears that an attempt has ended."""
        self._stalled.discard(id(attempt))
        self._overdue.discard(id(attempt))
        self._reasons.pop(id(attempt), None)


def _overdue(progress: Progress, limit_s: float) -> str:
    count = progress.unwritten
    what = "the record was" if count == 1 else f"{count:,} records were"
    return (
        f"{what} in hand for more than {limit_s:g} s (record_timeout_s), and the worker, "
        f"{place_of(progress)}, was ended"
    )


def place_of(progress: Progress) -> str:
    """Where an attempt runs, for messages."""
    return f"{progress.host or 'this machine'}, process {progress.pid}"
