"""Rejects in an object store, where nothing can be put back, beside a table: they follow its transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_runs import Item, items, staged, write_items
from s3_server import ENVIRONMENT, S3Server, s3_server
from table_stores import DuckDBStore, duckdb_store

from zoopipe import (
    CSVInputAdapter,
    JSONOutputAdapter,
    OutputError,
    Pipe,
    PipeManager,
    RunFailed,
    SQLOutputAdapter,
)
from zoopipe.adapters.duckdb_database import DuckDB
from zoopipe.runtime.inline import InlineEngine
from zoopipe.runtime.state import StateFile

BAD = range(1, 301, 40)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        with s3_server(tmp_path_factory.mktemp("s3")) as server:
            yield server


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DuckDBStore:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_items(tmp_path / "in.csv", 300, bad=BAD)
    return duckdb_store(tmp_path)


def pipe_of(folder: Path, store: DuckDBStore, s3: S3Server, key: str) -> Pipe:
    return Pipe(
        CSVInputAdapter(folder / "in.csv"),
        store.adapter("t"),
        JSONOutputAdapter(s3.url(key), storage_options=s3.options),
        Item,
    )


def run(pipe: Pipe) -> None:
    PipeManager([pipe], InlineEngine()).run()


def rejected(s3: S3Server, key: str) -> list[int]:
    return [json.loads(line)["_row"] for line in s3.get(key).decode().splitlines()]


def fails(*_: object) -> None:
    raise OutputError("the line is cut")


def test_object_of_rejects_stays_as_it_was_when_the_database_refuses(
    tmp_path, store, s3, monkeypatch
):
    s3.put("refused/bad.jsonl", b"old")
    monkeypatch.setattr(DuckDB, "commit", fails)
    with pytest.raises(RunFailed, match="the line is cut"):
        run(pipe_of(tmp_path, store, s3, "refused/bad.jsonl"))
    assert s3.get("refused/bad.jsonl") == b"old"
    assert s3.keys("refused/") == ["refused/bad.jsonl"]
    assert s3.uploads("refused/") == []
    assert store.tables() == []
    assert staged(tmp_path) == []


def test_rows_are_loaded_once_when_their_rejects_could_not_be_published(
    tmp_path, store, s3, monkeypatch
):
    s3.put("late/bad.jsonl", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "finish", fails)
        with pytest.raises(
            RunFailed, match=r"the line is cut; the tables are loaded: the same run"
        ):
            run(pipe_of(tmp_path, store, s3, "late/bad.jsonl"))
    assert store.rows("t") == items(300, BAD)
    assert s3.get("late/bad.jsonl") == b"old"
    run(pipe_of(tmp_path, store, s3, "late/bad.jsonl"))
    assert store.rows("t") == items(300, BAD)
    assert rejected(s3, "late/bad.jsonl") == list(BAD)
    assert s3.keys("late/") == ["late/bad.jsonl"]
    assert staged(tmp_path) == []


def test_rows_are_not_loaded_again_when_another_run_has_written_the_rejects_meanwhile(
    tmp_path, store, s3, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "finish", fails)
        with pytest.raises(RunFailed):
            run(pipe_of(tmp_path, store, s3, "taken/bad.jsonl"))
    s3.put("taken/bad.jsonl", b"of another run")
    run(pipe_of(tmp_path, store, s3, "taken/bad.jsonl"))
    assert store.rows("t") == items(300, BAD)
    assert s3.get("taken/bad.jsonl") == b"of another run"
    assert staged(tmp_path) == []


def test_object_is_published_when_the_table_has_the_rejects(tmp_path, store, s3):
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "in.csv"),
        JSONOutputAdapter(s3.url("object/out.jsonl"), storage_options=s3.options),
        SQLOutputAdapter(f"sqlite:///{tmp_path / 'bad.db'}", "bad"),
        Item,
    )
    run(pipe)
    assert [json.loads(line) for line in s3.get("object/out.jsonl").splitlines()] == items(300, BAD)
    assert s3.keys("object/") == ["object/out.jsonl"]
    assert staged(tmp_path) == []
