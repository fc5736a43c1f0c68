"""DuckDB: one statement a file, `read_csv` to `COPY`; types by hand-written `TRY_CAST`."""

from pathlib import Path

import duckdb

LIBRARIES = ("duckdb",)
TYPES = {
    "id": "BIGINT",
    "name": "VARCHAR",
    "email": "VARCHAR",
    "age": "BIGINT",
    "score": "DOUBLE",
    "active": "BOOLEAN",
    "born": "DATE",
}
_TYPED = [name for name, kind in TYPES.items() if kind != "VARCHAR"]
_CASTS = ", ".join(f"TRY_CAST({name} AS {TYPES[name]}) AS _{name}" for name in _TYPED)
_FAILED = " OR ".join(f"_{name} IS NULL" for name in _TYPED)
_CASES = ", ".join(f"CASE WHEN _{name} IS NULL THEN '{name}' END" for name in _TYPED)
_TEXTS = ", ".join(TYPES)
_VALUES = ", ".join(f"_{name} AS {name}" if name in _TYPED else name for name in TYPES)


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines without a model: each value is the text it was."""
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = f"read_csv('{source}', all_varchar = true)"
        connection.execute(f"COPY (SELECT * FROM {rows}) TO '{output}' (FORMAT json)")


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with the names of the fields that did not pass."""
    _copy(f"read_csv('{source}', all_varchar = true)", output, errors)


def json_lines(source: Path, output: Path, errors: Path) -> None:
    """JSON Lines to JSON Lines, rejected rows with the names of the fields that did not pass."""
    columns = ", ".join(f"{name}: 'VARCHAR'" for name in TYPES)
    _copy(f"read_json('{source}', columns = {{{columns}}})", output, errors)


def _copy(rows: str, output: Path, errors: Path) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            f"""
            CREATE TEMP TABLE checked AS
            SELECT *, row_number() OVER () AS _row, {_FAILED} AS _failed
            FROM (SELECT *, {_CASTS} FROM {rows})
            """
        )
        connection.execute(
            f"COPY (SELECT {_VALUES} FROM checked WHERE NOT _failed) TO '{output}' (FORMAT json)"
        )
        connection.execute(
            f"""
            COPY (
                SELECT {_TEXTS}, _row,
                    list_filter([{_CASES}], lambda name: name IS NOT NULL) AS _errors
                FROM checked WHERE _failed
            ) TO '{errors}' (FORMAT json)
            """
        )
