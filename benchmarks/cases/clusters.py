"""The validated copy on clusters that run already: ZooPipe on Ray and on Dask, beside Ray's and Dask's own."""

from __future__ import annotations

from benchmarks.case import Case, Contest, Entry
from benchmarks.cases.validated_copy import LOOP
from benchmarks.people import people
from benchmarks.verdicts import Limit, Target, targets

# Two workers, with a CPU each: driver, scheduler and whatever else there is share the two CPUs.
_CPUS = 2
_PARTS = "a file a block; rejected rows have no place in the input"
_LINES = f"{_PARTS}; quoted newlines are not read"
_NO_OUTPUT = "reads and writes nothing: it joins, has two tasks done that do nothing, and leaves"


def _entry(label: str, contender: str, job: str = "validated_copy", lacks: str = "") -> Entry:
    return Entry(label, contender, job, cpus=_CPUS, lacks=lacks)


ON_RAY = _entry("zoopipe", "zoopipe_on_ray")
OF_RAY = (_entry("Ray Data, map_batches", "ray_data_joined", lacks=_PARTS),)
ON_DASK = _entry("zoopipe", "zoopipe_on_dask")
OF_DASK = (
    _entry("Dask DataFrame, map_partitions", "dask_frame_joined", lacks=_LINES),
    _entry("Dask Bag, map_partitions", "dask_bag_joined", lacks=_LINES),
    _entry(
        "Dask Bag, one task a block",
        "dask_bag_joined",
        "validated_copy_in_one_pass",
        lacks=_LINES,
    ),
)
WANTED_TIMES = 5
MOST_S_ON_RAY, MOST_S_ON_DASK = 4, 1


def contests(rows: int) -> list[Contest]:
    """The copy, then a job of two rows in two shards, each on Ray and on Dask."""
    dirty = {"input.csv": people(rows, 0.01)}
    # Two shards for as good as nothing: a file without rows would be one shard.
    two = {"input.csv": people(2)}
    return [
        Contest(
            title=f"{rows:,} rows, 1% bad, a running Ray cluster of two 1-CPU workers",
            entries=(ON_RAY, *OF_RAY),
            rows=rows,
            inputs=dirty,
            reference=LOOP,
            verdict=targets(*(Target(WANTED_TIMES, (entry.label,)) for entry in OF_RAY)),
        ),
        Contest(
            title=f"{rows:,} rows, 1% bad, a running Dask cluster of two 1-CPU workers",
            entries=(ON_DASK, *OF_DASK),
            rows=rows,
            inputs=dirty,
            reference=LOOP,
            verdict=targets(*(Target(WANTED_TIMES, (entry.label,)) for entry in OF_DASK)),
        ),
        Contest(
            title="two rows in two shards, a running Ray cluster of two 1-CPU workers",
            entries=(
                ON_RAY,
                _entry("Ray, two tasks", "ray_data_joined", "nothing", _NO_OUTPUT),
            ),
            inputs=two,
            reference=LOOP,
            verdict=targets(Limit(MOST_S_ON_RAY)),
        ),
        Contest(
            title="two rows in two shards, a running Dask cluster of two 1-CPU workers",
            entries=(
                ON_DASK,
                Entry(
                    "Dask, two tasks", "dask_bag_joined", "nothing", cpus=_CPUS, lacks=_NO_OUTPUT
                ),
            ),
            inputs=two,
            reference=LOOP,
            verdict=targets(Limit(MOST_S_ON_DASK)),
        ),
    ]


CASE = Case(
    name="clusters",
    question="The validated copy on a running cluster, joining and leaving included; what a job costs "
    "that has next to nothing to do.",
    contests=contests,
)
