"""`max_errors`: how many rows may be rejected before a run is worthless."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zoopipe.errors import DeclarationError

if TYPE_CHECKING:
    from zoopipe.runtime.piperun import PipeRun

# No record is shorter: a character and a newline; of columns all but one have a delimiter more.
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
    """Whether the run can be stopped already: whatever the rest holds, the limit is passed.

    Effect: where that is so only if each shard has begun at a record, the driver begins to look that up.
    """
    limit = run.planned.pipe.max_rejected
    if limit is None:
        return False
    if isinstance(limit, float):
        report = run.report()
        if report.bytes_total is None:
            return False
        left = max(report.bytes_total - report.bytes_read, 0)
        limit *= report.total_processed + -(-left // _shortest_record_bytes(run))
    if run.surely_rejected() > limit:
        return True
    if run.rejected() > limit:
        run.check_starts()
    return False


def _shortest_record_bytes(run: PipeRun) -> int:
    """How many bytes a record has at least that is not rejected; a shorter one brings the limit nearer."""
    columns = run.planned.input.columns
    is_text = columns is not None and run.planned.pipe.input_adapter.has_delimiters
    return max(_SHORTEST_RECORD_BYTES, len(columns or ()) if is_text else 0)


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
