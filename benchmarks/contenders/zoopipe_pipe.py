"""ZooPipe: one pipe, run in this process in one thread."""

from pathlib import Path

from contenders.models import Person

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with reasons."""
    pipe = Pipe(
        input_adapter=CSVInputAdapter(source),
        output_adapter=JSONOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    )
    pipe.run()
