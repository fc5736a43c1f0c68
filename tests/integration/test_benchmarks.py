"""Every case of `benchmarks/`, small, with every contender that is installed: none rots.

Outputs are compared, times never.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agreement import compare, summarise
from benchmarks.cases import CASES
from benchmarks.environments import HERE, contenders, python_of
from benchmarks.people import write_people

ROWS = 300
CONTESTANTS = sorted(
    {
        (case.name, entry.contender)
        for case in CASES.values()
        for contest in case.contests(ROWS)
        for entry in contest.entries
    }
)
# The older package writes what it has not validated, so that its output is known to differ here.
DIFFERS = {("validated_copy", "peer_zoopipe", f"{ROWS} rows, 1% bad")}


def run_command(results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user does, in the repository's root."""
    command = [sys.executable, "-m", "benchmarks", "--results", str(results), *options]
    return subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)


def run_small(case: str, contender: str, results: Path) -> tuple[str, dict[str, Any]]:
    """What the command prints, and the results that it writes."""
    options = ("--case", case, "--contender", contender, "--rows", str(ROWS), "--repeats", "1")
    done = run_command(results, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((results / f"{case}-{ROWS}.json").read_bytes())


@pytest.mark.parametrize(("case", "contender"), CONTESTANTS)
def test_case_gives_the_references_output_when_run_small(
    case: str, contender: str, tmp_path: Path
) -> None:
    if python_of(contender) is None:
        pytest.skip(
            f"{contender} needs an environment of its own, and it is not installed: "
            f"python -m benchmarks --case {case} --contender {contender} --rows {ROWS}"
        )
    printed, found = run_small(case, contender, tmp_path)
    expected = {contest.title: contest for contest in CASES[case].contests(ROWS)}
    assert [contest["title"] for contest in found["contests"]] == list(expected)
    for contest in found["contests"]:
        declared = expected[contest["title"]]
        labels = [e.label for e in declared.entries if e.contender == contender]
        assert [entry["label"] for entry in contest["entries"]] == labels
        assert all(label in printed for label in labels)
        if declared.reference and (case, contender, contest["title"]) not in DIFFERS:
            assert {entry["agreement"] for entry in contest["entries"]} == {"same bytes"}


def test_results_say_what_machine_but_not_which_when_written(tmp_path: Path) -> None:
    _, found = run_small("start_up", "zoopipe_start_up", tmp_path)
    assert set(found["machine"]) == {"cpu", "cpus", "memory_gib", "system"}
    assert {"python", "zoopipe"} <= set(found["contests"][0]["entries"][0]["versions"])
    assert str(HERE.parent) not in json.dumps(found)
    assert str(tmp_path) not in json.dumps(found)


def test_command_ends_with_an_error_when_there_is_no_such_contender(tmp_path: Path) -> None:
    done = run_command(tmp_path, "--contender", "nobody")
    assert done.returncode == 2
    assert "nobody" in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_contender_file_takes_part_in_a_case() -> None:
    assert set(contenders()) == {contender for _, contender in CONTESTANTS}


def test_every_case_file_is_registered() -> None:
    files = {path.stem for path in (HERE / "cases").glob("*.py")} - {"__init__"}
    assert files == set(CASES)


def test_input_is_the_same_when_made_twice(tmp_path: Path) -> None:
    write_people(tmp_path / "a.csv", ROWS, 0.1)
    write_people(tmp_path / "b.csv", ROWS, 0.1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_input_has_its_rows_again_when_blocks_are_repeated(tmp_path: Path) -> None:
    write_people(tmp_path / "one.csv", ROWS, 0.1)
    write_people(tmp_path / "three.csv", ROWS, 0.1, blocks=3)
    header, *rows = (tmp_path / "one.csv").read_bytes().splitlines()
    assert (tmp_path / "three.csv").read_bytes().splitlines() == [header, *rows * 3]


@pytest.mark.parametrize(
    ("accepted", "rejected", "said"),
    [
        (b'{"a":1}\n{"a":2}\n', b"{}\n", "same bytes"),
        (b'{"a": 1}\n{"a": 2}\n', b"{}\n", "same values, other text"),
        (b'{"a":1}\n{"a":"2"}\n', b"{}\n", "other values in 1 of 2 lines"),
        (b'{"a":1}\n', b"{}\n", "other values in 1 of 2 lines"),
        (b'{"a":1}\n{"a":2}\n', b"", "same bytes; 0 rejected rows instead of 1"),
    ],
)
def test_agreement_says_what_differs_when_outputs_differ(
    accepted: bytes, rejected: bytes, said: str, tmp_path: Path
) -> None:
    reference = (tmp_path / "kept-rows.jsonl", tmp_path / "kept-errors.jsonl")
    outputs = (tmp_path / "out-rows.jsonl", tmp_path / "out-errors.jsonl")
    for path, data in zip(
        (*reference, *outputs),
        (b'{"a":1}\n{"a":2}\n', b"{}\n", accepted, rejected),
        strict=True,
    ):
        path.write_bytes(data)
    assert compare(summarise(reference), reference, outputs).startswith(said)
