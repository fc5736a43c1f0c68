"""Formats by name and by extension, so that a path alone names an adapter.

ZooPipe's own are in the table below; others register in the entry-point group `zoopipe.adapters`:

```toml
[project.entry-points."zoopipe.adapters"]
avro = "my_package:AVRO"
```

where `AVRO` is a `Format`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal
from urllib.parse import urlsplit

from zoopipe.adapters.base import InputAdapter, OutputAdapter
from zoopipe.errors import DeclarationError, MissingExtraError

GROUP = "zoopipe.adapters"
Role = Literal["input", "output"]

# Extensions that say how a text file is compressed; the one before them says what it is.
_COMPRESSED = (".gz", ".bz2", ".zst", ".zstd", ".lz4")


@dataclass(frozen=True, slots=True)
class Format:
    """What there is to know of a format before its code is imported.

    Attributes:
        name: what users call it.
        input, output: its adapters, each as `module:Class`; None where it cannot be read, or written. The
            first argument of each is the source, or the target.
        extensions: of its files, in lower case, with the dot.
        schemes: of its URLs, for databases.
        has_tables: whether a target names a table too, behind a `#`, which the adapter is given as
            `table_name`.
        options: what its adapters are given by the extension that was found, like a tab as delimiter.
        extra: what has to be installed with it: `pip install 'zoopipe[extra]'`.
    """

    name: str
    input: str | None
    output: str | None
    extensions: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    has_tables: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extra: str | None = None


_OURS = (
    Format(
        "csv",
        "zoopipe.adapters.csv:CSVInputAdapter",
        "zoopipe.adapters.csv:CSVOutputAdapter",
        extensions=(".csv", ".tsv"),
        options={".tsv": {"delimiter": "\t"}},
    ),
    Format(
        "json",
        "zoopipe.adapters.json:JSONInputAdapter",
        "zoopipe.adapters.json:JSONOutputAdapter",
        extensions=(".jsonl", ".ndjson", ".json"),
    ),
    Format(
        "parquet",
        "zoopipe.adapters.parquet:ParquetInputAdapter",
        "zoopipe.adapters.parquet:ParquetOutputAdapter",
        extensions=(".parquet", ".pq"),
    ),
    Format(
        "arrow",
        "zoopipe.adapters.arrow:ArrowInputAdapter",
        "zoopipe.adapters.arrow:ArrowOutputAdapter",
        extensions=(".arrow", ".feather", ".ipc", ".arrows"),
    ),
    Format(
        "excel",
        "zoopipe.adapters.excel:ExcelInputAdapter",
        "zoopipe.adapters.excel:ExcelOutputAdapter",
        extensions=(".xlsx", ".xls", ".xlsb", ".ods"),
        extra="excel",
    ),
    Format(
        "duckdb",
        "zoopipe.adapters.duckdb:DuckDBInputAdapter",
        "zoopipe.adapters.duckdb:DuckDBOutputAdapter",
        extensions=(".duckdb", ".ddb"),
        has_tables=True,
        extra="duckdb",
    ),
    Format(
        "sql",
        "zoopipe.adapters.sql:SQLInputAdapter",
        "zoopipe.adapters.sql:SQLOutputAdapter",
        schemes=("postgresql", "postgres", "sqlite", "mysql", "mariadb", "mssql", "oracle"),
        has_tables=True,
        extra="sql",
    ),
)


@cache
def formats() -> Mapping[str, Format]:
    """All formats by name, those that others have registered before ours.

    Raises:
        DeclarationError: what is registered is no `Format`, or cannot be imported.
    """
    found: dict[str, Format] = {}
    for entry in entry_points(group=GROUP):
        try:
            made = entry.load()
        except Exception as error:
            raise DeclarationError(
                f"the format {entry.name!r} of {entry.value} cannot be imported: {error}"
            ) from error
        if not isinstance(made, Format):
            raise DeclarationError(f"what is registered as format {entry.name!r} is no Format")
        found[entry.name] = made
    return {**found, **{ours.name: ours for ours in _OURS if ours.name not in found}}


def adapter_for(
    target: str | os.PathLike[str],
    role: Role = "input",
    format: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """The adapter for a file, a URL or a table, by its extension or scheme.

    Args:
        target: a path, a glob or a URL; of a database also the table, as in `analytics.duckdb#users` and
            `postgresql://host/shop#users`.
        role: `input` for an adapter that reads it, `output` for one that writes it.
        format: the name of the format, where nothing of the target says it.
        options: more arguments of the adapter, by name.

    Returns:
        An `InputAdapter` or an `OutputAdapter`.

    Raises:
        DeclarationError: no format is known by that extension or name, it cannot do what is asked for, or
            an option is not one of its adapter's.
        MissingExtraError: it needs a package that is not installed.
    """
    if role not in ("input", "output"):
        raise DeclarationError(f"role must be 'input' or 'output', not {role!r}")
    text = os.fspath(target)
    chosen, extension = _by_name(format) if format is not None else _by_target(text)
    place = chosen.input if role == "input" else chosen.output
    if place is None:
        verb = "read" if role == "input" else "written"
        raise DeclarationError(f"{chosen.name} cannot be {verb}: {text}")
    arguments = {**chosen.options.get(extension or _extension(text), {}), **(options or {})}
    if chosen.has_tables:
        text, _, table = text.rpartition("#") if "#" in text else (text, "", "")
        if table:
            arguments.setdefault("table_name", table)
        elif not {"table_name", "query"} & arguments.keys():
            raise DeclarationError(f"{text} names no table: write {text}#table")
    kind = InputAdapter if role == "input" else OutputAdapter
    return _made(chosen, place, kind, text, arguments)


def _by_name(name: str) -> tuple[Format, str]:
    known = formats()
    if name not in known:
        raise DeclarationError(f"there is no format {name!r}; known: {', '.join(sorted(known))}")
    return known[name], ""


def _by_target(text: str) -> tuple[Format, str]:
    extension, scheme = _extension(text), _scheme(text)
    for each in formats().values():
        if scheme in each.schemes:
            return each, ""
        if extension in each.extensions:
            return each, extension
    listed = ", ".join(ext for each in formats().values() for ext in each.extensions)
    raise DeclarationError(
        f"the name {text} does not say which format it is: its extension is none of {listed}; name the format"
    )


def _extension(text: str) -> str:
    """The extension of a path, a glob or a URL, without that of its compression and in lower case."""
    name = os.path.basename(text.partition("#")[0])
    stem, extension = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] if extension in _COMPRESSED else extension


def _scheme(text: str) -> str:
    """The scheme of a URL, without the driver that SQLAlchemy knows behind a plus."""
    return urlsplit(text).scheme.partition("+")[0] if "://" in text else ""


def _made(
    chosen: Format, place: str, kind: type, target: str, arguments: Mapping[str, Any]
) -> object:
    module, _, name = place.partition(":")
    try:
        adapter = getattr(import_module(module), name)
    except MissingExtraError:
        raise
    except ImportError as error:
        install = "" if chosen.extra is None else f": pip install 'zoopipe[{chosen.extra}]'"
        raise MissingExtraError(
            f"the format {chosen.name!r} needs {error.name}{install}"
        ) from error
    try:
        made: object = adapter(target, **arguments)
    except TypeError as error:
        given = ", ".join(arguments) or "none"
        raise DeclarationError(f"{name} does not take these options: {given} ({error})") from error
    if not isinstance(made, kind):
        raise DeclarationError(f"{place} is no {kind.__name__}")
    return made
