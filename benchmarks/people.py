"""The input of most cases: a file of people, CSV, JSON Lines or Parquet, the same for the same arguments."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path

HEADER = ("id", "name", "email", "age", "score", "active", "born")
SEED = 20260131
_COPY_BYTES = 1 << 20
_ROW_GROUP_ROWS = 1 << 17

_FIRST = "Ana Bram Chloé Dmitri Elif Farid Greta Hiroshi Ingrid João Kwame Lena Mateo Nadia Olu"
_LAST = "Alvarez Bauer Costa Dubois Eriksen Fischer García Haddad Ivanov Jansen Okafor O'Neill"
_FIRST_NAMES, _LAST_NAMES = _FIRST.split(), _LAST.split()
_HOSTS = ("example.com", "example.org", "mail.example.net")
_FIRST_DAY = date(1940, 1, 1)
_DAYS = 24_000
# Each makes a row that pydantic refuses; the field and a text that it cannot take.
_FAULTS = (
    ("id", "A-{}"),
    ("age", "unknown"),
    ("age", ""),
    ("score", "n/a"),
    ("active", "maybe"),
    ("born", "1987-02-30"),
    ("born", "03/07/1987"),
)


def write_people(path: Path, rows: int, bad_share: float, blocks: int = 1) -> None:
    """Writes a header and `rows` rows, these `blocks` times over.

    Args:
        path: the file to write.
        rows: how many rows one block has.
        bad_share: the share of rows, 0 to 1, with one value that the model refuses.
        blocks: how often the same rows are repeated, to make a large file fast.
    """
    block = path.with_suffix(".block")
    with block.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(_people(rows, bad_share))
    with path.open("wb") as whole, block.open("rb") as file:
        whole.write(",".join(HEADER).encode() + b"\n")
        for _ in range(blocks):
            file.seek(0)
            shutil.copyfileobj(file, whole, _COPY_BYTES)
    block.unlink()


def people(rows: int, bad_share: float = 0.0, blocks: int = 1) -> partial[None]:
    """A maker of such a file, to be called with its path."""
    return partial(write_people, rows=rows, bad_share=bad_share, blocks=blocks)


def write_people_as_json(path: Path, rows: int, bad_share: float) -> None:
    """Writes the same rows as JSON Lines: numbers and booleans as JSON has them, dates as text."""
    with path.open("w", encoding="utf-8") as file:
        for row in _people(rows, bad_share):
            record = {name: _json_value(text) for name, text in zip(HEADER, row, strict=True)}
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def people_as_json(rows: int, bad_share: float = 0.0) -> partial[None]:
    """A maker of such a file, to be called with its path."""
    return partial(write_people_as_json, rows=rows, bad_share=bad_share)


def write_people_as_parquet(path: Path, rows: int) -> None:
    """Writes the same rows as Parquet: each column in the type of its field, compressed with zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = zip(*_people(rows, 0.0), strict=True)
    kinds = (pa.int64(), None, None, pa.int64(), pa.float64(), pa.bool_(), pa.date32())
    arrays = [
        pa.array(column, pa.string()).cast(kind or pa.string())
        for column, kind in zip(columns, kinds, strict=True)
    ]
    table = pa.Table.from_arrays(arrays, names=list(HEADER))
    pq.write_table(table, path, compression="zstd", row_group_size=_ROW_GROUP_ROWS)


def people_as_parquet(rows: int) -> partial[None]:
    """A maker of such a file, to be called with its path."""
    return partial(write_people_as_parquet, rows=rows)


def first_and_last(rng: random.Random) -> tuple[str, str]:
    """A person's names."""
    return rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)


def _json_value(text: str) -> object:
    """The number or boolean that a cell's text says, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _people(rows: int, bad_share: float) -> Iterator[list[str]]:
    rng = random.Random(f"{SEED} {rows} {bad_share}")
    for number in range(1, rows + 1):
        first, last = first_and_last(rng)
        row = [
            str(number),
            f"{first} {last}",
            f"{first}.{last}{rng.randrange(10_000)}@{rng.choice(_HOSTS)}".lower(),
            str(rng.randrange(18, 95)),
            f"{rng.uniform(0, 100):.2f}",
            rng.choice(("true", "false")),
            (_FIRST_DAY + timedelta(days=rng.randrange(_DAYS))).isoformat(),
        ]
        if rng.random() < bad_share:
            name, text = rng.choice(_FAULTS)
            row[HEADER.index(name)] = text.format(number)
        yield row
