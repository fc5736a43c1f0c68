"""Databases that tests write tables of, and read by other means than ours."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from postgres import Server

from zoopipe import SQLOutputAdapter
from zoopipe.adapters.duckdb_database import DuckDB
from zoopipe.adapters.sql_database import PostgreSQLDatabase, SQLiteDatabase
from zoopipe.adapters.tables import COMMITS

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class DuckDBStore:
    """A DuckDB file."""

    path: Path
    staging: Path
    kind = DuckDB

    def adapter(self, table: str, **options: Any) -> Any:
        from zoopipe import DuckDBOutputAdapter

        return DuckDBOutputAdapter(self.path, table, **options)

    def source(self, **options: Any) -> Any:
        from zoopipe import DuckDBInputAdapter

        return DuckDBInputAdapter(self.path, **options)

    def execute(self, statement: str) -> Rows:
        with duckdb.connect(str(self.path)) as connection:
            found = connection.execute(statement)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def rows(self, table: str) -> Rows:
        """A table's rows, in order."""
        return self.execute(f"SELECT * FROM {table}")

    def tables(self) -> list[str]:
        """The names of all tables."""
        if not self.path.exists():
            return []
        return sorted(row["name"] for row in self.execute("SHOW TABLES"))


def duckdb_store(folder: Path) -> DuckDBStore:
    """A DuckDB file in a folder."""
    return DuckDBStore(folder / "store.duckdb", folder)


@dataclass(frozen=True)
class SQLiteStore:
    """An SQLite file, read by Python's own module."""

    path: Path
    staging: Path
    kind = SQLiteDatabase

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path}"

    def adapter(self, table: str, **options: Any) -> Any:
        return SQLOutputAdapter(self.uri, table, **options)

    def execute(self, statement: str) -> Rows:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            rows = [dict(row) for row in connection.execute(statement)]
            connection.commit()
            return rows

    def rows(self, table: str) -> Rows:
        return self.execute(f"SELECT * FROM {table}")

    def tables(self) -> list[str]:
        found = self.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [row["name"] for row in found]


@dataclass(frozen=True)
class PostgresStore:
    """A database of a PostgreSQL server, read by `psql`."""

    server: Server
    name: str
    staging: Path
    kind = PostgreSQLDatabase

    @property
    def uri(self) -> str:
        return self.server.uri(self.name)

    def adapter(self, table: str, **options: Any) -> Any:
        return SQLOutputAdapter(self.uri, table, staging=self.staging, **options)

    @property
    def path(self) -> Path:
        """What `zoopipe clean` is given."""
        return self.staging

    def execute(self, statement: str) -> str:
        return self.server.query(statement, self.name)

    def rows(self, table: str) -> Rows:
        found = self.execute(f"SELECT coalesce(json_agg(t), '[]') FROM {table} AS t")
        rows: Rows = json.loads(found)
        return rows

    def tables(self) -> list[str]:
        """The tables, but for that of ours, which stays on a server; it has to be empty."""
        found = self.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace "
            "ORDER BY relname"
        ).split()
        if COMMITS in found:
            found.remove(COMMITS)
            if self.execute(f"SELECT run FROM {COMMITS}"):
                found.append(COMMITS)
        return found


def sqlite_store(folder: Path) -> SQLiteStore:
    """An SQLite file in a folder."""
    return SQLiteStore(folder / "store.db", folder)


def postgres_store(server: Server, folder: Path) -> PostgresStore:
    """A new database of a server."""
    name = f"db{uuid4().hex[:12]}"
    server.query(f"CREATE DATABASE {name}")
    return PostgresStore(server, name, folder / "staging")
