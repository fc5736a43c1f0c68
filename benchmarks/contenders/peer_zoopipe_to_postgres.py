"""PyPI's zoopipe 2026.2.2: CSV to a table of PostgreSQL, with the model of seven fields."""

from pathlib import Path

from contenders.loading import TABLE, Loading
from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, SQLOutputAdapter

LIBRARIES = ("zoopipe", "pydantic")

_loading = Loading()
finish = _loading.finish


def prepare(source: Path) -> None:
    """Starts the server."""
    _loading.prepare()


def load(source: Path, output: Path, errors: Path) -> None:
    """One pipe, with the adapter's own defaults."""
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=SQLOutputAdapter(_loading.uri(output), TABLE, mode="replace"),
        error_output_adapter=JSONOutputAdapter(errors, format="jsonl"),
        schema_model=Person,
    )
    pipe.start()
    pipe.wait()
