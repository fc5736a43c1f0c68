"""CSV text to blocks: by pyarrow where that is proved to be right, else by `csv.reader`."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.csv as pacsv

from zoopipe.adapters.base import Block, Unparsed
from zoopipe.adapters.csv_records import Dialect, line_offsets, plain_cut, read_records
from zoopipe.adapters.limits import KEPT_BYTES, head_of, reject_records, too_long
from zoopipe.adapters.offsets import summed_offsets
from zoopipe.arrays import text_array
from zoopipe.reasons import Reason
from zoopipe.storage.files import bom_length, encodes

# Python's reader takes such a record as if the quote were closed at the end of the file. But then one stray
# quote swallows all that follows, and nobody is told.
_UNCLOSED: Reason = {
    "loc": [],
    "type": "csv_unclosed_quote",
    "msg": "a quote is opened and not closed before the end of the file: all of it is this record",
}


class Parser:
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
        return self._block(batch, batch.num_rows, cut, self._plain_offsets(plain, batch))

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
        unclosed = len(records.rows) - 1 if records.is_unclosed else None
        for number, row in enumerate(records.rows):
            reason = _UNCLOSED if number == unclosed else self._defect(row)
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

    def reject_long(self, block: Block, data: bytes, most_bytes: int) -> None:
        """Rejects the records of a block, taken from the start of `data`, that are too long."""
        assert block.offsets is not None, "records of text have places in bytes"
        starts = [*block.offsets(), block.end]
        refused: dict[int, tuple[Reason, str]] = {}
        unclosed = {item.record for item in block.unparsed if _UNCLOSED in item.reasons}
        for record, (start, end) in enumerate(pairwise(starts)):
            if end - start > most_bytes and record not in unclosed:
                raw = data[start:end].rstrip(b"\r\n")
                if len(raw) > most_bytes:
                    refused[record] = too_long(most_bytes), self._head(raw)
        if refused:
            reject_records(block, refused)

    def too_long(self, data: bytes, size: int, is_unclosed: bool, most_bytes: int) -> Block:
        """A block of one record that is too long; `data` is its beginning, and `size` all of its bytes."""
        block = self._block(self._batch([]), 1, size, lambda: [0])
        reason = _UNCLOSED if is_unclosed else too_long(most_bytes)
        block.row_records, block.unparsed = [], [Unparsed(0, [reason], self._head(data))]
        return block

    def _head(self, raw: bytes) -> str:
        return head_of(self._text(raw[:KEPT_BYTES]))

    def _text(self, raw: bytes) -> str:
        """A record's text, with the bytes that do not decode as `\\xff`."""
        if self._transcoded:
            # Such bytes are lone surrogates by now. Half a character may stand at the end of a head.
            text, _ = codecs.utf_8_decode(raw, "surrogatepass", False)
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

    def _plain_offsets(self, data: bytes, batch: pa.RecordBatch) -> Callable[[], Sequence[int]]:
        def offsets() -> Sequence[int]:
            if self._dialect.quote in data and not _is_a_line_each(data, batch.num_rows):
                return read_records(data, self._dialect, None, at_end=True).offsets
            if self._dialect.is_utf8 and (found := summed_offsets(data, batch)) is not None:
                return found
            return line_offsets(data, batch.num_rows)

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


def _is_a_line_each(data: bytes, records: int) -> bool:
    """Whether no newline stands in quotes, and no line is blank: there are as many as records."""
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    return b"\r" not in data and lines == records
