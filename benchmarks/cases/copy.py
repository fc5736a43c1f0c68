"""CSV to JSON Lines as it is: no model, no function."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people

_HALF = "a crash leaves half a target"
LOOP = Entry("csv + json loop", "csv_json", "copy", lacks=_HALF)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "copy"),
    Entry("PyPI zoopipe 2026.2.2", "peer_zoopipe", "copy", lacks=_HALF),
    LOOP,
    Entry(
        "Polars",
        "polars_frames",
        "copy",
        lacks=f"a record of another width, or that does not decode, ends the run; {_HALF}",
    ),
    Entry(
        "DuckDB",
        "duckdb_sql",
        "copy",
        lacks=f"a record of another width, or that does not decode, ends the run; {_HALF}",
    ),
    Entry(
        "pandas",
        "pandas_frames",
        "copy",
        lacks=f"a record that is too long, or does not decode, ends the run; {_HALF}",
    ),
)


def contests(rows: int) -> list[Contest]:
    """One table."""
    return [
        Contest(
            title=f"{rows:,} rows, no model",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows)},
            reference=LOOP,
        )
    ]


CASE = Case(
    name="copy",
    question="Rows a second of CSV to JSON Lines without a model, every value a text, one core.",
    contests=contests,
)
