"""JSON Lines and JSON arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from zoopipe.adapters.base import Block, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.cutting import cut_files
from zoopipe.adapters.json_encode import JSONEncoder
from zoopipe.adapters.json_read import Limits, array_blocks, line_blocks, sniff
from zoopipe.adapters.limits import (
    MAX_COLUMNS,
    MAX_DECOMPRESSION_RATIO,
    MAX_RECORD_BYTES,
    check_limits,
)
from zoopipe.adapters.options import check_counts
from zoopipe.adapters.text import Encoder, Framing, TextOutputAdapter
from zoopipe.errors import DeclarationError
from zoopipe.records import parse_records
from zoopipe.storage.files import (
    END,
    ByteSource,
    Compression,
    Source,
    check_compression,
    compression_of,
    encodes,
    find_files,
    source_patterns,
)


class JSONInputAdapter(InputAdapter):
    """Reads JSON Lines, or one JSON array of records; the first character of a file says which.

    Each record is read as `json.loads` reads it, but for NaN and Infinity, which are no JSON; one that does not
    parse is rejected, alone. Lists and objects may be 200 deep within each other.

    Unit of parallelism: a byte range of JSON Lines; an array, or a compressed file, is read whole.

    Args:
        source: a path, a glob, or a list of them; many files are one input, in order.
        skip_rows: how many records to leave out from the start of the input.
        limit: read at most this many records of the whole input.
        compression: `infer` (by extension: `.gz`, `.bz2`, `.zst`), None, `gzip`, `bz2`, `zstd`.
        max_record_bytes: a record with more is rejected, with its first 1,024 characters.
        max_columns: a record with more keys is rejected.
        max_decompression_ratio: a file that is decompressed to more than so many times its size is an error.

    Raises:
        DeclarationError: an option is out of range.
    """

    def __init__(
        self,
        source: Source,
        skip_rows: int = 0,
        limit: int | None = None,
        compression: Compression = "infer",
        max_record_bytes: int = MAX_RECORD_BYTES,
        max_columns: int = MAX_COLUMNS,
        max_decompression_ratio: int = MAX_DECOMPRESSION_RATIO,
    ) -> None:
        self._patterns = source_patterns(source)
        check_counts(skip_rows=skip_rows, limit=limit)
        check_compression(compression)
        check_limits(
            max_record_bytes=max_record_bytes,
            max_columns=max_columns,
            max_decompression_ratio=max_decompression_ratio,
        )
        self._limits = Limits(max_record_bytes, max_columns)
        self._max_ratio = max_decompression_ratio
        self._skip_rows = skip_rows
        self._limit = limit
        self._compression: Compression = compression

    def __repr__(self) -> str:
        return f"JSONInputAdapter({', '.join(self._patterns)})"

    def plan(self, shards: int) -> InputPlan:
        ranges = []
        for path in find_files(self._patterns):
            with self._open(path) as source:
                start, is_array = sniff(source)
            cuttable = source.codec is None and not is_array
            ranges.append(FileRange(path, start, os.path.getsize(path) if cuttable else END))
        plan = cut_files(
            ranges,
            shards,
            columns=None,
            skip=self._skip_rows,
            limit=self._limit,
            read=lambda shard: self.read(shard, None),
        )
        return replace(plan, head=self._first_names(ranges))

    def _first_names(self, ranges: Sequence[FileRange]) -> tuple[str, ...] | None:
        """The keys of the first record that is an object."""
        for block in self.read(Shard(0, tuple(ranges)), None):
            for text in block.batch.column(0).slice(0, 100).to_pylist():
                for record in parse_records([text]).values:
                    if isinstance(record, dict) and all(map(encodes, record)):
                        return tuple(record)
            if block.records:
                break
        return None

    def _open(self, path: str) -> ByteSource:
        codec = compression_of(path, self._compression)
        return ByteSource(path, codec, max_ratio=self._max_ratio)

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        for part in shard.ranges:
            with self._open(shard.file_of(part)) as source:
                start, is_array = sniff(source)
            with self._open(shard.file_of(part)) as source:
                if is_array:
                    blocks = array_blocks(source, start, self._limits)
                else:
                    blocks = line_blocks(source, part, self._limits)
                for block in blocks:
                    block.source = part.path
                    yield block


class JSONOutputAdapter(TextOutputAdapter):
    """Writes JSON Lines or one JSON array, in UTF-8, each row as the model's `model_dump_json` gives it.

    Delivery: the file appears whole, by a rename, or not at all.

    Args:
        output: the path.
        format: `jsonl` or `array`; by default from the extension, `.json` is an array.
        indent: spaces to indent the elements of an array by.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        format: Literal["jsonl", "array"] | None = None,
        indent: int | None = None,
    ) -> None:
        super().__init__(output)
        if format not in (None, "jsonl", "array"):
            raise DeclarationError(f"format must be 'jsonl' or 'array', not {format!r}")
        by_extension = "array" if self._output.lower().endswith(".json") else "jsonl"
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
