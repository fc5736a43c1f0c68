"""CSV to JSON Lines, every row checked with a model of seven typed fields."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people

LOOP = Entry(
    "csv + pydantic loop",
    "csv_pydantic",
    "validated_copy",
    lacks="a crash leaves half a target",
)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "validated_copy"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "validated_copy",
        lacks="rejected rows carry no reason; accepted rows of a batch with a rejected one are "
        "written as the text they came as; a crash leaves half a target",
    ),
    LOOP,
)


def contests(rows: int) -> list[Contest]:
    """No bad rows, and one in a hundred."""
    return [
        Contest(
            title=f"{rows:,} rows, {share:.0%} bad",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows, share)},
            reference=LOOP,
        )
        for share in (0.0, 0.01)
    ]


CASE = Case(
    name="validated_copy",
    question="Rows a second of CSV to JSON Lines, validated, one worker; rejects with reasons.",
    contests=contests,
)
