"""The validated copy, sharded: what a second worker gains."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people


def contests(rows: int) -> list[Contest]:
    """The same input by one worker process and by two, published as one file."""
    return [
        Contest(
            title=f"{rows:,} rows, 1% bad, PipeManager.parallelize_pipe",
            entries=(
                Entry("1 worker", "zoopipe_workers", "one"),
                Entry("2 workers", "zoopipe_workers", "two"),
                Entry("2 workers, a file each", "zoopipe_workers", "two_unmerged"),
            ),
            rows=rows,
            inputs={"input.csv": people(rows, 0.01)},
            reference="1 worker",
        )
    ]


CASE = Case(
    name="workers",
    question="How much faster two worker processes are than one, the merge included.",
    contests=contests,
)
