"""DuckDB: tables of a database file, with the types that Arrow has for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from zoopipe.adapters.base import Block, FileRange, InputAdapter, InputPlan, Shard
from zoopipe.adapters.duckdb_database import DuckDB, connect, first_line, storable
from zoopipe.adapters.table_blocks import (
    ReadColumn,
    blocks_of,
    check_source,
    cut_evenly,
    durations_of,
    file_identity,
    reading,
    same,
)
from zoopipe.adapters.tables import (
    Database,
    Place,
    Table,
    TableOutputAdapter,
    database_path,
    one_writer,
    quoted,
)
from zoopipe.columns import encoded_field
from zoopipe.errors import InputError, OutputError
from zoopipe.storage.files import END

if TYPE_CHECKING:
    import duckdb

_ROWID = "_zoopipe_rowid"
# Ten of DuckDB's vectors.
_BATCH_ROWS = 20_480


class DuckDBOutputAdapter(TableOutputAdapter):
    """Writes a table of a DuckDB file, which is made where it is missing.

    DuckDB lets one process write a file. Attempts, in whatever process or on whatever node, stage Arrow
    streams beside it; the driver loads those of all pipes of its manager that write to the file, in one
    transaction.

    Delivery: exactly once; all tables of the file that a manager's pipes write change in one instant.

    Args:
        database: the path of the file.
        table_name: the table, or `schema.table`.
        mode: `append` adds rows to a table that is there; `replace` takes its place; `fail` is for a table
            that must not be there. A missing table is made, whatever the mode.
        schema: the types of its columns; by default those of the model, or else of the input.

    Raises:
        DeclarationError: an option is out of range.
    """

    def __init__(
        self,
        database: str | os.PathLike[str],
        table_name: str,
        mode: Literal["append", "replace", "fail"] = "append",
        schema: pa.Schema | None = None,
    ) -> None:
        super().__init__(table_name, mode, (), schema)
        database_path(database)
        self._database = os.fspath(database)

    @property
    def place(self) -> Place:
        return Place("duckdb", str(self._path))

    @property
    def _path(self) -> Path:
        return database_path(self._database)

    @property
    def staging_folder(self) -> Path:
        return self._path.parent

    @property
    def staging_name(self) -> str:
        return self._path.name

    @property
    def output(self) -> str:
        return f"{self._database}, table {self.table}"

    def exists(self) -> bool:
        if self._path.is_dir():
            raise OutputError(f"cannot write {self._database}: it is a folder")
        return self._path.exists()

    def connect(self, writes: bool = True) -> Database:
        return DuckDB(self._path, writes)

    @contextmanager
    def held(self) -> Iterator[None]:
        with one_writer(self._path):
            yield

    def storable(self, field: pa.Field) -> pa.Field:
        return field.with_type(storable(field.type))


class DuckDBInputAdapter(InputAdapter):
    """Reads a table, a view or a query of a DuckDB file, with its types.

    Decimals, timestamps, lists, structs, maps and UUIDs come as themselves. JSON columns come as the values
    that they stand for. What Arrow has no type for (HUGEINT, ENUM, BIT, TIME WITH TIME ZONE) comes as text.

    Unit of parallelism: a range of a table's rowids. A view or a query is one shard.

    All shards read one state of the file: it is opened for reading only, which DuckDB allows many processes
    while none writes, and a shard that finds another file than was planned fails.

    Args:
        database: the path of the file.
        query: a SELECT; rows come in its order, so that it needs an ORDER BY where that matters.
        table_name: a table or view, or `schema.table`; instead of `query`.

    Raises:
        DeclarationError: an option is out of range, or both or none of `query` and `table_name` are given.
    """

    prunes = True

    def __init__(
        self,
        database: str | os.PathLike[str],
        query: str | None = None,
        table_name: str | None = None,
    ) -> None:
        database_path(database)
        self._database = os.fspath(database)
        self._query, self._table = check_source(query, table_name)

    def __repr__(self) -> str:
        return f"DuckDBInputAdapter({self._source})"

    @property
    def _source(self) -> str:
        """How messages and rejects name it."""
        return f"{self._database}, {'a query' if self._table is None else f'table {self._table}'}"

    @property
    def _from(self) -> str:
        """What is read, as a statement's FROM holds it."""
        if self._table is None:
            return f"({self._query}\n)"
        return ".".join(map(quoted, self._table.path))

    def plan(self, shards: int) -> InputPlan:
        path = Path(os.path.realpath(self._database))
        if not path.is_file():
            raise InputError(f"cannot read {self._database}: there is no such file")
        with self._opened(path) as connection:
            identity = file_identity(path, ".wal")
            columns = self._columns(connection)
            ranges, why = self._ranges(connection, shards)
        pieces = [(part,) for part in ranges]
        return InputPlan(
            tuple(
                Shard(number, parts, folder=os.getcwd(), snapshot=identity)
                for number, parts in enumerate(pieces)
            ),
            tuple(column.name for column in columns),
            None,
            why_whole=why,
            schema=pa.schema([column.field for column in columns]),
            identity={self._source: identity},
        )

    def _ranges(
        self, connection: duckdb.DuckDBPyConnection, shards: int
    ) -> tuple[list[FileRange], str | None]:
        """What each shard reads, and the reason where it is one for all."""
        whole = [FileRange(self._source, 0, END, unit="rows")]
        if self._table is None:
            return whole, "a query is read as a whole"
        if not _is_table(connection, self._table):
            return whole, "a view is read as a whole"
        ((last,),) = connection.sql(f"SELECT max(rowid) FROM {self._from}").fetchall()
        end = 0 if last is None else last + 1
        ranges = [
            FileRange(self._source, low, high, unit="rows")
            for low, high in cut_evenly(0, end, shards)
        ]
        return ranges, "it is too small to cut" if len(ranges) == 1 else None

    def _columns(self, connection: duckdb.DuckDBPyConnection) -> list[ReadColumn]:
        described = connection.sql(f"SELECT * FROM {self._from} LIMIT 0")
        schema = described.to_arrow_reader().schema
        kinds = dict(zip(described.columns, map(str, described.types), strict=True))
        if len(kinds) < len(schema):
            raise InputError(f"{self._source} has two columns of one name: name them with AS")
        return [_column(field, kinds[field.name]) for field in schema]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
        import duckdb

        try:
            with closing(connect(path, writes=False)) as connection:
                yield connection
        except duckdb.Error as error:
            raise InputError(f"cannot read {self._source}: {first_line(error)}") from error
        except OSError as error:
            raise InputError(f"cannot read {self._database}: {error}") from error

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        path = Path(os.path.realpath(os.path.join(shard.folder, self._database)))
        with self._opened(path) as connection:
            self._check(path, shard)
            if any(part.end != END for part in shard.ranges):
                # Shards run side by side, each on one core.
                connection.execute("SET threads = 1")
            every = self._columns(connection)
            wanted = [column for column in every if columns is None or column.name in columns]
            for part in shard.ranges:
                yield from self._blocks(connection, part, every, wanted)
            self._check(path, shard)

    def _check(self, path: Path, shard: Shard) -> None:
        """Refuses a file that has changed since the run was planned."""
        if shard.snapshot and file_identity(path, ".wal") != shard.snapshot:
            raise InputError(
                f"{self._source} has changed while it was read: run it again while nobody writes to it"
            )

    def _blocks(
        self,
        connection: duckdb.DuckDBPyConnection,
        part: FileRange,
        every: list[ReadColumn],
        wanted: list[ReadColumn],
    ) -> Iterator[Block]:
        cut = part.end != END
        # A query is run once: the columns that nobody asked for are there if a row is rejected.
        read = wanted if cut else every
        pruned = len(wanted) < len(every)
        where = f" WHERE rowid >= {part.start} AND rowid < {part.end}" if cut else ""
        with_rowid = f", rowid AS {_ROWID}" if cut and pruned else ""
        rows = connection.sql(
            f"SELECT {_select(read)}{with_rowid} FROM {self._from}{where}"
        ).to_arrow_reader(_BATCH_ROWS)
        empty = pa.RecordBatch.from_pylist([], schema=pa.schema([each.field for each in wanted]))

        def batches() -> Iterator[tuple[pa.RecordBatch, Any]]:
            for batch in reading(rows):
                if not pruned:
                    yield _settled(batch, wanted), None
                elif cut:
                    found = batch.column(batch.num_columns - 1)
                    whole = partial(
                        self._whole, connection, every, found[0].as_py(), found[-1].as_py()
                    )
                    yield _settled(batch, wanted), whole
                else:
                    settled = _settled(batch, every)
                    yield settled.select([each.name for each in wanted]), partial(same, settled)

        yield from blocks_of(batches(), part, empty)

    def _whole(
        self, connection: duckdb.DuckDBPyConnection, every: list[ReadColumn], first: int, last: int
    ) -> pa.RecordBatch:
        """All columns of the rows between two."""
        with closing(connection.cursor()) as cursor:
            rows = cursor.sql(
                f"SELECT {_select(every)} FROM {self._from} WHERE rowid BETWEEN {first} AND {last}"
            ).to_arrow_table()
        (batch,) = rows.combine_chunks().to_batches()
        return _settled(batch, every)


def _column(field: pa.Field, kind: str) -> ReadColumn:
    name = quoted(field.name)
    if kind == "JSON":
        return ReadColumn(encoded_field(field.name, "json"), f"{name}::VARCHAR AS {name}")
    if field.type == pa.month_day_nano_interval():
        return ReadColumn(field.with_type(pa.duration("us")), name)
    if pa.types.is_nested(field.type) and _has_text_only(field.type):
        return ReadColumn(encoded_field(field.name, "json"), f"to_json({name})::VARCHAR AS {name}")
    if _has_text_only(field.type):
        return ReadColumn(field.with_type(pa.string()), f"{name}::VARCHAR AS {name}")
    return ReadColumn(field, name)


def _has_text_only(kind: pa.DataType) -> bool:
    """Whether a type is, or holds, one that comes as text."""
    if isinstance(kind, pa.BaseExtensionType):
        return not isinstance(kind, pa.UuidType)
    if pa.types.is_dictionary(kind) or pa.types.is_interval(kind) or pa.types.is_union(kind):
        return True
    return any(_has_text_only(kind.field(at).type) for at in range(kind.num_fields))


def _select(columns: Sequence[ReadColumn]) -> str:
    return ", ".join(column.sql for column in columns)


def _settled(batch: pa.RecordBatch, columns: Sequence[ReadColumn]) -> pa.RecordBatch:
    """A batch as DuckDB gives it, in the fields that it is read as."""
    arrays = []
    for array, column in zip(batch.columns, columns, strict=False):
        if array.type == pa.month_day_nano_interval():
            array = durations_of(array, column.name)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([each.field for each in columns]))


def _is_table(connection: duckdb.DuckDBPyConnection, table: Table) -> bool:
    """Whether it is a table, which has rowids, and no view."""
    *home, name = table.path
    schema = "current_schema()" if not home else "?"
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() "
        f"AND lower(table_name) = lower(?) AND lower(schema_name) = lower({schema})",
        [name, *home],
    ).fetchall()
    return bool(found)
