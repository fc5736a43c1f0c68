"""CSV to JSON Lines, every row checked with a model of seven typed fields."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.people import people
from benchmarks.verdicts import Target, targets

_HALF = "a crash leaves half a target"
_BY_HAND = (
    "casts written by hand, which are not pydantic's (' 12' or 'yes' is another answer); a reason is "
    f"the name of a field; {_HALF}"
)
LOOP = Entry("csv + pydantic loop", "csv_pydantic", "validated_copy", lacks=_HALF)
ENTRIES = (
    Entry("zoopipe", "zoopipe_pipe", "validated_copy"),
    Entry(
        "PyPI zoopipe 2026.2.2",
        "peer_zoopipe",
        "validated_copy",
        lacks="rejected rows carry no reason; accepted rows of a batch with a rejected one are "
        f"written as the text they came as; {_HALF}",
    ),
    LOOP,
    Entry("TypeAdapter, batches", "type_adapter", "validated_copy", lacks=_HALF),
    Entry(
        "msgspec",
        "msgspec_structs",
        "validated_copy",
        lacks=f"its own rules, not pydantic's; only the first reason of a row; {_HALF}",
    ),
    Entry("Polars, expressions", "polars_frames", "validated_copy", lacks=_BY_HAND),
    Entry(
        "dataframely",
        "dataframely_schema",
        "validated_copy",
        lacks=f"the whole input is in memory; {_BY_HAND}",
    ),
    Entry(
        "DuckDB",
        "duckdb_sql",
        "validated_copy",
        lacks=f"the whole input is in memory; {_BY_HAND}",
    ),
    Entry("pandas", "pandas_frames", "validated_copy", lacks=_BY_HAND),
)
UNCHECKED = Entry(
    "Polars, no validation",
    "polars_frames",
    "copy",
    lacks="every value is written as the text it was; a crash leaves half a target",
)
ON_ALL_CPUS = (
    Entry("zoopipe, a worker a CPU", "zoopipe_workers", "validated_copy", cpus=0),
    Entry("multiprocessing.Pool", "process_pool", "validated_copy", cpus=0, lacks=_HALF),
    Entry(
        "Ray Data",
        "ray_data",
        "validated_copy",
        cpus=0,
        lacks="a file a block; rejected rows have no place in the input; the cluster is started before "
        "the clock",
    ),
    Entry(
        "Dask Bag",
        "dask_bag",
        "validated_copy",
        cpus=0,
        lacks="a file a block; rejected rows have no place in the input; quoted newlines are not "
        "read; the cluster is started before the clock",
    ),
)
_FRAMES = ("Polars, expressions", "dataframely", "DuckDB")
CLEAN = targets(Target(0.8, (UNCHECKED.label,)))
DIRTY = targets(
    Target(10, ("PyPI zoopipe 2026.2.2",)),
    Target(6, (LOOP.label,)),
    Target(4, ("TypeAdapter, batches",)),
    Target(1.5, _FRAMES),
)


def contests(rows: int) -> list[Contest]:
    """No bad rows, one in a hundred, and that on all CPUs."""
    dirty = {"input.csv": people(rows, 0.01)}
    return [
        Contest(
            title=f"{rows:,} rows, 0% bad, one core",
            entries=(*ENTRIES, UNCHECKED),
            rows=rows,
            inputs={"input.csv": people(rows)},
            reference=LOOP,
            verdict=CLEAN,
        ),
        Contest(
            title=f"{rows:,} rows, 1% bad, one core",
            entries=ENTRIES,
            rows=rows,
            inputs=dirty,
            reference=LOOP,
            verdict=DIRTY,
        ),
        Contest(
            title=f"{rows:,} rows, 1% bad, all CPUs",
            entries=ON_ALL_CPUS,
            rows=rows,
            inputs=dirty,
            reference=LOOP,
        ),
    ]


CASE = Case(
    name="validated_copy",
    question="Rows a second of CSV to JSON Lines, validated; rejected rows with reasons.",
    contests=contests,
)
