"""`max_errors`: how many rows may be rejected before a run is worthless."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zoopipe.errors import DeclarationError

if TYPE_CHECKING:
    from zoopipe.runtime.piperun import PipeRun

# No record is shorter: a character and a newline.
_SHORTEST_RECORD_BYTES = 2


def parse_max_errors(value: int | str | None) -> int | float | None:
    """A count of rows (int), or a share of all records (float, 0 to 1); None is no limit.

    Raises:
        DeclarationError: `value` is neither a whole number from 0 nor a percentage.
    """
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        if match and float(match[1]) <= 100:
            return float(match[1]) / 100
    raise DeclarationError(f"max_errors must be a count or a percentage like '0.1%', not {value!r}")


def exceeds_early(run: PipeRun) -> bool:
    """Whether the run can be stopped already: whatever the rest holds, the limit is passed."""
    limit = run.planned.pipe.max_rejected
    if limit is None:
        return False
    if isinstance(limit, float):
        report = run.report()
        if report.bytes_total is None:
            return False
        left = max(report.bytes_total - report.bytes_read, 0)
        most_records = report.total_processed + -(-left // _SHORTEST_RECORD_BYTES)
        return run.surely_rejected() > limit * most_records
    return run.surely_rejected() > limit


def exceeds_finally(run: PipeRun) -> bool:
    """Whether nothing may be published, now that all shards are done."""
    limit = run.planned.pipe.max_rejected
    if limit is None:
        return False
    if isinstance(limit, float):
        limit = limit * sum(result.counts.records for result in run.results)
    return run.rejected() > limit


def too_many(run: PipeRun) -> str:
    """The sentence for a run that passed its limit; complete once no attempt of it runs."""
    most = ", ".join(f"{name} ({count:,})" for name, count in run.reasons().most_common(3))
    return (
        f"pipe {run.index}: {run.rejected():,} rows were rejected, and max_errors is "
        f"{run.planned.pipe.max_errors}: nothing is published; "
        f"most frequent: {most or 'not known, the workers were killed'}"
    )
