"""The command line, as a user calls it: a process, its exit code, what it leaves on the disk."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xxhash
from oracle import csv_dicts, json_lines, text_lines, validated

from zoopipe.demo import Flight, flights_csv

JOB = """
import os, time
from pydantic import BaseModel
from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe

class User(BaseModel):
    id: int
    name: str

def make(**options):
    return Pipe(
        input_adapter=CSVInputAdapter("users.csv"),
        output_adapter=JSONOutputAdapter("users.jsonl"),
        error_output_adapter=JSONOutputAdapter("rejected.jsonl"),
        schema_model=User,
        **options,
    )

pipe = make()
strict = make(max_errors=0)
pipes = [
    Pipe(input_adapter=CSVInputAdapter("users.csv"), output_adapter=JSONOutputAdapter(f"{name}.jsonl"))
    for name in "ab"
]
missing = Pipe(
    input_adapter=CSVInputAdapter("nowhere.csv"), output_adapter=JSONOutputAdapter("nowhere.jsonl")
)
number = 3

def wait_for_ever(row):
    open(f"waiting-{os.getpid()}", "w").close()
    time.sleep(3600)

hanging = make(pre_validation_hooks=[wait_for_ever])

def wait_once(row):
    return wait_for_ever(row) if row["id"] == "501" else row

partly_hanging = make(pre_validation_hooks=[wait_once])
"""


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(JOB)
    with open(tmp_path / "users.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name"])
        writer.writerows([["x" if n % 50 == 0 else n, f"user\n{n}"] for n in range(1000)])
    return tmp_path


def zoopipe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoopipe", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("target", ["job:pipe", "job:make", "job.py:pipe"])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_run_writes_what_the_row_loop_gives(job: Path, target: str, workers: str) -> None:
    done = zoopipe(job, "run", target, "--workers", workers)
    assert done.returncode == 0, done.stderr
    ids = [row["id"] for row in csv_dicts((job / "users.csv").read_bytes()) if row["id"] != "x"]
    assert [row["id"] for row in json_lines(job / "users.jsonl")] == [int(number) for number in ids]
    assert [row["_row"] for row in json_lines(job / "rejected.jsonl")] == list(range(1, 1001, 50))
    assert done.stdout == ""
    assert "980" in done.stderr


def test_run_publishes_parts_when_not_merging(job: Path) -> None:
    assert zoopipe(job, "run", "job:pipe", "--workers", "2", "--no-merge").returncode == 0
    parts = sorted(path.name for path in job.glob("users_part_*"))
    assert parts == ["users_part_00001.jsonl", "users_part_00002.jsonl"]


def test_run_takes_a_list_of_pipes(job: Path) -> None:
    assert zoopipe(job, "run", "job:pipes").returncode == 0
    assert (job / "a.jsonl").read_bytes() == (job / "b.jsonl").read_bytes() != b""


def test_run_exits_1_and_publishes_nothing_when_a_pipe_fails(job: Path) -> None:
    done = zoopipe(job, "run", "job:strict", "--workers", "2")
    assert done.returncode == 1
    assert "max_errors" in done.stderr and "Traceback" not in done.stderr
    assert not (job / "users.jsonl").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("job", "module:name"),
        ("nothere:pipe", "there is no module 'nothere'"),
        ("nothere.py:pipe", "there is no file"),
        ("job:nothing", "has no 'nothing'"),
        ("job:number", "not a Pipe"),
        ("job:missing", "nowhere.csv"),
    ],
)
def test_run_exits_2_with_one_sentence_when_the_call_is_wrong(
    job: Path, target: str, said: str
) -> None:
    done = zoopipe(job, "run", target)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_run_exits_2_when_the_engine_is_not_there(job: Path) -> None:
    done = zoopipe(job, "run", "job:pipe", "--engine", "steam")
    assert done.returncode == 2
    assert "there is no engine 'steam'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("engine", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_run_exits_2_when_the_package_of_an_engine_is_missing(
    job: Path, engine: str, package: str
) -> None:
    command = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from zoopipe.cli import main; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "run", "job:pipe", "--engine", engine],
        cwd=job,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 2
    assert f"pip install 'zoopipe[{engine}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_stops_its_workers_when_signalled(job: Path, number: int, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoopipe", "run", "job:hanging", "--workers", "2"],
        cwd=job,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 60
    while not list(job.glob("waiting-*")) and time.monotonic() < limit:
        time.sleep(0.02)
    workers = [int(path.name.removeprefix("waiting-")) for path in job.glob("waiting-*")]
    # As a terminal does: to the whole group, workers too, for Ctrl-C.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert workers and not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert not list(job.glob(".users*")) and not (job / "users.jsonl").exists()


def test_record_that_hangs_is_rejected_when_there_is_a_limit(job: Path) -> None:
    options = ("--workers", "2", "--record-timeout", "2")
    done = zoopipe(job, "run", "job:partly_hanging", *options)
    assert done.returncode == 0, done.stderr
    rejects = {row["_row"]: row["_stage"] for row in json_lines(job / "rejected.jsonl")}
    assert rejects == {501 + 1: "worker", **{n + 1: "validate" for n in range(0, 1000, 50)}}
    assert len(json_lines(job / "users.jsonl")) == 1000 - 21


@pytest.mark.parametrize("seconds", ["0", "-1", "soon"])
def test_limit_of_a_record_is_refused_when_it_is_no_time(job: Path, seconds: str) -> None:
    done = zoopipe(job, "run", "job:pipe", "--record-timeout", seconds)
    assert done.returncode == 2
    assert "--record-timeout" in done.stderr


def test_demo_gives_what_a_row_loop_gives(tmp_path: Path) -> None:
    done = zoopipe(tmp_path, "demo", "--workers", "2", "--folder", str(tmp_path))
    assert done.returncode == 0, done.stderr
    rows = csv_dicts(flights_csv(tmp_path).read_bytes())
    assert len(rows) == 336_776
    nulled = [{k: None if v == "NA" else v for k, v in row.items()} for row in rows]
    lines, refused = validated(nulled, Flight)
    assert text_lines(tmp_path / "flights.jsonl") == lines
    rejects = json_lines(tmp_path / "rejected.jsonl")
    assert [(row["_row"], row["_errors"]) for row in rejects] == refused


def test_doctor_says_whether_each_node_can_run_the_pipe(job: Path) -> None:
    done = zoopipe(job, "doctor", "job.py:pipe")
    assert done.returncode == 0, done.stderr
    assert "this machine" in done.stderr
    assert done.stderr.endswith("all nodes can run it\n")
    assert sorted(path.name for path in job.iterdir() if path.name.startswith(".")) == []


def test_doctor_exits_2_when_the_input_is_missing(job: Path) -> None:
    done = zoopipe(job, "doctor", "job.py:missing")
    assert done.returncode == 2
    assert "nowhere.csv" in done.stderr


def test_run_cuts_more_shards_than_workers(job: Path) -> None:
    done = zoopipe(job, "run", "job.py:pipe", "--workers", "2", "--shards", "5", "--no-merge")
    assert done.returncode == 0, done.stderr
    assert len(list(job.glob("users_part_*.jsonl"))) == 5


@pytest.mark.parametrize("name", ["User", "pipe"])
def test_explain_says_how_each_field_is_checked(job: Path, name: str) -> None:
    done = zoopipe(job, "explain", f"job:{name}")
    assert done.returncode == 0, done.stderr
    heading, *fields = done.stdout.splitlines()
    assert heading.split() == ["field", "checked", "in", "why"]
    assert [line.split()[:2] for line in fields] == [["id", "columns"], ["name", "columns"]]


def test_explain_exits_2_when_there_is_no_model(job: Path) -> None:
    done = zoopipe(job, "explain", "job:number")
    assert done.returncode == 2
    assert "must be a pydantic BaseModel class" in done.stderr


def test_help_and_version_are_shown(tmp_path: Path) -> None:
    assert "run" in zoopipe(tmp_path, "--help").stdout
    assert zoopipe(tmp_path, "--version").stdout.startswith("zoopipe")


def test_clean_removes_what_a_killed_run_has_left(job: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "zoopipe", "run", "job:hanging"], cwd=job, stderr=subprocess.DEVNULL
    )
    limit = time.monotonic() + 60
    while not list(job.glob("waiting-*")) and time.monotonic() < limit:
        time.sleep(0.02)
    live = zoopipe(job, "clean", ".")
    assert live.returncode == 1
    assert live.stderr.count(f"another run is writing it (process {process.pid} on ") == 2
    process.kill()
    process.wait()
    dead = zoopipe(job, "clean", "users.jsonl")
    assert dead.returncode == 0
    assert dead.stderr.count("zoopipe: removed") == 2
    assert not list(job.glob(".*zoopipe*"))
    assert zoopipe(job, "clean", ".").stderr == "nothing to clean\n"


def test_clean_exits_2_when_there_is_no_such_folder(job: Path) -> None:
    done = zoopipe(job, "clean", "nowhere/users.jsonl")
    assert done.returncode == 2
    assert "nowhere/users.jsonl: No such file" in done.stderr


def test_ledger_of_a_run_that_failed_is_written(job: Path) -> None:
    done = zoopipe(job, "run", "job:strict", "--ledger", "ledger.json")
    assert done.returncode == 1
    ledger = json.loads((job / "ledger.json").read_text())
    assert ledger["pipes"][0]["published"] == []


def test_ledger_balances_and_has_the_hashes_of_what_is_published(job: Path) -> None:
    assert zoopipe(job, "run", "job:pipe", "-w", "2", "--ledger", "ledger.json").returncode == 0
    ledger = json.loads((job / "ledger.json").read_text())
    counts = ledger["counts"]
    assert (counts["records"], counts["written"], counts["rejected"]) == (1000, 980, 20)
    published = {Path(each["path"]).name: each for each in ledger["pipes"][0]["published"]}
    assert set(published) == {"users.jsonl", "rejected.jsonl"}
    for name, each in published.items():
        data = (job / name).read_bytes()
        assert (each["bytes"], each["xxh64"]) == (len(data), xxhash.xxh64(data).hexdigest())
