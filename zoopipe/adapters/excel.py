"""Excel and OpenDocument workbooks: read by python-calamine, written by XlsxWriter."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.arrow import ArrowPart
from zoopipe.adapters.base import (
    Block,
    Encoded,
    FileRange,
    InputAdapter,
    InputPlan,
    Shard,
    Unparsed,
)
from zoopipe.adapters.cutting import cut_files
from zoopipe.adapters.excel_cells import cell_schema, staged
from zoopipe.adapters.excel_limits import MAX_CELLS, MAX_UNPACKED_BYTES, WorkbookLimits
from zoopipe.adapters.excel_read import SheetOptions, SheetRows
from zoopipe.adapters.excel_write import MAX_COLUMNS as SHEET_COLUMNS
from zoopipe.adapters.excel_write import MAX_ROWS as SHEET_ROWS
from zoopipe.adapters.excel_write import check_installed, check_sheet_name, write_workbook
from zoopipe.adapters.limits import MAX_COLUMNS, MAX_DECOMPRESSION_RATIO, check_limits
from zoopipe.adapters.objects import columns_block, common_types, row_json
from zoopipe.adapters.options import check_counts, check_names
from zoopipe.adapters.typed_output import PartSink, TypedOutputAdapter, encode_typed
from zoopipe.adapters.unwritable import encoded_or_refused
from zoopipe.arrays import mask_of
from zoopipe.checks import check_whole
from zoopipe.errors import DeclarationError, InputError, OutputError
from zoopipe.reasons import Reason
from zoopipe.storage.files import END, Source, find_files, source_patterns
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.options import StorageOptions
from zoopipe.storage.parts import Part, PartFile, check_part, opened
from zoopipe.storage.urls import check_urls, is_local

# With 10 columns about as much as a block of other formats.
_BLOCK_ROWS = 5_000


class ExcelInputAdapter(InputAdapter):
    """Reads a sheet of .xlsx, .xlsm, .xlsb, .xls and .ods workbooks, by python-calamine (extra `excel`).

    Values are what the cells hold: a text, a float (Excel has no other numbers), True or False, a date, a
    datetime, a time, a timedelta, of a formula its stored result; None for a blank cell, an empty text and an
    error such as #DIV/0!. Blank rows are left out. A row with values beyond the last name is rejected. In
    rejects `_offset` is the row's number in the sheet.

    Unit of parallelism: a file. A workbook is unpacked as a whole, in memory: some 100 bytes a cell.

    Args:
        source: a path, a glob, or a list of them; many files are one input, in order, and all have
            the same header.
        sheet: its name, or its number, from 0; by default the first.
        skip_rows: how many records to leave out, after the header, from the start of the input.
        limit: read at most this many records of the whole input.
        fieldnames: the column names of sheets that have no header: every row is then data.
        header_row: the number of the row with the names, as Excel shows it, or of several rows, whose texts
            are joined by a space; by default the first row that is not blank. A merged cell counts for each
            column that it spans.
        max_columns: a header with more is an error.
        max_cells: a sheet that spans more cells, blank ones included, is an error.
        max_unpacked_bytes: a workbook that unpacks to more is an error.
        max_decompression_ratio: one that unpacks to more than so many times its size is an error.
        storage_options: how URLs are opened: see docs/storage.md.

    Raises:
        DeclarationError: an option is out of range or contradicts another.
    """

    def __init__(
        self,
        source: Source,
        sheet: str | int | None = None,
        skip_rows: int = 0,
        limit: int | None = None,
        fieldnames: Sequence[str] | None = None,
        header_row: int | Sequence[int] | None = None,
        max_columns: int = MAX_COLUMNS,
        max_cells: int = MAX_CELLS,
        max_unpacked_bytes: int = MAX_UNPACKED_BYTES,
        max_decompression_ratio: int = MAX_DECOMPRESSION_RATIO,
        storage_options: StorageOptions | None = None,
    ) -> None:
        self._patterns = source_patterns(source)
        self._storage = Storage(check_urls(self._patterns, storage_options))
        if sheet is not None and not isinstance(sheet, str):
            check_whole("sheet", sheet, 0)
        check_counts(skip_rows=skip_rows, limit=limit)
        check_limits(
            max_columns=max_columns,
            max_cells=max_cells,
            max_unpacked_bytes=max_unpacked_bytes,
            max_decompression_ratio=max_decompression_ratio,
        )
        if fieldnames is not None and header_row is not None:
            raise DeclarationError(
                "fieldnames are for sheets without a header, and have no header_row"
            )
        self._skip_rows = skip_rows
        self._limit = limit
        self._options = SheetOptions(
            sheet,
            None if header_row is None else _header_rows(header_row),
            None if fieldnames is None else check_names(fieldnames, "fieldnames"),
            max_columns,
        )
        self._limits = WorkbookLimits(max_cells, max_unpacked_bytes, max_decompression_ratio)

    def __repr__(self) -> str:
        return f"ExcelInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        files = find_files(self._patterns, self._storage)
        columns = None
        for path in files:
            names = SheetRows(path, self._options, self._limits, self._storage).names
            columns = columns or names
            if names != columns:
                raise InputError(
                    f"the header of {path} differs from that of {files[0]}: "
                    f"{list(names)} instead of {list(columns)}"
                )
        plan = cut_files(
            [FileRange(path, 0, END, unit="rows") for path in files],
            shards,
            columns=columns,
            skip=self._skip_rows,
            limit=self._limit,
            read=lambda shard: self.read(shard, columns),
        )
        if plan.why_whole and len(files) == 1:
            return replace(plan, why_whole="a workbook is unpacked as a whole")
        return plan

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        for part in shard.ranges:
            # The limits were looked at when the run was planned.
            sheet = SheetRows(shard.file_of(part), self._options, None, self._storage)
            if sheet.names != columns:
                raise InputError(f"the header of {part.path} has changed since the run was planned")
            yield from _blocks(sheet, part.path)

    def types(self, plan: InputPlan) -> pa.Schema:
        blocks = (block for shard in plan.shards for block in self.read(shard, plan.columns))
        return common_types(plan.columns or (), blocks)


def _header_rows(header_row: int | Sequence[int]) -> tuple[int, ...]:
    rows = (header_row,) if isinstance(header_row, int) else tuple(header_row)
    for row in rows:
        check_whole("header_row", row, 1)
    if not rows or list(rows) != sorted(set(rows)):
        raise DeclarationError(f"header_row must name rows in ascending order, not {header_row!r}")
    return rows


def _blocks(sheet: SheetRows, path: str) -> Iterator[Block]:
    """The rows of a sheet, in blocks; `start`, `end` and offsets are numbers of rows in the sheet, less 1."""
    numbers: list[int] = []
    rows: list[list[Any]] = []
    start = 0
    for number, row in sheet:
        numbers.append(number)
        rows.append(row)
        if len(rows) == _BLOCK_ROWS:
            yield _block(sheet.names, numbers, rows, path, start, number)
            numbers, rows, start = [], [], number
    if rows or start == 0:
        yield _block(sheet.names, numbers, rows, path, start, max(start, sheet.end_row - 1))


def _block(
    names: tuple[str, ...],
    numbers: list[int],
    rows: list[list[Any]],
    path: str,
    start: int,
    end: int,
) -> Block:
    width, kept, unparsed = len(names), [], []
    for record, row in enumerate(rows):
        beyond = [cell for cell in row[width:] if cell is not None]
        if beyond:
            unparsed.append(Unparsed(record, [_too_wide(width)], row_json(row)))
        else:
            kept.append(record)
    padding = [None] * width
    columns = list(zip(*((rows[at] + padding)[:width] for at in kept), strict=True))
    block = columns_block(dict(zip(names, columns or [()] * width, strict=True)), len(rows))
    block.row_records = kept if unparsed else None
    block.unparsed = unparsed
    block.source, block.start, block.end, block.unit = path, start, end, "rows"
    block.offsets = lambda: [number - start for number in numbers]
    return block


def _too_wide(width: int) -> Reason:
    return {
        "loc": [],
        "type": "excel_width",
        "msg": f"the row has values beyond the {width} columns that have names",
    }


class ExcelOutputAdapter(TypedOutputAdapter):
    """Writes an .xlsx workbook of one sheet, by XlsxWriter (extra `excel`): a header, then a line a row.

    Numbers, booleans, dates, times and durations are cells of their kind, texts are texts, whatever they begin
    with: no formula, no link. None is a blank cell. What no cell holds exactly is text, as JSON has it: whole
    numbers beyond 2^53, decimals of more than 15 digits, times with microseconds or an offset, dates before
    1900, negative durations, nan and infinities; so are lists, dicts and all other types. A row with a text of
    more than 32,767 characters is rejected; more than 1,048,575 rows fail the run.

    Delivery: the file appears whole, by a rename, or not at all. The driver alone writes it, of what attempts
    stage, some tens of thousands of rows a second.

    Args:
        output: the path.
        sheet: the name of the sheet.
        schema: the columns and their types, in place of those of the model or the input.
        storage_options: how a URL is opened: see docs/storage.md.

    Raises:
        DeclarationError: the path has the extension of another kind of workbook, or no sheet has such a name.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        sheet: str = "Sheet1",
        schema: pa.Schema | None = None,
        storage_options: StorageOptions | None = None,
    ) -> None:
        super().__init__(output, schema, storage_options)
        extension = os.path.splitext(self._output.lower())[1]
        if extension in _OTHER_WORKBOOKS:
            raise DeclarationError(f"cannot write {self._output}: give it the extension .xlsx")
        check_sheet_name(sheet)
        self._sheet = sheet

    def check(self, schema: pa.Schema | None) -> None:
        assert schema is not None, "a typed output is given types"
        check_installed()
        if len(schema) > SHEET_COLUMNS:
            raise DeclarationError(
                f"cannot write {self._output}: {len(schema):,} columns, and a sheet has {SHEET_COLUMNS:,}"
            )

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> ExcelPart:
        assert schema is not None, "a typed output is given types"
        return ExcelPart(file, schema)

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        assert schema is not None, "a typed output is given types"
        rows = sum(part.rows for part in (leader, *others))
        if rows > SHEET_ROWS:
            raise OutputError(
                f"cannot write {self._output}: {rows:,} rows, and a sheet has {SHEET_ROWS:,} below its header; "
                "write a file a shard (should_merge=False), or another format"
            )
        for part in others:
            check_part(part, self.storage)
        whole = file.replacement()
        try:
            sink = PartSink(whole)
            with sink.open():
                batches = _staged_batches([leader, *others], self.storage)
                write_workbook(sink, _scratch(whole), self._sheet, cell_schema(schema), batches)
            return whole.close(rows)
        except BaseException:
            whole.discard()
            raise


# What Excel does not open when what is in it is an .xlsx.
_OTHER_WORKBOOKS = (".xls", ".xlsb", ".xlsm", ".xltx", ".xltm", ".ods")


class ExcelPart(ArrowPart):
    """A staged part: a stream of rows in the types that cells have."""

    def __init__(self, file: PartFile, schema: pa.Schema) -> None:
        super().__init__(file, cell_schema(schema), pa.ipc.new_stream, None)
        self._types = schema

    def encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        return encoded_or_refused(self._encode, batch, selection)

    def _encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None) -> Encoded:
        encoded = encode_typed(batch, selection, self._types)
        (conformed,) = encoded.payload
        rows, misfits = staged(conformed, self._schema)
        if not misfits:
            return replace(encoded, payload=[rows])
        refused = {position for position, _ in encoded.refused}
        given = [at for at in range(rows.num_rows + len(refused)) if at not in refused]
        found = [*encoded.refused, *((given[at], reason) for at, reason in misfits.items())]
        rows = rows.filter(pc.invert(mask_of(rows.num_rows, misfits)))
        return Encoded([rows], rows.num_rows, sorted(found, key=lambda item: item[0]))


def _scratch(whole: PartFile) -> Path:
    """Where XlsxWriter may keep rows for a while: beside the file, where there is room for it."""
    return Path(whole.path).parent if is_local(whole.path) else Path(tempfile.gettempdir())


def _staged_batches(parts: Sequence[Part], storage: Storage) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with opened(part, storage) as file:
            with pa.ipc.open_stream(pa.PythonFile(file, mode="r")) as stream:
                yield from stream
