"""The blocks of a byte range of CSV, each of whole records; in memory is never more than a long one."""

from __future__ import annotations

from collections.abc import Iterator

from zoopipe.adapters.base import Block, FileRange
from zoopipe.adapters.csv_parse import Parser
from zoopipe.adapters.csv_records import Dialect, guess_start
from zoopipe.adapters.csv_skip import RecordEnd
from zoopipe.adapters.limits import KEPT_BYTES
from zoopipe.storage.files import BLOCK_BYTES, ByteSource

_WINDOW_BYTES = 1 << 16
# A place where a record begins is looked for in so much at most; a line that is longer is no place.
_MOST_WINDOW_BYTES = 1 << 22


class RangeReader:
    """Reads ranges of files.

    Args:
        dialect: how they are written.
        parser: makes blocks of bytes.
        most_bytes: of a record; a longer one is rejected, and left out without being held.
    """

    def __init__(self, dialect: Dialect, parser: Parser, most_bytes: int) -> None:
        self._dialect = dialect
        self._parser = parser
        self._most_bytes = most_bytes

    def blocks(self, source: ByteSource, part: FileRange, start: int) -> Iterator[Block]:
        """The records that begin in a range; `source` stands at `start`, where the first one begins."""
        position, data, at_end, is_empty = start, b"", False, True
        consumed = 0
        while position < part.end:
            block = self._take(data, part.end - position, at_end) if data else None
            if block is not None:
                data = data[block.end :]
            elif len(data) > self._most_bytes + 1:
                # A carriage return at the end, which may be half of a CRLF, is not of the record.
                block, data = self._skip(source, data)
            elif at_end:
                break
            else:
                chunk = source.read(self._more(len(data)))
                at_end, data = not chunk, data + chunk
                continue
            taken = block.end
            block.source, block.start, block.end = part.path, position, position + taken
            block.bytes_read = taken
            if not source.is_raw:
                block.bytes_read, consumed = source.consumed - consumed, source.consumed
            yield block
            position, is_empty = position + taken, False
        if is_empty:
            yield self._parser.nothing(part.path, position)

    def _take(self, data: bytes, left: int, at_end: bool) -> Block | None:
        """The whole records at the start of `data`, up to the first that ends `left` bytes on or later."""
        target = left if left <= len(data) else None
        block = self._parser.take(data, target, at_end)
        if block is None and target is not None and len(data) > self._most_bytes:
            # The record at the target may be too long, but those before it are not.
            block = self._parser.take(data, None, at_end)
        if block is not None and block.end > self._most_bytes:
            self._parser.reject_long(block, data, self._most_bytes)
        return block

    def _more(self, held: int) -> int:
        """How much to read: ever more at a time for a long record, until it is known to be too long."""
        return min(max(BLOCK_BYTES, held), max(self._most_bytes + 2 - held, BLOCK_BYTES))

    def _skip(self, source: ByteSource, data: bytes) -> tuple[Block, bytes]:
        """The record at the start of `data`, which is too long, rejected; and what was read behind it."""
        record, head, size, chunk = RecordEnd(self._dialect), b"", 0, data
        end = record.feed(data)
        if end is not None:
            # A blank line that stands before it.
            block = self._take(data[:end], end, at_end=True)
            assert block is not None, "it is whole"
            return block, data[end:]
        while end is None and chunk:
            if len(head) < KEPT_BYTES:
                head += chunk
            size += len(chunk)
            chunk = source.read(BLOCK_BYTES)
            end = record.feed(chunk, at_end=not chunk)
        end = end or 0
        if len(head) < KEPT_BYTES:
            head = (head + chunk[:end]).rstrip(b"\r\n")
        block = self._parser.too_long(head, size + end, record.is_quoted, self._most_bytes)
        return block, chunk[end:]

    def find_start(self, source: ByteSource, part: FileRange) -> int:
        """The first place at or after a range's start where a record begins, as a good guess."""
        size, width = _WINDOW_BYTES, self._parser.width
        while True:
            source.seek(part.start - 1)
            window = source.read(size)
            if not window:
                # The file has shrunk since it was planned; the ledger will say so.
                return part.start
            found = guess_start(window, self._dialect, width, at_end=len(window) < size)
            if found is not None:
                return part.start - 1 + found
            if size >= _MOST_WINDOW_BYTES:
                return part.start - 1 + _after_newline(source, window)
            size *= 4


def _after_newline(source: ByteSource, window: bytes) -> int:
    """The end of the first line in what follows a window that has none, counted from its start."""
    before, chunk = len(window), source.read(BLOCK_BYTES)
    while chunk and b"\n" not in chunk:
        before, chunk = before + len(chunk), source.read(BLOCK_BYTES)
    return before + chunk.find(b"\n") + 1
