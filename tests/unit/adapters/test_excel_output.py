"""Excel output: openpyxl reads what is written, and finds each value, or a text that says it exactly."""

from __future__ import annotations

import json
import math
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from zoopipe import (
    DeclarationError,
    ExcelInputAdapter,
    ExcelOutputAdapter,
    FrameInputAdapter,
    InputAdapter,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
    PyGeneratorInputAdapter,
    RunFailed,
)
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.items import json_rows, staged


def written(path: Path, source: InputAdapter, **options: Any) -> list[list[Any]]:
    """The cells of what is written of an input, its header first, as openpyxl reads them."""
    Pipe(source, ExcelOutputAdapter(path, **options)).run()
    sheet = openpyxl.load_workbook(path).active
    return [list(row) for row in sheet.iter_rows(values_only=True)]


def column(path: Path, values: list[Any], kind: pa.DataType) -> list[Any]:
    """The cells of one column; another one keeps its rows from being blank."""
    table = pa.table({"n": range(len(values)), "c": pa.array(values, kind)})
    return [row[1] for row in written(path, FrameInputAdapter(table))[1:]]


@pytest.mark.parametrize(
    ("kind", "values", "cells"),
    [
        (pa.bool_(), [True, False, None], [True, False, None]),
        (pa.int64(), [0, -7, 2**53, 2**53 + 1, -(2**63)], [0, -7, 2**53, str(2**53 + 1), str(-(2**63))]),
        (pa.uint64(), [2**64 - 1], [str(2**64 - 1)]),
        (pa.float64(), [1 / 7, 5e-324, -1e300], [1 / 7, 5e-324, -1e300]),
        (pa.float64(), [math.nan, math.inf, -math.inf], ["NaN", "Infinity", "-Infinity"]),
        (pa.decimal128(20, 2), [Decimal("19.99")], [19.99]),
        (pa.decimal128(20, 2), [Decimal("123456789012345678.91")], ["123456789012345678.91"]),
        (pa.date32(), [date(2024, 2, 29), date(1899, 12, 31)], [datetime(2024, 2, 29), "1899-12-31"]),
        (
            pa.timestamp("us"),
            [datetime(2024, 2, 29, 1, 2, 3, 456_000), datetime(2024, 2, 29, 1, 2, 3, 456_001)],
            [datetime(2024, 2, 29, 1, 2, 3, 456_000), "2024-02-29T01:02:03.456001"],
        ),
        (pa.timestamp("us", "UTC"), [datetime(2024, 2, 29, tzinfo=UTC)], ["2024-02-29T00:00:00Z"]),
        (pa.time64("us"), [time(23, 59, 59), time(0, 0, 0, 1)], [time(23, 59, 59), "00:00:00.000001"]),
        (pa.duration("us"), [timedelta(hours=30), timedelta(seconds=-5)], [timedelta(hours=30), "-PT5S"]),
        (pa.list_(pa.int64()), [[1, 2], [], None], ["[1,2]", "[]", None]),
        (pa.struct([("a", pa.int64())]), [{"a": 1}], ['{"a":1}']),
        (pa.binary(), [b"text"], ["text"]),
    ],
)  # fmt: skip
def test_values_are_cells_or_the_text_that_says_them_exactly(
    tmp_path: Path, kind: pa.DataType, values: list[Any], cells: list[Any]
) -> None:
    found = column(tmp_path / "a.xlsx", values, kind)
    assert found == cells
    assert list(map(type, found)) == list(map(type, cells))


@pytest.mark.parametrize(
    "text",
    ["=1+1", "@SUM(A1)", "+1", "-1", "{=1}", "http://example.org/", "mailto:a@b.c", "<r>x</r>", "<r><t>&</r>",
     " spaces ", "two\nlines", "tab\there", "Zoë 😀\u2028", "'quote", "#DIV/0!", "1", "TRUE"],
)  # fmt: skip
def test_texts_are_texts_whatever_they_look_like(tmp_path: Path, text: str) -> None:
    table = pa.table({"c": [text]})
    assert written(tmp_path / "a.xlsx", FrameInputAdapter(table)) == [["c"], [text]]
    cell = openpyxl.load_workbook(tmp_path / "a.xlsx").active["A2"]
    assert cell.data_type == "s" or cell.data_type == "inlineStr"
    assert cell.hyperlink is None


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "key": st.just("k"),
                "text": st.none()
                | st.text(
                    st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20
                ),
                "number": st.none() | st.floats(allow_nan=False, allow_infinity=False),
                "flag": st.none() | st.booleans(),
                "at": st.none()
                | st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31)).map(
                    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
                ),
            }
        ),
        max_size=8,
    )
)
def test_what_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    class Row(BaseModel):
        key: str
        text: str | None
        number: float | None
        flag: bool | None
        at: datetime | None

    folder = tmp_path_factory.mktemp("again")
    path, source = folder / "a.xlsx", PyGeneratorInputAdapter(rows)
    Pipe(source, ExcelOutputAdapter(path), schema_model=Row).run()
    Pipe(ExcelInputAdapter(path), JSONOutputAdapter(folder / "out"), schema_model=Row).run()
    expected = [json.loads(Row(**row).model_dump_json()) for row in rows]
    assert json_rows(folder / "out") == expected


def test_bytes_do_not_depend_on_shards_or_on_the_moment(tmp_path: Path) -> None:
    table = pa.table({"n": range(500), "t": [f"row {n}" for n in range(500)]})
    found = set()
    for shards in (1, 2, 7):
        pipe = Pipe(FrameInputAdapter(table), ExcelOutputAdapter(tmp_path / "a.xlsx"))
        PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=shards).run()
        found.add((tmp_path / "a.xlsx").read_bytes())
    assert len(found) == 1
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert b"2000-01-01T00:00:00Z" in archive.read("docProps/core.xml")
    assert staged(tmp_path) == []


def test_row_with_too_long_a_text_is_rejected(tmp_path: Path) -> None:
    # Of the last one every character takes two of Excel's.
    texts = ["x" * 32_767, "x" * 32_768, "é" * 32_767, "😀" * 16_384, "ok"]
    table = pa.table({"n": range(5), "t": texts})
    pipe = Pipe(
        FrameInputAdapter(table),
        ExcelOutputAdapter(tmp_path / "a.xlsx"),
        JSONOutputAdapter(tmp_path / "rejects"),
    )
    report = pipe.run()
    assert (report.success_count, report.error_count) == (3, 2)
    found = json_rows(tmp_path / "rejects")
    assert [row["n"] for row in found] == [1, 3]
    assert {row["_stage"] for row in found} == {"write"}
    assert {row["_errors"][0]["type"] for row in found} == {"not_in_cell"}
    cells = list(openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(values_only=True))
    assert cells == [("n", "t"), (0, texts[0]), (2, texts[2]), (4, "ok")]


def test_rows_that_do_not_fit_are_named_by_their_own_numbers(tmp_path: Path) -> None:
    class Row(BaseModel):
        n: int
        data: bytes
        text: str

    rows = [
        {"n": 1, "data": b"a", "text": "t"},
        {"n": 2**70, "data": b"a", "text": "beyond 64 bits"},
        {"n": 3, "data": b"\xff", "text": "no text"},
        {"n": 4, "data": b"a", "text": "x" * 40_000},
        {"n": 5, "data": b"a", "text": "t"},
    ]
    pipe = Pipe(
        PyGeneratorInputAdapter(rows),
        ExcelOutputAdapter(tmp_path / "a.xlsx"),
        JSONOutputAdapter(tmp_path / "rejects"),
        Row,
    )
    assert pipe.run().success_count == 2
    assert [row["_row"] for row in json_rows(tmp_path / "rejects")] == [2, 3, 4]
    cells = list(openpyxl.load_workbook(tmp_path / "a.xlsx").active.iter_rows(values_only=True))
    assert cells == [("n", "data", "text"), (1, "a", "t"), (5, "a", "t")]


def test_too_many_rows_fail_the_run_and_leave_the_target(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"old")
    table = pa.table({"n": pa.nulls(1_048_576, pa.int64())})
    pipe = Pipe(FrameInputAdapter(table), ExcelOutputAdapter(tmp_path / "a.xlsx"))
    with pytest.raises(RunFailed, match=r"1,048,576 rows, and a sheet has 1,048,575"):
        pipe.run()
    assert (tmp_path / "a.xlsx").read_bytes() == b"old"
    assert staged(tmp_path) == []


def test_too_many_columns_are_refused_before_a_row_is_read(tmp_path: Path) -> None:
    table = pa.table({f"c{number}": [1] for number in range(16_385)})
    pipe = Pipe(FrameInputAdapter(table), ExcelOutputAdapter(tmp_path / "a.xlsx"))
    with pytest.raises(DeclarationError, match="16,384"):
        pipe.start()


def test_sheet_has_the_name_that_is_asked_for(tmp_path: Path) -> None:
    written(tmp_path / "a.xlsx", FrameInputAdapter(pa.table({"a": [1]})), sheet="Größe & mehr")
    assert openpyxl.load_workbook(tmp_path / "a.xlsx").sheetnames == ["Größe & mehr"]


@pytest.mark.parametrize("sheet", ["", "x" * 32, "a/b", "a:b", "[a]", "'a", "a'", None])
def test_sheet_name_that_excel_does_not_take_is_refused(sheet: Any) -> None:
    with pytest.raises(DeclarationError, match="sheet"):
        ExcelOutputAdapter("a.xlsx", sheet=sheet)


@pytest.mark.parametrize("name", ["a.xls", "a.ods", "a.xlsb", "a.XLSM"])
def test_other_kinds_of_workbooks_are_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=r"\.xlsx"):
        ExcelOutputAdapter(name)


def test_rejects_are_written_to_a_workbook(tmp_path: Path) -> None:
    class Row(BaseModel):
        n: int

    pipe = Pipe(
        PyGeneratorInputAdapter([{"n": 1}, {"n": "x"}, 5]),
        JSONOutputAdapter(tmp_path / "out"),
        ExcelOutputAdapter(tmp_path / "rejects.xlsx"),
        Row,
    )
    pipe.run()
    header, *rows = openpyxl.load_workbook(tmp_path / "rejects.xlsx").active.iter_rows(
        values_only=True
    )
    found = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["n"], row["_row"], row["_stage"]) for row in found] == [
        ("x", 2, "validate"),
        (None, 3, "parse"),
    ]
    assert json.loads(found[0]["_errors"])[0]["type"] == "int_parsing"
