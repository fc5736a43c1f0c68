"""The validated copy, sharded: what a second worker gains."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people
from benchmarks.verdicts import Target, targets

_ONE = Entry("1 worker", "zoopipe_workers", "one", cpus=0)
WANTED_TIMES = 1.75


def contests(rows: int) -> list[Contest]:
    """The same input by one worker process and by two, published as one file."""
    return [
        Contest(
            title=f"{rows:,} rows, 1% bad, PipeManager.parallelize_pipe",
            entries=(
                _ONE,
                Entry("2 workers", "zoopipe_workers", "two", cpus=0),
                Entry("2 workers, a file each", "zoopipe_workers", "two_unmerged", cpus=0),
            ),
            rows=rows,
            inputs={"input.csv": people(rows, 0.01)},
            reference=_ONE,
            verdict=targets(Target(WANTED_TIMES, ("1 worker",), label="2 workers")),
        )
    ]


CASE = Case(
    name="workers",
    question="How much faster two worker processes are than one, the merge included.",
    contests=contests,
)
