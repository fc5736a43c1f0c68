"""CSV, read as Python's `csv.reader` reads it and written as `csv.writer` writes it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from zoopipe.adapters.base import (
    Block,
    Encoded,
    FileRange,
    InputAdapter,
    InputPlan,
    Reason,
    Shard,
    Unparsed,
)
from zoopipe.adapters.csv_records import (
    Dialect,
    guess_start,
    line_offsets,
    plain_cut,
    read_records,
)
from zoopipe.adapters.cutting import cut_files
from zoopipe.adapters.text import Encoder, Framing, TextOutputAdapter
from zoopipe.arrays import EMPTY, int64_array, text_array, text_bytes, text_scalar
from zoopipe.columns import NonFinite, cell_text, cells, concat, is_record_batch, rows_of
from zoopipe.errors import DeclarationError, InputError
from zoopipe.storage.files import (
    BLOCK_BYTES,
    END,
    ByteSource,
    Compression,
    Source,
    bom_length,
    check_compression,
    check_encoding,
    compression_of,
    encodes,
    find_files,
    is_ascii_transparent,
    source_patterns,
)

_WINDOW_BYTES = 1 << 16
# A header longer than this is no header.
_HEADER_BYTES = 1 << 24


class CSVInputAdapter(InputAdapter):
    """Reads CSV files; every value is a string, as with `csv.DictReader`.

    A BOM, CRLF, blank lines, quoted delimiters and newlines and doubled quotes read as Python's
    `csv` reads them. A record whose width is not the header's, or that does not decode, is rejected.

    Unit of parallelism: a byte range. Compressed files, and encodings whose bytes cannot be searched
    for newlines (UTF-16, Shift-JIS), are read whole, one after the other.

    Args:
        source: a path, a glob, or a list of them; many files are one input, in order, and all have
            the same header.
        delimiter: the character between fields.
        quotechar: the character around fields.
        skip_rows: how many records to leave out, after the header, from the start of the input.
        fieldnames: the column names of files that have no header: every record is then data.
        limit: read at most this many records of the whole input.
        encoding: a text encoding of Python's.
        null_values: cells that mean None.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`), None, `gzip`, `bz2`, `zstd`.
        start_byte: read only the records that begin at or after this byte of a single file.
        end_byte: read only the records that begin before this byte of a single file.

    Raises:
        DeclarationError: an option is out of range or contradicts another.
    """

    def __init__(
        self,
        source: Source,
        delimiter: str = ",",
        quotechar: str = '"',
        skip_rows: int = 0,
        fieldnames: Sequence[str] | None = None,
        limit: int | None = None,
        encoding: str = "utf-8",
        null_values: Sequence[str] = (),
        compression: Compression = "infer",
        start_byte: int = 0,
        end_byte: int | None = None,
    ) -> None:
        self._patterns = source_patterns(source)
        check_encoding(encoding)
        check_compression(compression)
        check_counts(skip_rows=skip_rows, limit=limit, start_byte=start_byte, end_byte=end_byte)
        if end_byte is not None and end_byte < start_byte:
            raise DeclarationError(f"end_byte {end_byte} is before start_byte {start_byte}")
        check_texts(null_values, "null_values")
        self._transcode = None if is_ascii_transparent(encoding) else encoding
        self._dialect = Dialect(delimiter, quotechar, "utf-8" if self._transcode else encoding)
        self._fieldnames = None if fieldnames is None else check_names(fieldnames, "fieldnames")
        self._skip_rows = skip_rows
        self._limit = limit
        self._null_values = tuple(null_values)
        self._compression: Compression = compression
        self._start_byte = start_byte
        self._end_byte = end_byte

    def __repr__(self) -> str:
        return f"CSVInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        files = find_files(self._patterns)
        columns = self._fieldnames
        ranges = []
        for path in files:
            names, data_start = self._header(path)
            if columns is None:
                columns = names
            elif names is not None and names != columns:
                raise InputError(
                    f"the header of {path} differs from that of {files[0]}: "
                    f"{list(names)} instead of {list(columns)}"
                )
            ranges.append(self._whole_range(path, data_start, len(files)))
        return cut_files(
            ranges,
            shards,
            columns=columns,
            skip=self._skip_rows,
            limit=self._limit,
            read=lambda shard: self.read(shard, columns),
        )

    def _whole_range(self, path: str, data_start: int, files: int) -> FileRange:
        if not self._cuttable(path):
            if self._start_byte or self._end_byte is not None:
                raise InputError(
                    f"cannot cut {path} at a byte: it is compressed or {self._transcode}"
                )
            return FileRange(path, data_start, END)
        size = os.path.getsize(path)
        if not self._start_byte and self._end_byte is None:
            return FileRange(path, data_start, size)
        if files > 1:
            raise InputError("start_byte and end_byte need a source of one file")
        start, end = max(self._start_byte, data_start), self._end_byte
        end = size if end is None else min(max(end, data_start), size)
        return FileRange(path, min(start, end), end, exact=start == data_start)

    def _cuttable(self, path: str) -> bool:
        return self._transcode is None and compression_of(path, self._compression) is None

    def _open(self, path: str) -> ByteSource:
        return ByteSource(path, compression_of(path, self._compression), self._transcode)

    def _header(self, path: str) -> tuple[tuple[str, ...] | None, int]:
        """The column names that a file's first record gives, and the offset of its data."""
        with self._open(path) as source:
            head = source.read(_WINDOW_BYTES)
            bom = bom_length(head) if self._dialect.is_utf8 else 0
            if self._fieldnames is not None:
                return None, bom
            while True:
                more = source.read(len(head) or 1)
                records = read_records(head[bom:], self._dialect, None, not more, most=1)
                if records.rows:
                    break
                if not more:
                    raise InputError(f"{path} is empty: a header was expected, or fieldnames=")
                head += more
                if len(head) > _HEADER_BYTES:
                    raise InputError(f"{path} has no header: its first record does not end")
        return check_header(records.rows[0], path), bom + records.end

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        assert columns is not None, "a CSV plan has columns"
        transcoded = self._transcode is not None
        parser = _Parser(self._dialect, columns, self._null_values, transcoded)
        for part in shard.ranges:
            with self._open(part.path) as source:
                yield from self._read_range(source, part, parser)

    def _read_range(self, source: ByteSource, part: FileRange, parser: _Parser) -> Iterator[Block]:
        if self._cuttable(part.path):
            start = part.start if part.exact else self._find_start(source, part, parser.width)
            source.seek(start)
        else:
            start = part.start
            source.read(start)
        position, data, consumed, at_end, size = start, b"", source.consumed, False, BLOCK_BYTES
        empty = True
        while position < part.end:
            target = part.end - position if part.end - position <= len(data) else None
            block = parser.take(data, target, at_end) if data else None
            if block is None:
                if at_end:
                    break
                chunk = source.read(size)
                at_end = not chunk
                # A record longer than what was read asks for ever more at a time.
                size = max(BLOCK_BYTES, len(data)) if data else BLOCK_BYTES
                data += chunk
                continue
            taken = block.end
            block.source, block.start, block.end = part.path, position, position + taken
            block.bytes_read = source.consumed - consumed if at_end or source.codec else taken
            yield block
            empty = False
            position, data, size = position + taken, data[taken:], BLOCK_BYTES
        if empty:
            yield parser.nothing(part.path, position)

    def _find_start(self, source: ByteSource, part: FileRange, width: int) -> int:
        """The first place at or after a range's start where a record begins, as a good guess."""
        size = _WINDOW_BYTES
        while True:
            source.seek(part.start - 1)
            window = source.read(size)
            if not window:
                # The file has shrunk since it was planned; the ledger will say so.
                return part.start
            found = guess_start(window, self._dialect, width, at_end=len(window) < size)
            if found is not None:
                return part.start - 1 + found
            size *= 4


class _Parser:
    """Turns bytes that begin at a record into blocks."""

    def __init__(
        self,
        dialect: Dialect,
        columns: tuple[str, ...],
        null_values: tuple[str, ...],
        transcoded: bool,
    ) -> None:
        self.width = len(columns)
        self._transcoded = transcoded
        self._dialect = dialect
        self._columns = columns
        self._nulls = frozenset(null_values)
        self._schema = pa.schema([(name, pa.string()) for name in columns])
        self._convert = pacsv.ConvertOptions(
            column_types=self._schema,
            null_values=list(null_values),
            strings_can_be_null=bool(null_values),
            quoted_strings_can_be_null=True,
        )

    def take(self, data: bytes, target: int | None, at_end: bool) -> Block | None:
        """The whole records at the start of `data`; None where more data is needed.

        The block's `end` is the number of bytes taken.
        """
        cut = plain_cut(data, self._dialect, target, at_end)
        if cut is None:
            return self._by_reader(data, target, at_end)
        if cut == 0:
            return None
        plain = data[:cut]
        batch = self._by_columns(plain)
        if batch is None:
            return self._by_reader(plain, None, at_end=True)
        return self._block(batch, batch.num_rows, cut, self._plain_offsets(plain, batch.num_rows))

    def nothing(self, path: str, position: int) -> Block:
        """A block of no records."""
        block = self._block(self._batch([]), 0, position, list)
        block.source, block.start = path, position
        return block

    def _by_columns(self, data: bytes) -> pa.RecordBatch | None:
        """Plain text by pyarrow; None where a record is too wide, too narrow or does not decode."""
        if bom_length(data):
            # It belongs to the first cell here; pyarrow would take it for the start of a file.
            return None
        dialect = self._dialect
        quoted = dialect.quote in data
        if not dialect.is_utf8:
            try:
                data = data.decode(dialect.encoding).encode()
            except UnicodeDecodeError:
                return None
        try:
            table = pacsv.read_csv(
                pa.BufferReader(data),
                pacsv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=self._columns
                ),
                pacsv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quotechar if quoted else False,
                    newlines_in_values=quoted,
                ),
                self._convert,
            )
        except pa.ArrowInvalid:
            return None
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else self._batch([])

    def _by_reader(self, data: bytes, target: int | None, at_end: bool) -> Block | None:
        records = read_records(data, self._dialect, target, at_end)
        if not records.end:
            return None
        rows, row_records, unparsed = [], [], []
        for number, row in enumerate(records.rows):
            reason = self._defect(row)
            if reason is None:
                rows.append(row)
                row_records.append(number)
            else:
                raw = data[records.offsets[number] : records.ends[number]].rstrip(b"\r\n")
                unparsed.append(Unparsed(number, [reason], self._text(raw)))
        offsets = records.offsets
        block = self._block(self._batch(rows), len(records.rows), records.end, lambda: offsets)
        block.row_records, block.unparsed = row_records if unparsed else None, unparsed
        return block

    def _text(self, raw: bytes) -> str:
        """A record's text, with the bytes that do not decode as `\\xff`."""
        if self._transcoded:
            # Such bytes are lone surrogates by now.
            text = raw.decode("utf-8", "surrogatepass")
            return text.translate({0xDC00 + byte: f"\\x{byte:02x}" for byte in range(256)})
        return raw.decode(self._dialect.encoding, "backslashreplace")

    def _defect(self, row: list[str]) -> Reason | None:
        if len(row) != self.width:
            return {
                "loc": [],
                "type": "csv_width",
                "msg": f"the record has {len(row)} fields, the header has {self.width}",
            }
        for name, cell in zip(self._columns, row, strict=True):
            if not cell.isascii() and not encodes(cell):
                return {
                    "loc": [name],
                    "type": "csv_encoding",
                    "msg": f"the field is not valid {self._dialect.encoding}",
                }
        return None

    def _batch(self, rows: list[list[str]]) -> pa.RecordBatch:
        nulls = self._nulls
        columns = [
            text_array([None if cell in nulls else cell for cell in column] if nulls else column)
            for column in (zip(*rows, strict=True) if rows else [()] * self.width)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _plain_offsets(self, data: bytes, records: int) -> Callable[[], Sequence[int]]:
        def offsets() -> Sequence[int]:
            if self._dialect.quote in data:
                return read_records(data, self._dialect, None, at_end=True).offsets
            return line_offsets(data, records)

        return offsets

    def _block(
        self, batch: pa.RecordBatch, records: int, end: int, offsets: Callable[[], Sequence[int]]
    ) -> Block:
        return Block(
            batch=batch,
            source="",
            records=records,
            row_records=None,
            unparsed=[],
            offsets=offsets,
            start=0,
            end=end,
            bytes_read=0,
        )


class CSVOutputAdapter(TextOutputAdapter):
    """Writes one CSV file: a header, then a line a row, ended by a newline character.

    A cell is the text of the value as JSON gives it (`true`, ISO dates, lists and dicts as JSON);
    None is empty. Quotes are put only where they are needed.

    Delivery: the file appears whole, by a rename, or not at all.

    Args:
        output: the path.
        delimiter: the character between fields.
        quotechar: the character around fields that need it.
        fieldnames: the columns, in order; by default those of the model, else of the input. A row
            with a column that is not among them is rejected; a missing one is empty.
    """

    nonfinite: NonFinite = "constants"

    def __init__(
        self,
        output: str | os.PathLike[str],
        delimiter: str = ",",
        quotechar: str = '"',
        fieldnames: Sequence[str] | None = None,
    ) -> None:
        super().__init__(output)
        self._dialect = Dialect(delimiter, quotechar, "utf-8")
        self._fieldnames = None if fieldnames is None else check_names(fieldnames, "fieldnames")

    def __repr__(self) -> str:
        return f"CSVOutputAdapter({self._output})"

    @property
    def fieldnames(self) -> tuple[str, ...] | None:
        return self._fieldnames

    def framing(self, columns: tuple[str, ...] | None) -> Framing:
        names = self._names(columns)
        header = _CSVEncoder(self._dialect, names).lines([text_array([name]) for name in names], 1)
        return Framing(begin=bytes(header))

    def encoder(self, columns: tuple[str, ...] | None) -> Encoder:
        return _CSVEncoder(self._dialect, self._names(columns))

    def _names(self, columns: tuple[str, ...] | None) -> tuple[str, ...]:
        names = self._fieldnames or columns
        if not names:
            raise DeclarationError(
                f"the columns of {self._output} are not known: give fieldnames=, or the pipe a model"
            )
        return names


class _CSVEncoder:
    """RecordBatches to CSV lines, with the columns `names`."""

    def __init__(self, dialect: Dialect, names: tuple[str, ...]) -> None:
        self._names = names
        self._delimiter = text_scalar(dialect.delimiter)
        self._quote = dialect.quotechar
        self._quote_scalar = text_scalar(dialect.quotechar)
        special = "".join(f"\\x{{{ord(char):x}}}" for char in dialect.delimiter + dialect.quotechar)
        self._needs_quotes = f"[{special}\\r\\n]"

    def __call__(self, batch: pa.RecordBatch) -> Encoded:
        if is_record_batch(batch.schema):
            batch, refused = self._spread(batch)
        elif refused := self._unknown_columns(batch):
            return Encoded((), 0, refused)
        columns = [
            cells(batch.column(name), batch.schema.field(name))
            if name in batch.schema.names
            else pa.nulls(batch.num_rows, pa.string())
            for name in self._names
        ]
        return Encoded([self.lines(columns, batch.num_rows)], batch.num_rows, refused)

    def lines(self, columns: list[pa.StringArray], rows: int) -> memoryview:
        """The bytes of `rows` lines."""
        if rows == 0:
            return memoryview(b"")
        quoted = [self._quoted(column) for column in columns]
        if len(quoted) == 1:
            # An empty line would not read back as a row, so csv.writer quotes it.
            blank = pc.equal(quoted[0], EMPTY)
            if blank.true_count:
                quoted[0] = pc.if_else(blank, text_scalar(self._quote * 2), quoted[0])
        quoted[-1] = concat(quoted[-1], _NEWLINE)
        joined = (
            pc.binary_join_element_wise(*quoted, self._delimiter) if len(quoted) > 1 else quoted[0]
        )
        return text_bytes(joined)

    def _quoted(self, column: pa.StringArray) -> pa.StringArray:
        if column.null_count:
            column = pc.fill_null(column, EMPTY)
        needs = pc.match_substring_regex(column, pattern=self._needs_quotes)
        if not needs.true_count:
            return column
        doubled = pc.replace_substring(column, pattern=self._quote, replacement=self._quote * 2)
        return pc.if_else(needs, concat(self._quote_scalar, doubled, self._quote_scalar), column)

    def _unknown_columns(self, batch: pa.RecordBatch) -> list[tuple[int, Reason]]:
        unknown = [name for name in batch.schema.names if name not in self._names]
        if not unknown:
            return []
        return [(row, self._unknown(unknown)) for row in range(batch.num_rows)]

    def _unknown(self, names: Sequence[str]) -> Reason:
        return {
            "loc": list(names),
            "type": "unknown_column",
            "msg": f"not among the columns of the CSV output: {', '.join(names)}; name them in fieldnames=",
        }

    def _spread(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, list[tuple[int, Reason]]]:
        """Whole rows, and the typed columns beside them, as columns of cells."""
        rows = rows_of(batch.select([0]))
        beside = batch.schema.names[1:]
        known = set(self._names)
        refused, kept = [], []
        for position, row in enumerate(rows):
            unknown = [name for name in row if name not in known]
            if unknown:
                refused.append((position, self._unknown(unknown)))
            else:
                kept.append(position)
        columns: dict[str, Any] = {
            name: text_array([cell_text(rows[position].get(name)) for position in kept])
            for name in self._names
            if name not in beside
        }
        for name in beside:
            column = cells(batch.column(name), batch.schema.field(name))
            columns[name] = column.take(int64_array(kept)) if refused else column
        schema = pa.schema([(name, pa.string()) for name in columns])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema), refused


_NEWLINE = text_scalar("\n")


def check_names(names: Sequence[str], option: str) -> tuple[str, ...]:
    """Column names that a user gave: strings, at least one, none twice."""
    check_texts(names, option)
    if not names:
        raise DeclarationError(f"{option} must name at least one column")
    twice = _repeated(names)
    if twice:
        raise DeclarationError(f"{option} names {', '.join(map(repr, twice))} twice")
    return tuple(names)


def check_texts(values: Sequence[str], option: str) -> None:
    """An option that is a list of strings, of such as can be written."""
    if (
        isinstance(values, str)
        or not isinstance(values, Collection)
        or not all(isinstance(value, str) and encodes(value) for value in values)
    ):
        raise DeclarationError(f"{option} must be a list of strings, not {values!r}")


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def check_header(names: Sequence[str], path: str) -> tuple[str, ...]:
    """Column names that a file gave."""
    if not all(map(encodes, names)):
        raise InputError(f"the header of {path} does not decode: give encoding=")
    blank = [number for number, name in enumerate(names, 1) if not name]
    if blank:
        raise InputError(
            f"the header of {path} has no name for column {blank[0]}: give fieldnames= and skip_rows=1"
        )
    twice = _repeated(names)
    if twice:
        raise InputError(
            f"the header of {path} names {', '.join(map(repr, twice))} twice: "
            "give fieldnames= and skip_rows=1"
        )
    return tuple(names)


def check_counts(**counts: int | None) -> None:
    """Options that count something: whole numbers from 0, or None."""
    for name, value in counts.items():
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or value < 0
        ):
            raise DeclarationError(f"{name} must be a whole number from 0, not {value!r}")
