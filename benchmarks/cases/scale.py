"""Four times the rows: four times the time, in the same memory."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.case import Case, Contest, Entry, Result
from benchmarks.people import people
from benchmarks.verdicts import judged, time_ratio

FACTOR = 4
ALLOWED_TIMES = 4.2
ALLOWED_MEMORY = 0.10


def contests(rows: int) -> list[Contest]:
    """The validated copy of `rows` rows, and of these four times over, in one thread."""
    return [
        Contest(
            title=f"{rows:,} rows and {rows * FACTOR:,} rows, 1% bad, one thread",
            entries=(
                Entry("rows", "zoopipe_pipe", "validated_copy", input="rows.csv"),
                Entry(f"{FACTOR} times the rows", "zoopipe_pipe", "validated_copy", "more.csv"),
            ),
            inputs={
                "rows.csv": people(rows, 0.01),
                "more.csv": people(rows, 0.01, blocks=FACTOR),
            },
            verdict=_growth,
        )
    ]


def _growth(results: Mapping[str, Result]) -> list[str]:
    few, many = results["rows"], results[f"{FACTOR} times the rows"]
    times = time_ratio(many, few)
    memory = many.peak_rss_mib / few.peak_rss_mib - 1
    return [
        judged(
            f"{FACTOR} times the rows take {times:.2f} times as long (at most {ALLOWED_TIMES})",
            times <= ALLOWED_TIMES,
        ),
        judged(
            f"and {memory:+.1%} memory (at most {ALLOWED_MEMORY:+.0%})",
            memory <= ALLOWED_MEMORY,
        ),
    ]


CASE = Case(
    name="scale",
    question="Whether time grows with the rows, and memory does not.",
    contests=contests,
)
