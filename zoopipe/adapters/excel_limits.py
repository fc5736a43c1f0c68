"""Whether a workbook can be opened safely: a file of 5 KB may unpack to terabytes, or have one cell in its
first corner and one in its last, for which a reader asks for half a terabyte and takes its process with it."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import IO

from zoopipe.errors import InputError
from zoopipe.storage.files import BLOCK_BYTES

#: How many cells a sheet may have, blank ones within its corners included, by default. A cell takes 32 bytes.
MAX_CELLS = 50_000_000
#: How many bytes a workbook may unpack to, by default.
MAX_UNPACKED_BYTES = 4 << 30

_MAX_ENTRIES = 10_000
# So much may come of any file: what is small, and all the same, is compressed to next to nothing.
_RATIO_FROM_BYTES = 1 << 26
_MOST_ROWS, _MOST_COLUMNS = 1 << 20, 1 << 14
# A local file header: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.7.
_LOCAL_HEADER = struct.Struct("<4s22xHH")


@dataclass(frozen=True, slots=True)
class WorkbookLimits:
    """What a workbook may be.

    Attributes:
        cells: of a sheet.
        unpacked_bytes: of all that is packed in the file.
        ratio: how many times its size the file may be unpacked to.
    """

    cells: int = MAX_CELLS
    unpacked_bytes: int = MAX_UNPACKED_BYTES
    ratio: int = 1000


def check_workbook(file: IO[bytes], path: str, limits: WorkbookLimits) -> None:
    """Unpacks a workbook once, holding little of it, and counts.

    Raises:
        InputError: it is more than the limits say, or damaged.
    """
    try:
        if not zipfile.is_zipfile(file):
            # An .xls, which has at most 65,536 rows of 256 cells, or what the reader will not know.
            return
        with zipfile.ZipFile(file) as archive:
            _check_archive(archive, file, path, limits)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError) as error:
        raise InputError(f"cannot read {path}: the workbook is damaged: {error}") from error


def _check_archive(
    archive: zipfile.ZipFile, file: IO[bytes], path: str, limits: WorkbookLimits
) -> None:
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise InputError(
            f"cannot read {path}: it has {len(entries):,} files in it, more than any workbook"
        )
    unpacked = sum(entry.file_size for entry in entries)
    packed = max(sum(entry.compress_size for entry in entries), 1)
    if unpacked > limits.unpacked_bytes:
        raise InputError(
            f"cannot read {path}: it unpacks to {unpacked:,} bytes, more than max_unpacked_bytes "
            f"({limits.unpacked_bytes:,})"
        )
    if unpacked > max(_RATIO_FROM_BYTES, limits.ratio * packed):
        raise InputError(
            f"cannot read {path}: it unpacks to more than {limits.ratio:,} times its size; "
            "give max_decompression_ratio= if that is right"
        )
    measures = _measures_of(set(archive.namelist()))
    for entry in entries:
        for measure in measures:
            extent = measure()
            for chunk in _unpacked(file, entry):
                extent.feed(chunk)
            if (cells := extent.cells()) <= limits.cells:
                break
        else:
            raise InputError(
                f"cannot read {path}: {entry.filename} spans {cells:,} cells, more than max_cells "
                f"({limits.cells:,})"
            )


def _unpacked(file: IO[bytes], entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """What is packed in an entry, which has to be as much as the directory says.

    Python's own reader stops there, and so would not see what another one goes on to read.
    """
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or entry.flag_bits & 1:
        raise zipfile.BadZipFile("it is packed as no workbook is")
    file.seek(entry.header_offset)
    magic, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if magic != b"PK\x03\x04":
        raise zipfile.BadZipFile("its directory leads astray")
    file.seek(name + extra, 1)
    left, given = entry.compress_size, 0
    inflate = zlib.decompressobj(-15) if entry.compress_type == zipfile.ZIP_DEFLATED else None
    while left > 0 and (data := file.read(min(left, BLOCK_BYTES))):
        left -= len(data)
        while data:
            chunk = data if inflate is None else inflate.decompress(data, BLOCK_BYTES)
            data = b"" if inflate is None else inflate.unconsumed_tail
            given += len(chunk)
            if given > entry.file_size:
                break
            yield chunk
    if given != entry.file_size or left or not (inflate is None or inflate.eof):
        raise zipfile.BadZipFile(f"{entry.filename} is not what the directory says")


class _Extent:
    """How far the cells of a sheet reach; what is fed to it is whole tags."""

    def __init__(self) -> None:
        self._tail = b""
        self.rows = self.columns = 0

    def feed(self, chunk: bytes) -> None:
        data = self._tail + chunk
        # Nothing that is looked for goes across a tag's start; a text of many megabytes is no tag.
        cut = data.rfind(b"<")
        cut = len(data) if cut <= 0 or len(data) - cut > BLOCK_BYTES else cut
        self._take(data[:cut])
        self._tail = data[cut:]

    def cells(self) -> int:
        """How many cells there may be between the corners."""
        self._take(self._tail)
        self._tail = b""
        return self.rows * self.columns

    def _take(self, data: bytes) -> None:
        raise NotImplementedError


_PLAIN_LETTERS = [re.compile(rb' r="[A-Za-z]{%d}' % size) for size in (3, 2)]
_PLAIN_DIGITS = {size: re.compile(rb' r="[A-Za-z]*\d{%d}' % size) for size in (7, 6, 5, 3)}
# Spellings that Excel does not use.
_ODD = (
    b"\tr",
    b"\nr",
    b"\rr",
    b"r =",
    b"r\t=",
    b"r\n=",
    b"r\r=",
    b"r='",
    b"= ",
    b":c",
    b"<c>",
    b"<c/",
)


class _XMLBounds(_Extent):
    """Of an .xlsx, where cells say where they are as Excel spells it, `<c r="AB12"`: never too few cells.

    The longest references say enough, and are found in a tenth of the time that it takes to look at each.
    """

    def _take(self, data: bytes) -> None:
        if b"<c" not in data and b":c" not in data:
            return
        self.columns, self.rows = max(self.columns, 26), max(self.rows, 99)
        if data.count(b"<c ") != data.count(b'<c r="') or any(odd in data for odd in _ODD):
            self.columns, self.rows = _MOST_COLUMNS, _MOST_ROWS
        for columns, pattern in zip((_MOST_COLUMNS, 26 + 26**2), _PLAIN_LETTERS, strict=True):
            if self.columns < columns and pattern.search(data):
                self.columns = columns
        for digits, pattern in _PLAIN_DIGITS.items():
            # Three or four digits are not told apart.
            rows = min(10 ** max(digits, 4) - 1, _MOST_ROWS)
            if self.rows < rows and pattern.search(data):
                self.rows = rows


_REF = re.compile(rb"\sr\s*=\s*[\"']([A-Za-z]*)(\d*)")
_CELL = re.compile(rb"<(?:[\w.-]+:)?(c|row)(?=[\s/>])")


class _XMLExtent(_Extent):
    """Of an .xlsx, however it is spelled: each reference is looked at, and cells are counted."""

    def __init__(self) -> None:
        super().__init__()
        self._in_row = self._row_tags = 0

    def _take(self, data: bytes) -> None:
        references = set(_REF.findall(data))
        self.columns = max(self.columns, *(_column(letters) for letters, _ in references), 0)
        self.rows = max(self.rows, *(int(digits or 0) for _, digits in references), 0)
        for tag in _CELL.findall(data):
            if tag == b"row":
                self._row_tags += 1
                self._in_row = 0
            else:
                self._in_row += 1
                self.columns = max(self.columns, self._in_row)
        self.rows = max(self.rows, self._row_tags)


def _column(letters: bytes) -> int:
    """The number of a column, from 1."""
    number = 0
    for letter in letters[:8].upper():
        number = number * 26 + letter - 64
    return number


_ODS_TAG = re.compile(rb"<table:(table-row|table-cell|covered-table-cell|table)\b([^>]*?)(/?)>")
_ODS_REPEATED = re.compile(rb"number-(?:rows|columns)-repeated\s*=\s*[\"'](\d+)")


class _ODSExtent(_Extent):
    """Of an .ods: cells and rows come one after the other, each repeated as often as it says."""

    def __init__(self) -> None:
        super().__init__()
        self._blank_rows = self._at = self._reach = self._repeated = self._most = 0

    def _take(self, data: bytes) -> None:
        for kind, attributes, closed in _ODS_TAG.findall(data):
            found = _ODS_REPEATED.search(attributes)
            times = int(found[1]) if found else 1
            if kind == b"table-row":
                self._end_row()
                self._repeated = times
            elif kind == b"table":
                self._end_table()
            else:
                self._at += times
                if not closed or b"office:" in attributes or b"formula" in attributes:
                    self._reach = self._at

    def _end_row(self) -> None:
        if self._reach:
            self.rows += self._blank_rows + self._repeated
            self._blank_rows = 0
            self.columns = max(self.columns, self._reach)
        else:
            self._blank_rows += self._repeated
        self._at = self._reach = 0
        self._repeated = 0

    def _end_table(self) -> None:
        self._end_row()
        self._most = max(self._most, self.rows * self.columns)
        self.rows = self.columns = self._blank_rows = 0

    def cells(self) -> int:
        super().cells()
        self._end_table()
        return self._most


class _BinaryExtent(_Extent):
    """Of an .xlsb: records, of which those of a row say which, and those of a cell in which column.

    https://learn.microsoft.com/openspecs/office_file_formats/ms-xlsb, 2.1.4, 2.4.
    """

    def feed(self, chunk: bytes) -> None:
        data, at = self._tail + chunk, 0
        while (head := _record(data, at)) is not None:
            kind, start, size = head
            if start + size > len(data) and size <= BLOCK_BYTES:
                break
            number = int.from_bytes(data[start : start + 4], "little")
            if kind == 0:
                self.rows = max(self.rows, number + 1)
            elif kind <= 11:
                self.columns = max(self.columns, number + 1)
            at = start + size
        self._tail = data[at:]

    def cells(self) -> int:
        return self.rows * self.columns


def _record(data: bytes, at: int) -> tuple[int, int, int] | None:
    """The kind of a record, where its content starts, and its size; None where its head is cut off."""
    if at + 6 > len(data):
        return None
    kind, at = data[at], at + 1
    if kind & 0x80:
        kind, at = (kind & 0x7F) | data[at] << 7, at + 1
    size = 0
    for shift in range(0, 28, 7):
        byte = data[at]
        size |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            break
    return kind, at, size


def _measures_of(names: Set[str]) -> Sequence[type[_Extent]]:
    """What measures the entries of a workbook, the fastest first; any of them may be a sheet, whatever it is
    called."""
    if "xl/workbook.bin" in names:
        return (_BinaryExtent,)
    return (_ODSExtent,) if "content.xml" in names else (_XMLBounds, _XMLExtent)
