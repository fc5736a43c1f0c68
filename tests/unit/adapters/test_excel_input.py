"""Excel input: what openpyxl, xlwt and hands have put into workbooks comes out, and bombs do not go off."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
import xlwt
from pydantic import BaseModel

from zoopipe import (
    DeclarationError,
    ExcelInputAdapter,
    FrameOutputAdapter,
    InputError,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
)
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.items import json_rows


def workbook(path: Path, *sheets: list[list[Any]], names: tuple[str, ...] = ()) -> Path:
    """A workbook that openpyxl writes, with these rows."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(names[number] if names else None)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def values(adapter: ExcelInputAdapter) -> list[dict[str, Any]]:
    """The rows as Python values, by the table that a run collects, or as a block has them."""
    plan = adapter.plan(1)
    rows: list[dict[str, Any]] = []
    for block in adapter.read(plan.shards[0], plan.columns):
        rows += block.batch.to_pylist() if block.values is None else block.values
    return rows


def rejects(adapter: ExcelInputAdapter, folder: Path) -> list[dict[str, Any]]:
    pipe = Pipe(adapter, JSONOutputAdapter(folder / "out"), JSONOutputAdapter(folder / "rejects"))
    pipe.run()
    return json_rows(folder / "rejects")


def test_cells_have_the_values_that_were_put_in(tmp_path: Path) -> None:
    row = {
        "text": "Zoë <&> \n2",
        "number": 1.5,
        "whole": 3,
        "yes": True,
        "day": date(2024, 2, 29),
        "moment": datetime(2024, 2, 29, 12, 30, 15, 250_000),
        "at": time(23, 59, 1),
        "long": timedelta(days=2, hours=5),
        "blank": None,
    }
    path = workbook(tmp_path / "a.xlsx", [list(row), list(row.values())])
    (found,) = values(ExcelInputAdapter(path))
    assert found == row
    # Excel has no integers.
    assert type(found["whole"]) is float


def test_old_workbooks_are_read(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("S")
    day = xlwt.easyxf(num_format_str="yyyy-mm-dd")
    for column, (name, value) in enumerate({"a": "x", "b": 2.5, "c": True}.items()):
        sheet.write(0, column, name)
        sheet.write(1, column, value)
    sheet.write(0, 3, "d")
    sheet.write(1, 3, date(2024, 1, 2), day)
    book.save(str(tmp_path / "a.xls"))
    assert values(ExcelInputAdapter(tmp_path / "a.xls")) == [
        {"a": "x", "b": 2.5, "c": True, "d": date(2024, 1, 2)}
    ]


def ods(path: Path, rows: str) -> Path:
    """An OpenDocument sheet, made by hand."""
    content = (
        '<?xml version="1.0" encoding="UTF-8"?><office:document-content '
        'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" '
        'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" '
        'xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:spreadsheet>'
        f'<table:table table:name="S">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", content)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return path


def ods_cell(text: str, repeated: int = 1) -> str:
    return (
        f'<table:table-cell office:value-type="string" table:number-columns-repeated="{repeated}">'
        f"<text:p>{text}</text:p></table:table-cell>"
    )


def test_open_document_sheets_are_read_and_blank_repeats_are_no_cells(tmp_path: Path) -> None:
    far = '<table:table-cell table:number-columns-repeated="16384"/>'
    rows = (
        f"<table:table-row>{ods_cell('a')}{ods_cell('b')}{far}</table:table-row>"
        f'<table:table-row>{ods_cell("x")}<table:table-cell office:value-type="float" office:value="2.5"/>'
        "</table:table-row>"
        f'<table:table-row table:number-rows-repeated="1048574">{far}</table:table-row>'
    )
    assert values(ExcelInputAdapter(ods(tmp_path / "a.ods", rows))) == [{"a": "x", "b": 2.5}]


def test_formulas_give_their_stored_results_and_errors_are_blank(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    workbook(path, [["a", "b", "c"], ["=1+2", "=1/0", "x"]])
    # openpyxl stores no results; Excel puts them beside the formula.
    edit(
        path,
        "xl/worksheets/sheet1.xml",
        b"<f>1+2</f><v></v>",
        b"<f>1+2</f><v>3</v>",
        b"<f>1+2</f><v />",
        b"<f>1+2</f><v>3</v>",
        b'<c r="B2"><f>1/0</f><v></v></c>',
        b'<c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c>',
        b'<c r="B2"><f>1/0</f><v /></c>',
        b'<c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v></c>',
    )
    assert values(ExcelInputAdapter(path)) == [{"a": 3.0, "b": None, "c": "x"}]


def edit(path: Path, entry: str, *replaced: bytes) -> None:
    """Changes the bytes of a file in a workbook."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    for old, new in zip(replaced[::2], replaced[1::2], strict=True):
        held[entry] = held[entry].replace(old, new)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in held.items():
            archive.writestr(name, data)


def test_blank_rows_are_left_out_and_rejects_name_the_row_of_the_sheet(tmp_path: Path) -> None:
    rows = [["n"], [1], [None], [2], ["x", "beyond"], [None], [4]]
    path = workbook(tmp_path / "a.xlsx", rows)
    found = rejects(ExcelInputAdapter(path), tmp_path)
    assert [row["n"] for row in json_rows(tmp_path / "out")] == [1.0, 2.0, 4.0]
    (reject,) = found
    # Record 3 stands in row 5 of the sheet.
    assert (reject["_row"], reject["_offset"], reject["_source"]) == (3, 5, str(path))
    assert reject["_stage"] == "parse"
    assert reject["_errors"][0]["type"] == "excel_width"
    assert json.loads(reject["_text"]) == ["x", "beyond"]


def test_mixed_columns_reach_the_model_as_they_are(tmp_path: Path) -> None:
    class Row(BaseModel):
        code: str | float
        when: datetime

    given = [["A1", datetime(2024, 1, 1, 5)], [12, date(2024, 1, 2)], [1.5, datetime(2024, 1, 3)]]
    path = workbook(tmp_path / "a.xlsx", [["code", "when"], *given])
    Pipe(ExcelInputAdapter(path), JSONOutputAdapter(tmp_path / "out"), schema_model=Row).run()
    expected = [
        Row.model_validate(dict(zip(("code", "when"), row, strict=True))).model_dump_json()
        for row in given
    ]
    expected[1] = expected[1].replace('"code":12,', '"code":12.0,')
    assert (tmp_path / "out").read_text().splitlines() == expected


def test_numbers_become_whole_only_where_they_are_when_the_field_is_int(tmp_path: Path) -> None:
    class Row(BaseModel):
        n: int

    path = workbook(tmp_path / "a.xlsx", [["n"], [3], [3.5], ["7"], [2**53]])
    pipe = Pipe(
        ExcelInputAdapter(path),
        JSONOutputAdapter(tmp_path / "out"),
        JSONOutputAdapter(tmp_path / "rejects"),
        Row,
    )
    pipe.run()
    assert [row["n"] for row in json_rows(tmp_path / "out")] == [3, 7, 2**53]
    (reject,) = json_rows(tmp_path / "rejects")
    assert reject["n"] == 3.5
    assert reject["_errors"][0]["type"] == "int_from_float"


def test_types_of_a_typed_output_are_those_of_all_cells_when_there_is_no_model(
    tmp_path: Path,
) -> None:
    late: list[list[Any]] = [[1.0, "x", True, date(2024, 1, 1), date(2024, 1, 1), None]] * 6000
    late.append([2.0, "y", False, date(2024, 1, 2), datetime(2024, 1, 2, 3), "only here"])
    late.append(["mixed", None, None, None, None, None])
    path = workbook(tmp_path / "a.xlsx", [["a", "b", "c", "d", "e", "f"], *late])
    output, refused = FrameOutputAdapter(), FrameOutputAdapter()
    Pipe(ExcelInputAdapter(path), output, refused).run()
    table = output.table
    assert table.schema.types == [
        pa.string(),
        pa.string(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us"),
        pa.string(),
    ]
    assert table.num_rows == 6002
    assert table["a"].to_pylist()[-2:] == ["2.0", '"mixed"']
    assert table["e"].to_pylist()[-3:] == [datetime(2024, 1, 1), datetime(2024, 1, 2, 3), None]
    assert refused.table.num_rows == 0


def test_sheet_is_chosen_by_name_or_number_and_a_missing_one_lists_them(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]], [["b"], [2]], names=("first", "Größe"))
    assert values(ExcelInputAdapter(path)) == [{"a": 1.0}]
    assert values(ExcelInputAdapter(path, sheet=1)) == [{"b": 2.0}]
    assert values(ExcelInputAdapter(path, sheet="Größe")) == [{"b": 2.0}]
    for missing in ("nope", 2):
        with pytest.raises(InputError, match="its sheets are 'first', 'Größe'"):
            ExcelInputAdapter(path, sheet=missing).plan(1)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([["a", "a"], [1, 2]], "names 'a' twice"),
        ([["a", None, "b"], [1, 2, 3]], "no name for column 2"),
        ([], "is empty"),
    ],
)
def test_header_that_cannot_be_used_is_an_error(
    tmp_path: Path, header: list[list[Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ExcelInputAdapter(workbook(tmp_path / "a.xlsx", header)).plan(1)


def test_header_stands_in_the_first_row_that_is_not_blank_or_where_it_is_said_to(
    tmp_path: Path,
) -> None:
    rows = [[None], ["Report"], [2024, "name", None], [1, "x", None]]
    path = workbook(tmp_path / "a.xlsx", rows)
    assert values(ExcelInputAdapter(path, header_row=3)) == [{"2024": 1.0, "name": "x"}]
    assert ExcelInputAdapter(path).plan(1).columns == ("Report",)
    with pytest.raises(InputError, match="no row 9"):
        ExcelInputAdapter(path, header_row=9).plan(1)
    named = values(ExcelInputAdapter(path, fieldnames=["p", "q"]))
    assert named[0] == {"p": "Report", "q": None}
    assert len(named) == 3


def test_merged_header_cells_count_for_each_column_that_they_span(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    for row in (["id", "address", None, "n"], [None, "street", "city", None], [1, "s", "c", 2]):
        sheet.append(row)
    sheet.merge_cells("B1:C1")
    sheet.merge_cells("A1:A2")
    sheet.merge_cells("D1:D2")
    book.save(tmp_path / "a.xlsx")
    assert values(ExcelInputAdapter(tmp_path / "a.xlsx", header_row=(1, 2))) == [
        {"id": 1.0, "address street": "s", "address city": "c", "n": 2.0}
    ]
    with pytest.raises(InputError, match=r"'address' twice.*merged.*header_row="):
        ExcelInputAdapter(tmp_path / "a.xlsx").plan(1)


def test_table_that_begins_elsewhere_is_read(tmp_path: Path) -> None:
    rows = [[None, None], [None, "a", "b"], [None, 1, 2]]
    assert values(ExcelInputAdapter(workbook(tmp_path / "a.xlsx", rows))) == [{"a": 1.0, "b": 2.0}]


def test_several_workbooks_are_one_input_in_order_and_shards_of_files(tmp_path: Path) -> None:
    for number in range(4):
        workbook(tmp_path / f"{number}.xlsx", [["n"], *([10 * number + row] for row in range(3))])
    adapter = ExcelInputAdapter(tmp_path / "*.xlsx")
    expected = [float(10 * number + row) for number in range(4) for row in range(3)]
    for shards in (1, 2, 4, 9):
        manager = PipeManager.parallelize_pipe(
            Pipe(adapter, JSONOutputAdapter(tmp_path / "out")),
            1,
            engine=InlineEngine(),
            shards=shards,
        )
        assert manager.run().pipes[0].shard_count == min(shards, 4)
        assert [row["n"] for row in json_rows(tmp_path / "out")] == expected
    skipping = ExcelInputAdapter(tmp_path / "*.xlsx", skip_rows=2, limit=5)
    Pipe(skipping, JSONOutputAdapter(tmp_path / "out")).run()
    assert [row["n"] for row in json_rows(tmp_path / "out")] == expected[2:7]
    workbook(tmp_path / "9.xlsx", [["m"], [1]])
    with pytest.raises(InputError, match=r"9\.xlsx differs"):
        adapter.plan(1)


def test_blocks_are_bounded(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["n"], *([number] for number in range(12_000))])
    adapter = ExcelInputAdapter(path)
    plan = adapter.plan(1)
    sizes = [block.records for block in adapter.read(plan.shards[0], plan.columns)]
    assert sum(sizes) == 12_000
    assert max(sizes) <= 5_000


@pytest.mark.parametrize(
    "options",
    [
        {"sheet": -1},
        {"sheet": 1.5},
        {"header_row": 0},
        {"header_row": (2, 1)},
        {"header_row": ()},
        {"header_row": 1, "fieldnames": ["a"]},
        {"fieldnames": ["a", "a"]},
        {"limit": -1},
        {"max_cells": 0},
    ],
)
def test_bad_options_are_refused_when_the_adapter_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        ExcelInputAdapter("a.xlsx", **options)


# Files that are no workbooks, and such as are made to harm.


def test_damaged_workbooks_are_one_sentence(tmp_path: Path) -> None:
    whole = workbook(
        tmp_path / "a.xlsx", [["a"], *([number] for number in range(500))]
    ).read_bytes()
    path = tmp_path / "b.xlsx"
    rng = random.Random(1)
    for data in (b"", b"no workbook", whole[:-100], whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"b\.xlsx"):
            ExcelInputAdapter(path).plan(1)
    refused = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            rows = values(ExcelInputAdapter(path))
        except InputError:
            refused += 1
        else:
            # A name or a time in the archive; no cell may differ.
            assert [row["a"] for row in rows] == list(range(500))
    assert refused > 100


FAR = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'


@pytest.mark.parametrize(
    "row",
    [
        FAR,
        FAR.replace(b" r=", b"\tr="),
        FAR.replace(b" r=", b" r ="),
        FAR.replace(b'"', b"'"),
        FAR.replace(b"XFD", b"xfd"),
        b'<row r="2"><c r="XFD2"/></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        # Cells and rows that do not say where they are come after those before them.
        b"<row>" + b"<c/>" * 16_383 + b"<c><v>1</v></c></row>" + b"<row/>" * 5_000,
    ],
    ids=["plain", "tab", "space", "apostrophes", "lower", "two", "implicit"],
)
def test_sheet_with_cells_far_apart_is_refused_before_it_is_opened(
    tmp_path: Path, row: bytes
) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]])
    edit(path, "xl/worksheets/sheet1.xml", b"</sheetData>", row + b"</sheetData>")
    # If it were opened, half a terabyte would be asked for, and this process would end.
    with pytest.raises(InputError, match="max_cells"):
        ExcelInputAdapter(path).plan(1)


def test_sheet_under_another_name_is_measured_too(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]])
    edit(path, "xl/worksheets/sheet1.xml", b"</sheetData>", FAR + b"</sheetData>")
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    held["xl/media/image.png"] = held.pop("xl/worksheets/sheet1.xml")
    rels = "xl/_rels/workbook.xml.rels"
    held[rels] = held[rels].replace(b"worksheets/sheet1.xml", b"media/image.png")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match="max_cells"):
        ExcelInputAdapter(path).plan(1)


def test_open_document_sheet_with_repeated_cells_is_refused(tmp_path: Path) -> None:
    rows = (
        f"<table:table-row>{ods_cell('a')}</table:table-row>"
        f'<table:table-row table:number-rows-repeated="1048575">{ods_cell("x", 16384)}</table:table-row>'
    )
    with pytest.raises(InputError, match="max_cells"):
        ExcelInputAdapter(ods(tmp_path / "a.ods", rows)).plan(1)


def test_binary_sheet_with_cells_far_apart_is_refused(tmp_path: Path) -> None:
    def record(kind: int, content: bytes) -> bytes:
        return bytes([kind, len(content)]) + content

    sheet = record(0, struct.pack("<I", 0)) + record(5, struct.pack("<IId", 0, 0, 1.0))
    sheet += record(0, struct.pack("<I", 1_048_575)) + record(
        5, struct.pack("<IId", 16_383, 0, 1.0)
    )
    with zipfile.ZipFile(tmp_path / "a.xlsb", "w") as archive:
        archive.writestr("xl/workbook.bin", b"\x83\x01\x00")
        archive.writestr("xl/worksheets/sheet1.bin", sheet)
    with pytest.raises(InputError, match="max_cells"):
        ExcelInputAdapter(tmp_path / "a.xlsb").plan(1)


def test_workbook_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", b" " * (65 << 20))
    with pytest.raises(InputError, match="times its size"):
        ExcelInputAdapter(path, max_decompression_ratio=100).plan(1)
    with pytest.raises(InputError, match="max_unpacked_bytes"):
        ExcelInputAdapter(path, max_unpacked_bytes=1 << 20).plan(1)
    assert values(ExcelInputAdapter(path)) == [{"a": 1.0}]


def test_directory_that_lies_about_sizes_is_damage(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], *([number] for number in range(500))])
    data = bytearray(path.read_bytes())
    # The size in the central directory, which Python's zipfile would stop at.
    at = data.rindex(b"xl/worksheets/sheet1.xml") - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    with pytest.raises(InputError, match="not what the directory says"):
        ExcelInputAdapter(path).plan(1)


def test_large_sheet_is_opened_where_its_options_allow_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a", "b"], *([number, 1] for number in range(999))])
    with pytest.raises(InputError, match=r"2,000 cells.*max_cells \(1,999\)"):
        ExcelInputAdapter(path, max_cells=1_999).plan(1)
    assert len(values(ExcelInputAdapter(path, max_cells=2_000))) == 999


def test_missing_package_says_what_to_install(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]])
    script = (
        "import sys; sys.modules['python_calamine'] = None\n"
        "from zoopipe import ExcelInputAdapter, MissingExtraError\n"
        f"try: ExcelInputAdapter({str(path)!r}).plan(1)\n"
        "except MissingExtraError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'zoopipe[excel]'" in said.stdout


def test_memory_does_not_grow_while_a_workbook_is_measured(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", [["a"], [1]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/more.xml", b"x" * (64 << 20))
    tracemalloc.start()
    try:
        ExcelInputAdapter(path, max_decompression_ratio=2000).plan(1)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
