"""What a record of a CSV file is: Python's `csv.reader` decides, and a proof may stand in for it.

`csv.reader` is an automaton over characters, and counting quotes does not follow it: a quote inside
an unquoted field is literal. So text is taken by columns only where its quoting is *plain* (each
quote opens at a field's start or closes at its end, doubled ones between), which one linear regular
expression proves; there the two agree. All other text is given to `csv.reader` itself.
"""

from __future__ import annotations

import csv
import os
import re
import threading
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.errors import DeclarationError
from zoopipe.storage.files import encodes, is_ascii_transparent, is_utf8

_TERMINATOR = re.compile(rb"\r\n|\n|\r")
_FIELD_LIMIT = 1 << 30
_field_limit_lock = threading.Lock()


@dataclass(frozen=True)
class Dialect:
    """How a CSV text is to be read.

    Attributes:
        delimiter, quotechar: one character each.
        encoding: the encoding of the bytes that the record functions see.
        columnar: whether pyarrow can read text that is proved plain (both characters are ASCII).
    """

    delimiter: str
    quotechar: str
    encoding: str
    columnar: bool = field(init=False)
    quote: bytes = field(init=False)
    plain_pattern: str = field(init=False)

    def __post_init__(self) -> None:
        for name in ("delimiter", "quotechar"):
            value = getattr(self, name)
            if (
                not isinstance(value, str)
                or len(value) != 1
                or value in "\r\n"
                or not encodes(value)
            ):
                raise DeclarationError(
                    f"{name} must be one character, and no newline, not {value!r}"
                )
        if self.delimiter == self.quotechar:
            raise DeclarationError(f"delimiter and quotechar are both {self.delimiter!r}")
        if is_utf8(self.encoding):
            # `utf-8-sig` would put a BOM before the quote; a file's own BOM is skipped by its reader.
            object.__setattr__(self, "encoding", "utf-8")
        columnar = (
            self.delimiter.isascii()
            and self.quotechar.isascii()
            and "\0" not in (self.delimiter, self.quotechar)
            and is_ascii_transparent(self.encoding)
        )
        quote, delimiter = _class_escape(self.quotechar), _class_escape(self.delimiter)
        cell = f"(?:{quote}(?:[^{quote}]|{quote}{quote})*{quote}|[^{quote}{delimiter}\\r\\n]*)"
        object.__setattr__(self, "columnar", columnar)
        object.__setattr__(self, "quote", self.quotechar.encode(self.encoding, "replace"))
        object.__setattr__(self, "plain_pattern", rf"\A(?:{cell}[{delimiter}\r\n])*{cell}\z")

    @property
    def is_utf8(self) -> bool:
        """Whether the bytes are UTF-8 already."""
        return is_utf8(self.encoding)

    def reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        """Python's own reader over lines that keep their ends."""
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quotechar)


def _class_escape(char: str) -> str:
    return f"\\x{{{ord(char):x}}}"


def _renew_lock() -> None:
    global _field_limit_lock
    _field_limit_lock = threading.Lock()


# A worker forked while another thread reads must not inherit a lock that nobody will release.
os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Lifts the csv module's limit of 128 KiB a field, which is global, for one stretch of reading."""
    with _field_limit_lock:
        previous = csv.field_size_limit(_FIELD_LIMIT)
        try:
            yield
        finally:
            csv.field_size_limit(previous)


def is_plain(data: bytes, dialect: Dialect) -> bool:
    """Whether the quoting of `data`, which begins at a record, is proved plain to its end."""
    if dialect.quote not in data:
        return True
    return bool(pc.match_substring_regex(_as_array(data), pattern=dialect.plain_pattern)[0].as_py())


def plain_cut(data: bytes, dialect: Dialect, target: int | None, at_end: bool) -> int | None:
    """Where whole records of `data`, which begins at a record, end, if plain quoting proves it.

    Args:
        target: cut at the first boundary at or after this offset; None for the last one there is.
        at_end: nothing follows `data` in the file.

    Returns:
        The cut; 0 where `data` holds no boundary that fits; None where `csv.reader` must decide.
    """
    if not dialect.columnar:
        return None
    cut = _boundary_after(data, target - 1, at_end) if target else _last_boundary(data, at_end)
    if cut == 0 or dialect.quote not in data[:cut]:
        return cut
    quote = dialect.quote
    quotes = data.count(quote, 0, cut)
    while quotes % 2:
        # In plain text an odd count means that the newline is inside a quoted field: the next quote
        # closes it, the last one opened it, and all lines between are inside.
        if at_end and cut == len(data):
            return None
        if target:
            closing = data.find(quote, cut)
            following = _boundary_after(data, closing, at_end) if closing >= 0 else 0
            quotes += data.count(quote, cut, following or len(data))
            cut = following
        else:
            previous = data.rfind(b"\n", 0, data.rfind(quote, 0, cut)) + 1
            quotes -= data.count(quote, previous, cut)
            cut = previous
        if cut == 0:
            break
    if cut == 0:
        # Either a quoted field that goes on beyond the data, or quoting that is not plain.
        return 0 if not at_end and is_plain(data + quote, dialect) else None
    return cut if is_plain(data[:cut], dialect) else None


def _boundary_after(data: bytes, position: int, at_end: bool) -> int:
    """The end of the first line terminator that ends after `position`, 0 if there is none yet."""
    match = _TERMINATOR.search(data, position)
    if match is None:
        return len(data) if at_end else 0
    if match.end() == len(data) and match[0] == b"\r" and not at_end:
        return 0
    return match.end()


def _last_boundary(data: bytes, at_end: bool) -> int:
    if at_end:
        return len(data)
    newline = data.rfind(b"\n") + 1
    # A carriage return at the very end may be the first half of a CRLF.
    return newline or data.rfind(b"\r", 0, max(len(data) - 1, 0)) + 1


@dataclass(slots=True)
class Records:
    """Records as `csv.reader` gives them.

    Attributes:
        rows: the cells of each record that is not a blank line; bytes that do not decode are
            lone surrogates.
        offsets: where each of them begins in the data.
        ends: where each of them ends.
        end: where the last whole record, blank lines included, ends.
        is_unclosed: whether the last record ends inside of quotes, with the input.
    """

    rows: list[list[str]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    end: int = 0
    is_unclosed: bool = False


def read_records(
    data: bytes, dialect: Dialect, target: int | None, at_end: bool, most: int | None = None
) -> Records:
    """The whole records of `data`, which begins at a record, by `csv.reader`.

    Args:
        target: stop at the first boundary at or after this offset; None to read all.
        at_end: nothing follows `data`, so that an unfinished last record is a record.
        most: stop after this many records.
    """
    # bytes.splitlines knows just \n, \r and \r\n; str.splitlines would also split at U+2028.
    lines = data.splitlines(keepends=True)
    if lines and not at_end and not lines[-1].endswith(b"\n"):
        lines.pop()
    starts = array("q", [0])
    exhausted = False

    def decoded() -> Iterator[str]:
        nonlocal exhausted
        for line in lines:
            starts.append(starts[-1] + len(line))
            yield line.decode(dialect.encoding, "surrogateescape")
        exhausted = True

    records = Records()
    with _long_fields():
        for row in dialect.reader(decoded()):
            if exhausted and not at_end:
                break
            # The reader has asked for more: the last line ends inside of quotes.
            records.is_unclosed = exhausted
            if row:
                records.rows.append(row)
                records.offsets.append(records.end)
                records.ends.append(starts[-1])
            records.end = starts[-1]
            if target is not None and records.end >= target:
                break
            if most is not None and len(records.rows) >= most:
                break
    return records


def guess_start(window: bytes, dialect: Dialect, width: int, at_end: bool) -> int | None:
    """Where a record probably begins in `window`, whose first byte precedes the place asked for.

    Two readings are tried, that the window begins outside and inside of a quoted field; the one
    under which more records have `width` fields wins. It is a guess: the neighbour's end checks it.

    Returns:
        An offset in `window`, at least 1; None where a longer window is needed.
    """
    outside = _boundary_after(window, 0, at_end) or None
    if outside is None or dialect.quote not in window:
        return outside
    opened = dialect.quote + window[1:]
    shift = len(dialect.quote) - 1
    first = read_records(opened, dialect, None, at_end, most=1)
    if not first.ends:
        return outside
    inside = first.ends[0] - shift
    sane_outside = _share_of_width(window[outside:], dialect, width, at_end)
    sane_inside = _share_of_width(window[inside:], dialect, width, at_end)
    return inside if sane_inside > sane_outside else outside


def _share_of_width(data: bytes, dialect: Dialect, width: int, at_end: bool) -> float:
    rows = read_records(data, dialect, None, at_end).rows
    # A reading under which nothing can be read is worse than any other.
    return sum(len(row) == width for row in rows) / len(rows) if rows else -1.0


class _LineOffsets(Sequence[int]):
    """Where lines begin, out of the lengths that Arrow found when it split them."""

    def __init__(self, lines: pa.Array) -> None:
        self._count = len(lines)
        self._ends = memoryview(lines.buffers()[1]).cast("i")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._count))]
        # Arrow's offsets leave out the newline of every line before.
        return self._ends[index] + index


def line_offsets(data: bytes, records: int) -> Sequence[int]:
    """Where the records of text without quotes begin; `records` says how many there are."""
    terminated = data.endswith(b"\n")
    if b"\r" not in data or data.count(b"\r") == data.count(b"\r\n"):
        lines = pc.split_pattern(_as_array(data), pattern="\n").values
        if len(lines) - terminated == records:
            return _LineOffsets(lines)
    lines = data.splitlines(keepends=True)
    starts = accumulate(map(len, lines), initial=0)
    return [start for start, line in zip(starts, lines, strict=False) if line.strip(b"\r\n")]


def _as_array(data: bytes) -> pa.BinaryArray:
    """The bytes as an array of one value, not copied."""
    offsets = pa.py_buffer(array("i", (0, len(data))).tobytes())
    return pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)])
