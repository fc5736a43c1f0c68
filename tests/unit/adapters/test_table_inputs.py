"""Tables and queries as inputs: every row once, in order, however it is cut; types as they are."""

from __future__ import annotations

import pickle
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest
from oracle import json_lines
from pydantic import BaseModel
from table_stores import duckdb_store, postgres_store, sqlite_store

from zoopipe import (
    DeclarationError,
    DuckDBInputAdapter,
    InputError,
    JSONOutputAdapter,
    Pipe,
    PipeManager,
    RunFailed,
    SQLInputAdapter,
)
from zoopipe.runtime.inline import InlineEngine

COUNT = 1000


@pytest.fixture(params=["duckdb", "sqlite", "postgresql", "sqlalchemy"])
def store(request, tmp_path):
    if request.param == "duckdb":
        return duckdb_store(tmp_path)
    if request.param == "sqlite":
        return sqlite_store(tmp_path)
    return postgres_store(request.getfixturevalue("postgres_server"), tmp_path)


@pytest.fixture
def adapter(request, store):
    """Makes an input of the store."""

    def make(**options):
        if "duckdb" in str(store.path):
            options.pop("partition_column", None)
            return DuckDBInputAdapter(store.path, **options)
        uri = store.uri
        if request.node.callspec.params["store"] == "sqlalchemy":
            uri = uri.replace("postgresql:", "postgresql+psycopg:")
        return SQLInputAdapter(uri, **options)

    return make


def filled(store):
    """A table with keys that are missing, out of order and far apart."""
    store.execute("CREATE TABLE t (id BIGINT, name VARCHAR(100), extra INTEGER)")
    rows = [(None if n % 100 == 7 else (n * 37) % COUNT, f"Zoë {n}") for n in range(COUNT)]
    values = ", ".join(f"({'NULL' if key is None else key}, '{name}', 5)" for key, name in rows)
    store.execute(f"INSERT INTO t VALUES {values}")
    return rows


def read(adapter, folder, shards, **options):
    pipe = Pipe(
        adapter,
        JSONOutputAdapter(folder / "out.jsonl"),
        JSONOutputAdapter(folder / "bad.jsonl"),
        **options,
    )
    manager = PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=shards)
    report = manager.run()
    return json_lines(folder / "out.jsonl"), report.pipes[0].shard_count


def test_rows_come_once_and_in_the_same_order_however_they_are_cut(tmp_path, store, adapter):
    rows = filled(store)
    source = adapter(table_name="t", partition_column="id")
    whole, _ = read(source, tmp_path, 1)
    assert sorted((row["name"], row["id"]) for row in whole) == sorted((n, k) for k, n in rows)
    for shards in (2, 3, 7):
        found, count = read(pickle.loads(pickle.dumps(source)), tmp_path, shards)
        assert count == shards
        if "psycopg" in repr(source):
            # Where a row is stored is known of no database that comes by SQLAlchemy.
            assert sorted(found, key=str) == sorted(whole, key=str)
            found = whole
        assert found == whole
    if not isinstance(source, DuckDBInputAdapter):
        keys = [row["id"] for row in whole]
        assert keys == [None] * 10 + sorted(key for key, _ in rows if key is not None)


def test_table_without_rows_gives_none(tmp_path, store, adapter):
    store.execute("CREATE TABLE t (id BIGINT, name VARCHAR(100))")
    assert read(adapter(table_name="t", partition_column="id"), tmp_path, 3) == ([], 1)


def test_keys_that_are_all_missing_are_read(tmp_path, store, adapter):
    store.execute("CREATE TABLE t (id BIGINT, name VARCHAR(100))")
    store.execute("INSERT INTO t VALUES (NULL, 'a'), (NULL, 'b')")
    found, _ = read(adapter(table_name="t", partition_column="id"), tmp_path, 3)
    assert found == [{"id": None, "name": "a"}, {"id": None, "name": "b"}]


def test_query_is_read_with_its_columns(tmp_path, store, adapter):
    filled(store)
    query = "SELECT id, name AS called FROM t WHERE id < 10 ORDER BY id; "
    found, _ = read(adapter(query=query), tmp_path, 1)
    assert [row["id"] for row in found] == list(range(10))
    assert list(found[0]) == ["id", "called"]


def test_rejected_rows_have_all_columns_when_the_model_needs_few(tmp_path, store, adapter):
    class Keyed(BaseModel):
        id: int

    rows = filled(store)
    found, _ = read(adapter(table_name="t", partition_column="id"), tmp_path, 3, schema_model=Keyed)
    assert len(found) == sum(key is not None for key, _ in rows)
    rejects = json_lines(tmp_path / "bad.jsonl")
    assert sorted(row["name"] for row in rejects) == sorted(
        name for key, name in rows if key is None
    )
    assert {row["extra"] for row in rejects} == {5}
    assert {row["_offset"] for row in rejects} == {None}
    assert all("table t" in row["_source"] for row in rejects)


def test_what_is_not_there_is_said_before_a_row_is_read(tmp_path, store, adapter):
    store.execute("CREATE TABLE t (id BIGINT)")
    with pytest.raises(InputError, match="nowhere"):
        adapter(table_name="nowhere").plan(1)
    with pytest.raises(InputError, match="cannot read"):
        adapter(query="SELECT wrong FROM t").plan(1)


def test_options_that_contradict_are_refused(store, adapter):
    for options in ({}, {"query": "SELECT 1", "table_name": "t"}, {"query": " "}):
        with pytest.raises(DeclarationError):
            adapter(**options)


# DuckDB's types, and its files.


def test_types_of_duckdb_come_as_themselves(tmp_path):
    store = duckdb_store(tmp_path)
    store.execute(
        "CREATE TABLE t AS SELECT 1.50::DECIMAL(10, 2) d, TIMESTAMPTZ '2024-01-01 00:00:00+00' ts, "
        "[1, NULL] l, {'a': 1} s, MAP {'k': 1} m, '00000000-0000-0000-0000-000000000001'::UUID u, "
        "'{\"x\": [1]}'::JSON j, INTERVAL 90 MINUTE iv, 170141183460469231731687303715884105727::HUGEINT h, "
        "'a'::ENUM('a', 'b') e"
    )
    plan = DuckDBInputAdapter(store.path, table_name="t").plan(1)
    assert plan.schema.field("d").type == pa.decimal128(10, 2)
    assert plan.schema.field("ts").type == pa.timestamp("us", "UTC")
    assert plan.schema.field("l").type == pa.list_(pa.field("l", pa.int32()))
    assert plan.schema.field("u").type == pa.uuid()
    assert plan.schema.field("iv").type == pa.duration("us")
    (row,), _ = read(DuckDBInputAdapter(store.path, table_name="t"), tmp_path, 1)
    assert row["j"] == {"x": [1]}
    assert (row["h"], row["e"]) == ("170141183460469231731687303715884105727", "a")
    assert (row["l"], row["s"]) == ([1, None], {"a": 1})


def test_view_of_duckdb_is_one_shard(tmp_path):
    store = duckdb_store(tmp_path)
    filled(store)
    store.execute("CREATE VIEW v AS SELECT * FROM t ORDER BY name")
    plan = DuckDBInputAdapter(store.path, table_name="v").plan(3)
    assert (len(plan.shards), plan.why_whole) == (1, "a view is read as a whole")


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_file_that_changed_since_the_run_was_planned_fails_it(tmp_path, kind):
    store = duckdb_store(tmp_path) if kind == "duckdb" else sqlite_store(tmp_path)
    filled(store)
    source = (
        DuckDBInputAdapter(store.path, table_name="t")
        if kind == "duckdb"
        else SQLInputAdapter(store.uri, table_name="t", partition_column="id")
    )
    plan = source.plan(2)
    store.execute("INSERT INTO t VALUES (1, 'late', 1)")
    with pytest.raises(InputError, match="has changed while it was read"):
        list(source.read(plan.shards[0], plan.columns))


@pytest.mark.parametrize("content", [b"", b"hello " * 1000])
def test_file_that_is_no_database_is_said(tmp_path, content):
    path = tmp_path / "x.duckdb"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.duckdb"):
        DuckDBInputAdapter(path, table_name="t").plan(1)
    with pytest.raises(InputError, match="no such file"):
        DuckDBInputAdapter(tmp_path / "none.duckdb", table_name="t").plan(1)


# PostgreSQL.


def test_all_shards_read_the_snapshot_of_the_plan(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    rows = filled(store)
    source = SQLInputAdapter(store.uri, table_name="t", partition_column="id")
    plan = source.plan(3)
    store.execute("INSERT INTO t SELECT n, 'late', 1 FROM generate_series(1, 900) AS n")
    store.execute("DELETE FROM t WHERE id < 5")
    try:
        blocks = [b for shard in plan.shards for b in source.read(shard, plan.columns)]
    finally:
        plan.close()
    names = [name for block in blocks for name in block.batch.column("name").to_pylist()]
    assert sorted(names) == sorted(name for _, name in rows)
    # The transaction is gone with the plan.
    with pytest.raises(InputError, match="snapshot"):
        list(source.read(plan.shards[0], plan.columns))


@pytest.mark.parametrize("column", ["day", "moment", "at"])
def test_dates_and_timestamps_may_be_cut(tmp_path, postgres_server, column):
    store = postgres_store(postgres_server, tmp_path)
    store.execute(
        "CREATE TABLE t AS SELECT n AS id, date '1969-12-01' + n AS day, "
        "timestamp '1969-12-31 23:00:00' + n * interval '1.000001 hours' AS moment, "
        "timestamptz '2024-03-30 12:00:00+00' + n * interval '1 minute' AS at FROM generate_series(0, 99) AS n"
    )
    source = SQLInputAdapter(store.uri, table_name="t", partition_column=column)
    found, shards = read(source, tmp_path, 4)
    assert ([row["id"] for row in found], shards) == (list(range(100)), 4)


def test_column_that_cannot_be_cut_is_refused(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    filled(store)
    for column, why in (("name", "has to be of integers"), ("none", "has no column none")):
        with pytest.raises(InputError, match=why):
            SQLInputAdapter(store.uri, table_name="t", partition_column=column).plan(2)


def test_types_of_postgresql_come_as_themselves(tmp_path, postgres_server):
    store = postgres_store(postgres_server, tmp_path)
    store.execute(
        "CREATE TABLE t (d numeric(30, 10), n numeric, u uuid, j jsonb, l integer[], ls numeric[], "
        "ts timestamptz, day date, clock time, span interval, b bytea, ip inet, f real)"
    )
    store.execute(
        "INSERT INTO t VALUES (12345678901234567890.0123456789, 0.1234567890123456789012345678901234567890123, "
        "'00000000-0000-0000-0000-000000000001', '{\"x\": [1]}', '{1,NULL}', '{1.5}', '2024-01-01 00:00+00', "
        "'2024-02-29', '23:59:58.123456', '90 minutes', '\\x00ff', '10.0.0.1', 1.5), "
        "(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    )
    source = SQLInputAdapter(store.uri, table_name="t")
    plan = source.plan(1)
    (block,) = source.read(plan.shards[0], plan.columns)
    plan.close()
    first, second = block.batch.to_pylist()
    assert first == {
        "d": Decimal("12345678901234567890.0123456789"),
        "n": "0.1234567890123456789012345678901234567890123",
        "u": UUID(int=1),
        "j": '{"x": [1]}',
        "l": [1, None],
        "ls": "[1.5]",
        "ts": datetime(2024, 1, 1, tzinfo=UTC),
        "day": date(2024, 2, 29),
        "clock": time(23, 59, 58, 123456),
        "span": timedelta(minutes=90),
        "b": b"\x00\xff",
        "ip": "10.0.0.1/32",
        "f": 1.5,
    }
    assert set(second.values()) == {None}


# SQLite, whose columns may hold anything.


def test_value_of_another_kind_than_declared_is_an_error_that_names_the_column(tmp_path):
    store = sqlite_store(tmp_path)
    store.execute("CREATE TABLE t (id INTEGER, name TEXT)")
    store.execute("INSERT INTO t VALUES (1, 'a'), ('x', 'b')")
    pipe = Pipe(SQLInputAdapter(store.uri, table_name="t"), JSONOutputAdapter(tmp_path / "o"))
    with pytest.raises(RunFailed, match="id has a value of another kind"):
        pipe.run()
    query = "SELECT CAST(id AS TEXT) AS id, name FROM t"
    found, _ = read(SQLInputAdapter(store.uri, query=query), tmp_path, 1)
    assert [row["id"] for row in found] == ["1", "x"]


def test_columns_whose_first_values_are_missing_have_their_type(tmp_path):
    store = sqlite_store(tmp_path)
    store.execute("CREATE TABLE t (i INTEGER, f REAL, s TEXT, b BLOB, day DATE, n NUMERIC)")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.executemany("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", [(None,) * 6] * 20_000)
        last = (2**62, 0.1, "x", b"y", "2024-01-01", 0.1 + 0.2)
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)", last)
        connection.commit()
    found, _ = read(SQLInputAdapter(store.uri, table_name="t"), tmp_path, 1)
    assert found[-1] == {
        "i": 2**62,
        "f": 0.1,
        "s": "x",
        "b": "y",
        "day": "2024-01-01",
        "n": "0.30000000000000004",
    }
