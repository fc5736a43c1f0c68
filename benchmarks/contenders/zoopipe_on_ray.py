"""ZooPipe on a running Ray cluster: one pipe, a shard a worker, `RayEngine(address)`."""

from pathlib import Path

import ray  # noqa: F401
from contenders import running
from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager, RayEngine

LIBRARIES = ("zoopipe", "ray", "pydantic", "pyarrow")
_address = ""


def prepare(source: Path) -> None:
    """Starts the cluster."""
    global _address
    _address = running.start("ray")


def finish() -> None:
    """Stops the cluster."""
    running.stop()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """Joins, runs a shard a worker, merges to one file, leaves."""
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )
    engine = RayEngine(_address)
    PipeManager.parallelize_pipe(pipe, running.WORKERS, engine=engine).run()
