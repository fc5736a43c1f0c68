"""CSV to a table of PostgreSQL, every value checked."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people
from benchmarks.verdicts import Target, targets

PEER = "PyPI zoopipe 2026.2.2"
REFERENCE = Entry("csv + pydantic loop", "csv_pydantic", "validated_copy")
# The server and its client have all CPUs.
ENTRIES = (
    Entry("zoopipe", "zoopipe_to_postgres", "load", cpus=0),
    Entry("zoopipe, 2 workers", "zoopipe_to_postgres", "load_by_workers", cpus=0),
    Entry(
        PEER, "peer_zoopipe_to_postgres", "load", cpus=0, lacks="a crash leaves some of the rows"
    ),
)


def contests(rows: int) -> list[Contest]:
    """One table."""
    return [
        Contest(
            title=f"{rows:,} rows into PostgreSQL, 7 fields validated, a server of its own each time",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows)},
            reference=REFERENCE,
            verdict=targets(Target(5.0, (PEER,))),
        )
    ]


CASE = Case(
    name="postgres",
    question="Rows a second from CSV into a table of PostgreSQL, 7 fields validated.",
    contests=contests,
    most_repeats=3,
)
