"""The validated copy, where one field has a validator written in Python."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people
from benchmarks.verdicts import Target, targets

_HALF = "a crash leaves half a target"
LOOP = Entry("csv + pydantic loop", "csv_pydantic", "one_field_validator", lacks=_HALF)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "one_field_validator"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "one_field_validator",
        lacks="rejected rows carry no reason; accepted rows of a batch with a rejected one are "
        f"written as the text they came as; {_HALF}",
    ),
    LOOP,
    Entry("TypeAdapter, batches", "type_adapter", "one_field_validator", lacks=_HALF),
)


def contests(rows: int) -> list[Contest]:
    """One row in a hundred is bad."""
    return [
        Contest(
            title=f"{rows:,} rows, 1% bad, one core",
            entries=ENTRIES,
            rows=rows,
            inputs={"input.csv": people(rows, 0.01)},
            reference=LOOP,
            verdict=targets(Target(3, (LOOP.label,))),
        )
    ]


CASE = Case(
    name="one_field_validator",
    question="The validated copy with a @field_validator on one of the seven fields.",
    contests=contests,
)
