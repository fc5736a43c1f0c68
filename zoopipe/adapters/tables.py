"""Tables of databases: attempts stage Arrow streams, and the driver loads them in one transaction.

What a table needs of its database is a `Database`: a connection, with one transaction. A small table of
ours, `_zoopipe_commits`, is written in the same transaction, so that it is known of a run that was cut off
whether it happened.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import Encoded, OutputAdapter
from zoopipe.arrays import mask_of, positions_of
from zoopipe.columns import cells, encoding_of
from zoopipe.conform import conform
from zoopipe.errors import DeclarationError, OutputError
from zoopipe.reasons import Reason
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.staging import Staging

Mode = Literal["append", "replace", "fail", "upsert"]

#: The table that says which runs are loaded whose staging is still there.
COMMITS = "_zoopipe_commits"
#: How long another process may hold a database that has one writer.
WAIT_S = 300.0
_LOOK_AGAIN_S = 0.05


def quoted(name: str) -> str:
    """A name as statements of standard SQL hold it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Place:
    """A database, by what may be shown of it.

    Attributes:
        kind: `duckdb` and `sqlite` are files that anybody can look into; of a `server` only an adapter
            knows how.
        name: the file, or the URI without its password.
    """

    kind: Literal["duckdb", "sqlite", "server"]
    name: str


class Database(ABC):
    """A connection to a database, with one transaction at a time.

    Every method raises `OutputError` with the database's sentence, where it refuses.

    Attributes:
        mark: what stands for a value in a statement.
    """

    mark: ClassVar[str] = "?"

    @abstractmethod
    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs a statement in the transaction; its rows."""

    @abstractmethod
    def columns(self, table: Table) -> list[Column] | None:
        """The columns of a table; None where there is no such table."""

    @abstractmethod
    def create(self, table: Table, schema: pa.Schema, key: Sequence[str]) -> None:
        """Makes a table, with a primary key where `key` names columns."""

    @abstractmethod
    def insert(self, table: Table, rows: pa.RecordBatchReader) -> int:
        """Adds rows to a table, in order; how many it took."""

    def upsert(self, table: Table, rows: pa.RecordBatchReader, key: Sequence[str]) -> int:
        """Adds rows, or changes those of the same key, the later of two the winner; how many were given."""
        raise NotImplementedError("mode='upsert' is refused where it is declared")

    def check_key(self, table: Table, key: Sequence[str]) -> None:
        """Refuses a key that nothing keeps unique in a table that is there."""

    @abstractmethod
    def begin(self) -> None:
        """Begins a transaction."""

    @abstractmethod
    def commit(self) -> None:
        """Ends the transaction; all of it has happened."""

    @abstractmethod
    def close(self) -> None:
        """Closes the connection; an open transaction has not happened."""

    def quoted(self, name: str) -> str:
        """A name as statements hold it."""
        return quoted(name)

    def name_of(self, table: Table) -> str:
        """A table's name as statements hold it."""
        return ".".join(map(self.quoted, table.path))

    def drop(self, table: Table) -> None:
        """Drops a table, where it is there."""
        self.execute(f"DROP TABLE IF EXISTS {self.name_of(table)}")

    # The marks of runs.

    def add_marks(self, targets: Sequence[str], run: str) -> None:
        """Notes in the transaction that a run is loaded."""
        self.make_commits()
        for target in targets:
            self.execute(
                f"INSERT INTO {self.quoted(COMMITS)} (target, run, committed_at) "
                f"VALUES ({self.mark.format(1)}, {self.mark.format(2)}, CURRENT_TIMESTAMP)",
                (target, run),
            )

    def make_commits(self) -> None:
        """Makes the table of runs, where it is missing."""
        self.execute(
            f"CREATE TABLE IF NOT EXISTS {self.quoted(COMMITS)} "
            "(target VARCHAR(1000) NOT NULL, run VARCHAR(100) NOT NULL, committed_at TIMESTAMP NOT NULL)"
        )

    def has_mark(self, target: str, run: str) -> bool:
        """Whether what a run had for a target is loaded."""
        if self.columns(Table((COMMITS,))) is None:
            return False
        return bool(
            self.execute(f"SELECT run FROM {self.quoted(COMMITS)} {self._where()}", (target, run))
        )

    def remove_marks(self, targets: Sequence[str], run: str) -> None:
        """Forgets what a run had for some targets, in a transaction of its own."""
        self.begin()
        if self.columns(Table((COMMITS,))) is not None:
            for target in targets:
                self.execute(f"DELETE FROM {self.quoted(COMMITS)} {self._where()}", (target, run))
            self.drop_commits()
        self.commit()

    def _where(self) -> str:
        return f"WHERE target = {self.mark.format(1)} AND run = {self.mark.format(2)}"

    def drop_commits(self) -> None:
        """Drops the table of runs where it is empty, and nobody else may be about to write to it."""
        if not self.execute(f"SELECT run FROM {self.quoted(COMMITS)} LIMIT 1"):
            self.drop(Table((COMMITS,)))

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table that is there.

    Attributes:
        field: its name, and the Arrow type that it takes; `pa.null()` is one that is not known, and takes what
            the database casts to it.
        is_nullable: whether it takes a null.
        is_needed: whether each row has to give it a value.
    """

    field: pa.Field
    is_nullable: bool = True
    is_needed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table, by its name, behind that of its schema where it has one."""

    path: tuple[str, ...]

    @classmethod
    def named(cls, name: str) -> Table:
        """The table that a user named: `users`, or `sales.users`."""
        path = tuple(name.split(".")) if isinstance(name, str) else ()
        if not 1 <= len(path) <= 2 or not all(path) or "\0" in name:
            raise DeclarationError(
                f"table_name must be the name of a table, or schema.table, not {name!r}"
            )
        if path[-1].lower() == COMMITS:
            raise DeclarationError(f"{COMMITS} is ZooPipe's own table")
        return cls(path)

    def __str__(self) -> str:
        return ".".join(self.path)


class TableOutputAdapter(OutputAdapter):
    """A table: rows appear all at once, by the database's own transaction.

    Delivery: exactly once. All tables of one database that pipes of a manager write are loaded in one
    transaction, when all of those pipes are done.

    Attributes:
        modes: what `mode` may be.
        folds_case: whether names of tables and columns that differ in case only are the same.
    """

    typed = True
    modes: ClassVar[tuple[str, ...]] = ("append", "replace", "fail")
    folds_case: ClassVar[bool] = True

    def __init__(
        self,
        table_name: str,
        mode: Mode = "append",
        key: Sequence[str] = (),
        schema: pa.Schema | None = None,
    ) -> None:
        self.table = Table.named(table_name)
        if mode not in self.modes or mode not in get_args(Mode):
            raise DeclarationError(f"mode must be one of {', '.join(self.modes)}, not {mode!r}")
        if schema is not None and not isinstance(schema, pa.Schema):
            raise DeclarationError(f"schema must be a pyarrow.Schema, not {schema!r}")
        self.mode: Mode = mode
        self.key = tuple(key)
        self.schema = schema

    @property
    @abstractmethod
    def place(self) -> Place:
        """The database; pipes with equal ones are loaded together."""

    @abstractmethod
    def connect(self, writes: bool = True) -> Database:
        """A connection, from the driver.

        Args:
            writes: whether tables are to be changed.

        Raises:
            OutputError: there is no such database, or it refuses.
        """

    @property
    @abstractmethod
    def staging_folder(self) -> Path:
        """The folder that staging folders are made in."""

    @abstractmethod
    def storable(self, field: pa.Field) -> pa.Field:
        """A column in the Arrow type whose values the database can hold, exactly, if perhaps as text.

        Raises:
            DeclarationError: there is none; the sentence goes on behind the column's name.
        """

    def stored(self, field: pa.Field) -> pa.Field:
        """A column of `storable` in the type that it is staged and loaded in: that, or text."""
        return field

    def misfits(self, column: pa.Array) -> tuple[pa.BooleanArray, str] | None:
        """The values of a column that the database would not hold as they are, and why; None for none."""
        return None

    @property
    def output(self) -> str:
        return f"{self.place.name}, table {self.table}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.output})"

    def target(self) -> str:
        """The path that stands for the table: what is locked, and beside which is staged."""
        name = ".".join(quote(part, safe=" ") for part in self.table.path)
        folded = name.lower() if self.folds_case else name
        return str(self.staging_folder / f"{self.staging_name}@{folded}")

    @property
    @abstractmethod
    def staging_name(self) -> str:
        """What names of staging folders begin with: the database's name."""

    def exists(self) -> bool:
        """Whether the database may be there."""
        return True

    def check(self, schema: pa.Schema | None) -> None:
        assert schema is not None, "a typed output is given a schema"
        if not len(schema):
            raise DeclarationError(f"{self.output}: a table has at least one column")
        missing = [name for name in self.key if name not in schema.names]
        if missing:
            raise DeclarationError(
                f"{self.output}: key= names {', '.join(missing)}, which is no column of the rows"
            )

    def stores(self, schema: pa.Schema) -> pa.Schema:
        """The schema in which rows are staged: what the table that is there takes, or one that is
        made of it would.

        Raises:
            OutputError: the table that is there does not fit.
        """
        self._check_names(schema.names)
        fields = [_settled(self, field) for field in schema]
        if self.mode in ("replace", "fail") or not self.exists():
            return pa.schema(fields)
        with self.connect(writes=False) as database:
            columns = database.columns(self.table)
            if columns is not None and self.key:
                database.check_key(self.table, self.key)
        return pa.schema(fields if columns is None else self._fitted(fields, columns))

    def _check_names(self, names: Sequence[str]) -> None:
        folded = [self._folded(name) for name in names]
        twice = sorted({name for name in names if folded.count(self._folded(name)) > 1})
        if twice:
            raise DeclarationError(
                f"{self.output}: the columns {', '.join(twice)} have one name to the database"
            )

    def _folded(self, name: str) -> str:
        return name.lower() if self.folds_case else name

    def _fitted(self, fields: Sequence[pa.Field], columns: Sequence[Column]) -> list[pa.Field]:
        """The fields, in the types of the columns that take them."""
        theirs = {self._folded(column.field.name): column for column in columns}
        given = {self._folded(field.name) for field in fields}
        unknown = [field.name for field in fields if self._folded(field.name) not in theirs]
        needed = [
            c.field.name for c in columns if c.is_needed and self._folded(c.field.name) not in given
        ]
        if unknown or needed:
            what = [f"it has no column {', '.join(unknown)}"] if unknown else []
            what += [f"its column {', '.join(needed)} needs a value"] if needed else []
            raise OutputError(f"{self.output} does not fit the rows: {', and '.join(what)}")
        fitted = []
        for field in fields:
            found = theirs[self._folded(field.name)]
            column, is_nullable = found.field, field.nullable and found.is_nullable
            kind = field.type if pa.types.is_null(column.type) else column.type
            if kind == self.stored(field).type and not is_json(column):
                kind = field.type
            if not is_json(column) and not _fits(field.type, kind):
                raise OutputError(
                    f"{self.output} does not fit the rows: {field.name} is {field.type}, and the table's "
                    f"column takes {kind}"
                )
            metadata = field.metadata if kind == field.type else None
            if is_json(column):
                metadata = column.metadata
            fitted.append(pa.field(field.name, kind, is_nullable, metadata))
        return fitted

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> TablePart:
        assert schema is not None, "a typed output is given a schema"
        return TablePart(file, schema, self)

    def finish(
        self, file: PartFile, leader: Part, others: Sequence[Part], schema: pa.Schema | None
    ) -> Part:
        raise NotImplementedError("the parts of a table are loaded as they are")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits for other runs that are loading into the database, where it has one writer."""
        yield


def _settled(adapter: TableOutputAdapter, field: pa.Field) -> pa.Field:
    try:
        settled = adapter.storable(field)
    except DeclarationError as error:
        raise DeclarationError(f"{adapter.output}: the column {field.name} {error}") from error
    # Two rows without a key are not one row.
    return settled.with_nullable(field.nullable and field.name not in adapter.key)


_types = pa.types


def _class_of(kind: pa.DataType) -> str:
    """Types whose values may be one another's have one class."""
    if _types.is_integer(kind) or _types.is_decimal(kind):
        return "number"
    if _types.is_floating(kind):
        return "float"
    if _types.is_string(kind) or _types.is_large_string(kind):
        return "text"
    if _types.is_binary(kind) or _types.is_large_binary(kind) or _types.is_fixed_size_binary(kind):
        return "bytes"
    if _types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamp with zone"
    if _types.is_time(kind):
        return "time"
    if _types.is_date(kind):
        return "date"
    return str(kind)


def _fits(ours: pa.DataType, theirs: pa.DataType) -> bool:
    """Whether a column may be given values of a type; each of them is then held exactly, or refused."""
    one, other = _class_of(ours), _class_of(theirs)
    if (one, other) == ("number", "float"):
        return True
    if _types.is_list(ours) and _types.is_list(theirs):
        return _fits(ours.value_type, theirs.value_type)
    if _types.is_map(ours) and _types.is_map(theirs):
        return _fits(ours.key_type, theirs.key_type) and _fits(ours.item_type, theirs.item_type)
    if _types.is_struct(ours) and _types.is_struct(theirs):
        inner = {field.name: field.type for field in theirs}
        return [field.name for field in ours] == list(inner) and all(
            _fits(field.type, inner[field.name]) for field in ours
        )
    return one == other


class TablePart:
    """An attempt's rows, staged as an Arrow stream."""

    def __init__(self, file: PartFile, schema: pa.Schema, adapter: TableOutputAdapter) -> None:
        self._file, self._schema, self._adapter = file, schema, adapter
        self._stored = stored(adapter, schema)
        self._rows = 0
        file.write(self._stored.serialize())

    def encode(self, batch: pa.RecordBatch, selection: pa.BooleanArray | None = None) -> Encoded:
        if selection is not None:
            batch = batch.filter(selection)
        conformed = conform(batch, self._schema)
        rows, refused = conformed.batch, conformed.refused
        found: dict[int, Reason] = {}
        for field, column in zip(rows.schema, rows.columns, strict=True):
            if (odd := self._adapter.misfits(column)) is not None:
                mask, why = odd
                for row in positions_of(mask):
                    found.setdefault(row, _misfit(field.name, why))
        if found:
            taken = dict(refused)
            places = [at for at in range(batch.num_rows) if at not in taken]
            taken.update({places[row]: reason for row, reason in found.items()})
            refused = sorted(taken.items(), key=lambda each: each[0])
            rows = rows.filter(pc.invert(mask_of(rows.num_rows, found)))
        columns = [
            column if field.type == kind.type else cells(column, field)
            for column, field, kind in zip(rows.columns, rows.schema, self._stored, strict=True)
        ]
        staged = pa.RecordBatch.from_arrays(columns, schema=self._stored)
        return Encoded([staged], rows.num_rows, refused)

    def write(self, encoded: Encoded) -> None:
        for batch in encoded.payload:
            self._file.write(batch.serialize())
        self._rows += encoded.rows

    def close(self) -> Part:
        return self._file.close(self._rows)


def stored(adapter: TableOutputAdapter, schema: pa.Schema) -> pa.Schema:
    """The schema in which rows of another are staged and loaded."""
    return pa.schema([adapter.stored(field) for field in schema])


def _misfit(name: str, why: str) -> Reason:
    return {
        "loc": [name],
        "type": "not_in_schema",
        "msg": f"the table does not hold the value: {why}",
    }


def staged_rows(parts: Sequence[Part], schema: pa.Schema) -> pa.RecordBatchReader:
    """The rows of staged parts, in order, in one stream of a schema."""
    return pa.RecordBatchReader.from_batches(schema, _batches(parts))


def _batches(parts: Sequence[Part]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pa.memory_map(str(part.path)) as file, pa.ipc.open_stream(file) as stream:
            yield from stream


def is_json(field: pa.Field) -> bool:
    """Whether a column is JSON text."""
    return encoding_of(field) == "json"


@contextmanager
def one_writer(database: Path) -> Iterator[None]:
    """Waits until no other run loads into a database that is a file, and keeps them waiting."""
    staging = Staging(database.with_name(f"{database.name}@"))
    patiently(staging.acquire, lambda error: "another run is writing it" in str(error))
    try:
        yield
    finally:
        staging.remove()


def patiently(do: Any, is_busy: Any) -> Any:
    """What `do` gives, tried again for `WAIT_S` while it raises an error that is one of being busy."""
    give_up_at = time.monotonic() + WAIT_S
    while True:
        try:
            return do()
        except Exception as error:
            if not is_busy(error) or time.monotonic() >= give_up_at:
                raise
        time.sleep(_LOOK_AGAIN_S)


def database_path(database: str | os.PathLike[str]) -> Path:
    """The file of a database, absolute, links followed.

    Raises:
        DeclarationError: it is no path.
    """
    if not isinstance(database, str | os.PathLike) or not os.fspath(database):
        raise DeclarationError(f"database must be a path, not {database!r}")
    text = os.fspath(database)
    if text.startswith(":memory:"):
        raise DeclarationError("a database in memory is gone when its process ends: name a file")
    return Path(os.path.realpath(text))
