"""ZooPipe: CSV to a table of PostgreSQL, with the model of seven fields."""

from pathlib import Path

from contenders.loading import TABLE, Loading
from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager, SQLOutputAdapter

LIBRARIES = ("zoopipe", "pydantic", "pyarrow", "adbc-driver-postgresql")

_loading = Loading()
finish = _loading.finish


def prepare(source: Path) -> None:
    """Starts the server."""
    _loading.prepare()


def load(source: Path, output: Path, errors: Path) -> None:
    """In this process, in one thread."""
    _pipe(source, output, errors).run()


def load_by_workers(source: Path, output: Path, errors: Path) -> None:
    """On two worker processes."""
    PipeManager.parallelize_pipe(_pipe(source, output, errors), 2).run()


def _pipe(source: Path, output: Path, errors: Path) -> Pipe:
    return Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=SQLOutputAdapter(_loading.uri(output), TABLE, mode="replace"),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )
