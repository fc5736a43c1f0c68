"""`zoopipe convert`: any format to any other in one line."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import json_lines

from zoopipe.convert import rejects_beside

MODEL = """
from pydantic import BaseModel

class User(BaseModel):
    id: int
    name: str
"""


def convert(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoopipe", "convert", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models.py").write_text(MODEL)
    with open(tmp_path / "users.csv", "w", newline="") as file:
        csv.writer(file).writerows([("id", "name"), (1, "Ada"), ("x", "Bob"), (3, "Cleo\nD")])
    return tmp_path


def test_rows_are_checked_and_rejects_stand_beside_the_output(folder):
    done = convert(
        folder, "users.csv", "out/users.jsonl", "--model", "models:User", "--workers", "2"
    )
    assert done.returncode == 0, done.stderr
    assert json_lines(folder / "out/users.jsonl") == [
        {"id": 1, "name": "Ada"},
        {"id": 3, "name": "Cleo\nD"},
    ]
    (rejected,) = json_lines(folder / "out/users.rejected.jsonl")
    assert (rejected["id"], rejected["_row"]) == ("x", 2)


def test_rows_pass_as_they_are_without_a_model(folder):
    assert convert(folder, "users.csv", "users.json").returncode == 0
    rows = json.loads((folder / "users.json").read_text())
    assert [row["id"] for row in rows] == ["1", "x", "3"]
    assert convert(folder, "users.json", "back.tsv").returncode == 0
    with open(folder / "back.tsv", newline="") as file:
        assert list(csv.DictReader(file, delimiter="\t")) == rows


def test_formats_and_options_can_be_named(folder):
    (folder / "rows").write_text("1;Ada\n")
    done = convert(
        *(folder, "rows", "rows.out", "--from", "csv", "--to", "json"),
        *("--in-option", "delimiter=;", "--in-option", 'fieldnames=["id", "name"]'),
        *("--out-option", "format=array", "--rejected", "bad.csv"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((folder / "rows.out").read_text()) == [{"id": "1", "name": "Ada"}]
    assert (folder / "bad.csv").exists()


def test_too_many_errors_publish_nothing(folder):
    done = convert(folder, "users.csv", "u.jsonl", "--model", "models.py:User", "--max-errors", "0")
    assert done.returncode == 1
    assert not (folder / "u.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("users.csv", "users.what"), "users.what does not say which format"),
        (("missing.csv", "out.jsonl"), "missing.csv"),
        (("users.csv", "out.jsonl", "--in-option", "delimiter"), "not of the form name=value"),
        (("users.csv", "out.jsonl", "--in-option", "nonsense=1"), "does not take these options"),
        (("users.csv", "out.jsonl", "--model", "models:Nobody"), "has no 'Nobody'"),
    ],
)
def test_wrong_call_is_one_sentence(folder, arguments, sentence):
    done = convert(folder, *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("target", "rejected"),
    [
        ("out.parquet", "out.rejected.jsonl"),
        ("a.b/out.csv.gz", "a.b/out.rejected.jsonl"),
        ("/data/out", "/data/out.rejected.jsonl"),
        ("s3://bucket/a/out.parquet", "s3://bucket/a/out.rejected.jsonl"),
        ("db/shop.duckdb#users", "db/shop.users.rejected.jsonl"),
        ("postgresql://me:secret@host/shop#users", "shop.users.rejected.jsonl"),
    ],
)
def test_rejects_have_a_place_of_their_own(target, rejected):
    assert rejects_beside(target) == rejected
