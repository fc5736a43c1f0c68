"""ZooPipe on a running Dask cluster: one pipe, a shard a worker, `DaskEngine(address)`."""

from pathlib import Path

import distributed  # noqa: F401
from contenders import running
from contenders.models import Person

from zoopipe import CSVInputAdapter, DaskEngine, JSONOutputAdapter, Pipe, PipeManager

LIBRARIES = ("zoopipe", "dask", "distributed", "pydantic", "pyarrow")
_address = ""


def prepare(source: Path) -> None:
    """Starts the cluster."""
    global _address
    _address = running.start("dask")


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
    engine = DaskEngine(_address)
    PipeManager.parallelize_pipe(pipe, running.WORKERS, engine=engine).run()
