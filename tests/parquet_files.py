"""Parquet files for tests, written by pyarrow, and some of them damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from zoopipe.adapters.thrift import Struct, read_struct, write_struct


def numbered(start: int, stop: int) -> pa.Table:
    """Rows with a number and a text, some of which are null."""
    numbers = range(start, stop)
    texts = [f"text {number}" if number % 3 else None for number in numbers]
    return pa.table({"number": pa.array(numbers, pa.int64()), "text": pa.array(texts, pa.string())})


def write(path: Path, table: pa.Table, **options: object) -> str:
    """Writes a table; row groups have 10 rows where nothing else is said."""
    pq.write_table(table, path, **{"row_group_size": 10, **options})
    return str(path)


def footer(path: Path) -> bytes:
    """A file's metadata."""
    data = path.read_bytes()
    size = int.from_bytes(data[-8:-4], "little")
    return data[-8 - size : -8]


def with_footer(path: Path, change: Callable[[Struct], None]) -> str:
    """Changes a file's metadata; the structs of row groups, columns and their metadata are open."""
    data, old = path.read_bytes(), footer(path)
    struct = read_struct(old, {4: {1: {3: {}}}})
    change(struct)
    new = write_struct(struct)
    path.write_bytes(data[: -8 - len(old)] + new + len(new).to_bytes(4, "little") + b"PAR1")
    return str(path)


def set_field(struct: Struct, number: int, value: int) -> None:
    """Changes an integer of a struct."""
    struct[number] = struct[number]._replace(value=value)
