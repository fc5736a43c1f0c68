"""ZooPipe: one pipe from Parquet to Parquet, run in this process in one thread."""

from pathlib import Path

from contenders.models import Person

from zoopipe import JSONOutputAdapter, ParquetInputAdapter, ParquetOutputAdapter, Pipe

LIBRARIES = ("zoopipe", "pydantic", "pyarrow")


def parquet(source: Path, output: Path, errors: Path) -> None:
    """Parquet to Parquet, zstd, rejected rows with reasons."""
    Pipe(
        input_adapter=ParquetInputAdapter(source),
        output_adapter=ParquetOutputAdapter(output),
        error_output_adapter=JSONOutputAdapter(errors),
        schema_model=Person,
    ).run()
