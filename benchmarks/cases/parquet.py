"""Parquet to Parquet, every row checked with a model of seven typed fields, beside CSV to JSON Lines."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people, people_as_parquet
from benchmarks.verdicts import Target, targets

_HALF = "a crash leaves half a target"
TEXT = Entry("zoopipe, CSV to JSON Lines", "zoopipe_pipe", "validated_copy")
ENTRIES = (
    Entry("zoopipe", "zoopipe_parquet", "parquet", input="input.parquet"),
    TEXT,
    Entry(
        "pyarrow + pydantic loop",
        "pyarrow_pydantic",
        "parquet",
        input="input.parquet",
        lacks=_HALF,
    ),
    Entry(
        "pyarrow, no validation",
        "pyarrow_pydantic",
        "unchecked",
        input="input.parquet",
        lacks=f"no row is looked at; pages have no checksums; {_HALF}",
    ),
)


def contests(rows: int) -> list[Contest]:
    """One table: typed columns leave little to be bad."""
    return [
        Contest(
            title=f"{rows:,} rows, 0% bad, one core",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows), "input.parquet": people_as_parquet(rows)},
            reference=TEXT,
            verdict=targets(Target(1.5, (TEXT.label,))),
        )
    ]


CASE = Case(
    name="parquet",
    question="Rows a second of Parquet to Parquet, validated, and of CSV to JSON Lines.",
    contests=contests,
)
