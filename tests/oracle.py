"""What a run has to give, said by Python's `csv` and `json` and by pydantic, never by ZooPipe."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


def csv_rows(data: bytes, **dialect: Any) -> list[list[str]]:
    """The records of CSV text by `csv.reader`, header included, blank lines left out."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    return [row for row in csv.reader(text, **dialect) if row]


def csv_dicts(data: bytes, **dialect: Any) -> list[dict[str, str]]:
    """The records of CSV text as dicts, those of another width than the header left out."""
    rows = csv_rows(data, **dialect)
    names = rows[0]
    return [dict(zip(names, row, strict=True)) for row in rows[1:] if len(row) == len(names)]


def validated(
    rows: Iterable[Any], model: type[BaseModel]
) -> tuple[list[str], list[tuple[int, list[dict[str, Any]]]]]:
    """A row loop: the JSON line of each accepted row, and (row number, errors) of each refused one."""
    lines, refused = [], []
    for number, row in enumerate(rows, 1):
        try:
            lines.append(model.model_validate(row).model_dump_json())
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            refused.append(
                (
                    number,
                    [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in found],
                )
            )
    return lines, refused


def json_lines(path: Path) -> list[Any]:
    """The values of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def text_lines(path: Path) -> list[str]:
    """The lines of a file that ends each with a newline character; U+2028 ends none."""
    text = path.read_bytes().decode()
    assert text == "" or text.endswith("\n")
    return text.split("\n")[:-1]
