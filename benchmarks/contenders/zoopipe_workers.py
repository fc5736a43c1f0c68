"""ZooPipe: one pipe, cut into shards, each on a worker process."""

import os
from pathlib import Path

from contenders.functions import enrich
from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, MultiProcessEngine, Pipe, PipeManager

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def one(source: Path, output: Path, errors: Path) -> None:
    """One worker."""
    _run(_validated_copy(source, output, errors), workers=1)


def two(source: Path, output: Path, errors: Path) -> None:
    """Two workers, one file."""
    _run(_validated_copy(source, output, errors), workers=2)


def two_unmerged(source: Path, output: Path, errors: Path) -> None:
    """Two workers, a file each."""
    _run(_validated_copy(source, output, errors), workers=2, should_merge=False)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """A worker a CPU, one file."""
    _run(_validated_copy(source, output, errors), workers=len(os.sched_getaffinity(0)))


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """A worker a CPU, one file, a plain function for each row."""
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        post_validation_hooks=[enrich],
    )
    _run(pipe, workers=len(os.sched_getaffinity(0)))


def _validated_copy(source: Path, output: Path, errors: Path) -> Pipe:
    return Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )


def _run(pipe: Pipe, workers: int, should_merge: bool = True) -> None:
    PipeManager.parallelize_pipe(
        pipe, workers, should_merge, engine=MultiProcessEngine(max_workers=workers)
    ).run()
