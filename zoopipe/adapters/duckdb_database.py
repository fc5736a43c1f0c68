"""A DuckDB file: connections to it, and which Arrow types its tables take and give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zoopipe.adapters.tables import Column, Database, Table, is_json, patiently
from zoopipe.columns import encoded_field
from zoopipe.errors import DeclarationError, MissingExtraError, OutputError

if TYPE_CHECKING:
    import duckdb

_DIGITS = 38
_KEY = re.compile(r'Duplicate key ".*"')


def connect(path: Path, writes: bool) -> duckdb.DuckDBPyConnection:
    """A connection to a database file; one that another process writes is waited for.

    Raises:
        MissingExtraError: DuckDB is not installed.
        OSError: the file cannot be opened; the message is DuckDB's.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("DuckDB is not installed: pip install 'zoopipe[duckdb]'") from error
    try:
        connection = patiently(
            lambda: _opened(path, writes), lambda error: "Could not set lock" in str(error)
        )
        # Values in their own types; times as they are stored, wherever this runs.
        connection.execute("SET arrow_lossless_conversion = true; SET TimeZone = 'UTC'")
    except duckdb.Error as error:
        raise OSError(first_line(error)) from error
    return connection  # type: ignore[no-any-return]


def _opened(path: Path, writes: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    try:
        return duckdb.connect(str(path), read_only=not writes)
    except duckdb.ConnectionException:
        # This process has it open for writing already, and shares what it has.
        return duckdb.connect(str(path))


def first_line(error: BaseException) -> str:
    """What DuckDB says, without the traceback of a stream that it read, the statement, or a row's values."""
    line = str(error).split("\n", 1)[0].partition(". Detail: ")[0]
    if type(error).__name__ == "ConversionException":
        return "Conversion Error: a value does not fit its column"
    return _KEY.sub("Duplicate key", line)


class DuckDB(Database):
    """A connection that writes to a file, or looks into it."""

    def __init__(self, path: Path, writes: bool = True) -> None:
        self._path = path
        try:
            self._connection = connect(path, writes)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error}") from error

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        import duckdb

        try:
            return self._connection.execute(statement, values or None).fetchall()
        except duckdb.Error as error:
            raise OutputError(f"cannot write {self._path}: {first_line(error)}") from error

    def columns(self, table: Table) -> list[Column] | None:
        *home, name = table.path
        where = "schema_name = ?" if home else "schema_name = current_schema()"
        found = self.execute(
            "SELECT column_name, is_nullable, column_default IS NOT NULL FROM duckdb_columns() "
            "WHERE database_name = current_database() AND lower(table_name) = lower(?) "
            f"AND {where} ORDER BY column_index",
            (name, *home),
        )
        if not found:
            return None
        kinds = self._connection.sql(f"SELECT * FROM {self.name_of(table)} LIMIT 0")
        schema = plain(kinds.to_arrow_reader().schema)
        return [
            Column(schema.field(name), nullable, not nullable and not has_default)
            for name, nullable, has_default in found
        ]

    def create(self, table: Table, schema: pa.Schema, key: Sequence[str]) -> None:
        self._connection.register("_zoopipe_schema", _as_created(schema).empty_table())
        self.execute(f"CREATE TABLE {self.name_of(table)} AS SELECT * FROM _zoopipe_schema LIMIT 0")
        self._connection.unregister("_zoopipe_schema")

    def insert(self, table: Table, rows: pa.RecordBatchReader) -> int:
        names = ", ".join(map(self.quoted, rows.schema.names))
        self._connection.register("_zoopipe_rows", rows)
        ((count,),) = self.execute(
            f"INSERT INTO {self.name_of(table)} ({names}) SELECT {names} FROM _zoopipe_rows"
        )
        self._connection.unregister("_zoopipe_rows")
        return int(count)

    def begin(self) -> None:
        self.execute("BEGIN")

    def commit(self) -> None:
        self.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


def _as_created(schema: pa.Schema) -> pa.Schema:
    """The schema that DuckDB makes a table of: JSON text is its JSON."""
    return pa.schema(
        [pa.field(each.name, pa.json_() if is_json(each) else each.type) for each in schema]
    )


def plain(schema: pa.Schema) -> pa.Schema:
    """The types of a table's columns as rows are staged in them; null where Arrow has none."""
    return pa.schema(
        [
            encoded_field(each.name, "json")
            if isinstance(each.type, pa.JsonType)
            else pa.field(each.name, _plain(each.type))
            for each in schema
        ]
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if kind == pa.month_day_nano_interval():
        return pa.duration("us")
    if isinstance(kind, pa.BaseExtensionType) and not isinstance(kind, pa.UuidType):
        return pa.null()
    return kind


def storable(kind: pa.DataType) -> pa.DataType:
    """The Arrow type that DuckDB holds values of a type in, exactly, or not at all.

    Raises:
        DeclarationError: there is none; the sentence goes on behind the column's name.
    """
    types = pa.types
    if types.is_null(kind):
        return pa.string()
    if types.is_dictionary(kind):
        return storable(kind.value_type)
    if types.is_decimal(kind):
        if kind.scale < 0 or kind.scale > _DIGITS:
            raise DeclarationError(f"is {kind}: DuckDB's decimals have up to {_DIGITS} digits")
        return pa.decimal128(min(kind.precision, _DIGITS), kind.scale)
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC") if kind.tz else pa.timestamp(kind.unit)
    if types.is_time(kind):
        return pa.time64("us")
    if types.is_date(kind):
        return pa.date32()
    if types.is_duration(kind):
        return pa.duration("us")
    if types.is_float16(kind):
        return pa.float32()
    if types.is_fixed_size_list(kind):
        return pa.list_(_inner(kind.value_field), kind.list_size)
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(_inner(kind.value_field))
    if types.is_map(kind):
        return pa.map_(storable(kind.key_type), _inner(kind.item_field))
    if types.is_struct(kind):
        if not len(kind):
            raise DeclarationError("is a struct without fields, which DuckDB has no type for")
        return pa.struct([_inner(field) for field in kind])
    if types.is_union(kind) or types.is_interval(kind):
        raise DeclarationError(f"is {kind}: give the output a schema= with a type that DuckDB has")
    return kind


def _inner(field: pa.Field) -> pa.Field:
    return field.with_type(storable(field.type))
