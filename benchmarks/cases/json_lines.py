"""JSON Lines to JSON Lines, every row checked with a model of seven typed fields."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people_as_json

_HALF = "a crash leaves half a target"
LOOP = Entry(
    "model_validate_json loop",
    "csv_pydantic",
    "json_lines",
    input="input.jsonl",
    lacks=_HALF,
)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "json_lines", input="input.jsonl"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "json_lines",
        input="input.jsonl",
        lacks=f"rejected rows carry no reason; {_HALF}",
    ),
    LOOP,
    Entry(
        "msgspec",
        "msgspec_structs",
        "json_lines",
        input="input.jsonl",
        lacks=f"its own rules, not pydantic's; only the first reason of a row; {_HALF}",
    ),
    Entry(
        "DuckDB",
        "duckdb_sql",
        "json_lines",
        input="input.jsonl",
        lacks="the whole input is in memory; casts written by hand, which are not pydantic's; a "
        f"reason is the name of a field; {_HALF}",
    ),
)


def contests(rows: int) -> list[Contest]:
    """No bad rows, and one in a hundred."""
    return [
        Contest(
            title=f"{rows:,} rows, {share:.0%} bad, one core",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.jsonl": people_as_json(rows, share)},
            reference=LOOP,
        )
        for share in (0.0, 0.01)
    ]


CASE = Case(
    name="json_lines",
    question="Rows a second of JSON Lines to JSON Lines, validated; rejected rows with reasons.",
    contests=contests,
)
