"""pyarrow reads and writes Parquet, and pydantic checks each batch's rows."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from contenders.models import Person
from pydantic import ValidationError

LIBRARIES = ("pyarrow", "pydantic")


def parquet(source: Path, output: Path, errors: Path) -> None:
    """Parquet to Parquet, zstd, rejected rows with pydantic's reasons."""
    file = pq.ParquetFile(source)
    with (
        pq.ParquetWriter(output, file.schema_arrow, compression="zstd") as writer,
        errors.open("w", encoding="utf-8") as rejected,
    ):
        number = 0
        for batch in file.iter_batches():
            accepted = []
            for row in batch.to_pylist():
                number += 1
                try:
                    accepted.append(Person.model_validate(row).model_dump())
                except ValidationError as error:
                    reasons = json.loads(error.json(include_url=False, include_input=False))
                    rejected.write(json.dumps({"_row": number, "_errors": reasons}) + "\n")
            writer.write_table(pa.Table.from_pylist(accepted, file.schema_arrow))


def unchecked(source: Path, output: Path, errors: Path) -> None:
    """Parquet to Parquet, zstd, and no row is looked at."""
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(output, file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(131_072):
            writer.write_batch(batch)
    errors.touch()
