"""JSON output: every byte as pydantic or `json` would have it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import to_json
from sharded import run_sharded

from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    JSONInputAdapter,
    JSONOutputAdapter,
    OutputError,
    Pipe,
)
from zoopipe.values import from_rows, rows_of


class Row(BaseModel):
    n: int
    s: str | None
    f: float
    ok: bool


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("output", ["", None, 5, b"out"])
def test_adapter_is_refused_when_the_output_is_no_path(output: Any) -> None:
    with pytest.raises(DeclarationError, match="output must be a path"):
        JSONOutputAdapter(output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "lines"}, "format must be"),
        ({"indent": -1, "format": "array"}, "indent"),
        ({"indent": "  ", "format": "array"}, "indent"),
        ({"indent": 2}, "indent is for arrays"),
        ({"indent": 2, "format": "jsonl"}, "indent is for arrays"),
        ({"output": "out.jsonl.xz"}, "compressed as .gz, .bz2, .zst or .lz4"),
    ],
)
def test_adapter_is_refused_when_an_option_is_out_of_range(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        JSONOutputAdapter(**{"output": "out.jsonl", **options})


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\/\b\f\n\r\t\x00\x1f\x7f\u2028'))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.fixed_dictionaries({"a": TEXT, 'k"\n': st.none() | TEXT}), min_size=1))
def test_strings_are_escaped_as_pydantic_does_when_they_are_columns(
    rows: list[dict[str, Any]],
) -> None:
    rows = [{name: row[name] for name in rows[0]} for row in rows]
    encoded = JSONOutputAdapter("out.jsonl").encoder(None)(from_rows(rows))
    assert b"".join(encoded.payload) == b"".join(
        to_json(row, inf_nan_mode="null") + b"\n" for row in rows
    )


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "i": st.none() | st.integers(-(2**63), 2**63 - 1),
                "f": st.none() | st.floats() | st.sampled_from([1e-5, 1e15, 1e16, -0.0, 0.1]),
                "b": st.none() | st.booleans(),
                "big": st.integers(),
                "mixed": st.lists(st.integers() | TEXT, max_size=2) | st.integers() | TEXT,
            }
        ),
        min_size=1,
    )
)
def test_values_are_written_as_pydantic_does_when_they_are_columns(
    rows: list[dict[str, Any]],
) -> None:
    rows = [{name: row[name] for name in rows[0]} for row in rows]
    encoded = JSONOutputAdapter("out.jsonl").encoder(None)(from_rows(rows))
    assert b"".join(encoded.payload) == b"".join(
        to_json(row, inf_nan_mode="null") + b"\n" for row in rows
    )


def write(folder: Path, output: JSONOutputAdapter, rows: list[Any], shards: int = 1) -> bytes:
    source = folder / "in.jsonl"
    source.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    run_sharded(Pipe(JSONInputAdapter(source), output), shards)
    return Path(output.output).read_bytes()


ROWS = [{"a": number, "s": "é\u2028\n", "l": [number, {"k": None}]} for number in range(9)]


@pytest.mark.parametrize("rows", [[], ROWS[:1], ROWS])
@pytest.mark.parametrize("indent", [None, 0, 2])
@pytest.mark.parametrize("shards", [1, 3, 7])
def test_array_is_valid_and_the_same_when_it_is_sharded(
    tmp_path: Path, rows: list[Any], indent: int | None, shards: int
) -> None:
    output = JSONOutputAdapter(tmp_path / "out.json", indent=indent)
    data = write(tmp_path, output, rows, shards)
    assert json.loads(data) == rows
    assert data == write(tmp_path, output, rows)
    if indent and rows:
        assert json.dumps(rows[0], indent=indent, ensure_ascii=False).encode() in data


@pytest.mark.parametrize(
    ("name", "format", "array"),
    [
        ("out.json", None, True),
        ("out.JSON", None, True),
        ("out.jsonl", None, False),
        ("out.txt", None, False),
        ("out.json", "jsonl", False),
        ("out.jsonl", "array", True),
    ],
)
def test_format_is_that_of_the_extension_when_none_is_given(
    tmp_path: Path, name: str, format: Any, array: bool
) -> None:
    data = write(tmp_path, JSONOutputAdapter(tmp_path / name, format), ROWS)
    assert data.startswith(b"[") is array
    found = json.loads(data) if array else [json.loads(x) for x in data.split(b"\n")[:-1]]
    assert found == ROWS


def test_parts_are_whole_arrays_when_they_are_not_merged(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("a\n" + "".join(f"{number}\n" for number in range(20)))
    pipe = Pipe(CSVInputAdapter(source), JSONOutputAdapter(tmp_path / "out.json"))
    run_sharded(pipe, 3, merge=False)
    parts = [json.loads(path.read_bytes()) for path in sorted(tmp_path.glob("out_part_*.json"))]
    assert len(parts) == 3
    assert [row["a"] for part in parts for row in part] == [str(number) for number in range(20)]


def test_values_keep_their_type_when_a_model_gives_it(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("n,s,f,ok\n1,x,1,yes\n 2 ,,1e16,0\nx,,,\n")
    out, err = tmp_path / "out.jsonl", tmp_path / "err.json"
    run_sharded(
        Pipe(CSVInputAdapter(source), JSONOutputAdapter(out), JSONOutputAdapter(err), Row), 1
    )
    expected = [Row(n=1, s="x", f=1, ok=True), Row(n=2, s="", f=1e16, ok=False)]
    assert out.read_text().splitlines() == [row.model_dump_json() for row in expected]
    (reject,) = json.loads(err.read_bytes())
    assert {tuple(reason["loc"]) for reason in reject["_errors"]} == {("n",), ("f",), ("ok",)}


def test_rows_are_their_own_when_batches_are_read_back() -> None:
    rows = [{"a": 1, "b": "x"}, {"a": None, "b": None}]
    assert rows_of(from_rows(rows)) == rows


def test_output_error_names_the_path_when_it_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        write(tmp_path, JSONOutputAdapter(tmp_path), ROWS)


def test_parents_are_made_when_they_are_missing(tmp_path: Path) -> None:
    output = JSONOutputAdapter(tmp_path / "a" / "b" / "out.jsonl")
    assert len(write(tmp_path, output, ROWS).splitlines()) == len(ROWS)
