"""JSON Lines and JSON arrays."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import (
    Block,
    FileRange,
    InputAdapter,
    InputPlan,
    Shard,
    Unparsed,
)
from zoopipe.adapters.cutting import cut_files
from zoopipe.adapters.json_encode import JSONEncoder
from zoopipe.adapters.offsets import summed_offsets
from zoopipe.adapters.options import check_counts
from zoopipe.adapters.text import Encoder, Framing, TextOutputAdapter
from zoopipe.arrays import EMPTY, text_array, text_of
from zoopipe.columns import record_batch
from zoopipe.errors import DeclarationError, InputError
from zoopipe.reasons import Reason
from zoopipe.storage.files import (
    BLOCK_BYTES,
    END,
    ByteSource,
    Compression,
    Source,
    bom_length,
    check_compression,
    compression_of,
    encodes,
    find_files,
    source_patterns,
)
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.options import StorageOptions
from zoopipe.storage.urls import check_urls

_BLANK = b" \t\r\n"
_HEAD_BYTES = 1 << 16


class JSONInputAdapter(InputAdapter):
    """Reads JSON Lines, or one JSON array of records; the first character of a file says which.

    Each record is read as `json.loads` reads it; one that does not parse is rejected, alone.

    Unit of parallelism: a byte range of JSON Lines; an array, or a compressed file, is read whole.

    Args:
        source: a path or URL, a glob, or a list of them; many files are one input, in order.
        skip_rows: how many records to leave out from the start of the input.
        limit: read at most this many records of the whole input.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`, `.lz4`), None, `gzip`, `bz2`, `zstd`, `lz4`.
        storage_options: how URLs are opened: see docs/storage.md.

    Raises:
        DeclarationError: an option is out of range.
    """

    def __init__(
        self,
        source: Source,
        skip_rows: int = 0,
        limit: int | None = None,
        compression: Compression = "infer",
        storage_options: StorageOptions | None = None,
    ) -> None:
        self._patterns = source_patterns(source)
        self._storage = Storage(check_urls(self._patterns, storage_options))
        check_counts(skip_rows=skip_rows, limit=limit)
        check_compression(compression)
        self._skip_rows = skip_rows
        self._limit = limit
        self._compression: Compression = compression

    def __repr__(self) -> str:
        return f"JSONInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        ranges = []
        for path in find_files(self._patterns, self._storage):
            with self._open(path) as source:
                start, is_array = _sniff(source)
            cuttable = source.codec is None and not is_array
            ranges.append(FileRange(path, start, self._storage.size(path) if cuttable else END))
        plan = cut_files(
            ranges,
            shards,
            columns=None,
            skip=self._skip_rows,
            limit=self._limit,
            read=lambda shard: self.read(shard, None),
            storage=self._storage,
        )
        return replace(plan, head=self._first_names(ranges))

    def _first_names(self, ranges: Sequence[FileRange]) -> tuple[str, ...] | None:
        """The keys of the first record that is an object."""
        for block in self.read(Shard(0, tuple(ranges)), None):
            for text in block.batch.column(0).slice(0, 100).to_pylist():
                try:
                    record = json.loads(text)
                except (ValueError, RecursionError):
                    continue
                if isinstance(record, dict) and all(map(encodes, record)):
                    return tuple(record)
            if block.records:
                break
        return None

    def _open(self, path: str) -> ByteSource:
        return ByteSource(path, compression_of(path, self._compression), storage=self._storage)

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        for part in shard.ranges:
            with self._open(shard.file_of(part)) as source:
                start, is_array = _sniff(source)
            with self._open(shard.file_of(part)) as source:
                blocks = _array_blocks(source, start) if is_array else _line_blocks(source, part)
                for block in blocks:
                    block.source = part.path
                    yield block


def _sniff(source: ByteSource) -> tuple[int, bool]:
    """Where a file's records begin, after a BOM or an array's bracket, and whether it is an array."""
    head = source.read(_HEAD_BYTES)
    start = bom_length(head)
    while not head[start:].strip(_BLANK) and (more := source.read(len(head) or 1)):
        head += more
    is_array = head[start:].lstrip(_BLANK).startswith(b"[")
    return (head.index(b"[") + 1 if is_array else start), is_array


def _line_blocks(source: ByteSource, part: FileRange) -> Iterator[Block]:
    position = part.start
    if source.codec is not None:
        source.read(position)
    elif part.exact:
        source.seek(position)
    else:
        position = _next_line(source, position)
        source.seek(position)
    data, consumed, at_end = b"", source.consumed, False
    start = position
    while position < part.end and not (at_end and not data):
        chunk = source.read(max(BLOCK_BYTES, len(data)))
        at_end, data = not chunk, data + chunk
        if part.end - position <= len(data):
            cut = data.find(b"\n", part.end - position - 1) + 1
        else:
            cut = data.rfind(b"\n") + 1
        if at_end and cut == 0:
            cut = len(data)
        if cut == 0:
            continue
        block = _lines_block(data[:cut], position)
        block.bytes_read = cut if source.codec is None else source.consumed - consumed
        consumed = source.consumed
        yield block
        position, data = position + cut, data[cut:]
    if position == start:
        yield _lines_block(b"", position)


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


def _lines_block(data: bytes, position: int) -> Block:
    try:
        records = _records_of(data)
    except pa.ArrowInvalid:
        lines = [record for line in data.split(b"\n") if (record := line.strip(_BLANK))]
        return _block(lines, lambda: _line_offsets(data), position, position + len(data))
    batch = record_batch(records)
    return Block(
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


def _records_of(data: bytes) -> pa.StringArray:
    """The lines that are not blank, without the blanks around them.

    Raises:
        pa.ArrowInvalid: `data` is not UTF-8.
    """
    lines = pc.split_pattern(text_of(data), pattern="\n").values
    records = pc.ascii_trim(lines, characters=_BLANK.decode())
    if data.endswith(b"\n"):
        records = records.slice(0, len(records) - 1)
    present = pc.not_equal(records, EMPTY)
    return records if present.true_count == len(records) else records.filter(present)


def _line_offsets(data: bytes) -> list[int]:
    """Where each line that is not blank begins."""
    offsets, offset = [], 0
    for line in data.split(b"\n"):
        if line.strip(_BLANK):
            offsets.append(offset)
        offset += len(line) + 1
    return offsets


_SPACE = re.compile(rb"[ \t\r\n]*")
# An object without nested ones: most records of most files, found in one match.
_FLAT = re.compile(rb'\{[^{}\[\]"]*+(?:"(?:[^"\\]|\\.)*+"[^{}\[\]"]*+)*+\}', re.DOTALL)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{},]|"', re.DOTALL)


def _array_blocks(source: ByteSource, start: int) -> Iterator[Block]:
    """The elements of an array, each whole, found by brackets and strings alone.

    So an element that is no JSON is one rejected record, and its neighbours are unharmed.
    """
    source.read(start)
    base, data, at_end, closed, found_any, consumed = start, b"", False, False, False, 0
    while not closed:
        records: list[bytes] = []
        offsets: list[int] = []
        position = 0
        while True:
            begin = _after_space(data, position)
            if not found_any and data[begin : begin + 1] == b"]":
                closed, position = True, begin + 1
                break
            end = _element_end(data, begin)
            if end is None:
                break
            found_any = True
            records.append(data[begin:end].rstrip(_BLANK))
            offsets.append(begin)
            position = end + 1
            if data[end : end + 1] == b"]":
                closed = True
                break
        if records or closed:
            block = _block(records, offsets.copy, base, base + position)
            block.bytes_read, consumed = source.consumed - consumed, source.consumed
            yield block
            base, data = base + position, data[position:]
        elif at_end:
            raise InputError(f"{source.path} is cut short: its array does not end (byte {base})")
        chunk = source.read(max(BLOCK_BYTES, len(data)))
        at_end, data = not chunk, data + chunk
    while not data.strip(_BLANK) and (data := source.read(BLOCK_BYTES)):
        pass
    if data:
        raise InputError(f"{source.path} goes on after the end of its array, at byte {base}")


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


def _block(
    records: list[bytes], offsets: Callable[[], Sequence[int]], start: int, end: int
) -> Block:
    texts: list[str] = []
    row_records: list[int] = []
    unparsed: list[Unparsed] = []
    for number, record in enumerate(records):
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
    return Block(
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


class JSONOutputAdapter(TextOutputAdapter):
    """Writes JSON Lines or one JSON array, in UTF-8, each row as the model's `model_dump_json` gives it.

    Delivery: the file appears whole, in one step, or not at all; docs/storage.md says what that is where.

    Args:
        output: the path or URL.
        format: `jsonl` or `array`; by default from the extension, `.json` is an array, also before `.gz`.
        indent: spaces to indent the elements of an array by.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`, `.lz4`), None, `gzip`, `bz2`, `zstd`, `lz4`.
        storage_options: how a URL is opened: see docs/storage.md.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        format: Literal["jsonl", "array"] | None = None,
        indent: int | None = None,
        compression: Compression = "infer",
        storage_options: StorageOptions | None = None,
    ) -> None:
        super().__init__(output, compression, storage_options)
        if format not in (None, "jsonl", "array"):
            raise DeclarationError(f"format must be 'jsonl' or 'array', not {format!r}")
        by_extension = "array" if self._extension() == ".json" else "jsonl"
        self._format = format or by_extension
        check_counts(indent=indent)
        if indent is not None and self._format == "jsonl":
            raise DeclarationError("indent is for arrays: a row of JSON Lines is one line")
        self._indent = indent

    def __repr__(self) -> str:
        return f"JSONOutputAdapter({self._output})"

    def framing(self, columns: tuple[str, ...] | None) -> Framing:
        if self._format == "jsonl":
            return Framing()
        return Framing(begin=b"[", between=b",\n", end=b"]\n", end_empty=b"]\n")

    def encoder(self, columns: tuple[str, ...] | None) -> Encoder:
        if self._format == "jsonl":
            return JSONEncoder("\n")
        return JSONEncoder(",\n", self._indent)
