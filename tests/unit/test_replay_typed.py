"""Replay of what typed inputs read, out of rejects in every format of files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from oracle import json_lines
from pydantic import AwareDatetime, BaseModel, Field

from zoopipe import JSONOutputAdapter, ParquetInputAdapter, Pipe, adapter_for


class Sale(BaseModel):
    id: int = Field(ge=0)
    day: date
    at: AwareDatetime
    price: Decimal
    tags: list[str]
    note: str | None


def sales(bad: bool) -> pa.Table:
    """Twenty sales, of which each fourth has a number that is refused."""
    numbers = range(20)
    return pa.table(
        {
            "id": [-number if bad and number % 4 == 3 else number for number in numbers],
            "day": pa.array([date(2024, 1, 1 + number) for number in numbers]),
            "at": pa.array(
                [datetime(2024, 1, 1, number, tzinfo=UTC) for number in numbers],
                pa.timestamp("us", "UTC"),
            ),
            "price": pa.array([Decimal(number) / 4 for number in numbers], pa.decimal128(10, 2)),
            "tags": [["a", "b"][: number % 3] for number in numbers],
            "note": [None if number % 2 else f"note {number}" for number in numbers],
        }
    )


def numbered(path: Path) -> list[dict[str, Any]]:
    return sorted(json_lines(path), key=lambda row: row["row"])


@pytest.mark.parametrize("name", ["bad.jsonl", "bad.parquet", "bad.arrow"])
def test_mended_rejects_of_typed_inputs_pass_with_their_numbers(tmp_path: Path, name: str) -> None:
    pq.write_table(sales(bad=False), tmp_path / "clean.parquet")
    pq.write_table(sales(bad=True), tmp_path / "in.parquet", row_group_size=6)
    bad = adapter_for(tmp_path / name, "output")
    source = ParquetInputAdapter(tmp_path / "in.parquet")
    pipe = Pipe(source, JSONOutputAdapter(tmp_path / "o.jsonl"), bad, Sale, row_numbers="row")
    assert pipe.run().error_count == 5

    class Mended(Sale):
        """The model was wrong, and takes the sign for what it is."""

        id: int

    mended = Pipe(
        source, pipe.output_adapter, bad, Mended, [lambda row: {**row, "id": abs(int(row["id"]))}]
    )
    again = mended.replaying(
        str(tmp_path / name), JSONOutputAdapter(tmp_path / "more.jsonl"), row_numbers="row"
    )
    report = again.run()
    assert (report.success_count, report.error_count) == (5, 0)
    clean = ParquetInputAdapter(tmp_path / "clean.parquet")
    Pipe(
        clean, JSONOutputAdapter(tmp_path / "clean.jsonl"), schema_model=Sale, row_numbers="row"
    ).run()
    rows = json_lines(tmp_path / "o.jsonl") + json_lines(tmp_path / "more.jsonl")
    assert sorted(rows, key=lambda row: row["row"]) == numbered(tmp_path / "clean.jsonl")
