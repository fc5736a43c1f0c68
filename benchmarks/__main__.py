"""The command: `python -m benchmarks --rows 500000 --repeats 5`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.case import Case, Contest, Entry, Result
from benchmarks.cases import CASES
from benchmarks.environments import contenders
from benchmarks.measure import measure
from benchmarks.results import RESULTS, document, table, write


def main() -> None:
    """Measures the cases that were asked for, prints their tables, writes their results."""
    options = _parse()
    for name in options.case or CASES:
        case = CASES[name]
        print(f"\n{case.name}: {case.question}", flush=True)
        repeats = min(options.repeats, case.most_repeats or options.repeats)
        measured = _measure_case(case, options.rows, repeats, options.contender)
        if measured:
            path = options.results / f"{case.name}-{options.rows}.json"
            write(path, case, options.rows, repeats, [document(*pair) for pair in measured])


def _measure_case(
    case: Case, rows: int, repeats: int, contenders: list[str] | None
) -> list[tuple[Contest, dict[str, Result]]]:
    measured = []
    for contest in case.contests(rows):
        entries = _chosen(contest, contenders)
        if not entries:
            print(f"{contest.title}: none of the contenders asked for")
            continue
        results = measure(contest, entries, repeats, _say)
        print(f"\n{table(contest, results)}", flush=True)
        measured.append((contest, results))
    return measured


def _chosen(contest: Contest, contenders: list[str] | None) -> list[Entry]:
    return [e for e in contest.entries if contenders is None or e.contender in contenders]


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000, help="rows of the inputs")
    parser.add_argument("--repeats", type=int, default=5, help="how often each entry runs")
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be repeated")
    parser.add_argument(
        "--contender", action="append", choices=contenders(), help="may be repeated"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON files")
    options = parser.parse_args()
    for name in ("rows", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


if __name__ == "__main__":
    main()
