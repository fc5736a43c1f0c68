"""pandas: `read_csv` in chunks, `to_json`; types by `to_numeric` and `to_datetime`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pandas as pd
from contenders.functions import enrich

LIBRARIES = ("pandas",)
CHUNK_ROWS = 100_000


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines without a model: each value is the text it was."""
    with output.open("w", encoding="utf-8") as accepted:
        for rows in _chunks(source):
            _write(rows, accepted)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with the names of the fields that did not pass."""
    with output.open("w", encoding="utf-8") as good, errors.open("w", encoding="utf-8") as bad:
        for rows in _chunks(source):
            typed = rows.assign(
                id=pd.to_numeric(rows["id"], errors="coerce").astype("Int64"),
                age=pd.to_numeric(rows["age"], errors="coerce").astype("Int64"),
                score=pd.to_numeric(rows["score"], errors="coerce"),
                active=rows["active"].map({"true": True, "false": False}).astype("boolean"),
                born=rows["born"].where(
                    pd.to_datetime(rows["born"], format="%Y-%m-%d", errors="coerce").notna()
                ),
            )
            failed = typed.isna()
            passes = ~failed.any(axis=1)
            _write(typed[passes], good)
            fields = failed[~passes]
            reasons = [[*fields.columns[row]] for row in fields.to_numpy()]
            rejected = rows[~passes]
            _write(rejected.assign(_row=rejected.index + 1, _errors=reasons), bad)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a function for each row: `apply` over rows."""
    with output.open("w", encoding="utf-8") as accepted:
        for rows in _chunks(source):
            _write(rows.apply(enrich, axis=1, result_type="expand"), accepted)


def _chunks(source: Path) -> Iterator[pd.DataFrame]:
    return pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=CHUNK_ROWS)


def _write(rows: pd.DataFrame, file: TextIO) -> None:
    # Of no rows it would write an empty line.
    if len(rows):
        rows.to_json(file, orient="records", lines=True, force_ascii=False)
