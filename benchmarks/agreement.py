"""How a contender's output compares with the reference's: the same bytes, or what differs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

Outputs = tuple[Path, Path]
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of a pair of outputs, accepted rows and rejected rows.

    Attributes:
        digest: SHA-256 of the accepted rows' file.
        rejected: lines of the rejected rows' file.
    """

    digest: str
    rejected: int


def summarise(outputs: Outputs) -> Summary:
    """Reads both outputs once."""
    digest = hashlib.sha256()
    for chunk in _chunks(outputs[0]):
        digest.update(chunk)
    return Summary(digest.hexdigest(), sum(chunk.count(b"\n") for chunk in _chunks(outputs[1])))


def compare(reference: Summary, reference_outputs: Outputs, outputs: Outputs) -> str:
    """A sentence on how `outputs` differ from the reference's; "same bytes" where they do not.

    Rejected rows are compared by their places in the input (`_row`), where a contender says them,
    and by their number: each has its own form for reasons.
    """
    if not _files(outputs[0]):
        return "no output"
    found = summarise(outputs)
    text = "same bytes"
    if found.digest != reference.digest:
        text = _differences(reference_outputs[0], outputs[0])
    if found.rejected != reference.rejected:
        return f"{text}; {found.rejected:,} rejected rows instead of {reference.rejected:,}"
    places = _places(outputs[1])
    if places and places != _places(reference_outputs[1]):
        return f"{text}; other rows are rejected, or said to stand elsewhere"
    return text


def _differences(reference: Path, output: Path) -> str:
    """What differs between two outputs in JSON Lines: values first, text only where values agree."""
    lines = other_values = 0
    example = ""
    for expected, got in zip_longest(_lines(reference), _lines(output), fillvalue=b"null"):
        lines += 1
        if expected != got and (wanted := json.loads(expected)) != (had := json.loads(got)):
            other_values += 1
            example = example or f"{had} instead of {wanted}"
    if not other_values:
        return "same values, other text"
    return f"other values in {other_values:,} of {lines:,} lines, the first: {example}"


def _places(rejected: Path) -> list[int]:
    """Where each rejected row stands in the input; none where the contender does not say."""
    rows = map(json.loads, _lines(rejected))
    return [int(row["_row"]) for row in rows if "_row" in row]


def _lines(output: Path) -> Iterator[bytes]:
    for name in _files(output):
        with name.open("rb") as file:
            if file.read(4) == b"PAR1":
                yield from _parquet_lines(name)
            else:
                file.seek(0)
                yield from file


def _parquet_lines(path: Path) -> Iterator[bytes]:
    """The rows of a Parquet file as JSON."""
    import pyarrow.parquet as pq
    from pydantic_core import to_json

    for batch in pq.ParquetFile(path).iter_batches():
        yield from map(to_json, batch.to_pylist())


def _chunks(output: Path) -> Iterator[bytes]:
    for name in _files(output):
        with name.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


def _files(output: Path) -> list[Path]:
    """The files of an output, in their order: one, its parts, or those of a folder, or none."""
    if output.is_dir():
        return sorted(output.iterdir())
    return [output] if output.exists() else sorted(output.parent.glob(f"{output.stem}_part_*"))
