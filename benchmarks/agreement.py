"""How a contender's output compares with the reference's: the same bytes, or what differs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

Outputs = tuple[Path, Path]


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
    accepted, rejected = outputs
    digest, lines = hashlib.sha256(), 0
    with accepted.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            lines += chunk.count(b"\n")
    return Summary(digest.hexdigest(), lines, _lines(rejected))


def compare(reference: Summary, reference_outputs: Outputs, outputs: Outputs) -> str:
    """A sentence on how `outputs` differ from the reference's; "same bytes" where they do not.

    Rejected rows are compared by their number: each contender has its own form for reasons.
    """
    if not outputs[0].exists():
        return "in parts, not compared"
    found = summarise(outputs)
    text = "same bytes"
    if found.digest != reference.digest:
        text = _differences(reference_outputs[0], outputs[0])
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


def _lines(path: Path) -> int:
    """Lines of a file; 0 where there is none."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
