"""PyPI's zoopipe 2026.2.2, an older package of the same import name: a pipe, as its README runs it."""

from pathlib import Path

from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe

LIBRARIES = ("zoopipe", "pydantic")


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows apart."""
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output, format="jsonl"),
        error_output_adapter=JSONOutputAdapter(errors, format="jsonl"),
        schema_model=Person,
    )
    pipe.start()
    pipe.wait()
