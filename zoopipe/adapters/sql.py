"""SQL databases: PostgreSQL and SQLite by ADBC, others by SQLAlchemy."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from zoopipe.adapters.options import check_names
from zoopipe.adapters.sql_database import PostgreSQLDatabase, SQLiteDatabase
from zoopipe.adapters.sql_dialects import Dialect, PostgreSQL, SQLite
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.adapters.tables import (
    Database,
    Place,
    TableOutputAdapter,
    one_writer,
)
from zoopipe.errors import DeclarationError, OutputError


class SQLOutputAdapter(TableOutputAdapter):
    """Writes a table of an SQL database.

    PostgreSQL and SQLite are loaded by ADBC, in bulk; other URIs (`mysql+pymysql://`, `postgresql+psycopg://`)
    by SQLAlchemy. Attempts stage Arrow streams in a folder; the driver loads those of all pipes of its
    manager that write to the database, in one transaction.

    Delivery: exactly once; all tables of the database that a manager's pipes write change in one instant.

    Args:
        uri: `postgresql://user@host/name`, `sqlite:///file.db`, or any of SQLAlchemy's; `${NAME}` in it is a
            variable of the environment of the driver. Its password is never shown.
        table_name: the table, or `schema.table`.
        mode: `append` adds rows to a table that is there; `replace` takes its place; `fail` is for a table
            that must not be there; `upsert` changes the rows that are there with the same `key`, and adds the
            others; of two rows of the input with one key the later counts. A missing table is made,
            whatever the mode.
        key: the columns that `upsert` goes by: the table's primary key, or that of a unique index. A row
            with None in one of them is rejected.
        schema: the types of its columns; by default those of the model, or else of the input.
        staging: the folder for what is staged; all workers and the driver have to share it. By default it is
            beside an SQLite file, else one of the user's own below the system's temporary folder.

    Raises:
        DeclarationError: an option is out of range.
    """

    modes: ClassVar[tuple[str, ...]] = ("append", "replace", "fail", "upsert")

    def __init__(
        self,
        uri: str,
        table_name: str,
        mode: Literal["append", "replace", "fail", "upsert"] = "append",
        key: str | Sequence[str] | None = None,
        schema: pa.Schema | None = None,
        staging: str | os.PathLike[str] | None = None,
    ) -> None:
        keys = (key,) if isinstance(key, str) else tuple(key or ())
        if keys:
            check_names(keys, "key")
        if (mode == "upsert") != bool(keys):
            raise DeclarationError("mode='upsert' goes by key=, and no other mode does")
        super().__init__(table_name, mode, keys, schema)
        self._uri = DatabaseURI.checked(uri)
        self._staging = None if staging is None else os.fspath(staging)

    @property
    def place(self) -> Place:
        if self._uri.driver == "sqlite":
            return Place("sqlite", str(self._uri.path))
        return Place("server", self._uri.name)

    @property
    def output(self) -> str:
        return f"{self._uri.shown}, table {self.table}"

    @property
    def _dialect(self) -> Dialect:
        return PostgreSQL() if self._uri.driver == "postgresql" else SQLite()

    def _folded(self, name: str) -> str:
        return name.lower() if self._dialect.folds_case else name

    @property
    def staging_folder(self) -> Path:
        if self._staging is not None:
            return Path(os.path.realpath(self._staging))
        return self._uri.path.parent if self._uri.driver == "sqlite" else _own_folder()

    @property
    def staging_name(self) -> str:
        if self._uri.driver == "sqlite":
            return self._uri.path.name
        return f"{self._uri.driver}-{self._uri.digest}"

    def exists(self) -> bool:
        return self._uri.driver != "sqlite" or self._uri.path.exists()

    def connect(self, writes: bool = True) -> Database:
        if self._uri.driver == "postgresql":
            return PostgreSQLDatabase(self._uri)
        if self._uri.driver == "sqlite":
            return SQLiteDatabase(self._uri)
        from zoopipe.adapters.sql_alchemy import AlchemyDatabase

        return AlchemyDatabase(self._uri)

    @contextmanager
    def held(self) -> Iterator[None]:
        if self._uri.driver == "sqlite":
            with one_writer(self._uri.path):
                yield
        else:
            yield

    def storable(self, field: pa.Field) -> pa.Field:
        return self._dialect.storable(field)

    def misfits(self, column: pa.Array) -> tuple[pa.BooleanArray, str] | None:
        return self._dialect.misfits(column)


def _own_folder() -> Path:
    """A folder for this user alone, below the system's temporary one.

    Raises:
        OutputError: it cannot be made, or somebody else has made it.
    """
    folder = Path(tempfile.gettempdir()) / f"zoopipe-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise OutputError(f"cannot stage in {folder}: {error.strerror}; give staging=") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise OutputError(f"cannot stage in {folder}: it is no folder of this user's; give staging=")
    return Path(os.path.realpath(folder))
