"""Any database of SQLAlchemy's: rows by the driver that its URI names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from zoopipe.adapters.sql_read import KeyKind, Reader, Wanted, check_twice
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.adapters.table_blocks import ReadColumn
from zoopipe.adapters.tables import COMMITS, Column, Database, Table
from zoopipe.conform import conform_rows
from zoopipe.errors import InputError, MissingExtraError, OutputError
from zoopipe.values import from_rows

if TYPE_CHECKING:
    import sqlalchemy

# Whose CREATE TABLE is a part of the transaction.
_TRANSACTIONAL_DDL = ("postgresql", "sqlite", "mssql")
_CHUNK_ROWS = 10_000
_SAMPLE_ROWS = 1000


def engine_of(uri: DatabaseURI) -> sqlalchemy.Engine:
    """SQLAlchemy's engine for a URI, which keeps no connection open by itself.

    Raises:
        MissingExtraError: SQLAlchemy, or the driver that the URI names, is not installed.
        OSError: SQLAlchemy does not know such URIs; the message has no password.
    """
    try:
        import sqlalchemy
        from sqlalchemy.pool import NullPool
    except ImportError as error:
        raise MissingExtraError("SQL needs more packages: pip install 'zoopipe[sql]'") from error
    try:
        return sqlalchemy.create_engine(uri.resolved(), poolclass=NullPool)
    except ImportError as error:
        raise MissingExtraError(f"{uri.shown} needs the package {error.name}") from None
    except sqlalchemy.exc.ArgumentError as error:
        raise OSError(uri.hide(error)) from None


def _message(uri: DatabaseURI, error: Any) -> str:
    """What the driver says; SQLAlchemy adds the statement and its values, which are a row's."""
    return uri.hide(getattr(error, "orig", None) or error)


class AlchemyDatabase(Database):
    """A connection that writes."""

    mark = ":p{}"

    def __init__(self, uri: DatabaseURI) -> None:
        import sqlalchemy

        self._uri = uri
        try:
            self._engine = engine_of(uri)
            self._connection = self._engine.connect()
        except OSError as error:
            raise OutputError(f"cannot write {uri.shown}: {error}") from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error) from None
        self._is_transactional = self._engine.dialect.name in _TRANSACTIONAL_DDL

    def _refused(self, error: Exception) -> OutputError:
        return OutputError(f"cannot write {self._uri.shown}: {_message(self._uri, error)}")

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        import sqlalchemy

        try:
            yield
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error) from None

    def quoted(self, name: str) -> str:
        return str(self._engine.dialect.identifier_preparer.quote_identifier(name))

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        import sqlalchemy

        bound = {f"p{number}": value for number, value in enumerate(values, 1)}
        with self._sentences():
            # A colon in a quoted name is none of a parameter.
            text = statement if values else statement.replace(":", r"\:")
            found = self._connection.execute(sqlalchemy.text(text), bound)
            return [tuple(row) for row in found] if found.returns_rows else []

    def columns(self, table: Table) -> list[Column] | None:
        import sqlalchemy

        *home, name = table.path
        with self._sentences():
            inspector = sqlalchemy.inspect(self._connection)
            schema = home[0] if home else None
            if not inspector.has_table(name, schema=schema):
                return None
            found = inspector.get_columns(name, schema=schema)
            key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
        columns = []
        for each in found:
            numbered = [each["name"]] == key and isinstance(each["type"], sqlalchemy.Integer)
            filled = (
                each.get("default") is not None or each.get("autoincrement") is True or numbered
            )
            if not each.get("computed"):
                field = pa.field(each["name"], _arrow(each["type"]))
                columns.append(
                    Column(field, each["nullable"] or numbered, not each["nullable"] and not filled)
                )
        return columns

    def make_commits(self) -> None:
        if self._is_transactional or self.columns(Table((COMMITS,))) is None:
            super().make_commits()

    def drop_commits(self) -> None:
        """Other runs may be about to write to it: it stays."""

    def begin(self) -> None:
        """It begins with the next statement; a table that would end it is made before."""
        if not self._is_transactional:
            self.make_commits()
            self.commit()

    def create(self, table: Table, schema: pa.Schema, key: Sequence[str]) -> None:
        if not self._is_transactional:
            raise OutputError(
                f"there is no table {table}, and to make one would end the transaction of "
                f"{self._engine.dialect.name}: make it first"
            )
        from sqlalchemy.schema import CreateTable

        with self._sentences():
            self._connection.execute(CreateTable(self._table(table, schema)))

    def drop(self, table: Table) -> None:
        if not self._is_transactional:
            raise OutputError(
                f"mode='replace' would end the transaction of {self._engine.dialect.name}: empty {table} "
                "first, and append to it"
            )
        super().drop(table)

    def insert(self, table: Table, rows: pa.RecordBatchReader) -> int:
        into = self._table(table, rows.schema).insert()
        count = 0
        with self._sentences():
            for batch in rows:
                for start in range(0, batch.num_rows, _CHUNK_ROWS):
                    chunk = batch.slice(start, _CHUNK_ROWS).to_pylist()
                    self._connection.execute(into, chunk)
                    count += len(chunk)
        return count

    def _table(self, table: Table, schema: pa.Schema) -> sqlalchemy.Table:
        import sqlalchemy

        *home, name = table.path
        columns = [
            sqlalchemy.Column(each.name, _declared(each.type), quote=True) for each in schema
        ]
        return sqlalchemy.Table(
            name, sqlalchemy.MetaData(), *columns, schema=home[0] if home else None, quote=True
        )

    def commit(self) -> None:
        with self._sentences():
            self._connection.commit()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


def _declared(kind: pa.DataType) -> Any:
    """SQLAlchemy's type for what a `Generic` dialect stores."""
    import sqlalchemy

    if pa.types.is_decimal(kind):
        return sqlalchemy.Numeric(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return sqlalchemy.DateTime(timezone=kind.tz is not None)
    return {
        pa.bool_(): sqlalchemy.Boolean,
        pa.int64(): sqlalchemy.BigInteger,
        pa.float64(): sqlalchemy.Double,
        pa.string(): sqlalchemy.Text,
        pa.binary(): sqlalchemy.LargeBinary,
        pa.date32(): sqlalchemy.Date,
        pa.time64("us"): sqlalchemy.Time,
    }[kind]()


def _arrow(kind: Any) -> pa.DataType:
    """The Arrow type of a column of SQLAlchemy's; null where there is none."""
    import sqlalchemy

    try:
        python = kind.python_type
    except NotImplementedError:
        return pa.null()
    if python is Decimal:
        digits, places = getattr(kind, "precision", None), getattr(kind, "scale", None)
        return pa.decimal128(digits, places or 0) if digits and digits <= 38 else pa.null()
    if python is datetime:
        return pa.timestamp("us", "UTC" if getattr(kind, "timezone", False) else None)
    if isinstance(kind, sqlalchemy.Enum):
        return pa.string()
    known = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    known |= {bytes: pa.binary(), date: pa.date32(), time: pa.time64("us")}
    return known.get(python, pa.null())


class AlchemyReader(Reader):
    """A connection that reads; values are those that the driver gives."""

    def __init__(self, wanted: Wanted) -> None:
        import sqlalchemy

        self.wanted = wanted
        try:
            self._engine = engine_of(wanted.uri)
            self._connection = self._engine.connect()
        except OSError as error:
            raise InputError(f"cannot read {wanted.source}: {error}") from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error) from None
        # Of a table's columns: what makes values of what the driver gives.
        self._types: dict[str, Any] = {}

    def _refused(self, error: Exception) -> InputError:
        return InputError(f"cannot read {self.wanted.source}: {_message(self.wanted.uri, error)}")

    def quoted(self, name: str) -> str:
        return str(self._engine.dialect.identifier_preparer.quote_identifier(name))

    @property
    def _from(self) -> str:
        if self.wanted.table is None:
            return self.wanted.text
        return ".".join(map(self.quoted, self.wanted.table.path))

    @contextmanager
    def _result(self, statement: str, columns: Sequence[ReadColumn] = ()) -> Iterator[Any]:
        import sqlalchemy

        text: Any = sqlalchemy.text(statement.replace(":", r"\:"))
        if columns:
            kinds = [
                sqlalchemy.column(
                    each.name, self._types.get(each.name, sqlalchemy.types.NullType())
                )
                for each in columns
            ]
            text = text.columns(*kinds)
        try:
            with self._connection.execution_options(stream_results=True).execute(text) as found:
                yield found
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error) from None

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._result(statement) as found:
            return [tuple(row) for row in found]

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def columns(self) -> list[ReadColumn]:
        fields = self._declared() if self.wanted.table is not None else None
        with self._result(f"SELECT * FROM {self._from}") as found:
            names = list(found.keys())
            check_twice(names, self.wanted.source)
            if fields is None or any(pa.types.is_null(field.type) for field in fields):
                rows = [_plain(row) for row in found.mappings().fetchmany(_SAMPLE_ROWS)]
                seen = from_rows(rows).schema if rows else pa.schema([])
                found_fields = [
                    seen.field(name) if name in seen.names else pa.field(name, pa.string())
                    for name in names
                ]
                if fields is not None:
                    found_fields = [
                        field if not pa.types.is_null(field.type) else other
                        for field, other in zip(fields, found_fields, strict=True)
                    ]
                fields = found_fields
        return [ReadColumn(field, self.quoted(field.name)) for field in fields]

    def _declared(self) -> list[pa.Field] | None:
        import sqlalchemy

        assert self.wanted.table is not None, "a table is read"
        *home, name = self.wanted.table.path
        try:
            found = sqlalchemy.inspect(self._connection).get_columns(
                name, schema=home[0] if home else None
            )
        except sqlalchemy.exc.NoSuchTableError:
            raise InputError(f"cannot read {self.wanted.source}: there is no such table") from None
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise self._refused(error) from None
        self._types = {each["name"]: each["type"] for each in found}
        return [pa.field(each["name"], _arrow(each["type"])) for each in found]

    def bounds(self, column: str) -> tuple[Any, Any]:
        name = self.quoted(column)
        ((least, most),) = self.rows(f"SELECT min({name}), max({name}) FROM {self._from}")
        return least, most

    def snapshot(self) -> str:
        return ""

    def join(self, snapshot: str) -> None:
        """Each shard reads what there is when it begins."""

    def identity(self) -> str:
        return ""

    def key_kind(self, column: ReadColumn) -> KeyKind | None:
        return "integer" if pa.types.is_integer(column.field.type) else None

    def key(self, value: int, kind: KeyKind) -> str:
        return str(value)

    def order(self, column: str | None) -> str:
        if column is None:
            return ""
        name = self.quoted(column)
        # Where those without a key come is each database's own choice.
        return f" ORDER BY CASE WHEN {name} IS NULL THEN 0 ELSE 1 END, {name}"

    def batches(
        self, columns: Sequence[ReadColumn], where: str, order: str
    ) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([column.field for column in columns])
        select = ", ".join(column.sql for column in columns)
        with self._result(f"SELECT {select} FROM {self._from}{where}{order}", columns) as found:
            for rows in found.mappings().partitions(_CHUNK_ROWS):
                conformed = conform_rows([_plain(row) for row in rows], schema)
                if conformed.refused:
                    _, reason = conformed.refused[0]
                    name = str(reason["loc"][0])
                    raise InputError(
                        f"cannot read {self.wanted.source}: {name} has a value that is no "
                        f"{schema.field(name).type}: CAST it in a query="
                    )
                yield conformed.batch


def _plain(row: Any) -> dict[str, Any]:
    """A row in values that columns can be made of."""
    return {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
