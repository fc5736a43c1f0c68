"""Reading PostgreSQL and SQLite by ADBC: what a SELECT asks for, and the columns that come of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import pyarrow as pa

from zoopipe.adapters.sql_database import affinity, connect, numeric
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.adapters.table_blocks import ReadColumn, durations_of, file_identity
from zoopipe.adapters.tables import Table, quoted
from zoopipe.columns import encoded_field
from zoopipe.errors import InputError

KeyKind = Literal["integer", "date", "timestamp", "timestamptz"]

# So many, of 100 bytes, are a block.
_BATCH_BYTES = 1 << 20
_BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read: a table or a query, as a FROM holds it.

    Attributes:
        source: how messages name it.
    """

    uri: DatabaseURI
    table: Table | None
    query: str | None
    source: str

    @property
    def text(self) -> str:
        if self.table is None:
            return f"({self.query}\n) AS _zoopipe_query"
        return ".".join(map(quoted, self.table.path))


class Reader(ABC):
    """A connection that reads in one transaction."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        try:
            self._connection = connect(wanted.uri)
        except OSError as error:
            raise InputError(f"cannot read {wanted.source}: {error}") from None

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """A cursor, whose errors are one sentence without a password."""
        from adbc_driver_manager import Error

        try:
            with closing(self._connection.cursor()) as cursor:
                yield cursor
        except Error as error:
            sentence = self.wanted.uri.hide(error)
            raise InputError(f"cannot read {self.wanted.source}: {sentence}") from None

    def quoted(self, name: str) -> str:
        """A name as statements hold it."""
        return quoted(name)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        with self.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @abstractmethod
    def columns(self) -> list[ReadColumn]:
        """The columns of what is read."""

    @abstractmethod
    def snapshot(self) -> str:
        """A name of the state that is read, for `join` in other processes; empty where there is none."""

    @abstractmethod
    def join(self, snapshot: str) -> None:
        """Reads the state of that name."""

    @abstractmethod
    def identity(self) -> str:
        """A text that changes when what is read may have."""

    @abstractmethod
    def key_kind(self, column: ReadColumn) -> KeyKind | None:
        """What the keys of a partition column are."""

    @abstractmethod
    def key(self, value: int, kind: KeyKind) -> str:
        """A key, from its number, as a statement holds it."""

    @abstractmethod
    def order(self, column: str | None) -> str:
        """The ORDER BY that gives the same order in each run."""

    def bounds(self, column: str) -> tuple[Any, Any]:
        """The least and the largest key."""
        name = self.quoted(column)
        ((least, most),) = self.rows(f"SELECT min({name}), max({name}) FROM {self.wanted.text}")
        return least, most

    @abstractmethod
    def batches(
        self, columns: Sequence[ReadColumn], where: str, order: str
    ) -> Iterator[pa.RecordBatch]:
        """The rows, in the fields of their columns."""


class PostgreSQLReader(Reader):
    """Reads PostgreSQL: COPY in its binary form, made Arrow columns by ADBC."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self.rows("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def _begin(self) -> None:
        # Else a scan begins where another one is, and several processes give rows as they come.
        self.rows("SET LOCAL synchronize_seqscans = off")
        self.rows("SET LOCAL max_parallel_workers_per_gather = 0")

    def columns(self) -> list[ReadColumn]:
        with self.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self.wanted.text} LIMIT 0")
            schema = cursor.fetch_record_batch().schema
        check_twice(schema.names, self.wanted.source)
        return [_postgres_column(field) for field in schema]

    def snapshot(self) -> str:
        ((name,),) = self.rows("SELECT pg_export_snapshot()")
        return str(name)

    def join(self, snapshot: str) -> None:
        self.rows(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        self._begin()

    def identity(self) -> str:
        ((text,),) = self.rows("SELECT pg_current_snapshot()::text")
        return f"snapshot {text}"

    def key_kind(self, column: ReadColumn) -> KeyKind | None:
        kind = column.field.type
        if pa.types.is_integer(kind):
            return "integer"
        if pa.types.is_date(kind):
            return "date"
        if pa.types.is_timestamp(kind):
            return "timestamptz" if kind.tz else "timestamp"
        return None

    def key(self, value: int, kind: KeyKind) -> str:
        if kind == "integer":
            return f"({value})"
        if kind == "date":
            return f"(date '1970-01-01' + {value})"
        # Of an interval that is multiplied the last digits would be lost.
        text = (datetime(1970, 1, 1) + timedelta(microseconds=value)).isoformat(" ")
        return f"{kind} '{text}{'+00' if kind == 'timestamptz' else ''}'"

    def order(self, column: str | None) -> str:
        if column is None:
            return ""
        ties = ", tableoid, ctid" if self._has_ctid() else ""
        return f" ORDER BY {quoted(column)} NULLS FIRST{ties}"

    def _has_ctid(self) -> bool:
        if self.wanted.table is None:
            return False
        with self.cursor() as cursor:
            cursor.execute(
                "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1::text)",
                (self.wanted.text,),
            )
            return [row[0] for row in cursor.fetchall()] in (["r"], ["p"], ["m"])

    def batches(
        self, columns: Sequence[ReadColumn], where: str, order: str
    ) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([column.field for column in columns])
        select = ", ".join(column.sql for column in columns)
        with self.cursor() as cursor:
            cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)}
            )
            cursor.execute(f"SELECT {select} FROM {self.wanted.text}{where}{order}")
            for batch in cursor.fetch_record_batch():
                arrays = [
                    _postgres_array(array, field)
                    for array, field in zip(batch.columns, schema, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _postgres_column(field: pa.Field) -> ReadColumn:
    name, kind = quoted(field.name), field.type
    if isinstance(kind, pa.JsonType):
        return ReadColumn(encoded_field(field.name, "json"), name)
    if getattr(kind, "type_name", "") == "numeric":
        decimal = numeric(field)
        return ReadColumn(pa.field(field.name, decimal or pa.string()), name)
    if kind == pa.month_day_nano_interval():
        return ReadColumn(pa.field(field.name, pa.duration("us")), name)
    if isinstance(kind, pa.UuidType):
        return ReadColumn(pa.field(field.name, kind), name)
    if isinstance(kind, pa.BaseExtensionType):
        return ReadColumn(pa.field(field.name, pa.string()), f"{name}::text AS {name}")
    if pa.types.is_list(kind) and isinstance(kind.value_type, pa.BaseExtensionType):
        return ReadColumn(encoded_field(field.name, "json"), f"to_json({name}) AS {name}")
    if pa.types.is_nested(kind):
        plain = pa.types.is_list(kind) and not pa.types.is_nested(kind.value_type)
        if plain:
            return ReadColumn(pa.field(field.name, pa.list_(kind.value_type)), name)
        return ReadColumn(encoded_field(field.name, "json"), f"to_json({name}) AS {name}")
    return ReadColumn(pa.field(field.name, kind), name)


def _postgres_array(array: pa.Array, field: pa.Field) -> pa.Array:
    if array.type == field.type:
        return array
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_decimal(field.type):
        # NaN and infinities are no decimals.
        try:
            return array.cast(field.type)
        except pa.ArrowInvalid:
            raise InputError(
                f"{field.name} has a number that is no decimal, NaN or an infinity: CAST it to text in a query="
            ) from None
    if array.type == pa.month_day_nano_interval():
        return durations_of(array, field.name)
    return array.cast(field.type)


def check_twice(names: Sequence[str], source: str) -> None:
    """Refuses columns of one name."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{source} has two columns named {', '.join(twice)}: name them with AS")


class SQLiteReader(Reader):
    """Reads SQLite, whose columns may hold anything: each by the type that it is declared with."""

    def columns(self) -> list[ReadColumn]:
        kinds = self._declared()
        found = []
        for name in self._names():
            kind = kinds.get(name, pa.null())
            text = quoted(name)
            if pa.types.is_null(kind):
                found.append(ReadColumn(pa.field(name, pa.string()), _as_text(text)))
            else:
                found.append(ReadColumn(pa.field(name, kind), text))
        return found

    def _names(self) -> list[str]:
        with self.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {self.wanted.text} LIMIT 0")
            names = [column[0] for column in cursor.description]
        check_twice(names, self.wanted.source)
        return names

    def _declared(self) -> dict[str, pa.DataType]:
        """The types of columns, where they are known; a query's are those of what it shows as it is."""
        if self.wanted.table is not None:
            *home, name = self.wanted.table.path
            with self.cursor() as cursor:
                cursor.execute(
                    "SELECT name, type FROM pragma_table_info(?, ?)",
                    (name, home[0] if home else "main"),
                )
                return {name: affinity(kind) for name, kind in cursor.fetchall()}
        # The declared types of a query's columns are those of a view of it.
        self.rows(f"CREATE TEMPORARY VIEW _zoopipe_view AS SELECT * FROM {self.wanted.text}")
        found = self.rows("SELECT name, type FROM pragma_table_info('_zoopipe_view', 'temp')")
        self.rows("DROP VIEW temp._zoopipe_view")
        return {name: affinity(kind) if kind else pa.null() for name, kind in found}

    def snapshot(self) -> str:
        return ""

    def join(self, snapshot: str) -> None:
        """Files are compared by their identity."""

    def identity(self) -> str:
        return file_identity(self.wanted.uri.path, "-wal")

    def key_kind(self, column: ReadColumn) -> KeyKind | None:
        return "integer" if pa.types.is_integer(column.field.type) else None

    def key(self, value: int, kind: KeyKind) -> str:
        return str(value) if value < 1 << 63 else f"{value}.0"

    def order(self, column: str | None) -> str:
        if column is None:
            return ""
        return f" ORDER BY {quoted(column)}{', rowid' if self._has_rowid() else ''}"

    def _has_rowid(self) -> bool:
        if self.wanted.table is None:
            return False
        try:
            self.rows(f"SELECT rowid FROM {self.wanted.text} LIMIT 0")
        except InputError:
            return False
        return True

    def batches(
        self, columns: Sequence[ReadColumn], where: str, order: str
    ) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([column.field for column in columns])
        # ADBC takes a column's type from its first values, which may be null: the first row is ours.
        first = ", ".join(f"{_FIRST[_stored(each.field.type)]}" for each in columns)
        checks = " || ".join(map(_odd, columns))
        select = ", ".join(column.sql for column in columns)
        statement = (
            f"SELECT {first}, '' UNION ALL SELECT * FROM (SELECT {select}, "
            f"{checks} FROM {self.wanted.text}{where}{order})"
        )
        skip = 1
        with self.cursor() as cursor:
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(_BATCH_ROWS)})
            cursor.execute(statement)
            for batch in cursor.fetch_record_batch():
                batch, skip = batch.slice(skip), 0
                self._check(batch.column(batch.num_columns - 1))
                arrays = [
                    _sqlite_array(array, field)
                    for array, field in zip(batch.columns, schema, strict=False)
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _check(self, odd: pa.Array) -> None:
        found = [text for text in odd.unique().to_pylist() if text]
        if found:
            raise InputError(
                f"cannot read {self.wanted.source}: {found[0].strip(', ')} of another kind than the column is "
                "declared with: CAST it in a query="
            )


def _stored(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "integer"
    if pa.types.is_floating(kind):
        return "real"
    return "blob" if pa.types.is_binary(kind) else "text"


_FIRST = {"integer": "0", "real": "0.5", "text": "'x'", "blob": "x'00'"}


def _odd(column: ReadColumn) -> str:
    """Says, of a row, that a column's value is of another kind than it is declared with."""
    kind, name = _stored(column.field.type), quoted(column.name)
    if column.sql != name:
        fits = f"typeof({name}) <> 'blob'"
    elif pa.types.is_boolean(column.field.type):
        fits = f"({name} IS NULL OR {name} IN (0, 1))"
    else:
        fits = f"typeof({name}) IN ('{kind}', 'null')"
    label = column.name.replace("'", "''")
    return f"CASE WHEN {fits} THEN '' ELSE '{label} has a value, ' END"


def _as_text(name: str) -> str:
    """A column of no declared kind as text; of floats SQLite's cast gives 15 digits, which may not do."""
    cast = f"CAST({name} AS TEXT)"
    return (
        f"CASE WHEN typeof({name}) = 'real' AND CAST({cast} AS REAL) <> {name} "
        f"THEN printf('%!.17g', {name}) ELSE {cast} END"
    )


def _sqlite_array(array: pa.Array, field: pa.Field) -> pa.Array:
    return array if array.type == field.type else array.cast(field.type)


def number_of(key: Any, kind: KeyKind) -> int:
    """The number of a key: its value, or the days or microseconds from 1970."""
    if kind == "integer":
        return int(key)
    if kind == "date":
        days = (key - date(1970, 1, 1)) // timedelta(days=1)
        return int(days)
    epoch = datetime(1970, 1, 1, tzinfo=UTC if key.tzinfo else None)
    return int((key - epoch) // timedelta(microseconds=1))
