"""Small inputs, what has to become of them by Python's own modules, and pipes over them."""

from __future__ import annotations

import csv
import json
from collections.abc import Container
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ValidationError

from zoopipe.adapters.base import InputPlan
from zoopipe.adapters.csv import CSVInputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.hooks import BaseHook, ColumnHook, EntryTypedDict, HookStore
from zoopipe.pipe import Pipe

_NAMES = ("plain", "with, comma", 'with "quotes"', "two\nlines", "Zoë")


class Item(BaseModel):
    """The model of `write_items`' rows."""

    id: int
    name: str
    price: Decimal
    day: date


def write_items(
    path: Path, count: int, bad: Container[int] = (), first: int = 1, plain: bool = True
) -> Path:
    """A CSV of `count` items, by Python's `csv`.

    Args:
        path: where; folders above it are made.
        count: how many.
        bad: the numbers of those whose id is no integer.
        first: the number of the first.
        plain: without delimiters, quotes and newlines inside fields: then a shard's start is never
            guessed wrongly, and no shard is run a second time for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Item.model_fields)
        for number in range(first, first + count):
            name = "item" if plain else _NAMES[number % len(_NAMES)]
            day = date(2024, 1, 1) + timedelta(days=number)
            key = f"x{number}" if number in bad else number
            writer.writerow([key, f"{name} {number}", f"{number}.50", day.isoformat()])
    return path


@dataclass(frozen=True, slots=True)
class Expected:
    """What the row loop gives.

    Attributes:
        text: the JSON Lines of the accepted rows.
        rows: the same, as values.
        rejects: the number in the input, from 1, and pydantic's errors, of each refused row.
    """

    text: str
    rows: list[dict[str, Any]]
    rejects: list[tuple[int, list[dict[str, Any]]]]


def expected(source: Path, model: type[BaseModel] = Item) -> Expected:
    """What has to become of a CSV: `csv.DictReader`, `model_validate`, `model_dump(mode="json")`."""
    accepted: list[str] = []
    rejects = []
    with open(source, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            try:
                accepted.append(model.model_validate(row).model_dump_json())
            except ValidationError as error:
                found = error.errors(include_url=False, include_context=False, include_input=False)
                reasons = [{**reason, "loc": list(reason["loc"])} for reason in found]
                rejects.append((number, reasons))
    text = "".join(f"{line}\n" for line in accepted)
    return Expected(text, [json.loads(line) for line in accepted], rejects)


def items_pipe(source: Path, output: Path, **options: Any) -> Pipe:
    """A pipe from `write_items`' CSV to JSON Lines.

    Args:
        source: the CSV.
        output: the JSON Lines.
        options: further arguments of `Pipe`; the model is `Item` unless told otherwise.
    """
    options.setdefault("schema_model", Item)
    return Pipe(CSVInputAdapter(source), JSONOutputAdapter(output), **options)


def json_rows(path: Path) -> list[Any]:
    """The values of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def rejects_in(path: Path) -> list[tuple[int, list[dict[str, Any]]]]:
    """Number and errors of each row of an error output, as `Expected.rejects`."""
    return [(row["_row"], row["_errors"]) for row in json_rows(path)]


def staged(folder: Path) -> list[Path]:
    """Whatever of a run is still staged below a folder."""
    return [
        path for path in folder.rglob("*") if path.name.startswith(".") and ".zoopipe" in path.name
    ]


# Adapters and hooks; here, where a worker can import them without pytest.


class Vanishing(CSVInputAdapter):
    """A file that only the driver has: it is gone once the run is planned."""

    def __init__(self, source: Path) -> None:
        super().__init__(source)
        self._path = source

    def plan(self, shards: int) -> InputPlan:
        plan = super().plan(shards)
        self._path.unlink()
        return plan


class Positions(BaseHook):
    """Adds each row's place in the whole input; drops rows; counts what its worker has seen.

    Args:
        drop: the positions of rows that are dropped.
    """

    def __init__(self, drop: Container[int] = ()) -> None:
        super().__init__()
        self.drop = drop

    def setup(self, store: HookStore) -> None:
        store["seen"] = 0

    def execute(self, entries: list[EntryTypedDict], store: HookStore) -> list[EntryTypedDict]:
        kept = [entry for entry in entries if entry["position"] not in self.drop]
        for entry in kept:
            store["seen"] += 1
            row = entry["validated_data"]
            assert row is not None, "rows are validated"
            row["position"], row["seen"] = entry["position"], store["seen"]
        return kept


class Shout(ColumnHook):
    """Puts the names into upper case, as a column."""

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        at = batch.schema.get_field_index("name")
        return batch.set_column(at, batch.schema.field(at), pc.utf8_upper(batch.column(at)))


class Twice(ColumnHook):
    """Writes every row of a block once more, after all of them."""

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.Table.from_batches([batch, batch]).combine_chunks().to_batches()[0]


def as_is(row: dict[str, Any]) -> dict[str, Any]:
    """The row. A pipe with a function takes rows in batches of the executor's size."""
    return row
