"""CSV to JSON Lines, a Python function for each row, no model: so that every tool can do it."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.case import Case, Contest, Entry, Result
from benchmarks.people import people
from benchmarks.verdicts import Target, targets, time_ratio

_HALF = "a crash leaves half a target"
_ENDS = f"a row that the function refuses ends the run; {_HALF}"
LOOP = Entry("csv + json loop", "csv_json", "heavy_hook", lacks=_HALF)
BARE = Entry(
    "the function alone",
    "bare_function",
    "heavy_hook",
    lacks="reads and writes no file; its rows are in memory before the clock starts",
)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "heavy_hook"),
    Entry("zoopipe, three columns", "zoopipe_pipe", "heavy_hook_on_columns"),
    Entry("PyPI zoopipe 2026.2.2", "peer_zoopipe", "heavy_hook", lacks=_ENDS),
    LOOP,
    Entry("Polars, map_elements", "polars_frames", "heavy_hook", lacks=_ENDS),
    Entry("pandas, apply", "pandas_frames", "heavy_hook", lacks=_ENDS),
    BARE,
)
ON_ALL_CPUS = (
    Entry("zoopipe, a worker a CPU", "zoopipe_workers", "heavy_hook", cpus=0),
    Entry("multiprocessing.Pool", "process_pool", "heavy_hook", cpus=0, lacks=_HALF),
    Entry(
        "Ray Data",
        "ray_data",
        "heavy_hook",
        cpus=0,
        lacks=f"a file a block; the cluster is started before the clock; {_ENDS}",
    ),
    Entry(
        "Dask Bag",
        "dask_bag",
        "heavy_hook",
        cpus=0,
        lacks="a file a block; quoted newlines are not read; the cluster is started before the clock; "
        f"{_ENDS}",
    ),
)
_PEERS = ("PyPI zoopipe 2026.2.2", LOOP.label, "Polars, map_elements", "pandas, apply")


def contests(rows: int) -> list[Contest]:
    """One core, and all CPUs."""
    inputs = {"input.csv": people(rows)}
    return [
        Contest(
            title=f"{rows:,} rows, one core",
            entries=ENTRIES,
            rows=rows,
            inputs=inputs,
            reference=LOOP,
            verdict=_verdict,
        ),
        Contest(
            title=f"{rows:,} rows, all CPUs",
            entries=ON_ALL_CPUS,
            rows=rows,
            inputs=inputs,
            reference=LOOP,
        ),
    ]


def _verdict(results: Mapping[str, Result]) -> list[str]:
    met = targets(Target(3, ("PyPI zoopipe 2026.2.2",)), Target(1.5, _PEERS))
    lines = met(results)
    if {"zoopipe", BARE.label} <= results.keys():
        share = time_ratio(results["zoopipe"], results[BARE.label])
        lines.append(f"zoopipe takes {share:.2f} times as long as {BARE.label}")
    return lines


CASE = Case(
    name="heavy_hook",
    question="CSV to JSON Lines, sha256, upper-case and round in a Python function for each row.",
    contests=contests,
)
