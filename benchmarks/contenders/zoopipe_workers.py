"""ZooPipe: one pipe, cut into shards, each on a worker process."""

from pathlib import Path

from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, MultiProcessEngine, Pipe, PipeManager

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def one(source: Path, output: Path, errors: Path) -> None:
    """One worker."""
    _run(source, output, errors, workers=1)


def two(source: Path, output: Path, errors: Path) -> None:
    """Two workers, one file."""
    _run(source, output, errors, workers=2)


def two_unmerged(source: Path, output: Path, errors: Path) -> None:
    """Two workers, a file each."""
    _run(source, output, errors, workers=2, should_merge=False)


def _run(source: Path, output: Path, errors: Path, workers: int, should_merge: bool = True) -> None:
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )
    PipeManager.parallelize_pipe(
        pipe, workers, should_merge, engine=MultiProcessEngine(max_workers=workers)
    ).run()
