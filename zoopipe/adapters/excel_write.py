"""Workbooks, as XlsxWriter writes them: row by row, in little memory, and the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zoopipe.adapters.excel_cells import cell_value
from zoopipe.adapters.typed_output import PartSink
from zoopipe.errors import DeclarationError, MissingExtraError, OutputError
from zoopipe.storage.parts import writing

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

#: Rows of a sheet below its header, and columns.
MAX_ROWS = (1 << 20) - 1
MAX_COLUMNS = 1 << 14
# Any will do, as long as it is always the same.
_CREATED = datetime(2000, 1, 1)
_FORMATS: dict[type, str] = {
    date: "yyyy-mm-dd",
    datetime: "yyyy-mm-dd hh:mm:ss.000",
    time: "hh:mm:ss.000",
    timedelta: "[h]:mm:ss.000",
}


def write_workbook(
    sink: PartSink,
    folder: Path,
    sheet: str,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
) -> None:
    """Writes a workbook of one sheet: a header, then the rows.

    Args:
        sink: where to.
        folder: where XlsxWriter keeps the rows until it packs them.
        sheet: the name of the sheet.
        schema: the columns, of staged types.
        batches: the rows, of `schema`.
    """
    book = _workbook(sink, folder)
    try:
        worksheet = book.add_worksheet(sheet, _worksheet_class())
        formats = {kind: book.add_format({"num_format": text}) for kind, text in _FORMATS.items()}
        for column, name in enumerate(schema.names):
            worksheet.write_string(0, column, name)
        row = 1
        for batch in batches:
            _write_rows(worksheet, batch, row, formats)
            row += batch.num_rows
        with writing(folder):
            book.close()
    finally:
        # Else it would be written when it is dropped, to a file that is discarded by then.
        book.fileclosed = True


def _write_rows(
    worksheet: Worksheet, batch: pa.RecordBatch, first: int, formats: dict[type, Format]
) -> None:
    writers = [_writer(worksheet, formats, field.type) for field in batch.schema]
    columns = [column.to_pylist() for column in batch.columns]
    for row, values in enumerate(zip(*columns, strict=True), first):
        for column, value in enumerate(values):
            if value is not None:
                writers[column](row, column, value)


def _writer(
    worksheet: Worksheet, formats: dict[type, Format], kind: pa.DataType
) -> Callable[[int, int, Any], None]:
    """What writes a value of a staged type to a cell."""
    held = cell_value(kind)

    def write(row: int, column: int, value: Any) -> None:
        cell = held(value)
        if isinstance(cell, str):
            refused = worksheet.write_string(row, column, cell)
        elif isinstance(cell, bool):
            refused = worksheet.write_boolean(row, column, cell)
        elif isinstance(cell, int | float):
            refused = worksheet.write_number(row, column, cell)
        else:
            refused = worksheet.write_datetime(row, column, cell, formats[type(cell)])
        if refused:
            raise OutputError(f"XlsxWriter refuses the value of row {row + 1}, column {column + 1}")

    return write


def check_sheet_name(name: str) -> None:
    """Refuses a name that Excel does not take for a sheet.

    Raises:
        DeclarationError: saying why.
    """
    if not isinstance(name, str) or not 0 < len(name) <= 31:
        raise DeclarationError(f"sheet must be a name of 1 to 31 characters, not {name!r}")
    if set(name) & set("[]:*?/\\") or name[0] == "'" or name[-1] == "'":
        raise DeclarationError(
            f"sheet {name!r}: a sheet's name has none of []:*?/\\ and no apostrophe at its ends"
        )


def _workbook(sink: PartSink, folder: Path) -> Workbook:
    check_installed()
    from xlsxwriter import Workbook

    book = Workbook(sink, {"constant_memory": True, "tmpdir": str(folder)})
    book.set_properties({"created": _CREATED})
    book.use_zip64()
    return book


def check_installed() -> None:
    """Raises `MissingExtraError` where XlsxWriter is not installed."""
    try:
        import xlsxwriter  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "writing workbooks needs XlsxWriter: pip install 'zoopipe[excel]'"
        ) from error


def _worksheet_class() -> type[Worksheet]:
    from xlsxwriter.worksheet import Worksheet

    class ExactWorksheet(Worksheet):  # type: ignore[misc]
        """Writes numbers with all of their digits, and texts as they are."""

        def _xml_number_element(self, number: float, attributes: Sequence[Any] = ()) -> None:
            # XlsxWriter's own 16 digits are one too few for one double in two.
            marks = "".join(f' {key}="{value}"' for key, value in attributes)
            self.fh.write(f"<c{marks}><v>{number!r}</v></c>")

        def _xml_rich_inline_string(self, string: str, attributes: Sequence[Any] = ()) -> None:
            # It takes any text that begins with <r> and ends with </r> for markup of its own.
            self._xml_inline_string(string, False, attributes)

    return ExactWorksheet
