"""Tables of results, and the files that keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.case import Case, Contest, Entry, Result
from benchmarks.environments import HERE
from benchmarks.machine import describe
from benchmarks.verdicts import time_ratio

RESULTS = HERE / "results"
_HEADINGS = ("contender", "job s", "x time", "rows/s", "process s", "peak MiB", "output")


def table(contest: Contest, results: Mapping[str, Result]) -> str:
    """The contest's title, a line a contender, what each does not do, and the verdict."""
    first = next(iter(results.values()))
    rows = [_HEADINGS] + [
        _cells(contest, label, result, first) for label, result in results.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    lines = [
        "  ".join(
            cell.ljust(width) if at in (0, last) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([contest.title, *lines, *_notes(contest, results)])


def write(
    path: Path, case: Case, rows: int, repeats: int, measured: Sequence[dict[str, Any]]
) -> None:
    """Writes a case's results as JSON."""
    document = {
        "case": case.name,
        "question": case.question,
        "rows": rows,
        "repeats": repeats,
        "machine": describe(),
        "contests": measured,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def document(contest: Contest, results: Mapping[str, Result]) -> dict[str, Any]:
    """A contest's results, for `write`."""
    entries = {entry.label: entry for entry in contest.entries}
    first = next(iter(results.values()))
    return {
        "title": contest.title,
        "rows": contest.rows,
        "verdict": _verdict(contest, results),
        "entries": [
            {
                "label": label,
                **_ratio_and_speed(contest, result, first),
                "cpus": entries[label].cpus or "all",
                **asdict(result),
                "lacks": entries[label].lacks,
            }
            for label, result in results.items()
        ],
    }


def _ratio_and_speed(contest: Contest, result: Result, first: Result) -> dict[str, float]:
    return {
        "ratio_to_first": round(time_ratio(result, first), 3),
        "rows_per_s": round(contest.rows / result.job_s),
    }


def _cells(contest: Contest, label: str, result: Result, first: Result) -> tuple[str, ...]:
    speed = f"{contest.rows / result.job_s:,.0f}" if contest.rows else ""
    return (
        label,
        f"{result.job_s:.3f}",
        f"{time_ratio(result, first):.2f}",
        speed,
        f"{result.process_s:.3f}",
        f"{result.peak_rss_mib:,.1f}",
        result.agreement.partition(", the first")[0],
    )


def _notes(contest: Contest, results: Mapping[str, Result]) -> list[str]:
    present: list[Entry] = [entry for entry in contest.entries if entry.label in results]
    notes = [f"  {entry.label}: {entry.lacks}" for entry in present if entry.lacks]
    return notes + [f"  {line}" for line in _verdict(contest, results)]


def _verdict(contest: Contest, results: Mapping[str, Result]) -> list[str]:
    return [] if contest.verdict is None else contest.verdict(results)
