"""The loops on all CPUs: `multiprocessing.Pool.imap` over batches of lines."""

import csv
import json
import os
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing import Pool
from pathlib import Path

from contenders.functions import enrich
from contenders.models import Person
from pydantic import ValidationError

LIBRARIES = ("pydantic",)
BATCH_ROWS = 10_000
# The number of the batch's first row, the header, and the batch.
Batch = tuple[int, list[str], list[list[str]]]


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with pydantic's reasons."""
    _run(_validate, source, output, errors)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a function for each row, rows that it refuses apart."""
    _run(_enrich, source, output, errors)


def _run(
    work: Callable[[Batch], tuple[str, str]], source: Path, output: Path, errors: Path
) -> None:
    with (
        Pool(len(os.sched_getaffinity(0))) as pool,
        output.open("w", encoding="utf-8") as accepted,
        errors.open("w", encoding="utf-8") as rejected,
    ):
        for good, bad in pool.imap(work, _batches(source)):
            accepted.write(good)
            rejected.write(bad)
        pool.close()
        pool.join()


def _batches(source: Path) -> Iterator[Batch]:
    with source.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        names = next(rows)
        first = 1
        while batch := list(islice(rows, BATCH_ROWS)):
            yield first, names, batch
            first += len(batch)


def _validate(batch: Batch) -> tuple[str, str]:
    first, names, rows = batch
    good, bad = [], []
    for number, cells in enumerate(rows, first):
        row = dict(zip(names, cells, strict=True))
        try:
            good.append(Person.model_validate(row).model_dump_json() + "\n")
        except ValidationError as error:
            reasons = json.loads(error.json(include_url=False, include_input=False))
            bad.append(_line({**row, "_row": number, "_errors": reasons}))
    return "".join(good), "".join(bad)


def _enrich(batch: Batch) -> tuple[str, str]:
    first, names, rows = batch
    good, bad = [], []
    for number, cells in enumerate(rows, first):
        row = dict(zip(names, cells, strict=True))
        try:
            good.append(_line(enrich(row)))
        except ValueError as error:
            bad.append(_line({**row, "_row": number, "_errors": [str(error)]}))
    return "".join(good), "".join(bad)


def _line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
