"""Replay on the command line, as a user calls it; and names that lead out of the target folder."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from oracle import csv_dicts, json_lines, text_lines, validated
from pydantic import BaseModel

from zoopipe import CSVInputAdapter, CSVOutputAdapter, DeclarationError, JSONOutputAdapter, Pipe
from zoopipe.runtime.recovery import clean

JOB = """
from pydantic import BaseModel
from zoopipe import CSVInputAdapter, CSVOutputAdapter, JSONOutputAdapter, Pipe

class User(BaseModel):
    id: int
    name: str

def made(form, error_output):
    return Pipe(
        CSVInputAdapter("users.csv"),
        JSONOutputAdapter(f"users.{form}.jsonl"),
        error_output(f"rejected.{form}"),
        User,
        row_numbers="_row",
    )

jsonl = made("jsonl", JSONOutputAdapter)
csv = made("csv", CSVOutputAdapter)
both = [jsonl, csv]
"""


class User(BaseModel):
    id: int
    name: str


def zoopipe(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoopipe", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def mend(path: Path) -> None:
    """Repairs all that is wrong in a rejects file, but the last row."""
    is_csv = path.suffix == ".csv"
    with open(path, newline="", encoding="utf-8") as file:
        rows: list[Any] = list(csv.DictReader(file)) if is_csv else [json.loads(x) for x in file]
    for row in rows[:-1]:
        if row["_text"]:
            row["_text"] = row["_text"].removesuffix(",surplus")
        else:
            row["id"] = str(int(row["_row"]) - 1)
    with open(path, "w", newline="", encoding="utf-8") as file:
        if is_csv:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize("workers", ["1", "3"])
def test_run_and_replay_give_what_a_clean_file_gives(
    tmp_path: Path, form: str, workers: str
) -> None:
    clean_rows = [[str(n), f"user, \n{n}"] for n in range(1000)]
    dirty = [
        [*row, "surplus"] if n % 200 == 3 else ["x", row[1]] if n % 150 == 5 else row
        for n, row in enumerate(clean_rows)
    ]
    with open(tmp_path / "users.csv", "w", newline="") as file:
        csv.writer(file).writerows([["id", "name"], *dirty])
    (tmp_path / "job.py").write_text(JOB)
    done = zoopipe(tmp_path, "run", f"job:{form}", "--workers", workers)
    assert done.returncode == 0, done.stderr
    last = max(n for n, row in enumerate(dirty) if row != clean_rows[n])
    mend(tmp_path / f"rejected.{form}")
    done = zoopipe(
        tmp_path,
        *("replay", f"rejected.{form}", "--with", f"job:{form}", "--output", "more.jsonl"),
        *("--rejected", f"still.{form}", "--workers", workers, "--ledger", "books.json"),
    )
    assert done.returncode == 0, done.stderr
    lines = text_lines(tmp_path / f"users.{form}.jsonl") + text_lines(tmp_path / "more.jsonl")
    lines.sort(key=lambda line: int(json.loads(line)["_row"]))
    # What Python's csv and pydantic make of the clean file.
    expected, _ = validated((dict(zip(["id", "name"], r, strict=True)) for r in clean_rows), User)
    numbered = [f'{line[:-1]},"_row":{n}}}' for n, line in enumerate(expected, 1)]
    del numbered[last]
    assert lines == numbered
    still = tmp_path / f"still.{form}"
    (left,) = json_lines(still) if form == "jsonl" else csv_dicts(still.read_bytes())
    assert int(left["_row"]) == last + 1
    books = json.loads((tmp_path / "books.json").read_text())["counts"]
    assert books["rejected"] == 1 and books["written"] == len(text_lines(tmp_path / "more.jsonl"))


def test_replay_says_what_is_wrong_with_its_call(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "users.csv").write_text("id,name\nx,ann\n")
    assert zoopipe(tmp_path, "run", "job:jsonl").returncode == 0
    for arguments, sentence in (
        (["rejected.jsonl", "--with", "job:both", "--output", "o.jsonl"], "a list of 2 pipes"),
        (["users.csv", "--with", "job:jsonl", "--output", "o.jsonl"], "reads no rejects"),
        (["nowhere.jsonl", "--with", "job:jsonl", "--output", "o.jsonl"], "nowhere.jsonl"),
        (
            ["rejected.jsonl", "--with", "job:jsonl", "--output", "o.jsonl", "--max-errors", "few"],
            "max_errors must be",
        ),
    ):
        done = zoopipe(tmp_path, "replay", *arguments)
        assert done.returncode == 2, done.stderr
        assert sentence in done.stderr and "Traceback" not in done.stderr
    done = zoopipe(
        tmp_path,
        *("replay", "rejected.jsonl", "--with", "job:jsonl", "--output", "o.jsonl"),
        *("--max-errors", "0"),
    )
    assert done.returncode == 1, done.stderr
    assert not (tmp_path / "o.jsonl").exists()


@pytest.mark.parametrize("kind", [CSVOutputAdapter, JSONOutputAdapter, CSVInputAdapter])
def test_name_with_a_nul_is_refused(kind: Any) -> None:
    with pytest.raises(DeclarationError, match="NUL"):
        kind("a\0b.csv")


def forged(folder: Path, line: dict[str, Any]) -> Path:
    """A staging folder that a dead run seems to have left, with a commit record that somebody made up."""
    staging = folder / "target" / ".out.jsonl.zoopipe"
    staging.mkdir(parents=True)
    (staging / "lock").touch()
    (staging / "stolen").write_text("evil\n")
    begun = {"begun": {"format": 1, "plan": {}, **line.pop("begun", {})}}
    lines = [begun, {"committing": {"published": [], "moves": [], "stale": [], **line}}]
    (staging / "state.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return staging


@pytest.mark.parametrize("name", ["../victim", "/etc/hostname", "..", "", "a\0b", "sub/victim"])
@pytest.mark.parametrize("what", ["target", "staged", "stale"])
def test_names_of_a_commit_record_do_not_lead_out_of_the_folder(
    tmp_path: Path, what: str, name: str
) -> None:
    (tmp_path / "victim").write_text("mine\n")
    if what == "stale":
        record: dict[str, Any] = {"stale": [{"target": name, "rejects": False}]}
    else:
        move = {"staged": "stolen", "target": "fine", "rejects": False, what: name}
        record = {"moves": [move]}
    staging = forged(tmp_path, record)
    (cleaned,) = clean([tmp_path / "target" / "out.jsonl"])
    assert not cleaned.is_gone and "leads out" in cleaned.sentence
    assert staging.exists()
    assert (tmp_path / "victim").read_text() == "mine\n"
    assert sorted(os.listdir(tmp_path / "target")) == [staging.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="to make a folder another user's takes root")
def test_commit_record_of_another_user_is_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "victim").write_text("mine\n")
    record = {
        "begun": {"rejects": str(tmp_path / "private" / "other.jsonl")},
        "stale": [{"target": "victim", "rejects": True}],
    }
    staging = forged(tmp_path, record)
    os.chown(staging, 12345, 12345)
    (cleaned,) = clean([tmp_path / "target"])
    assert not cleaned.is_gone and "another user" in cleaned.sentence
    assert (tmp_path / "private" / "victim").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["shard-00000.attempt-1", "rejects-00001"])
def test_links_planted_in_the_staging_are_not_followed(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine\n")
    (tmp_path / "in.csv").write_text("id,name\nx,ann\n1,bob\n")
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "in.csv"),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        JSONOutputAdapter(tmp_path / "rejected.jsonl"),
        schema_model=User,
    )
    for target in ("out.jsonl", "rejected.jsonl"):
        staging = tmp_path / f".{target}.zoopipe"
        staging.mkdir()
        (staging / "lock").touch()
        (staging / name).symlink_to(victim)
    assert pipe.run().success_count == 1
    assert victim.read_text() == "mine\n"
    assert not (tmp_path / "out.jsonl").is_symlink()
    assert not (tmp_path / "rejected.jsonl").is_symlink()
