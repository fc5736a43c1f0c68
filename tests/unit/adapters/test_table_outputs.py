"""Tables as outputs: types, upserts, what a database would not hold; and passwords, which never show."""

from __future__ import annotations

import json
import logging
import math
import pickle
from pathlib import Path

import pytest
from conformance.formats import TYPES
from oracle import json_lines
from postgres import PASSWORD
from pydantic import BaseModel
from table_stores import postgres_store, sqlite_store

from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    OutputError,
    Pipe,
    PipeManager,
    SQLInputAdapter,
    SQLOutputAdapter,
)
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.everything import Everything, everything


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return sqlite_store(tmp_path)
    return postgres_store(request.getfixturevalue("postgres_server"), tmp_path)


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return JSONInputAdapter(path)


def run(source, output, folder, shards=1, **options):
    pipe = Pipe(source, output, JSONOutputAdapter(folder / "bad.jsonl"), **options)
    return PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=shards).run()


class Row(BaseModel):
    id: int | None
    part: str
    note: str | None = None


UPSERTS = [
    {"id": 1, "part": "a", "note": "first"},
    {"id": 2, "part": "a", "note": "only"},
    {"id": 1, "part": "b", "note": "other part"},
    {"id": None, "part": "a", "note": "no key"},
    {"id": 1, "part": "a", "note": "last"},
]


@pytest.mark.parametrize("shards", [1, 3])
def test_upsert_changes_rows_of_the_same_key_and_the_last_of_the_input_wins(
    tmp_path, store, shards
):
    source = lines(tmp_path / "in.jsonl", UPSERTS)
    output = store.adapter("t", mode="upsert", key=["id", "part"])
    for _ in range(2):
        run(source, output, tmp_path, shards, schema_model=Row)
        found = sorted((row["id"], row["part"], row["note"]) for row in store.rows("t"))
        assert found == [(1, "a", "last"), (1, "b", "other part"), (2, "a", "only")]
        (reject,) = json_lines(tmp_path / "bad.jsonl")
        assert (reject["_row"], reject["_stage"]) == (4, "write")
    run(lines(tmp_path / "in.jsonl", [{"id": 2, "part": "a"}]), output, tmp_path, schema_model=Row)
    assert {"id": 2, "part": "a", "note": None} in store.rows("t")


def test_upsert_without_a_unique_key_is_refused_before_a_row_is_read(tmp_path, store):
    store.execute("CREATE TABLE t (id BIGINT, part VARCHAR(10), note VARCHAR(10))")
    output = store.adapter("t", mode="upsert", key="id")
    with pytest.raises(OutputError, match="no primary key or unique index on id"):
        run(lines(tmp_path / "in.jsonl", UPSERTS), output, tmp_path, schema_model=Row)


def test_key_and_mode_go_together():
    for options in ({"mode": "upsert"}, {"key": "id"}, {"mode": "append", "key": "id"}):
        with pytest.raises(DeclarationError, match="key="):
            SQLOutputAdapter("sqlite:///x.db", "t", **options)
    with pytest.raises(DeclarationError, match="mode must be one of"):
        SQLOutputAdapter("sqlite:///x.db", "t", mode="other")


def test_every_type_is_stored_in_postgresql_and_comes_back(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    rows = everything(bad=0)
    source = tmp_path / "in.jsonl"
    expected = [Everything.model_validate(row) for row in rows]
    source.write_text("".join(row.model_dump_json() + "\n" for row in expected))
    run(JSONInputAdapter(source), store.adapter("t"), tmp_path, 3, schema_model=Everything)
    back = SQLInputAdapter(store.uri, table_name="t", partition_column="id")
    output = JSONOutputAdapter(tmp_path / "out.jsonl")
    run(back, output, tmp_path, 3, schema_model=Everything)
    found = [Everything.model_validate(row) for row in json_lines(tmp_path / "out.jsonl")]
    assert found == expected
    kinds = store.execute(
        "SELECT column_name || ' ' || udt_name FROM information_schema.columns WHERE table_name = 't'"
    ).split("\n")
    assert {"price numeric", "key uuid", "took interval", "tags _text", "place json"} <= set(kinds)
    assert len(TYPES) <= len(kinds)


def test_what_the_database_would_not_hold_refuses_its_row(tmp_path, store):
    class Odd(BaseModel):
        id: int
        text: str
        number: float

    (tmp_path / "in.csv").write_bytes(b"id,text,number\n1,a,1.5\n2,b\0c,2.5\n3,d,nan\n4,e,4.5\n")
    run(CSVInputAdapter(tmp_path / "in.csv"), store.adapter("t"), tmp_path, schema_model=Odd)
    refused = [row["_row"] for row in json_lines(tmp_path / "bad.jsonl")]
    found = {row["id"]: row for row in store.rows("t")}
    if "sqlite" in store.adapter("t").output:
        assert refused == [3]
        assert found[2]["text"] == "b\0c"
    else:
        assert refused == [2]
        assert math.isnan(float(found[3]["number"]))
    assert found[4] == {"id": 4, "text": "e", "number": 4.5}


def test_numbers_that_a_column_does_not_hold_refuse_their_row(tmp_path, postgres_server):
    class Small(BaseModel):
        id: int

    store = postgres_store(postgres_server, tmp_path)
    store.execute("CREATE TABLE t (id smallint)")
    source = lines(tmp_path / "in.jsonl", [{"id": 1}, {"id": 40_000}, {"id": -32_768}])
    run(source, store.adapter("t"), tmp_path, schema_model=Small)
    assert [row["id"] for row in store.rows("t")] == [1, -32_768]
    assert [row["_row"] for row in json_lines(tmp_path / "bad.jsonl")] == [2]


def test_names_are_quoted_and_schemas_found(tmp_path, store):
    odd = 'a "quoted"; DROP TABLE x; --'
    rows = [{odd: 1, "select": "b", "Case": 2}]
    run(lines(tmp_path / "in.jsonl", rows), store.adapter('od"d'), tmp_path)
    assert store.rows('"od""d"') == rows


def test_table_of_a_schema_is_written_and_read(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    store.execute("CREATE SCHEMA sales")
    run(lines(tmp_path / "in.jsonl", [{"id": 1}]), store.adapter("sales.t"), tmp_path)
    assert store.rows("sales.t") == [{"id": 1}]
    source = SQLInputAdapter(store.uri, table_name="sales.t")
    run(source, JSONOutputAdapter(tmp_path / "o.jsonl"), tmp_path)
    assert json_lines(tmp_path / "o.jsonl") == [{"id": 1}]


def test_sqlalchemy_writes_what_adbc_does(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    uri = store.uri.replace("postgresql:", "postgresql+psycopg:")
    source = lines(tmp_path / "in.jsonl", [row for row in UPSERTS if row["id"]])
    for mode in ("append", "append", "replace"):
        output = SQLOutputAdapter(uri, "t:x", mode=mode, staging=tmp_path / "s")
        run(source, output, tmp_path, schema_model=Row)
    expected = [row for row in UPSERTS if row["id"]]
    assert store.rows('"t:x"') == expected
    assert store.tables() == ["t:x"]
    with pytest.raises(DeclarationError, match="without a driver"):
        SQLOutputAdapter(uri, "t", mode="upsert", key="id")


# Passwords.


def test_password_is_shown_nowhere(tmp_path, postgres_server, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    store = postgres_store(postgres_server, tmp_path)
    store.execute("CREATE TABLE t (id BIGINT CHECK (id < 5))")
    shown = []
    for uri in (store.uri, store.uri.replace("postgresql:", "postgresql+psycopg:")):
        wrong = uri.replace("tester:", "tester:x")
        output = SQLOutputAdapter(uri, "t", staging=tmp_path / "s")
        pipe = Pipe(lines(tmp_path / "in.jsonl", [{"id": 7}]), output)
        manager = PipeManager([pipe], InlineEngine(), resume=True)
        with pytest.raises(Exception) as failure:
            manager.run()
        shown += [repr(pipe), repr(output), str(output.place), str(output.target())]
        shown += [str(failure.value), repr(failure.value), str(manager.report)]
        shown += [str(manager.report.ledger.to_json()), repr(vars(output))]
        shown += [path.read_text() for path in tmp_path.rglob("state.jsonl")]
        assert any(path.name == "state.jsonl" for path in tmp_path.rglob("*"))
        for make in (
            lambda uri=wrong: SQLInputAdapter(uri, table_name="t").plan(1),
            lambda uri=wrong: SQLOutputAdapter(uri, "t").connect(),
            lambda uri=uri: SQLInputAdapter(uri, table_name="none").plan(1),
        ):
            with pytest.raises((InputError, OutputError)) as failure:
                make()
            error = failure.value
            while error is not None:
                shown.append(str(error))
                error = error.__cause__ or (
                    None if error.__suppress_context__ else error.__context__
                )
    shown.append(caplog.text)
    for text in shown:
        for secret in (PASSWORD, "s3cr", "%2Fet"):
            assert secret not in text


def test_uri_may_name_variables_of_the_environment(tmp_path, postgres_server, monkeypatch):
    store = postgres_store(postgres_server, tmp_path)
    before, _, after = store.uri.partition("s3cr%2Fet%40")
    monkeypatch.setenv("STORE_PASSWORD", "s3cr%2Fet%40")
    uri = f"{before}${{STORE_PASSWORD}}{after}"
    output = SQLOutputAdapter(uri, "t", staging=tmp_path / "s")
    assert output.place == SQLOutputAdapter(store.uri, "t").place
    assert b"s3cr" not in pickle.dumps(output)
    run(lines(tmp_path / "in.jsonl", [{"id": 1}]), output, tmp_path)
    assert store.rows("t") == [{"id": 1}]
    monkeypatch.delenv("STORE_PASSWORD")
    with pytest.raises(DeclarationError, match=r"\$\{STORE_PASSWORD\}, which is not set"):
        output.connect()


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://u:pass@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql://u:p@ss/w@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u@host/db?password=pass&x=1", "postgresql://u@host/db?password=***&x=1"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("postgresql://u:${PW}@host/db", "postgresql://u:${PW}@host/db"),
    ],
)
def test_uri_is_shown_without_its_password(uri, shown):
    found = DatabaseURI.checked(uri)
    assert found.shown == shown
    assert shown in repr(found)


def test_sqlite_uris_name_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert DatabaseURI("sqlite:///a.db").path == tmp_path / "a.db"
    assert DatabaseURI(f"sqlite:///{tmp_path}/a%20b.db").path == tmp_path / "a b.db"
    for uri in ("sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro"):
        with pytest.raises(DeclarationError):
            _ = DatabaseURI(uri).path
    for uri in ("", "a.db", 3):
        with pytest.raises(DeclarationError):
            DatabaseURI.checked(uri)


def test_missing_staged_part_is_said_with_what_to_do(tmp_path, store, monkeypatch):
    from zoopipe.runtime import commit as committing

    def vanish(adapter, home, parts, *rest, **options):
        Path(parts[0].path).unlink()
        return load(adapter, home, parts, *rest, **options)

    load = committing._load
    monkeypatch.setattr(committing, "_load", vanish)
    with pytest.raises(Exception, match="has to be one that all nodes share"):
        run(lines(tmp_path / "in.jsonl", [{"id": 1}]), store.adapter("t"), tmp_path)
