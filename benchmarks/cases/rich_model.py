"""CSV to JSON Lines, every row checked with a model of twenty fields."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.orders import orders
from benchmarks.verdicts import Target, targets

_HALF = "a crash leaves half a target"
LOOP = Entry("csv + pydantic loop", "csv_pydantic", "rich_model", lacks=_HALF)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "rich_model"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "rich_model",
        lacks="enums and times are written as Python prints them; rejected rows carry no reason; "
        "accepted rows of a batch with a rejected one are written as the text they came as; "
        f"{_HALF}",
    ),
    LOOP,
    Entry("TypeAdapter, batches", "type_adapter", "rich_model", lacks=_HALF),
)


def contests(rows: int) -> list[Contest]:
    """One row in a hundred is bad."""
    return [
        Contest(
            title=f"{rows:,} rows of twenty fields, 1% bad, one core",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": orders(rows, 0.01)},
            reference=LOOP,
            verdict=targets(Target(8, (LOOP.label,))),
        )
    ]


CASE = Case(
    name="rich_model",
    question="The validated copy with addresses, enums, decimals, constraints and aliases.",
    contests=contests,
)
