"""Every format, written and read by other means than ours: a new format is one row."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from zoopipe import adapter_for
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
    """

    name: str
    extension: str
    write: Callable[[str, Rows, Sequence[str]], None] | None
    read: Callable[[str], Rows] | None
    model: type[BaseModel] = Everything
    input_options: tuple[tuple[str, Any], ...] = ()
    output_options: tuple[tuple[str, Any], ...] = ()

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


FORMATS = [
    FormatCase("csv", ".csv", _write_csv, _read_csv, Flat, input_options=(("null_values", ("",)),)),
    FormatCase("json lines", ".jsonl", _write_lines, _read_lines),
    FormatCase("json array", ".json", _write_array, _read_array),
    FormatCase("parquet", ".parquet", _write_parquet, _read_parquet),
    FormatCase("arrow file", ".arrow", _write_arrow, _read_arrow),
    FormatCase("arrow stream", ".arrows", _write_arrow, _read_arrow),
    FormatCase("duckdb", ".duckdb#rows_", _write_duckdb, _read_duckdb),
    URLCase("sqlite", "sqlite:///*.db#rows_", _write_sqlite, _read_sqlite, Flat),
]
INPUTS = [case for case in FORMATS if case.write is not None]
OUTPUTS = [case for case in FORMATS if case.read is not None]
