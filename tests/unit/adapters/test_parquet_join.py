"""Parquet files put behind each other: pyarrow and DuckDB read what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import footer, numbered, set_field, with_footer, write

from zoopipe.adapters import parquet_join
from zoopipe.adapters.parquet_join import join_parts, joined_footer
from zoopipe.adapters.thrift import Field, Struct, read_struct, write_struct
from zoopipe.errors import LedgerError
from zoopipe.storage.parts import Part, PartFile

OPENED: Any = {4: {1: {3: {}}}}


def staged(path: Path, table: pa.Table, **options: Any) -> Part:
    """A part, written by pyarrow."""
    write(path.with_suffix(".made"), table, **options)
    return part_of(path)


def part_of(path: Path) -> Part:
    file = PartFile(path)
    data = path.with_suffix(".made").read_bytes()
    file.write(data)
    return file.close(pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows)


def joined(parts: list[Part]) -> Path:
    file = PartFile.reopened(parts[0])
    try:
        join_parts(file, parts[0], parts[1:])
    except BaseException:
        file.abandon()
        raise
    return file.close(sum(part.rows for part in parts)).path


@pytest.mark.parametrize("compression", ["none", "zstd", "snappy"])
@pytest.mark.parametrize("sizes", [(25, 25), (0, 30), (30, 0, 1), (5, 0, 0, 17)])
def test_rows_statistics_and_schema_are_those_of_the_parts(
    tmp_path: Path, sizes: tuple[int, ...], compression: str
) -> None:
    tables, start = [], 0
    for size in sizes:
        table = numbered(start, start + size)
        # What only ARROW:schema tells.
        moments = table["number"].cast(pa.timestamp("us", "Asia/Tokyo"))
        table = table.append_column("moment", moments)
        tables.append(table.replace_schema_metadata({"made by": "a test"}))
        start += size
    parts = [
        staged(tmp_path / f"{at}", table, compression=compression)
        for at, table in enumerate(tables)
    ]
    before = [pq.ParquetFile(part.path).metadata for part in parts]
    path = joined(parts)
    whole = pa.concat_tables(tables)
    found = pq.read_table(path)
    assert found.equals(whole) and found.schema.equals(whole.schema, check_metadata=True)
    metadata = pq.ParquetFile(path).metadata
    assert metadata.num_rows == sum(sizes)
    groups = [each.row_group(at) for each in before for at in range(each.num_row_groups)]
    assert metadata.num_row_groups == len(groups)
    for at, group in enumerate(groups):
        for column in range(3):
            here, there = metadata.row_group(at).column(column), group.column(column)
            assert here.statistics == there.statistics
            assert here.total_compressed_size == there.total_compressed_size
    rows = duckdb.sql(f"select number, text from read_parquet('{path}')").fetchall()
    assert rows == list(zip(whole["number"].to_pylist(), whole["text"].to_pylist(), strict=True))
    if sizes[-1] > 9:
        last = f"select count(*) from read_parquet('{path}') where number >= {start - 9}"
        assert duckdb.sql(last).fetchall() == [(9,)]


def test_each_row_group_is_read_alone_and_a_page_index_is_left_out(tmp_path: Path) -> None:
    parts = [
        staged(tmp_path / f"{at}", numbered(at * 35, at * 35 + 35), write_page_index=True)
        for at in range(3)
    ]
    file = pq.ParquetFile(joined(parts))
    starts = [file.read_row_group(at)["number"][0].as_py() for at in range(file.num_row_groups)]
    assert starts == [0, 10, 20, 30, 35, 45, 55, 65, 70, 80, 90, 100]
    chunk = file.metadata.row_group(0).column(0)
    assert not (chunk.has_offset_index or chunk.has_column_index)


def test_every_place_is_moved_and_every_unknown_field_stays(tmp_path: Path) -> None:
    write(tmp_path / "f", numbered(0, 15))
    struct = read_struct(footer(tmp_path / "f"), OPENED)

    def fill(made: Struct) -> None:
        for number, group in enumerate(made[4].value):
            group[5] = Field(6, 100 + number)
            group[7] = Field(4, number)
            group[99] = Field(8, b"\x03new")
            for chunk in group[1].value:
                chunk[2] = Field(6, 4)
                for place in (9, 10, 11, 14):
                    chunk[3].value[place] = Field(6, 10 * place)

    fill(struct)
    data = write_struct(struct)
    found = joined_footer([data, data], [4, 1004])
    assert found[-4:] == b"PAR1" and int.from_bytes(found[-8:-4], "little") == len(found) - 8
    groups = read_struct(found[:-8], OPENED)[4].value
    assert [group[7].value for group in groups] == [0, 1, 2, 3]
    assert [group[5].value for group in groups] == [100, 101, 1100, 1101]
    assert {group[99].value for group in groups} == {b"\x03new"}
    for at, group in enumerate(groups):
        moved = 1000 if at > 1 else 0
        for chunk in group[1].value:
            assert chunk[2].value == 4 + moved
            places = [chunk[3].value[number].value for number in (9, 10, 11, 14)]
            assert places == [90 + moved, 100 + moved, 110 + moved, 140 + moved]


def test_place_that_is_not_said_stays_so(tmp_path: Path) -> None:
    write(tmp_path / "f", numbered(0, 5))
    struct = read_struct(footer(tmp_path / "f"), OPENED)
    set_field(struct[4].value[0][1].value[0], 2, 0)
    data = write_struct(struct)
    groups = read_struct(joined_footer([data, data], [4, 1004])[:-8], OPENED)[4].value
    assert groups[1][1].value[0][2].value == 0


def test_ordinal_is_left_out_where_it_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_join, "_LAST_ORDINAL", 2)
    write(tmp_path / "f", numbered(0, 15))
    struct = read_struct(footer(tmp_path / "f"), OPENED)
    for number, group in enumerate(struct[4].value):
        group[7] = Field(4, number)
    data = write_struct(struct)
    groups = read_struct(joined_footer([data, data], [4, 1004])[:-8], OPENED)[4].value
    assert [group[7].value for group in groups if 7 in group] == [0, 1, 2]
    assert len(groups) == 4


def test_parts_of_other_schemas_are_refused(tmp_path: Path) -> None:
    parts = [
        staged(tmp_path / "0", numbered(0, 5)),
        staged(tmp_path / "1", numbered(0, 5).rename_columns(["number", "txt"])),
    ]
    with pytest.raises(LedgerError, match="do not fit each other"):
        joined(parts)


def test_part_that_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    first = staged(tmp_path / "0", numbered(0, 5))
    (tmp_path / "1.made").write_bytes(b"PAR1 and no end")
    file = PartFile(tmp_path / "1")
    file.write(b"PAR1 and no end")
    with pytest.raises(LedgerError, match="no Parquet file"):
        joined([first, file.close(1)])


def test_part_that_was_changed_is_refused(tmp_path: Path) -> None:
    parts = [staged(tmp_path / f"{at}", numbered(0, 5)) for at in range(2)]
    with open(parts[1].path, "r+b") as file:
        file.seek(6)
        file.write(b"?")
    with pytest.raises(LedgerError, match="is not what was written"):
        joined(parts)


def test_footer_that_is_damaged_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "f", numbered(0, 5))
    with_footer(tmp_path / "f", lambda struct: struct.pop(4) and None)
    data = footer(tmp_path / "f")
    with pytest.raises(ValueError, match="damaged"):
        joined_footer([data, data], [4, 100])
