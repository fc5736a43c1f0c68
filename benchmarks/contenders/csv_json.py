"""The loop without a model: csv.DictReader, a function, json.dumps."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

from contenders.functions import enrich

LIBRARIES = ()


def copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines."""
    _copy(source, output, errors, dict)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a function for each row, rows that it refuses apart."""
    _copy(source, output, errors, enrich)


def _copy(source: Path, output: Path, errors: Path, function: Callable[[dict], dict]) -> None:
    with (
        source.open(newline="", encoding="utf-8") as rows,
        output.open("w", encoding="utf-8") as accepted,
        errors.open("w", encoding="utf-8") as rejected,
    ):
        for number, row in enumerate(csv.DictReader(rows), 1):
            try:
                accepted.write(_line(function(row)))
            except ValueError as error:
                rejected.write(_line({**row, "_row": number, "_errors": [str(error)]}))


def _line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
