"""Every case of `benchmarks/`, small, with every contender that is installed: none rots.

Outputs are compared, times never.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agreement import compare, summarise
from benchmarks.case import Result
from benchmarks.cases import CASES
from benchmarks.environments import HERE, contenders, python_of
from benchmarks.orders import write_orders
from benchmarks.people import write_people, write_people_as_json
from benchmarks.stopping import ENGINES, seconds_to_stop
from benchmarks.verdicts import Limit, Target, targets

ROWS = 300
CONTESTANTS = sorted(
    {
        (case.name, entry.contender)
        for case in CASES.values()
        for contest in case.contests(ROWS)
        for entry in contest.entries
    }
)
AGREEMENTS = {"same bytes", "same values, other text"}
# Whose output is known to differ from the reference's, in the tables whose title has that text.
# The older package writes what it has not validated where a batch has a rejected row.
DIFFERS = {
    ("validated_copy", "PyPI zoopipe 2026.2.2"): ("1% bad", "other values"),
    ("one_field_validator", "PyPI zoopipe 2026.2.2"): ("1% bad", "other values"),
    ("rich_model", "PyPI zoopipe 2026.2.2"): ("1% bad", "other values"),
    ("validated_copy", "Polars, no validation"): ("0% bad", "other values"),
    ("heavy_hook", "the function alone"): ("one core", "no output"),
    ("clusters", "Ray, two tasks"): ("two rows", "no output"),
    ("clusters", "Dask, two tasks"): ("two rows", "no output"),
}


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


def assert_agrees(case: str, entry: dict[str, Any], title: str) -> None:
    """The entry's output is the reference's, or differs as it is known to."""
    where, known = DIFFERS.get((case, entry["label"]), ("", ""))
    if known and where in title:
        assert entry["agreement"].startswith(known), entry["label"]
    else:
        assert entry["agreement"] in AGREEMENTS, entry["label"]


@pytest.mark.parametrize(("case", "contender"), CONTESTANTS)
def test_case_gives_the_references_output_when_run_small(
    case: str, contender: str, tmp_path: Path
) -> None:
    if python_of(contender) is None:
        pytest.skip(
            f"{contender} needs an environment of its own, and it is not installed: "
            f"make peers, or python -m benchmarks --case {case} --contender {contender}"
        )
    printed, found = run_small(case, contender, tmp_path)
    expected = {
        contest.title: contest
        for contest in CASES[case].contests(ROWS)
        if contender in {entry.contender for entry in contest.entries}
    }
    assert [contest["title"] for contest in found["contests"]] == list(expected)
    for contest in found["contests"]:
        declared = expected[contest["title"]]
        labels = [e.label for e in declared.entries if e.contender == contender]
        assert [entry["label"] for entry in contest["entries"]] == labels
        assert all(label in printed for label in labels)
        if declared.reference:
            for entry in contest["entries"]:
                assert_agrees(case, entry, contest["title"])


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


def test_every_environment_is_of_contenders() -> None:
    tables = tomllib.loads((HERE / "environments.toml").read_text())
    assert set(chain.from_iterable(table["contenders"] for table in tables.values())) <= set(
        contenders()
    )


@pytest.mark.parametrize("write", [write_people, write_people_as_json, write_orders])
def test_input_is_the_same_when_made_twice(
    write: Callable[[Path, int, float], None], tmp_path: Path
) -> None:
    write(tmp_path / "a.csv", ROWS, 0.1)
    write(tmp_path / "b.csv", ROWS, 0.1)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_input_has_its_rows_again_when_blocks_are_repeated(tmp_path: Path) -> None:
    write_people(tmp_path / "one.csv", ROWS, 0.1)
    write_people(tmp_path / "three.csv", ROWS, 0.1, blocks=3)
    header, *rows = (tmp_path / "one.csv").read_bytes().splitlines()
    assert (tmp_path / "three.csv").read_bytes().splitlines() == [header, *rows * 3]


def test_json_input_has_the_rows_of_the_csv_input(tmp_path: Path) -> None:
    write_people(tmp_path / "people.csv", ROWS, 0.1)
    write_people_as_json(tmp_path / "people.jsonl", ROWS, 0.1)
    with (tmp_path / "people.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    lines = (tmp_path / "people.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["email"] for record in records] == [row["email"] for row in rows]
    assert {type(record["age"]) for record in records} == {int, str}


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (2, "mine is 3.00 times as fast as the fastest of 2, b (target 2): met"),
        (4, "mine is 3.00 times as fast as the fastest of 2, b (target 4): NOT MET"),
    ],
)
def test_verdict_is_of_the_fastest_other_when_there_are_several(times: float, said: str) -> None:
    results = {"mine": seconds(1.0, 2.0), "a": seconds(9.0, 9.0), "b": seconds(2.0, 8.0)}
    assert targets(Target(times, ("a", "b"), label="mine"))(results) == [said]


def test_verdict_is_of_what_was_measured_when_entries_are_missing() -> None:
    verdict = targets(Target(2, ("a", "b"), label="mine"), Target(2, ("c",), label="mine"))
    results = {"mine": seconds(1.0), "b": seconds(2.0)}
    assert verdict(results) == ["mine is 2.00 times as fast as the fastest of 1, b (target 2): met"]
    assert verdict({"b": seconds(2.0)}) == []


@pytest.mark.parametrize(
    ("most_s", "said"),
    [
        (2, "mine takes 1.50 s (target: less than 2 s): met"),
        (1.5, "mine takes 1.50 s (target: less than 1.5 s): NOT MET"),
    ],
)
def test_verdict_is_of_the_seconds_when_there_is_a_limit(most_s: float, said: str) -> None:
    verdict = targets(Limit(most_s, label="mine"))
    assert verdict({"mine": seconds(1.0, 2.0)}) == [said]
    assert verdict({"b": seconds(1.0)}) == []


def seconds(*rounds: float) -> Result:
    """A result whose rounds took so long."""
    return Result(
        job_s=sum(rounds) / len(rounds),
        process_s=0.0,
        job_s_all=rounds,
        peak_rss_mib=0.0,
        worker_rss_mib=0.0,
        agreement="",
        versions={},
    )


def write_results(folder: Path, rows: int, rows_per_s: int) -> None:
    """Results of a case with one table, by hand."""
    entries = [{"label": "zoopipe", "rows_per_s": rows_per_s}, {"label": "loop", "rows_per_s": 7}]
    contests = [{"title": "1% bad, one core", "rows": rows, "entries": entries}]
    text = json.dumps({"rows": rows, "contests": contests})
    (folder / f"rich_model-{rows}.json").write_text(text)


def draw_chart(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Draws as a user does, in the repository's root."""
    command = [sys.executable, "-m", "benchmarks.chart", "--results", str(folder), *options]
    return subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)


def test_chart_is_the_same_when_drawn_twice_and_of_the_most_rows(tmp_path: Path) -> None:
    write_results(tmp_path, rows=90, rows_per_s=5)
    write_results(tmp_path, rows=100, rows_per_s=21)
    drawn = []
    for options in ((), ("--rows", "100"), ("--rows", "90")):
        done = draw_chart(tmp_path, *options)
        assert done.returncode == 0, done.stderr
        drawn.append([(tmp_path / name).read_bytes() for name in ("chart.svg", "chart.png")])
    assert drawn[0] == drawn[1]
    assert drawn[1] != drawn[2]


def test_chart_ends_with_an_error_when_there_are_no_results(tmp_path: Path) -> None:
    assert draw_chart(tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_contender_has_one_cpu_unless_its_entry_says_more() -> None:
    cpus = {
        entry.contender: entry.cpus
        for case in CASES.values()
        for contest in case.contests(ROWS)
        for entry in contest.entries
        if entry.cpus != 1
    }
    on_clusters = {"dask_bag_joined", "dask_frame_joined", "ray_data_joined"}
    on_clusters |= {"zoopipe_on_dask", "zoopipe_on_ray"}
    on_all = {"dask_bag", "process_pool", "ray_data", "zoopipe_workers"}
    on_all |= {"peer_zoopipe_to_postgres", "zoopipe_to_postgres"}
    assert cpus == {**dict.fromkeys(on_clusters, 2), **dict.fromkeys(on_all, 0)}


@pytest.mark.parametrize(
    ("accepted", "rejected", "said"),
    [
        (b'{"a":1}\n{"a":2}\n', b"{}\n", "same bytes"),
        (b'{"a": 1}\n{"a": 2}\n', b"{}\n", "same values, other text"),
        (b'{"a":1}\n{"a":"2"}\n', b"{}\n", "other values in 1 of 2 lines"),
        (b'{"a":1}\n', b"{}\n", "other values in 1 of 2 lines"),
        (b'{"a":1}\n{"a":2}\n', b"", "same bytes; 0 rejected rows instead of 1"),
        (b'{"a":1}\n{"a":2}\n', b'{"_row":3}\n', "same bytes; other rows are rejected"),
    ],
)
def test_agreement_says_what_differs_when_outputs_differ(
    accepted: bytes, rejected: bytes, said: str, tmp_path: Path
) -> None:
    reference = (tmp_path / "kept-rows.jsonl", tmp_path / "kept-errors.jsonl")
    outputs = (tmp_path / "out-rows.jsonl", tmp_path / "out-errors.jsonl")
    for path, data in zip(
        (*reference, *outputs),
        (b'{"a":1}\n{"a":2}\n', b'{"_row":2}\n', accepted, rejected),
        strict=True,
    ):
        path.write_bytes(data)
    assert compare(summarise(reference), reference, outputs).startswith(said)


@pytest.mark.parametrize("form", ["csv", "quoted.csv", "jsonl"])
def test_run_is_stopped_before_its_end_when_its_stopping_is_measured(form: str) -> None:
    # The time is printed where it is measured for its own sake; here it only has to be one.
    assert seconds_to_stop(ENGINES["multiprocess"](), form, 400_000) > 0
