"""Parquet output, read by pyarrow and DuckDB."""

from __future__ import annotations

import gc
import os
from datetime import UTC, date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import json_lines
from parquet_files import numbered, write
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime
from sharded import run_sharded

from zoopipe import (
    DeclarationError,
    JSONInputAdapter,
    JSONOutputAdapter,
    OutputError,
    ParquetInputAdapter,
    ParquetOutputAdapter,
    Pipe,
)
from zoopipe.storage.parts import PartFile
from zoopipe.testing import staged


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    city: str
    at: list[float] | None


class Wide(BaseModel):
    whole: Annotated[int, Field(ge=-(2**63), lt=2**63)]
    real: float
    flag: bool
    text: str
    data: bytes
    day: date
    moment: AwareDatetime
    local: NaiveDatetime
    clock: time
    took: timedelta
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=3)]
    key: UUID
    colour: Colour
    tags: list[str]
    counts: dict[str, int]
    inner: Inner
    inners: list[Inner]
    maybe: Inner | None
    number: int | str
    anything: Any


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


_LONG = st.integers(-(2**63), 2**63 - 1)
_INNERS = st.builds(
    Inner,
    city=texts(),
    at=st.none() | st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=2),
)
# pydantic writes and reads times of such offsets only.
WIDE = st.builds(
    Wide,
    whole=_LONG,
    real=st.floats(allow_nan=False, allow_infinity=False),
    text=texts(),
    # It comes as JSON, which has no other bytes than text's.
    data=texts().map(str.encode),
    moment=st.datetimes(timezones=st.just(UTC)),
    local=st.datetimes(),
    clock=st.times(),
    took=st.timedeltas(timedelta(days=-999_999), timedelta(days=999_999)),
    price=st.decimals(-(10**8), 10**8, places=3),
    tags=st.lists(texts(), max_size=3),
    counts=st.dictionaries(texts(), _LONG, max_size=2),
    inner=_INNERS,
    inners=st.lists(_INNERS, max_size=2),
    maybe=st.none() | _INNERS,
    number=_LONG | texts(),
    anything=st.recursive(
        st.none() | st.booleans() | st.integers() | texts(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts(), inner, max_size=2),
        max_leaves=4,
    ),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(WIDE, max_size=6))
def test_models_come_back_equal(tmp_path: Path, models: list[Wide]) -> None:
    lines, first, again = (tmp_path / name for name in ("in.jsonl", "a.parquet", "b.parquet"))
    values = [model.model_dump_json() + "\n" for model in models]
    lines.write_text("".join(values))
    run_sharded(Pipe(JSONInputAdapter(lines), ParquetOutputAdapter(first), schema_model=Wide), 2)
    run_sharded(Pipe(ParquetInputAdapter(first), ParquetOutputAdapter(again), schema_model=Wide), 2)
    run_sharded(
        Pipe(ParquetInputAdapter(again), JSONOutputAdapter(tmp_path / "o"), schema_model=Wide), 2
    )
    expected = [Wide.model_validate_json(value) for value in values]
    assert [Wide.model_validate(row) for row in json_lines(tmp_path / "o")] == expected
    assert pq.read_schema(first).equals(pq.read_schema(again), check_metadata=True)
    found = pq.read_table(first)
    assert found["whole"].to_pylist() == [model.whole for model in models]
    assert found["moment"].to_pylist() == [model.moment for model in models]
    assert found["price"].to_pylist() == [model.price for model in expected]
    assert found["key"].to_pylist() == [model.key for model in models]


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_rows_are_the_same_for_any_number_of_shards(tmp_path: Path, shards: int) -> None:
    table = numbered(0, 100)
    source = write(tmp_path / "in", table)
    out = tmp_path / "out"
    run_sharded(
        Pipe(ParquetInputAdapter(source), ParquetOutputAdapter(out, row_group_rows=30)), shards
    )
    assert pq.read_table(out).equals(table)
    assert duckdb.sql(f"select * from read_parquet('{out}')").fetchall() == [
        tuple(row.values()) for row in table.to_pylist()
    ]
    metadata = pq.ParquetFile(out).metadata
    sizes = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert max(sizes) <= 30
    assert sizes == [30, 30, 30, 10] if shards == 1 else len(sizes) >= shards


def test_row_groups_end_earlier_where_rows_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoopipe.adapters.parquet._HELD_BYTES", 1000)
    source = write(tmp_path / "in", pa.table({"t": ["x" * 400] * 40}), row_group_size=1)
    run_sharded(Pipe(ParquetInputAdapter(source), ParquetOutputAdapter(tmp_path / "out")), 1)
    metadata = pq.ParquetFile(tmp_path / "out").metadata
    assert {metadata.row_group(at).num_rows for at in range(13)} == {3}


def test_parts_are_whole_files_when_they_are_not_merged(tmp_path: Path) -> None:
    source = write(tmp_path / "in", numbered(0, 100))
    pipe = Pipe(ParquetInputAdapter(source), ParquetOutputAdapter(tmp_path / "out.parquet"))
    run_sharded(pipe, 3, merge=False)
    parts = sorted(tmp_path.glob("out*"))
    assert len(parts) == 3
    assert pa.concat_tables(map(pq.read_table, parts)).equals(numbered(0, 100))


def test_empty_result_has_the_types_of_the_model(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"whole": "none"}\n')
    out = tmp_path / "out"
    adapter = JSONInputAdapter(tmp_path / "in.jsonl")
    run_sharded(
        Pipe(adapter, ParquetOutputAdapter(out), JSONOutputAdapter(tmp_path / "e"), Wide), 1
    )
    found = pq.read_table(out)
    assert found.num_rows == 0 and found.schema.names == list(Wide.model_fields)
    assert found.schema.field("price").type == pa.decimal128(12, 3)
    assert not found.schema.field("whole").nullable
    assert duckdb.sql(f"select count(*), max(price) from read_parquet('{out}')").fetchall() == [
        (0, None)
    ]


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "brotli", "lz4", None])
def test_compression_is_the_one_that_was_asked_for(tmp_path: Path, compression: Any) -> None:
    source = write(tmp_path / "in", numbered(0, 100))
    output = ParquetOutputAdapter(tmp_path / "out", compression)
    run_sharded(Pipe(ParquetInputAdapter(source), output), 2)
    found = pq.ParquetFile(tmp_path / "out").metadata.row_group(0).column(0).compression
    assert found == (compression or "uncompressed").upper()


def test_pages_have_checksums(tmp_path: Path) -> None:
    source = write(tmp_path / "in", pa.table({"t": ["some text"] * 3}))
    output = ParquetOutputAdapter(tmp_path / "out", None)
    run_sharded(Pipe(ParquetInputAdapter(source), output), 1)
    data = (tmp_path / "out").read_bytes()
    (tmp_path / "out").write_bytes(data.replace(b"some text", b"same text"))
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(tmp_path / "out", page_checksum_verification=True)


def test_schema_that_is_given_counts_and_rows_that_do_not_fit_are_rejected(tmp_path: Path) -> None:
    source = write(tmp_path / "in", pa.table({"a": [1, 300, None], "b": ["2020-02-29", "x", None]}))
    schema = pa.schema([("b", pa.date32()), ("c", pa.float32()), ("a", pa.uint8())])
    run_sharded(
        Pipe(
            ParquetInputAdapter(source),
            ParquetOutputAdapter(tmp_path / "out", schema=schema),
            ParquetOutputAdapter(tmp_path / "bad"),
        ),
        1,
    )
    found = pq.read_table(tmp_path / "out")
    assert found.schema == schema
    assert found.to_pylist() == [
        {"b": date(2020, 2, 29), "c": None, "a": 1},
        {"b": None, "c": None, "a": None},
    ]
    (bad,) = pq.read_table(tmp_path / "bad").to_pylist()
    assert (bad["a"], bad["b"], bad["_row"], bad["_offset"]) == (300, "x", 2, None)
    assert "not_in_schema" in bad["_errors"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": "zip"}, "compression must be one of 'zstd'"),
        ({"row_group_rows": 0}, "row_group_rows must be a whole number from 1"),
        ({"schema": {"a": int}}, "schema must be a pyarrow.Schema"),
        ({"schema": pa.schema([("a", pa.int8()), ("a", pa.int8())])}, "names a column twice"),
    ],
)
def test_option_that_is_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        ParquetOutputAdapter("f", **options)
    with pytest.raises(DeclarationError, match="output must be a path"):
        ParquetOutputAdapter("")


def test_type_that_parquet_has_not_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "in", numbered(0, 3))
    schema = pa.schema([("number", pa.month_day_nano_interval())])
    output = ParquetOutputAdapter(tmp_path / "out", schema=schema)
    with pytest.raises(DeclarationError, match="Parquet cannot hold the columns of"):
        run_sharded(Pipe(ParquetInputAdapter(source, ["number"]), output), 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("after", [0, 1, 3])
def test_disk_that_is_full_is_an_error_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    written = []
    write_bytes = PartFile.write

    def fail(file: PartFile, data: Any) -> None:
        written.append(data)
        if len(written) > after:
            raise OutputError("cannot write it: No space left on device")
        write_bytes(file, data)

    source = write(tmp_path / "in", numbered(0, 100))
    (tmp_path / "out").write_bytes(b"old")
    monkeypatch.setattr(PartFile, "write", fail)
    output = ParquetOutputAdapter(tmp_path / "out", row_group_rows=10)
    with pytest.raises(OutputError, match="No space left"):
        run_sharded(Pipe(ParquetInputAdapter(source), output), 1)
    # A writer of Arrow's writes its end when it is dropped; an error there would be a warning.
    gc.collect()
    assert (tmp_path / "out").read_bytes() == b"old"
    assert staged(tmp_path) == []
