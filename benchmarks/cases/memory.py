"""Peak memory of a worker on a file, and on one a hundred times as large."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.case import Case, Contest, Entry, Result
from benchmarks.people import people

# 14 MB, and 1.4 GB of the same kind: `--rows` makes both smaller, never larger.
MOST_ROWS = 185_000
FACTOR = 100
ALLOWED_MIB = 40


def contests(rows: int) -> list[Contest]:
    """One worker process on the small file, then on the large one."""
    rows = min(rows, MOST_ROWS)
    return [
        Contest(
            title=f"{rows:,} rows and {rows * FACTOR:,} rows, 1% bad, one worker process",
            entries=(
                Entry("small file", "zoopipe_workers", "one", input="small.csv", cpus=0),
                Entry("large file", "zoopipe_workers", "one", input="large.csv", cpus=0),
            ),
            inputs={
                "small.csv": people(rows, 0.01),
                "large.csv": people(rows, 0.01, blocks=FACTOR),
            },
            verdict=_difference,
        )
    ]


def _difference(results: Mapping[str, Result]) -> list[str]:
    small, large = results["small file"], results["large file"]
    return [
        f"{whose}: {low:,.1f} MiB and {high:,.1f} MiB, {high - low:+,.1f} MiB "
        f"(allowed: {ALLOWED_MIB})"
        for whose, low, high in (
            ("worker", small.worker_rss_mib, large.worker_rss_mib),
            ("worker or driver", small.peak_rss_mib, large.peak_rss_mib),
        )
    ]


CASE = Case(
    name="memory",
    question="Whether the peak memory of a worker grows with the size of its input.",
    contests=contests,
    most_repeats=3,
)
