"""CSV, read as Python's `csv.reader` reads it and written as `csv.writer` writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pyarrow as pa

from zoopipe.adapters.base import (
    Block,
    FileRange,
    InputAdapter,
    InputPlan,
    Shard,
)
from zoopipe.adapters.csv_encode import CSVEncoder
from zoopipe.adapters.csv_parse import Parser
from zoopipe.adapters.csv_read import RangeReader
from zoopipe.adapters.csv_records import Dialect, read_records
from zoopipe.adapters.cutting import cut_files
from zoopipe.adapters.limits import (
    MAX_COLUMNS,
    MAX_DECOMPRESSION_RATIO,
    MAX_RECORD_BYTES,
    check_limits,
)
from zoopipe.adapters.options import check_counts, check_header, check_names, check_texts
from zoopipe.adapters.text import Encoder, Framing, TextOutputAdapter
from zoopipe.arrays import text_array
from zoopipe.columns import NonFinite, cell_text
from zoopipe.errors import DeclarationError, InputError
from zoopipe.redact import redact
from zoopipe.rows import Row
from zoopipe.storage.files import (
    END,
    ByteSource,
    Compression,
    Source,
    bom_length,
    check_compression,
    check_encoding,
    compression_of,
    find_files,
    is_ascii_transparent,
    source_patterns,
)
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.options import StorageOptions
from zoopipe.storage.urls import check_urls

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
        source: a path or URL, a glob, or a list of them; many files are one input, in order, and all have
            the same header.
        delimiter: the character between fields.
        quotechar: the character around fields.
        skip_rows: how many records to leave out, after the header, from the start of the input.
        fieldnames: the column names of files that have no header: every record is then data.
        limit: read at most this many records of the whole input.
        encoding: a text encoding of Python's.
        null_values: cells that mean None.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`, `.lz4`), None, `gzip`, `bz2`, `zstd`, `lz4`.
        start_byte: read only the records that begin at or after this byte of a single file.
        end_byte: read only the records that begin before this byte of a single file.
        max_record_bytes: a record with more is rejected, with its first 1,024 characters.
        max_columns: a header with more is an error.
        max_decompression_ratio: a file that is decompressed to more than so many times its size is an error.
        storage_options: how URLs are opened: see docs/storage.md.

    Raises:
        DeclarationError: an option is out of range or contradicts another.
    """

    has_delimiters = True

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
        max_record_bytes: int = MAX_RECORD_BYTES,
        max_columns: int = MAX_COLUMNS,
        max_decompression_ratio: int = MAX_DECOMPRESSION_RATIO,
        storage_options: StorageOptions | None = None,
    ) -> None:
        self._patterns = source_patterns(source)
        self._storage = Storage(check_urls(self._patterns, storage_options))
        check_encoding(encoding)
        check_compression(compression)
        check_counts(skip_rows=skip_rows, limit=limit, start_byte=start_byte, end_byte=end_byte)
        if end_byte is not None and end_byte < start_byte:
            raise DeclarationError(f"end_byte {end_byte} is before start_byte {start_byte}")
        check_texts(null_values, "null_values")
        check_limits(
            max_record_bytes=max_record_bytes,
            max_columns=max_columns,
            max_decompression_ratio=max_decompression_ratio,
        )
        self._transcode = None if is_ascii_transparent(encoding) else encoding
        self._dialect = Dialect(delimiter, quotechar, "utf-8" if self._transcode else encoding)
        self._fieldnames = None if fieldnames is None else check_names(fieldnames, "fieldnames")
        self._skip_rows = skip_rows
        self._limit = limit
        self._null_values = tuple(null_values)
        self._compression: Compression = compression
        self._start_byte = start_byte
        self._end_byte = end_byte
        self._max_record_bytes = max_record_bytes
        self._max_columns = max_columns
        self._max_ratio = max_decompression_ratio
        if self._fieldnames is not None and len(self._fieldnames) > max_columns:
            raise DeclarationError(
                f"fieldnames names {len(self._fieldnames):,} columns, and max_columns is {max_columns:,}"
            )

    def __repr__(self) -> str:
        return redact(f"CSVInputAdapter({', '.join(self._patterns)})")

    def plan(self, shards: int) -> InputPlan:
        files = find_files(self._patterns, self._storage)
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
            storage=self._storage,
        )

    def _whole_range(self, path: str, data_start: int, files: int) -> FileRange:
        if not self._cuttable(path):
            if self._start_byte or self._end_byte is not None:
                raise InputError(
                    f"cannot cut {path} at a byte: it is compressed or {self._transcode}"
                )
            return FileRange(path, data_start, END)
        size = self._storage.size(path)
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
        codec = compression_of(path, self._compression)
        return ByteSource(path, codec, self._transcode, self._max_ratio, self._storage)

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
        return check_header(records.rows[0], path, self._max_columns), bom + records.end

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        assert columns is not None, "a CSV plan has columns"
        transcoded = self._transcode is not None
        parser = Parser(self._dialect, columns, self._null_values, transcoded)
        reader = RangeReader(self._dialect, parser, self._max_record_bytes)
        for part in shard.ranges:
            with self._open(shard.file_of(part)) as source:
                if not part.exact and part.start == self._start_byte:
                    part = self._with_exact_start(source, part, reader)
                yield from self._blocks(source, part, reader)

    def restored(self, rows: Sequence[Row], columns: tuple[str, ...] | None) -> pa.RecordBatch:
        return self._text_parser(columns).batch_of(
            [[cell_text(row.get(name)) for name in columns or ()] for row in rows]
        )

    def reparsed(self, texts: Sequence[str], columns: tuple[str, ...] | None) -> list[Block]:
        parser = self._text_parser(columns)
        return [parser.read(text.encode("utf-8", "surrogatepass")) for text in texts]

    def _text_parser(self, columns: tuple[str, ...] | None) -> Parser:
        """A parser of text, which is no bytes of any encoding any more."""
        dialect = Dialect(self._dialect.delimiter, self._dialect.quotechar, "utf-8")
        return Parser(dialect, columns or (), self._null_values, transcoded=False)

    def _blocks(self, source: ByteSource, part: FileRange, reader: RangeReader) -> Iterator[Block]:
        start = part.start
        if self._cuttable(part.path):
            start = start if part.exact else reader.find_start(source, part)
            source.seek(start)
        else:
            source.read(start)
        return reader.blocks(source, part, start)

    def _with_exact_start(
        self, source: ByteSource, part: FileRange, reader: RangeReader
    ) -> FileRange:
        """The range that `start_byte` begins, from where a record does begin.

        No shard before it checks a guess, so that the records before are read, and left out.
        """
        _, data_start = self._header(source.path)
        start = data_start
        for block in self._blocks(source, FileRange(part.path, data_start, part.start), reader):
            start = block.end
        return FileRange(part.path, start, max(part.end, start))


class CSVOutputAdapter(TextOutputAdapter):
    """Writes one CSV file: a header, then a line a row, ended by a newline character.

    A cell is the text of the value as JSON gives it (`true`, ISO dates, lists and dicts as JSON);
    None is empty. Quotes are put only where they are needed.

    Delivery: the file appears whole, in one step, or not at all; docs/storage.md says what that is where.

    Args:
        output: the path or URL.
        delimiter: the character between fields.
        quotechar: the character around fields that need it.
        fieldnames: the columns, in order; by default those of the model, else of the input. A row
            with a column that is not among them is rejected; a missing one is empty.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`, `.lz4`), None, `gzip`, `bz2`, `zstd`, `lz4`.
        storage_options: how a URL is opened: see docs/storage.md.
        escape_formulas: put a `'` before cells that a spreadsheet would take for a formula: those that begin
            with `=`, `+`, `-`, `@`, a tab, a carriage return or a newline, or with one of their full-width
            forms, and that are no plain number. Who reads the file gets other texts than were written.
    """

    nonfinite: NonFinite = "constants"
    needs_columns = True

    def __init__(
        self,
        output: str | os.PathLike[str],
        delimiter: str = ",",
        quotechar: str = '"',
        fieldnames: Sequence[str] | None = None,
        compression: Compression = "infer",
        storage_options: StorageOptions | None = None,
        escape_formulas: bool = False,
    ) -> None:
        super().__init__(output, compression, storage_options)
        self._escapes = escape_formulas
        self._dialect = Dialect(delimiter, quotechar, "utf-8")
        self._fieldnames = None if fieldnames is None else check_names(fieldnames, "fieldnames")

    def __repr__(self) -> str:
        return redact(f"CSVOutputAdapter({self._output})")

    def reader(self, source: str) -> CSVInputAdapter:
        # A cell may hold a whole record that was too long, with each of its quotes doubled.
        most_bytes = 2 * MAX_RECORD_BYTES + (1 << 20)
        dialect = self._dialect
        return CSVInputAdapter(
            source, dialect.delimiter, dialect.quotechar, max_record_bytes=most_bytes
        )

    def lacks(self, columns: Sequence[str]) -> list[str]:
        if self._fieldnames is None:
            return []
        return [name for name in columns if name not in self._fieldnames]

    def framing(self, columns: tuple[str, ...] | None) -> Framing:
        names = self._names(columns)
        encoder = CSVEncoder(self._dialect, names, self._escapes)
        header = encoder.lines([encoder.harmless(text_array([name])) for name in names], 1)
        return Framing(begin=bytes(header))

    def encoder(self, columns: tuple[str, ...] | None) -> Encoder:
        return CSVEncoder(self._dialect, self._names(columns), self._escapes)

    def _names(self, columns: tuple[str, ...] | None) -> tuple[str, ...]:
        names = self._fieldnames or columns
        if not names:
            raise DeclarationError(
                f"the columns of {self._output} are not known: give fieldnames=, or the pipe a model"
            )
        return names
