"""What a fresh process pays before its first row."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people


def contests(rows: int) -> list[Contest]:
    """Imports, and a whole run of ten rows; `rows` means nothing here."""
    del rows
    return [
        Contest(
            title="imports and a run of ten rows, each in a fresh process",
            entries=(
                Entry("import pydantic and pyarrow alone", "zoopipe_start_up", "import_libraries"),
                Entry("import zoopipe", "zoopipe_start_up", "import_package"),
                Entry("import the names of a run", "zoopipe_start_up", "import_names"),
                Entry("import and run ten rows", "zoopipe_start_up", "run_once"),
            ),
            inputs={"input.csv": people(10)},
        )
    ]


CASE = Case(
    name="start_up",
    question="Seconds that imports take, and a first run.",
    contests=contests,
)
