"""The loop that everybody writes: csv.DictReader, model_validate, model_dump_json."""

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from contenders.models import CheckedPerson, Order, Person
from pydantic import BaseModel, ValidationError

LIBRARIES = ("pydantic",)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with pydantic's reasons."""
    _copy_csv(source, output, errors, Person)


def one_field_validator(source: Path, output: Path, errors: Path) -> None:
    """The same, with a validator in Python on one field."""
    _copy_csv(source, output, errors, CheckedPerson)


def rich_model(source: Path, output: Path, errors: Path) -> None:
    """The same, with twenty fields."""
    _copy_csv(source, output, errors, Order)


def json_lines(source: Path, output: Path, errors: Path) -> None:
    """JSON Lines to JSON Lines; pydantic parses, too."""
    with source.open(encoding="utf-8") as lines:
        _copy(lines, Person.model_validate_json, json.loads, output, errors)


def _copy_csv(source: Path, output: Path, errors: Path, model: type[BaseModel]) -> None:
    with source.open(newline="", encoding="utf-8") as rows:
        _copy(csv.DictReader(rows), model.model_validate, dict, output, errors)


def _copy(
    rows: Iterable[Any],
    validate: Callable[[Any], BaseModel],
    columns: Callable[[Any], dict[str, Any]],
    output: Path,
    errors: Path,
) -> None:
    with (
        output.open("w", encoding="utf-8") as accepted,
        errors.open("w", encoding="utf-8") as rejected,
    ):
        for number, row in enumerate(rows, 1):
            try:
                accepted.write(validate(row).model_dump_json() + "\n")
            except ValidationError as error:
                reasons = json.loads(error.json(include_url=False, include_input=False))
                record = {**columns(row), "_row": number, "_errors": reasons}
                rejected.write(json.dumps(record) + "\n")
