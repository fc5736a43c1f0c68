"""msgspec: a Struct a row, `convert` and `Decoder` in lax mode, `encode` to JSON."""

import csv
import json
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

LIBRARIES = ("msgspec",)


class Person(msgspec.Struct):
    """The same seven fields as the model's."""

    id: int
    name: str
    email: str
    age: int
    score: float
    active: bool
    born: date


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with the first reason."""
    with source.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        names = next(rows)
        records = (dict(zip(names, row, strict=True)) for row in rows)
        _copy(records, lambda row: msgspec.convert(row, Person, strict=False), output, errors)


def json_lines(source: Path, output: Path, errors: Path) -> None:
    """JSON Lines to JSON Lines, rejected rows with the first reason."""
    decoder = msgspec.json.Decoder(Person, strict=False)
    with source.open("rb") as lines:
        _copy(lines, decoder.decode, output, errors)


def _copy(
    records: Iterable[Any], validate: Callable[[Any], Person], output: Path, errors: Path
) -> None:
    encode = msgspec.json.Encoder().encode
    with output.open("wb") as accepted, errors.open("w", encoding="utf-8") as rejected:
        for number, record in enumerate(records, 1):
            try:
                accepted.write(encode(validate(record)) + b"\n")
            except msgspec.ValidationError as error:
                row = json.loads(record) if isinstance(record, bytes) else record
                rejected.write(json.dumps({**row, "_row": number, "_errors": [str(error)]}) + "\n")
