"""CSV to JSON Lines, every row checked with a model of seven typed fields."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people

# The first is what ratios are to; each contender says below what it does not do.
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "validated_copy"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "validated_copy",
        lacks="accepted rows of a batch with a rejected one are written as they came, as text; "
        "rejected rows carry pydantic's message and no row number; the target is written in place",
    ),
    Entry("csv + pydantic loop", "csv_pydantic", "validated_copy", lacks="writes in place"),
)


def contests(rows: int) -> list[Contest]:
    """No bad rows, and one in a hundred."""
    return [
        Contest(
            title=f"{rows:,} rows, {share:.0%} bad",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows, share)},
            reference="csv + pydantic loop",
        )
        for share in (0.0, 0.01)
    ]


CASE = Case(
    name="validated_copy",
    question="Rows a second of CSV to JSON Lines, validated, one worker; rejects with reasons.",
    contests=contests,
)
