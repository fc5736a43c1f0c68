"""CSV output: what `csv.reader` reads back, written as `csv.writer` writes it."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sharded import run_sharded

from zoopipe import (
    CSVInputAdapter,
    CSVOutputAdapter,
    DeclarationError,
    JSONInputAdapter,
    JSONOutputAdapter,
    Pipe,
)
from zoopipe.values import from_rows


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": None}, "output must be a path"),
        ({"output": ""}, "output must be a path"),
        ({"output": "out.csv.gz"}, "compressed outputs are not supported"),
        ({"delimiter": ";;"}, "delimiter"),
        ({"quotechar": ""}, "quotechar"),
        ({"delimiter": "'", "quotechar": "'"}, "both"),
        ({"fieldnames": "ab"}, "fieldnames"),
        ({"fieldnames": []}, "fieldnames"),
        ({"fieldnames": ["a", "a"]}, "names 'a' twice"),
    ],
)
def test_adapter_is_refused_when_an_option_is_out_of_range(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        CSVOutputAdapter(**{"output": "out.csv", **options})


def encoded(rows: list[dict[str, Any]], names: list[str], **dialect: str) -> bytes:
    adapter = CSVOutputAdapter("out.csv", **dialect)
    part = adapter.encoder(tuple(names))(from_rows(rows))
    assert part.rows == len(rows)
    return adapter.framing(tuple(names)).begin + b"".join(part.payload)


CELL = st.text(st.characters(codec="utf-8") | st.sampled_from(",;\"'\r\n\t |§«"), max_size=6)
DIALECTS = [(",", '"'), (";", "'"), ("\t", '"'), ("|", "\\"), ("§", "«"), (".", "^"), (" ", "-")]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(DIALECTS), st.integers(1, 3), st.data())
def test_cells_read_back_by_csv_when_they_hold_anything(
    dialect: tuple[str, str], width: int, data: st.DataObject
) -> None:
    names = data.draw(st.lists(CELL.filter(bool), min_size=width, max_size=width, unique=True))
    cells = st.lists(st.none() | CELL, min_size=width, max_size=width)
    table = data.draw(st.lists(cells, min_size=1, max_size=5))
    rows = [dict(zip(names, row, strict=True)) for row in table]
    delimiter, quotechar = dialect
    text = encoded(rows, names, delimiter=delimiter, quotechar=quotechar).decode()
    lines = io.StringIO(text, newline="")
    found = list(csv.reader(lines, delimiter=delimiter, quotechar=quotechar))
    assert found == [names, *([cell or "" for cell in row] for row in table)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quotechar", ['"', "'"])
def test_bytes_are_those_of_csv_writer_when_quotes_are_needed(
    delimiter: str, quotechar: str
) -> None:
    table = [["a b", 'x"y', "it's"], ["1,2;3\t4", "", "line\nbreak"], [" pad ", '"', "''"]]
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quotechar=quotechar, lineterminator="\n")
    writer.writerows([["a", "b", "c"], *table])
    rows = [dict(zip("abc", row, strict=True)) for row in table]
    found = encoded(rows, ["a", "b", "c"], delimiter=delimiter, quotechar=quotechar)
    assert found == buffer.getvalue().encode()


@pytest.mark.parametrize("cells", [[None], [""], ["x", None, ""]])
def test_single_column_is_quoted_when_its_cell_is_empty(cells: list[str | None]) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([["a"], *([cell] for cell in cells)])
    assert encoded([{"a": cell} for cell in cells], ["a"]) == buffer.getvalue().encode()


class Colour(Enum):
    RED = "red"


class Typed(BaseModel):
    d: date
    t: datetime
    delta: timedelta
    amount: Decimal
    flag: bool
    tags: list[str]
    nested: dict[str, Any]
    colour: Colour
    big: int
    ratio: float
    missing: str | None = None


def test_cells_are_the_json_values_when_a_model_types_them(tmp_path: Path) -> None:
    row = {
        "d": "2020-02-29",
        "t": "2020-02-29T01:02:03Z",
        "delta": "P1DT2H",
        "amount": "1.10000000000000000000001",
        "flag": "yes",
        "tags": ["a,b", '"'],
        "nested": {"k": [1, None, True, 1.5]},
        "colour": "red",
        "big": 12345678901234567890123,
        "ratio": 1,
    }
    source, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    source.write_text(json.dumps(row) + "\n")
    run_sharded(Pipe(JSONInputAdapter(source), CSVOutputAdapter(out), schema_model=Typed), 1)
    expected = Typed.model_validate(row).model_dump(mode="json")
    with open(out, newline="") as file:
        names, cells = csv.reader(file)
    assert names == list(Typed.model_fields)
    for name, cell in zip(names, cells, strict=True):
        value = expected[name]
        if isinstance(value, str):
            assert cell == value
        elif value is None:
            assert cell == ""
        else:
            assert json.loads(cell) == value
    assert cells[names.index("flag")] == "true"
    assert cells[names.index("amount")] == "1.10000000000000000000001"


def write(folder: Path, lines: bytes, shards: int = 1, **options: Any) -> tuple[bytes, list[Any]]:
    source, out, err = (folder / name for name in ("in.jsonl", "out.csv", "err.jsonl"))
    source.write_bytes(lines)
    pipe = Pipe(JSONInputAdapter(source), CSVOutputAdapter(out, **options), JSONOutputAdapter(err))
    run_sharded(pipe, shards)
    return out.read_bytes(), [json.loads(x) for x in err.read_bytes().split(b"\n")[:-1]]


JSON_ROWS = (
    b'3\nnot json\n{"b": 1, "a": null}\n{"a": "x"}\n{"a": 1, "c": 2}\n'
    b'{"b": [1, {"k": null}], "a": true}\n{"a": 1e-7, "b": "null"}\n'
)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_header_is_the_first_record_when_json_has_no_model(tmp_path: Path, shards: int) -> None:
    data, rejects = write(tmp_path, JSON_ROWS, shards)
    assert data == b'b,a\n1,\n,x\n"[1,{""k"":null}]",true\nnull,1e-7\n'
    assert [(r["_row"], r["_stage"], r["_errors"][0]["type"]) for r in rejects] == [
        (1, "parse", "json_type"),
        (2, "parse", "json_invalid"),
        (5, "write", "unknown_column"),
    ]
    assert (rejects[2]["a"], rejects[2]["c"], rejects[2]["_errors"][0]["loc"]) == (1, 2, ["c"])


def test_columns_are_those_of_fieldnames_when_they_are_given(tmp_path: Path) -> None:
    data, rejects = write(tmp_path, b'{"a": 1}\n{"z": 2, "a": 3}\n{}\n', fieldnames=["z", "a", "n"])
    assert (data, rejects) == (b"z,a,n\n,1,\n2,3,\n,,\n", [])


def test_declaration_error_is_clear_when_no_record_names_a_column(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"columns of .*out\.csv are not known"):
        write(tmp_path, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_deep_record_is_a_cell_when_it_is_as_deep_as_may_be(tmp_path: Path) -> None:
    deep, deeper = ("[" * depth + "]" * depth for depth in (199, 200))
    source, out, err = (tmp_path / name for name in ("in.jsonl", "out.csv", "err.csv"))
    source.write_text(f'{{"a": {deep}}}\n{{"a": {deeper}}}\n')
    run_sharded(Pipe(JSONInputAdapter(source), CSVOutputAdapter(out), CSVOutputAdapter(err)), 1)
    with open(out, newline="") as file:
        assert [row["a"] for row in csv.DictReader(file)] == [deep]
    with open(err, newline="") as file:
        (reject,) = csv.DictReader(file)
    assert (reject["_text"], reject["_stage"]) == (f'{{"a": {deeper}}}', "parse")


@pytest.mark.parametrize("rows", [0, 1, 50])
@pytest.mark.parametrize("shards", [1, 2, 7])
def test_header_is_there_once_when_shards_are_merged(
    tmp_path: Path, rows: int, shards: int
) -> None:
    body = b"".join(b'%d,"x, ""y"""\n' % number for number in range(rows))
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(b"n,t\r\n" + body)
    run_sharded(Pipe(CSVInputAdapter(source), CSVOutputAdapter(out)), shards)
    assert out.read_bytes() == b"n,t\n" + body


def test_each_part_has_a_header_when_shards_are_not_merged(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes(b"n\n" + b"".join(b"%d\n" % number for number in range(100)))
    pipe = Pipe(CSVInputAdapter(source), CSVOutputAdapter(tmp_path / "out.csv"))
    run_sharded(pipe, 3, merge=False)
    parts = [path.read_text().split() for path in sorted(tmp_path.glob("out_part_*.csv"))]
    assert [len(parts), {part[0] for part in parts}] == [3, {"n"}]
    assert [int(cell) for part in parts for cell in part[1:]] == list(range(100))


def test_rejects_say_why_when_they_are_csv(tmp_path: Path) -> None:
    class Row(BaseModel):
        n: int

    source, out, err = tmp_path / "in.csv", tmp_path / "out.csv", tmp_path / "err.csv"
    source.write_bytes(b'n,_row\n1,a\nx,"b,\n"\n1,2,3\n')
    pipe = Pipe(CSVInputAdapter(source), CSVOutputAdapter(out), CSVOutputAdapter(err), Row)
    run_sharded(pipe, 2)
    with open(err, newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["n"], first["_row_"], first["_row"], first["_offset"]) == ("x", "b,\n", "2", "11")
    (reason,) = json.loads(first["_errors"])
    assert (reason["loc"], reason["type"]) == (["n"], "int_parsing")
    assert (second["_row"], second["_stage"], second["_text"]) == ("3", "parse", "1,2,3")


def test_cells_are_cut_out_when_a_batch_is_a_slice() -> None:
    batch = from_rows([{"a": 1.5, "b": "x"}, {"a": 2.0, "b": 'q"'}, {"a": None, "b": "z"}]).slice(1)
    part = CSVOutputAdapter("out.csv").encoder(("a", "b"))(batch)
    assert b"".join(part.payload) == b'2.0,"q"""\n,z\n'
    assert isinstance(batch, pa.RecordBatch)
