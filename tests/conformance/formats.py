"""Every format, written and read by other means than ours: a new format is one row."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import psycopg
import pyarrow as pa
import pyarrow.parquet
from psycopg.rows import dict_row
from psycopg.types.json import Json
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from zoopipe import (
    FrameInputAdapter,
    FrameOutputAdapter,
    PyGeneratorInputAdapter,
    PyGeneratorOutputAdapter,
    adapter_for,
)
from zoopipe.testing.everything import Everything, Flat

Rows = list[dict[str, Any]]

# Written by hand: what has to become of the model's fields.
_FLAT = [
    ("id", pa.int64()),
    ("name", pa.string()),
    ("score", pa.float64()),
    ("active", pa.bool_()),
    ("born", pa.date32()),
    ("seen", pa.timestamp("us", "UTC")),
    ("local", pa.timestamp("us")),
    ("clock", pa.time64("us")),
    ("took", pa.duration("us")),
    ("price", pa.decimal128(14, 4)),
    ("key", pa.uuid()),
    ("data", pa.binary()),
    ("colour", pa.string()),
    ("level", pa.int64()),
    ("site", pa.string()),
    ("maybe_id", pa.int64()),
    ("maybe_name", pa.string()),
    ("maybe_born", pa.date32()),
    ("maybe_seen", pa.timestamp("us", "UTC")),
    ("maybe_price", pa.decimal128(14, 4)),
]
_PLACE = pa.struct([("city", pa.string()), ("at", pa.list_(pa.float64()))])
_NESTED = [
    ("tags", pa.list_(pa.string())),
    ("sizes", pa.list_(pa.int64())),
    ("counts", pa.map_(pa.string(), pa.int64())),
    ("place", _PLACE),
    ("places", pa.list_(_PLACE)),
    ("maybe_place", _PLACE),
]
TYPES = pa.schema([*_FLAT, *_NESTED])


def arrow_table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> pa.Table:
    """Rows as columns of the types above."""
    types = pa.schema([TYPES.field(name) for name in names])
    columns = []
    for field in types:
        values = [row[field.name] for row in rows]
        if pa.types.is_map(field.type):
            values = [None if value is None else list(value.items()) for value in values]
        if field.type == pa.uuid():
            raw = pa.array([value.bytes for value in values], pa.binary(16))
            columns.append(pa.ExtensionArray.from_storage(pa.uuid(), raw))
        else:
            columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=types)


def table_rows(table: pa.Table) -> Rows:
    """The rows of a table, maps as dicts."""
    rows: Rows = table.to_pylist(maps_as_pydicts="strict")
    return rows


@dataclass(frozen=True)
class FormatCase:
    """A format, and how others write and read it.

    Attributes:
        name: of the test.
        extension: of its files; or what follows the name of a file, for a table in it.
        write: writes rows of some columns to what a target names.
        read: reads all rows of a target.
        model: what its rows can hold.
        input_options, output_options: what its adapters are given.
        knows_columns: whether there are columns without a model.
        takes_rejects: whether it can be an error output.
    """

    name: str
    extension: str
    write: Callable[[str, Rows, Sequence[str]], None] | None
    read: Callable[[str], Rows] | None
    model: type[BaseModel] = Everything
    input_options: tuple[tuple[str, Any], ...] = ()
    output_options: tuple[tuple[str, Any], ...] = ()
    knows_columns: bool = True
    takes_rejects: bool = True

    def target(self, folder: Path, stem: str) -> str:
        """What names a file, or a table, in a folder."""
        return str(folder / f"{stem}{self.extension}")

    def input(self, target: str) -> Any:
        """An adapter that reads a target."""
        return adapter_for(target, "input", options=dict(self.input_options))

    def output(self, target: str) -> Any:
        """An adapter that writes a target."""
        return adapter_for(target, "output", options=dict(self.output_options))

    def __str__(self) -> str:
        return self.name


def _write_csv(target: str, rows: Rows, names: Sequence[str]) -> None:
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            cells = [to_jsonable_python(row[name]) for name in names]
            writer.writerow(["" if cell is None else cell for cell in cells])


def _read_csv(target: str) -> Rows:
    with open(target, encoding="utf-8", newline="") as file:
        return [{name: cell or None for name, cell in row.items()} for row in csv.DictReader(file)]


def _write_lines(target: str, rows: Rows, names: Sequence[str]) -> None:
    chosen = [{name: to_jsonable_python(row[name]) for name in names} for row in rows]
    Path(target).write_text("".join(json.dumps(row) + "\n" for row in chosen))


def _read_lines(target: str) -> Rows:
    return [json.loads(line) for line in Path(target).read_bytes().split(b"\n") if line]


def _write_array(target: str, rows: Rows, names: Sequence[str]) -> None:
    chosen = [{name: to_jsonable_python(row[name]) for name in names} for row in rows]
    Path(target).write_text(json.dumps(chosen))


def _read_array(target: str) -> Rows:
    return list(json.loads(Path(target).read_bytes()))


def _write_parquet(target: str, rows: Rows, names: Sequence[str]) -> None:
    pyarrow.parquet.write_table(arrow_table(rows, names), target, row_group_size=11)


def _read_parquet(target: str) -> Rows:
    return table_rows(pyarrow.parquet.read_table(target))


def _write_arrow(target: str, rows: Rows, names: Sequence[str]) -> None:
    table = arrow_table(rows, names)
    make = pa.ipc.new_stream if target.endswith(".arrows") else pa.ipc.new_file
    with make(target, table.schema) as writer:
        writer.write_table(table, max_chunksize=11)


def _read_arrow(target: str) -> Rows:
    read = pa.ipc.open_stream if target.endswith(".arrows") else pa.ipc.open_file
    with pa.memory_map(target) as file, read(file) as reader:
        return table_rows(reader.read_all())


def _write_duckdb(target: str, rows: Rows, names: Sequence[str]) -> None:
    path, _, name = target.partition("#")
    with duckdb.connect(path) as connection:
        connection.register("given", arrow_table(rows, names))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")


def _read_duckdb(target: str) -> Rows:
    path, _, name = target.partition("#")
    with duckdb.connect(path) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET arrow_lossless_conversion = true")
        table = connection.sql(f"SELECT * FROM {name}").to_arrow_table()
    rows = table_rows(table)
    for row in rows:
        took = row.get("took")
        if took is not None and not isinstance(took, str):
            row["took"] = timedelta(days=took.days, microseconds=took.nanoseconds // 1000)
    return rows


def _sqlite_cell(value: Any) -> Any:
    return value if isinstance(value, int | float | str | bytes) else to_jsonable_python(value)


def _write_sqlite(target: str, rows: Rows, names: Sequence[str]) -> None:
    path, _, name = target.removeprefix("sqlite:///").partition("#")
    kinds = {
        pa.int64(): "INTEGER",
        pa.float64(): "REAL",
        pa.binary(): "BLOB",
        pa.bool_(): "BOOLEAN",
    }
    columns = ", ".join(f"{each} {kinds.get(TYPES.field(each).type, 'TEXT')}" for each in names)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {name} ({columns})")
        marks = ", ".join("?" for _ in names)
        cells = [[_sqlite_cell(row[each]) for each in names] for row in rows]
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", cells)
        connection.commit()


def _read_sqlite(target: str) -> Rows:
    path, _, name = target.removeprefix("sqlite:///").partition("#")
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]


@dataclass(frozen=True)
class URLCase(FormatCase):
    """A format whose targets are URLs; the extension begins with the scheme."""

    def target(self, folder: Path, stem: str) -> str:
        scheme, _, extension = self.extension.partition("*")
        return f"{scheme}{folder / stem}{extension}"


# How types of PostgreSQL are called; lists and objects are JSON.
_POSTGRES = {
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.float64(): "double precision",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamptz",
    pa.timestamp("us"): "timestamp",
    pa.time64("us"): "time",
    pa.duration("us"): "interval",
    pa.decimal128(14, 4): "numeric(14, 4)",
    pa.uuid(): "uuid",
    pa.binary(): "bytea",
}

#: The variable of the environment with the URI of the server that the tests have started.
POSTGRES_URI = "ZOOPIPE_TEST_POSTGRES"


class PostgresCase(FormatCase):
    """Tables of one database, each of a name that no other test has."""

    def target(self, folder: Path, stem: str) -> str:
        digest = hashlib.sha256(f"{folder}/{stem}".encode()).hexdigest()
        return f"{os.environ[POSTGRES_URI]}#t{digest[:20]}"


def _write_postgres(target: str, rows: Rows, names: Sequence[str]) -> None:
    uri, _, table = target.rpartition("#")
    columns = ", ".join(f"{name} {_POSTGRES.get(TYPES.field(name).type, 'json')}" for name in names)
    with psycopg.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        cells = [[_postgres_cell(row[name]) for name in names] for row in rows]
        marks = ", ".join("%s" for _ in names)
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", cells)


def _postgres_cell(value: Any) -> Any:
    return Json(value) if isinstance(value, list | dict) else value


def _read_postgres(target: str) -> Rows:
    uri, _, table = target.rpartition("#")
    with psycopg.connect(uri, row_factory=dict_row) as connection:
        return list(connection.execute(f"SELECT * FROM {table}"))


def _write_excel(target: str, rows: Rows, names: Sequence[str]) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(names))
    for number, row in enumerate(rows, 2):
        for place, name in enumerate(names, 1):
            cell = sheet.cell(number, place, _excel_cell(row[name]))
            if isinstance(row[name], str):
                # Whatever it begins with, it is no formula.
                cell.data_type = "s"
    book.save(target)


def _excel_cell(value: Any) -> Any:
    is_day = isinstance(value, date) and not isinstance(value, datetime) and value.year >= 1900
    is_cell = is_day or isinstance(value, bool | int | float | str | Decimal | None)
    return value if is_cell else to_jsonable_python(value)


def _read_excel(target: str) -> Rows:
    names, *rows = openpyxl.load_workbook(target).active.iter_rows(values_only=True)
    return [dict(zip(names, row, strict=True)) for row in rows]


# What programs hold in place of files, by the names that tests give it.
_HELD: dict[str, Any] = {}


class PythonCase(FormatCase):
    """Rows of this program, and a loop over rows."""

    def input(self, target: str) -> Any:
        return PyGeneratorInputAdapter(_HELD[target])

    def output(self, target: str) -> Any:
        return _HELD.setdefault(target, PyGeneratorOutputAdapter())


class FrameCase(FormatCase):
    """Frames of this program."""

    def input(self, target: str) -> Any:
        return FrameInputAdapter(_HELD[target])

    def output(self, target: str) -> Any:
        return _HELD.setdefault(target, FrameOutputAdapter())


def _hold_rows(target: str, rows: Rows, names: Sequence[str]) -> None:
    _HELD[target] = [{name: row[name] for name in names} for row in rows]


def _hold_frame(target: str, rows: Rows, names: Sequence[str]) -> None:
    _HELD[target] = arrow_table(rows, names)


FORMATS = [
    FormatCase("csv", ".csv", _write_csv, _read_csv, Flat, input_options=(("null_values", ("",)),)),
    FormatCase("json lines", ".jsonl", _write_lines, _read_lines),
    FormatCase("json array", ".json", _write_array, _read_array),
    FormatCase("parquet", ".parquet", _write_parquet, _read_parquet),
    FormatCase("arrow file", ".arrow", _write_arrow, _read_arrow),
    FormatCase("arrow stream", ".arrows", _write_arrow, _read_arrow),
    FormatCase("duckdb", ".duckdb#rows_", _write_duckdb, _read_duckdb),
    URLCase("sqlite", "sqlite:///*.db#rows_", _write_sqlite, _read_sqlite, Flat),
    PostgresCase("postgresql", "", _write_postgres, _read_postgres),
    FormatCase("excel", ".xlsx", _write_excel, _read_excel, Flat),
    FrameCase("frame", "", _hold_frame, lambda target: table_rows(_HELD.pop(target).table)),
    PythonCase(
        "python",
        "",
        _hold_rows,
        lambda target: list(_HELD.pop(target)),
        knows_columns=False,
        takes_rejects=False,
    ),
]
INPUTS = [case for case in FORMATS if case.write is not None]
OUTPUTS = [case for case in FORMATS if case.read is not None]
