"""The loop that everybody writes: csv.DictReader, model_validate, model_dump_json."""

import csv
import json
from pathlib import Path

from contenders.models import Person
from pydantic import ValidationError

LIBRARIES = ("pydantic",)


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, rejected rows with pydantic's reasons."""
    with (
        source.open(newline="", encoding="utf-8") as rows,
        output.open("w", encoding="utf-8") as accepted,
        errors.open("w", encoding="utf-8") as rejected,
    ):
        for number, row in enumerate(csv.DictReader(rows), 1):
            try:
                accepted.write(Person.model_validate(row).model_dump_json() + "\n")
            except ValidationError as error:
                reasons = json.loads(error.json(include_url=False, include_input=False))
                rejected.write(json.dumps({**row, "_row": number, "_errors": reasons}) + "\n")
