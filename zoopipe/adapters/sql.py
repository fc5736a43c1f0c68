"""SQL databases: PostgreSQL and SQLite by ADBC, others by SQLAlchemy."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from zoopipe.adapters.base import (
    SAMPLE_ROWS,
    Block,
    FileRange,
    InputAdapter,
    InputPlan,
    Resource,
    Shard,
)
from zoopipe.adapters.options import check_names
from zoopipe.adapters.sql_database import PostgreSQLDatabase, SQLiteDatabase
from zoopipe.adapters.sql_dialects import Dialect, Generic, PostgreSQL, SQLite
from zoopipe.adapters.sql_read import (
    KeyKind,
    PostgreSQLReader,
    Reader,
    SQLiteReader,
    Wanted,
    number_of,
)
from zoopipe.adapters.sql_uris import DatabaseURI
from zoopipe.adapters.table_blocks import (
    ReadColumn,
    blocks_of,
    check_source,
    cut_evenly,
    reading,
    same,
)
from zoopipe.adapters.tables import (
    Database,
    Place,
    TableOutputAdapter,
    one_writer,
)
from zoopipe.errors import DeclarationError, InputError, OutputError
from zoopipe.storage.files import END

_DIALECTS: Mapping[str, Dialect] = {
    "postgresql": PostgreSQL(),
    "sqlite": SQLite(),
    "sqlalchemy": Generic(),
}
# A URI that is a reference is looked at when it is used.
_UPSERTS = ("postgresql:", "postgres:", "sqlite:", "${")


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
        if mode == "upsert" and not self._uri.text.lower().startswith(_UPSERTS):
            raise DeclarationError(
                "mode='upsert' is for postgresql:// and sqlite:/// URIs, without a driver of their own"
            )
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
        return _DIALECTS[self._uri.driver]

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

    def stored(self, field: pa.Field) -> pa.Field:
        return self._dialect.stored(field)

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
        raise OutputError(
            f"cannot stage in {folder}: it is no folder of this user's; give staging="
        )
    return Path(os.path.realpath(folder))


class SQLInputAdapter(InputAdapter):
    """Reads a table, a view or a query of an SQL database.

    PostgreSQL and SQLite are read by ADBC, in bulk; other URIs (`mysql+pymysql://`, `postgresql+psycopg://`) by
    SQLAlchemy. Of PostgreSQL decimals, dates, times, UUIDs and lists of plain values come as themselves, JSON
    as the values that it stands for, anything else as text. SQLite knows integers, floats, texts and blobs;
    columns that are declared as something else come as text.

    Unit of parallelism: a range of `partition_column`; without one the input is one shard. Rows come in the
    order of that column, which should be unique; ties of a table are in the order in which they are stored.

    All shards read one state: on PostgreSQL the snapshot of one transaction, which the driver keeps open
    meanwhile; an SQLite file that has changed since the run was planned fails it. Other databases are read as
    they are when each shard begins.

    Args:
        uri: `postgresql://user@host/name`, `sqlite:///file.db`, or any of SQLAlchemy's; `${NAME}` in it is a
            variable of the environment of each worker. Its password is never shown.
        query: a SELECT.
        table_name: a table or view, or `schema.table`; instead of `query`.
        partition_column: a column of integers, or on PostgreSQL also of dates or timestamps, whose values are
            cut into ranges of the same width; rows without a value are in the first.

    Raises:
        DeclarationError: an option is out of range, or both or none of `query` and `table_name` are given.
    """

    prunes = True

    def __init__(
        self,
        uri: str,
        query: str | None = None,
        table_name: str | None = None,
        partition_column: str | None = None,
    ) -> None:
        self._uri = DatabaseURI.checked(uri)
        self._query, self._table = check_source(query, table_name)
        if partition_column is not None:
            check_names((partition_column,), "partition_column")
        self._partition = partition_column

    def __repr__(self) -> str:
        return f"SQLInputAdapter({self._source})"

    @property
    def _source(self) -> str:
        """How messages and rejects name it."""
        return f"{self._uri.shown}, {'a query' if self._table is None else f'table {self._table}'}"

    def _reader(self) -> Reader:
        wanted = Wanted(self._uri, self._table, self._query, self._source)
        if self._uri.driver == "postgresql":
            return PostgreSQLReader(wanted)
        if self._uri.driver == "sqlite":
            if not self._uri.path.is_file():
                raise InputError(f"cannot read {self._uri.shown}: there is no such file")
            return SQLiteReader(wanted)
        from zoopipe.adapters.sql_alchemy import AlchemyReader

        return AlchemyReader(wanted)

    def plan(self, shards: int) -> InputPlan:
        reader = self._reader()
        try:
            snapshot, identity = reader.snapshot(), reader.identity()
            columns = reader.columns()
            ranges, why = self._ranges(reader, columns, shards)
        except BaseException:
            reader.close()
            raise
        if snapshot:
            resource = Resource(reader.close)
        else:
            reader.close()
            resource = None
        return InputPlan(
            tuple(
                Shard(number, (part,), folder=os.getcwd(), snapshot=snapshot or identity)
                for number, part in enumerate(ranges)
            ),
            tuple(column.name for column in columns),
            None,
            why_whole=why,
            schema=pa.schema([column.field for column in columns]),
            identity={self._source: identity},
            resource=resource,
        )

    def _ranges(
        self, reader: Reader, columns: Sequence[ReadColumn], shards: int
    ) -> tuple[list[FileRange], str | None]:
        """What each shard reads, and the reason where it is one for all."""
        if self._partition is None:
            why = "it has no partition_column= to be cut by"
            return [FileRange(self._source, 0, END, unit="rows")], why
        kind = self._key_kind(reader, columns)
        least, most = reader.bounds(self._partition)
        low = high = 0
        if least is not None:
            try:
                low, high = number_of(least, kind), number_of(most, kind) + 1
            except (OverflowError, ValueError, TypeError) as error:
                raise InputError(
                    f"cannot cut {self._source}: {self._partition} has values that are no dates of the years "
                    "1 to 9999"
                ) from error
        ranges = [
            FileRange(self._source, start, end, unit="keys")
            for start, end in cut_evenly(low, high, shards)
        ]
        return ranges, "it is too small to cut" if len(ranges) == 1 else None

    def _key_kind(self, reader: Reader, columns: Sequence[ReadColumn]) -> KeyKind:
        found = [column for column in columns if column.name == self._partition]
        if not found:
            names = ", ".join(column.name for column in columns)
            raise InputError(f"{self._source} has no column {self._partition}; it has {names}")
        kind = reader.key_kind(found[0])
        if kind is None:
            raise InputError(
                f"cannot cut {self._source} by {self._partition}, which is {found[0].field.type}: it has to be "
                "of integers, or on PostgreSQL of dates or timestamps"
            )
        return kind

    def sample(self, plan: InputPlan) -> pa.RecordBatch | None:
        with self._reader() as reader:
            if plan.resource is not None:
                reader.join(plan.shards[0].snapshot)
            order = f"{reader.order(self._partition)} LIMIT {SAMPLE_ROWS}"
            return next(iter(reading(reader.batches(reader.columns(), "", order))), None)

    def read(self, shard: Shard, columns: tuple[str, ...] | None) -> Iterator[Block]:
        with self._reader() as reader:
            self._join(reader, shard)
            every = reader.columns()
            wanted = [column.name for column in every if columns is None or column.name in columns]
            kind = None if self._partition is None else self._key_kind(reader, every)
            for part in shard.ranges:
                where = "" if kind is None else self._where(reader, shard, part, kind)
                rows = reader.batches(every, where, reader.order(self._partition))
                empty = pa.RecordBatch.from_pylist([], pa.schema([each.field for each in every]))
                pruned = len(wanted) < len(every)
                batches = (
                    (batch.select(wanted), partial(same, batch)) if pruned else (batch, None)
                    for batch in reading(rows)
                )
                yield from blocks_of(batches, part, empty.select(wanted))
            self._check(reader, shard)

    def _join(self, reader: Reader, shard: Shard) -> None:
        if self._uri.driver == "postgresql":
            reader.join(shard.snapshot)
        self._check(reader, shard)

    def _check(self, reader: Reader, shard: Shard) -> None:
        """Refuses a file that has changed since the run was planned."""
        if self._uri.driver == "sqlite" and shard.snapshot not in ("", reader.identity()):
            raise InputError(
                f"{self._source} has changed while it was read: run it again while nobody writes to it"
            )

    def _where(self, reader: Reader, shard: Shard, part: FileRange, kind: KeyKind) -> str:
        name = reader.quoted(self._partition or "")
        keys = f"{name} >= {reader.key(part.start, kind)} AND {name} < {reader.key(part.end, kind)}"
        # Of the order, those without a key are the first.
        return f" WHERE {keys}" if shard.index else f" WHERE ({keys} OR {name} IS NULL)"
