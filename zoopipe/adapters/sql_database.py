"""Connections to PostgreSQL and SQLite by ADBC: rows in and out as Arrow streams."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar

import pyarrow as pa

from zoopipe.adapters import sql_dialects as dialects
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.adapters.tables import COMMITS, Column, Database, Table
from zoopipe.columns import encoded_field
from zoopipe.errors import MissingExtraError, OutputError

_STAGED = "_zoopipe_staged"
_ORDINAL = "_zoopipe_n"
_WAIT_MS = 60_000


def connect(uri: DatabaseURI) -> Any:
    """An ADBC connection, in whose first statement a transaction begins.

    Raises:
        MissingExtraError: the driver is not installed.
        OSError: the database cannot be reached, or refuses; the message has no password.
    """
    try:
        if uri.driver == "postgresql":
            import adbc_driver_postgresql.dbapi as driver

            place = uri.resolved()
        else:
            import adbc_driver_sqlite.dbapi as driver

            place = str(uri.path)
    except ImportError as error:
        raise MissingExtraError("SQL needs more packages: pip install 'zoopipe[sql]'") from error
    try:
        return driver.connect(place)
    except driver.Error as error:
        # Not as the cause, which may quote the URI.
        raise OSError(uri.hide(error)) from None


class AdbcDatabase(Database):
    """A connection by ADBC."""

    dialect: ClassVar[dialects.Dialect]

    def __init__(self, uri: DatabaseURI) -> None:
        self._uri = uri
        try:
            self._connection = connect(uri)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: object) -> OutputError:
        return OutputError(f"cannot write {self._uri.shown}: {self._uri.hide(error)}")

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        from adbc_driver_manager import Error

        try:
            with closing(self._connection.cursor()) as cursor:
                yield cursor
        except Error as error:
            raise self._refused(error) from None

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(statement, tuple(values) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def create(self, table: Table, schema: pa.Schema, key: Sequence[str]) -> None:
        columns = [f"{self.quoted(each.name)} {self.dialect.declared(each)}" for each in schema]
        if key:
            columns.append(f"PRIMARY KEY ({self._list(key)})")
        self.execute(f"CREATE TABLE {self.name_of(table)} ({', '.join(columns)})")

    def _list(self, names: Sequence[str]) -> str:
        return ", ".join(map(self.quoted, names))

    def insert(self, table: Table, rows: pa.RecordBatchReader) -> int:
        *home, name = table.path
        with self._cursor() as cursor:
            options = {"db_schema_name": home[0]} if home else {}
            return int(cursor.adbc_ingest(name, _bare(rows), mode="append", **options))

    def upsert(self, table: Table, rows: pa.RecordBatchReader, key: Sequence[str]) -> int:
        names = rows.schema.names
        self.execute(f"DROP TABLE IF EXISTS {self._staged}")
        columns = [
            f"{self.quoted(each.name)} {self.dialect.declared(each)}" for each in rows.schema
        ]
        self.execute(
            f"CREATE TEMPORARY TABLE {_STAGED} ({', '.join(columns)}, {_ORDINAL} {self._ordinal})"
        )
        with self._cursor() as cursor:
            count = int(cursor.adbc_ingest(_STAGED, _numbered(rows), mode="append", temporary=True))
        self.execute(
            f"INSERT INTO {self.name_of(table)} ({self._list(names)}) "
            f"{self._last_of_each(names, key)} {self._on_conflict(names, key)}"
        )
        self.execute(f"DROP TABLE {self._staged}")
        return count

    @property
    @abstractmethod
    def _staged(self) -> str:
        """The temporary table of rows that are merged into another."""

    _ordinal: ClassVar[str] = "BIGINT"

    @abstractmethod
    def _last_of_each(self, names: Sequence[str], key: Sequence[str]) -> str:
        """A SELECT of the last of the staged rows of each key."""

    def _on_conflict(self, names: Sequence[str], key: Sequence[str]) -> str:
        others = [self.quoted(name) for name in names if name not in key]
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        action = f"UPDATE SET {changes}" if changes else "NOTHING"
        return f"ON CONFLICT ({self._list(key)}) DO {action}"

    # What makes a statement one that is only looked at.
    _dry_run: ClassVar[str] = ""

    def check_key(self, table: Table, key: Sequence[str]) -> None:
        name, columns = self.name_of(table), self._list(key)
        try:
            self.execute(
                f"{self._dry_run}INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} WHERE 1 = 0 "
                f"{self._on_conflict(key, key)}"
            )
        except OutputError as error:
            raise OutputError(
                f"the table {table} has no primary key or unique index on {', '.join(key)}, which is what "
                f"mode='upsert' goes by: {error}"
            ) from None

    def begin(self) -> None:
        """It begins with the next statement."""

    def commit(self) -> None:
        from adbc_driver_manager import Error

        try:
            self._connection.commit()
        except Error as error:
            raise self._refused(error) from None

    def close(self) -> None:
        self._connection.close()


def _bare(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Rows whose fields say nothing but names and types."""
    schema = pa.schema([pa.field(each.name, each.type) for each in rows.schema])
    return pa.RecordBatchReader.from_batches(
        schema, (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in rows)
    )


def _numbered(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """Rows with their number behind them."""
    fields = [pa.field(each.name, each.type) for each in rows.schema]
    schema = pa.schema([*fields, pa.field(_ORDINAL, pa.int64())])

    def batches() -> Iterator[pa.RecordBatch]:
        before = 0
        for batch in rows:
            numbers = pa.arange(before, before + batch.num_rows)
            yield pa.RecordBatch.from_arrays([*batch.columns, numbers], schema=schema)
            before += batch.num_rows

    return pa.RecordBatchReader.from_batches(schema, batches())


class PostgreSQLDatabase(AdbcDatabase):
    """A connection to PostgreSQL."""

    mark = "${}"
    dialect = dialects.PostgreSQL()

    # What `CREATE TABLE IF NOT EXISTS` does not keep two transactions from doing at once.
    _COMMITS_LOCK = 0x5A4F4F50

    def make_commits(self) -> None:
        self.execute(f"SELECT pg_advisory_xact_lock({self._COMMITS_LOCK})")
        if self.columns(Table((COMMITS,))) is None:
            super().make_commits()

    def drop_commits(self) -> None:
        """Other runs may be about to write to it: it stays."""

    def columns(self, table: Table) -> list[Column] | None:
        found = self.execute(
            "SELECT a.attname::text, a.attnotnull, a.atthasdef OR a.attidentity <> '', "
            "a.attgenerated::text FROM pg_attribute a "
            "WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped "
            "ORDER BY a.attnum",
            (self.name_of(table),),
        )
        if not found:
            return None
        with self._cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self.name_of(table)} LIMIT 0")
            schema = cursor.fetch_record_batch().schema
        kinds = {each.name: taken(each) for each in schema}
        return [
            Column(kinds[name], not needed, needed and not has_default)
            for name, needed, has_default, generated in found
            if not generated
        ]

    @property
    def _staged(self) -> str:
        return f"pg_temp.{_STAGED}"

    def _last_of_each(self, names: Sequence[str], key: Sequence[str]) -> str:
        columns, keys = self._list(names), self._list(key)
        return (
            f"SELECT {columns} FROM (SELECT DISTINCT ON ({keys}) {columns}, {_ORDINAL} FROM {self._staged} "
            f"ORDER BY {keys}, {_ORDINAL} DESC) AS last_ones ORDER BY {_ORDINAL}"
        )


def taken(field: pa.Field) -> pa.Field:
    """What a column of PostgreSQL takes, from the field that ADBC reads it as; null where it is not known."""
    kind = field.type
    if isinstance(kind, pa.JsonType):
        return encoded_field(field.name, "json")
    if getattr(kind, "type_name", "") == "numeric":
        return pa.field(field.name, numeric(field) or pa.null())
    if kind == pa.month_day_nano_interval():
        return pa.field(field.name, pa.duration("us"))
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return pa.field(field.name, pa.null())
    return pa.field(field.name, kind)


def numeric(field: pa.Field) -> pa.DataType | None:
    """The decimals that a numeric column holds; None where it says not how many digits."""
    text = (field.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")
    modifier = int(text) - 4
    if modifier < 0:
        return None
    # Digits, and how many of them are behind the point, as 11 bits with a sign.
    precision, scale = modifier >> 16, ((modifier & 0x7FF) ^ 0x400) - 0x400
    if not 0 <= scale <= precision <= 76:
        return None
    return pa.decimal128(precision, scale) if precision <= 38 else pa.decimal256(precision, scale)


class SQLiteDatabase(AdbcDatabase):
    """A connection to an SQLite file."""

    dialect = dialects.SQLite()
    _ordinal = "INTEGER PRIMARY KEY"
    # It has to be no writer yet.
    _dry_run = "EXPLAIN "

    def __init__(self, uri: DatabaseURI) -> None:
        super().__init__(uri)
        self.execute(f"PRAGMA busy_timeout = {_WAIT_MS}")

    def columns(self, table: Table) -> list[Column] | None:
        *home, name = table.path
        found = self.execute(
            'SELECT name, type, "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(?, ?)',
            (name, home[0] if home else "main"),
        )
        return [_sqlite_column(*row) for row in found] or None

    @property
    def _staged(self) -> str:
        return f"temp.{_STAGED}"

    def _last_of_each(self, names: Sequence[str], key: Sequence[str]) -> str:
        return (
            f"SELECT {self._list(names)} FROM {self._staged} WHERE {_ORDINAL} IN "
            f"(SELECT max({_ORDINAL}) FROM {self._staged} GROUP BY {self._list(key)}) ORDER BY {_ORDINAL}"
        )


def _sqlite_column(name: str, kind: str, needed: int, has_default: int, key: int) -> Column:
    """A column, by what SQLite makes of its declared type (https://www.sqlite.org/datatype3.html)."""
    # An INTEGER PRIMARY KEY is given a number where none comes.
    numbered = bool(key) and kind.upper() == "INTEGER"
    return Column(
        pa.field(name, affinity(kind)),
        not needed,
        bool(needed) and not has_default and not numbered,
    )


def affinity(kind: str) -> pa.DataType:
    """What a column of a declared type holds; null where it may hold anything."""
    declared = kind.upper()
    if "INT" in declared:
        return pa.int64()
    if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
        return pa.string()
    if "BLOB" in declared:
        return pa.binary()
    if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
        return pa.float64()
    return pa.bool_() if "BOOL" in declared else pa.null()
