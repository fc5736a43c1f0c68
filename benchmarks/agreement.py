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
        accepted, rejected: lines of each file.
    """

    digest: str
    accepted: int
    rejected: int


def summarise(outputs: Outputs) -> Summary:
    """Reads both outputs once."""
    digest, counts = hashlib.sha256(), []
    for output in outputs:
        counts.append(0)
        for chunk in _chunks(output):
            if output is outputs[0]:
                digest.update(chunk)
            counts[-1] += chunk.count(b"\n")
    return Summary(digest.hexdigest(), *counts)


def compare(reference: Summary, reference_outputs: Outputs, outputs: Outputs) -> str:
    """A sentence on how `outputs` differ from the reference's; "same bytes" where they do not.

    Rejected rows are compared by their number: each contender has its own form for reasons.
    """
    found = summarise(outputs)
    if found.digest == reference.digest:
        text = "same bytes"
    elif outputs[0].exists():
        text = _differences(reference_outputs[0], outputs[0])
    else:
        text = "other bytes, in parts"
    if found.rejected != reference.rejected:
        text += f"; {found.rejected:,} rejected rows instead of {reference.rejected:,}"
    return text


def _differences(reference: Path, output: Path) -> str:
    """What differs between two files of JSON Lines, values first, text only where values agree."""
    lines = other_values = 0
    example = ""
    with reference.open("rb") as theirs, output.open("rb") as ours:
        for expected, got in zip_longest(theirs, ours, fillvalue=b"null"):
            lines += 1
            if expected != got and (wanted := json.loads(expected)) != (had := json.loads(got)):
                other_values += 1
                example = example or f"{had} instead of {wanted}"
    if not other_values:
        return "same values, other text"
    return f"other values in {other_values:,} of {lines:,} lines, the first: {example}"


def _chunks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, or of its parts in their order; none where there is neither."""
    files = [path] if path.exists() else sorted(path.parent.glob(f"{path.stem}_part_*"))
    for name in files:
        with name.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
