"""JSON text to blocks: lines, or the elements of an array; in memory is never more than a long record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import Block, FileRange, Unparsed
from zoopipe.adapters.json_skip import BLANK, STRING, Capped, ElementEnd, head_of_bytes
from zoopipe.adapters.limits import head_of, reject_records, too_long, too_wide
from zoopipe.adapters.offsets import summed_offsets
from zoopipe.arrays import EMPTY, text_array, text_of
from zoopipe.columns import record_batch
from zoopipe.errors import InputError
from zoopipe.reasons import Reason
from zoopipe.records import parse_records
from zoopipe.storage.files import BLOCK_BYTES, ByteSource, bom_length

_HEAD_BYTES = 1 << 16
# `"":0,` is the shortest that a key can be.
_KEY_BYTES = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a record may be.

    Attributes:
        record_bytes: without the blanks around it.
        columns: the keys of an object; one that comes twice counts once.
    """

    record_bytes: int
    columns: int

    @property
    def harmless_bytes(self) -> int:
        """A record with no more bytes is within all limits."""
        return min(self.record_bytes, self.columns * _KEY_BYTES)


def sniff(source: ByteSource) -> tuple[int, bool]:
    """Where a file's records begin, after a BOM or an array's bracket, and whether it is an array."""
    head = source.read(_HEAD_BYTES)
    bom = position = bom_length(head)
    head = head[bom:] or source.read(_HEAD_BYTES)
    while head and not head.lstrip(BLANK):
        position, head = position + len(head), source.read(_HEAD_BYTES)
    text = head.lstrip(BLANK)
    if not text.startswith(b"["):
        return bom, False
    return position + len(head) - len(text) + 1, True


def line_blocks(source: ByteSource, part: FileRange, limits: Limits) -> Iterator[Block]:
    """The lines that begin in a range."""
    position = part.start
    if not part.exact:
        position = _next_line(source, position)
    _go_to(source, position)
    data, consumed, at_end, is_empty = b"", 0, False, True
    while position < part.end:
        cut = _whole_lines(data, part.end - position, at_end, limits)
        if cut:
            block, data = _lines_block(data[:cut], position, limits), data[cut:]
        elif len(data) > limits.record_bytes:
            block, data = _long_line(source, data, position, limits)
        elif at_end:
            break
        else:
            chunk = source.read(_more(len(data), limits))
            at_end, data = not chunk, data + chunk
            continue
        position, is_empty = block.end, False
        block.bytes_read = block.end - block.start
        if not source.is_raw:
            block.bytes_read, consumed = source.consumed - consumed, source.consumed
        yield block
    if is_empty:
        yield _lines_block(b"", position, limits)


def _whole_lines(data: bytes, left: int, at_end: bool, limits: Limits) -> int:
    """How many bytes of `data` are whole lines, up to the first that ends `left` bytes on or later."""
    cut = data.find(b"\n", left - 1) + 1 if left <= len(data) else data.rfind(b"\n") + 1
    if not cut and at_end:
        return len(data)
    if not cut and len(data) > limits.record_bytes:
        # The line there may be too long, but those before it are not.
        cut = data.rfind(b"\n") + 1
    return cut


def _more(held: int, limits: Limits) -> int:
    """How much to read: ever more at a time for a long record, until it is known to be too long."""
    return min(max(BLOCK_BYTES, held), max(limits.record_bytes + 1 - held, BLOCK_BYTES))


def _go_to(source: ByteSource, position: int) -> None:
    """Goes to a byte of what a source gives; nothing was read of it so far, where it is compressed."""
    if source.codec is None:
        source.seek(position)
        return
    while position and (skipped := len(source.read(min(position, BLOCK_BYTES)))):
        position -= skipped


def _next_line(source: ByteSource, offset: int) -> int:
    """Where the first line that begins at or after `offset` begins."""
    position = offset - 1
    source.seek(position)
    while chunk := source.read(_HEAD_BYTES):
        found = chunk.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(chunk)
    return position


def _long_line(
    source: ByteSource, data: bytes, position: int, limits: Limits
) -> tuple[Block, bytes]:
    """The line that `data` is the beginning of, and what was read behind it."""
    record, size, chunk = Capped(limits.record_bytes), 0, data
    while not (end := chunk.find(b"\n") + 1) and chunk:
        record.feed(chunk)
        size, chunk = size + len(chunk), source.read(BLOCK_BYTES)
    record.feed(chunk[:end])
    size += end
    block = _lines_block(b"" if record.is_long else record.record, position, limits)
    block.end = position + size
    if record.is_long:
        _reject_long(block, record, 0, limits)
    return block, chunk[end:]


def _reject_long(block: Block, record: Capped, offset: int, limits: Limits) -> None:
    """Puts a record that is too long into a block that has none, at `offset` from the block's start."""
    block.records, block.row_records, block.offsets = 1, [], lambda: [offset]
    block.unparsed = [Unparsed(0, [too_long(limits.record_bytes)], record.head)]


def _lines_block(data: bytes, position: int, limits: Limits) -> Block:
    try:
        records = _records_of(data)
    except pa.ArrowInvalid:
        lines = [record for line in data.split(b"\n") if (record := line.strip(BLANK))]
        end = position + len(data)
        return _block(lines, lambda: _line_offsets(data), position, end, limits)
    batch = record_batch(records)
    block = Block(
        batch=batch,
        source="",
        records=len(records),
        row_records=None,
        unparsed=[],
        offsets=lambda: summed_offsets(data, batch) or _line_offsets(data),
        start=position,
        end=position + len(data),
        bytes_read=0,
    )
    _reject_beyond(block, limits)
    return block


def _records_of(data: bytes) -> pa.StringArray:
    """The lines that are not blank, without the blanks around them.

    Raises:
        pa.ArrowInvalid: `data` is not UTF-8.
    """
    lines = pc.split_pattern(text_of(data), pattern="\n").values
    records = pc.ascii_trim(lines, characters=BLANK.decode())
    if data.endswith(b"\n"):
        records = records.slice(0, len(records) - 1)
    present = pc.not_equal(records, EMPTY)
    return records if present.true_count == len(records) else records.filter(present)


def _line_offsets(data: bytes) -> list[int]:
    """Where each line that is not blank begins."""
    offsets, offset = [], 0
    for line in data.split(b"\n"):
        if line.strip(BLANK):
            offsets.append(offset)
        offset += len(line) + 1
    return offsets


_SPACE = re.compile(rb"[ \t\r\n]*")
# An object without nested ones: most records of most files, found in one match.
_FLAT = re.compile(rb'\{[^{}\[\]"]*+(?:' + STRING + rb'[^{}\[\]"]*+)*+\}', re.DOTALL)
_TOKEN = re.compile(STRING + rb'|[\[\]{},"]', re.DOTALL)


def array_blocks(source: ByteSource, start: int, limits: Limits) -> Iterator[Block]:
    """The elements of an array, each whole, found by brackets and strings alone.

    So an element that is no JSON is one rejected record, and its neighbours are unharmed.

    Raises:
        InputError: the array does not end where the file does.
    """
    _go_to(source, start)
    # `data` begins at byte `position`; what stands between it and `base` is blank.
    base = position = start
    data, at_end, found_any, consumed = b"", False, False, 0
    while True:
        found = _elements(data, found_any)
        if found.begins or found.is_closed:
            offsets = [position - base + begin for begin in found.begins]
            position += found.end
            block = _block(found.records, offsets.copy, base, position, limits)
            data = data[found.end :]
        else:
            blank = _after_space(data, 0)
            position, data = position + blank, data[blank:]
            if at_end:
                raise InputError(
                    f"{source.path} is cut short: its array does not end (byte {base})"
                )
            if len(data) <= limits.record_bytes:
                chunk = source.read(_more(len(data), limits))
                at_end, data = not chunk, data + chunk
                continue
            block, data, found.is_closed = _long_element(source, data, base, position, limits)
            position = block.end
        found_any, base = True, position
        block.bytes_read, consumed = source.consumed - consumed, source.consumed
        yield block
        if found.is_closed:
            break
    while not data.strip(BLANK) and (data := source.read(BLOCK_BYTES)):
        pass
    if data:
        raise InputError(f"{source.path} goes on after the end of its array, at byte {base}")


@dataclass(slots=True)
class _Elements:
    """The whole elements at the start of some data.

    Attributes:
        records: the text of each.
        begins: where each begins.
        end: behind the comma or bracket after the last one.
        is_closed: whether that was the bracket.
    """

    records: list[bytes]
    begins: list[int]
    end: int = 0
    is_closed: bool = False


def _elements(data: bytes, found_any: bool) -> _Elements:
    """The elements of `data`; `found_any` where others came before it."""
    found = _Elements([], [])
    while not found.is_closed:
        begin = _after_space(data, found.end)
        if not found_any and not found.begins and data[begin : begin + 1] == b"]":
            found.is_closed, found.end = True, begin + 1
            break
        end = _element_end(data, begin)
        if end is None:
            break
        found.records.append(data[begin:end].rstrip(BLANK))
        found.begins.append(begin)
        found.end, found.is_closed = end + 1, data[end : end + 1] == b"]"
    return found


def _after_space(data: bytes, position: int) -> int:
    match = _SPACE.match(data, position)
    return match.end() if match else position


def _element_end(data: bytes, begin: int) -> int | None:
    """Where the comma or bracket after an element stands; None where it is not in `data`."""
    flat = _FLAT.match(data, begin)
    if flat is not None:
        end = _after_space(data, flat.end())
        if data[end : end + 1] in (b",", b"]"):
            return end
    depth = 0
    for match in _TOKEN.finditer(data, begin):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
        elif depth == 0 and token in (b",", b"]"):
            return match.start()
        elif token in (b"}", b"]"):
            # A bracket too many breaks its own element, not those that follow.
            depth = max(depth - 1, 0)
        elif token == b'"':
            return None
    return None


def _long_element(
    source: ByteSource, data: bytes, base: int, position: int, limits: Limits
) -> tuple[Block, bytes, bool]:
    """The element that `data` is the beginning of, what was read behind it, and whether it is the last.

    Raises:
        InputError: the file ends within it.
    """
    record, element, size, chunk = Capped(limits.record_bytes), ElementEnd(), 0, data
    while (end := element.feed(chunk)) is None:
        record.feed(chunk)
        size, chunk = size + len(chunk), source.read(BLOCK_BYTES)
        if not chunk:
            raise InputError(f"{source.path} is cut short: its array does not end (byte {base})")
    record.feed(chunk[:end])
    stop, offset = position + size + end + 1, position - base
    records = [] if record.is_long else [record.record]
    block = _block(records, lambda: [offset], base, stop, limits)
    if record.is_long:
        _reject_long(block, record, offset, limits)
    return block, chunk[end + 1 :], chunk[end : end + 1] == b"]"


def _block(
    records: list[bytes],
    offsets: Callable[[], Sequence[int]],
    start: int,
    end: int,
    limits: Limits,
) -> Block:
    """A block of records of which some may be too long, or not be UTF-8."""
    texts: list[str] = []
    row_records: list[int] = []
    unparsed: list[Unparsed] = []
    for number, record in enumerate(records):
        if len(record) > limits.record_bytes:
            reasons = [too_long(limits.record_bytes)]
            unparsed.append(Unparsed(number, reasons, head_of_bytes(record)))
            continue
        try:
            texts.append(record.decode())
            row_records.append(number)
        except UnicodeDecodeError as error:
            reason: Reason = {
                "loc": [],
                "type": "json_encoding",
                "msg": f"not valid UTF-8: {error.reason}",
            }
            unparsed.append(Unparsed(number, [reason], record.decode("utf-8", "backslashreplace")))
    block = Block(
        batch=record_batch(text_array(texts)),
        source="",
        records=len(records),
        row_records=row_records if unparsed else None,
        unparsed=unparsed,
        offsets=offsets,
        start=start,
        end=end,
        bytes_read=0,
    )
    _reject_beyond(block, limits)
    return block


def _reject_beyond(block: Block, limits: Limits) -> None:
    """Rejects those records of a block's batch that are beyond a limit."""
    records = block.batch.column(0)
    sizes = pc.binary_length(records)
    longest = pc.max(sizes).as_py()
    if longest is None or longest <= limits.harmless_bytes:
        return
    rows = block.row_records or range(block.records)
    refused: dict[int, tuple[Reason, str]] = {}
    for row, size in enumerate(sizes.to_pylist()):
        if size <= limits.harmless_bytes:
            continue
        text = records[row].as_py()
        if size > limits.record_bytes:
            refused[rows[row]] = too_long(limits.record_bytes), head_of(text)
        elif (keys := _keys_of(text, limits.columns)) > limits.columns:
            refused[rows[row]] = too_wide(keys, limits.columns), text
    if refused:
        reject_records(block, refused)


def _keys_of(text: str, most: int) -> int:
    """How many keys an object has, where that may be more than `most`; else, and of all that is none, 0."""
    if text.count(":") <= most:
        return 0
    values = parse_records([text]).values
    return len(values[0]) if values and isinstance(values[0], dict) else 0
