"""The rows of a sheet, as python-calamine reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import IO, TYPE_CHECKING, Any, cast

from zoopipe.adapters.excel_limits import WorkbookLimits, check_workbook
from zoopipe.adapters.options import check_header
from zoopipe.errors import InputError, MissingExtraError
from zoopipe.storage.filesystems import LOCAL, Storage

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

# What calamine gives for a blank cell, for an empty text and for an error.
_BLANK = ""


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """Where in a workbook the rows are.

    Attributes:
        sheet: its name or number; None for the first.
        header_rows: the numbers of the rows with the names, from 1; None for the first that is not blank.
        fieldnames: the names, where no row has them.
        max_columns: how many there may be.
    """

    sheet: str | int | None
    header_rows: tuple[int, ...] | None
    fieldnames: tuple[str, ...] | None
    max_columns: int


class SheetRows:
    """A sheet that is open: its column names, and, once, its rows.

    Attributes:
        names: the columns.
        first_row: the number of the first row behind the header, from 1.
        end_row: that of the row behind the last.
    """

    def __init__(
        self,
        path: str,
        options: SheetOptions,
        limits: WorkbookLimits | None,
        storage: Storage = LOCAL,
    ) -> None:
        """Opens a sheet; all of it is in memory then.

        Args:
            limits: what the workbook may be; None where that was looked at before.
            storage: how it is opened, if it is a URL.

        Raises:
            InputError: it is missing, damaged or too large, or has no usable header.
        """
        sheet = _open_sheet(path, options.sheet, limits, storage)
        self._rows = enumerate(sheet.iter_rows(), 1)
        self.end_row = sheet.total_height + 1
        if options.fieldnames is not None:
            self.names, self.first_row = options.fieldnames, 1
            return
        header, last = self._header_rows(options.header_rows, path)
        self.first_row = last + 1
        merged = _merged(sheet)
        names = _joined_names(header, merged)
        self.names = _checked_names(names, path, options.max_columns, bool(merged))

    def _header_rows(
        self, wanted: tuple[int, ...] | None, path: str
    ) -> tuple[dict[int, list[Any]], int]:
        """The rows that hold the names, by their numbers, and the number of the last."""
        found = {}
        for number, row in self._rows:
            if number in wanted if wanted is not None else not _is_blank(row):
                found[number] = row
                if wanted is None or number == wanted[-1]:
                    return found, number
        if wanted is None:
            raise InputError(f"{path} is empty: a header was expected, or fieldnames=")
        raise InputError(f"{path} has no row {wanted[-1]}, where header_row= says that names are")

    def __iter__(self) -> Iterator[tuple[int, list[Any]]]:
        """The rows behind the header that are not blank, each with its number; None for a blank cell."""
        for number, row in self._rows:
            if not _is_blank(row):
                yield number, [None if cell == _BLANK else cell for cell in row]


def _is_blank(row: list[Any]) -> bool:
    return row.count(_BLANK) == len(row)


def _open_sheet(
    path: str, wanted: str | int | None, limits: WorkbookLimits | None, storage: Storage
) -> CalamineSheet:
    try:
        from python_calamine import CalamineWorkbook
    except ImportError as error:
        raise MissingExtraError(
            "reading workbooks needs python-calamine: pip install 'zoopipe[excel]'"
        ) from error
    try:
        with closing(storage.open(path)) as file:
            if limits is not None:
                check_workbook(cast("IO[bytes]", file), path, limits)
                file.seek(0)
            with _damage_named(path):
                workbook = CalamineWorkbook.from_filelike(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    number = _number_of(workbook, wanted, path)
    with _damage_named(path):
        return workbook.get_sheet_by_index(number)


def _number_of(workbook: CalamineWorkbook, wanted: str | int | None, path: str) -> int:
    names: list[str] = workbook.sheet_names
    if wanted is None:
        from python_calamine import SheetTypeEnum

        kinds = [sheet.typ for sheet in workbook.sheets_metadata]
        wanted = kinds.index(SheetTypeEnum.WorkSheet) if SheetTypeEnum.WorkSheet in kinds else 0
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int) and wanted < len(names):
        return wanted
    listed = ", ".join(map(repr, names)) or "none"
    raise InputError(f"{path} has no sheet {wanted!r}; its sheets are {listed}")


@contextmanager
def _damage_named(path: str) -> Iterator[None]:
    """Turns what the reader raises, and its panics, into one sentence."""
    from python_calamine import CalamineError, PasswordError

    try:
        yield
    except PasswordError as error:
        raise InputError(f"cannot read {path}: it is protected by a password") from error
    except CalamineError as error:
        raise InputError(f"cannot read {path}: the workbook is damaged: {error}") from error
    except BaseException as error:
        # pyo3 derives it from BaseException, and exports it under no name.
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(f"cannot read {path}: the workbook is damaged: {error}") from error


_Merged = list[tuple[range, range]]


def _merged(sheet: CalamineSheet) -> _Merged:
    """The rows, from 1, and columns, from 0 in `iter_rows`, of each cell that is merged of several."""
    left = sheet.start[1] if sheet.start else 0
    return [
        (range(top + 1, bottom + 2), range(first - left, last - left + 1))
        for (top, first), (bottom, last) in sheet.merged_cell_ranges or ()
    ]


def _joined_names(header: dict[int, list[Any]], merged: _Merged) -> list[str]:
    """A name a column, of the texts above each other. A merged cell counts for all columns that it spans, and
    once where it spans rows."""
    texts = {number: list(map(_name_text, row)) for number, row in header.items()}
    for rows, columns in merged:
        here = [number for number in texts if number in rows]
        if here and rows[0] in texts and columns[0] >= 0:
            row = texts[here[0]]
            row[columns[0] : columns[-1] + 1] = [row[columns[0]]] * len(
                row[columns[0] : columns[-1] + 1]
            )
    columns_of_texts = zip(*texts.values(), strict=True)
    names = [" ".join(text for text in column if text) for column in columns_of_texts]
    while names and not names[-1]:
        names.pop()
    return names


def _name_text(cell: Any) -> str:
    """A cell of a header as a name: whole numbers without a point, times as ISO."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, date | datetime | time):
        return cell.isoformat()
    return str(cell)


def _checked_names(names: Sequence[str], path: str, most: int, merged: bool) -> tuple[str, ...]:
    if not names:
        raise InputError(f"the header of {path} is blank: give header_row= or fieldnames=")
    try:
        return check_header(names, path, most)
    except InputError as error:
        if not merged:
            raise
        raise InputError(
            f"{error}; it has merged cells: header_row= says in which rows names are, as header_row=2 or "
            "header_row=(1, 2)"
        ) from error
