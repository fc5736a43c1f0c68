"""The public JSON parsing suites: each text is judged as RFC 8259 says, and its neighbours are unharmed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from json_suites import JSON_CHECKER, TEST_PARSING
from pydantic import BaseModel, RootModel
from sharded import run_sharded

import zoopipe.adapters.json_read as json_read
from zoopipe import InputError, JSONInputAdapter, JSONOutputAdapter, Pipe

CASES = TEST_PARSING | JSON_CHECKER

#: Where the standard leaves it open, docs/formats.md says what we do. A number is what Python reads; a
#: nesting of 500 is too deep; a byte order mark is one at the start of a file alone; what is no UTF-8 is
#: rejected.
OPEN = {
    **{name: True for name in CASES if name.startswith("i_number_")},
    **{name: True for name in CASES if name.startswith("i_") and b"\\u" in CASES[name].lower()},
    **{name: False for name in CASES if name.startswith("i_string") and not CASES[name].isascii()},
    "i_structure_500_nested_arrays": False,
    "i_structure_UTF-8_BOM_empty_object": False,
}
#: Escapes of half a surrogate pair are JSON that no UTF-8 can hold: the record is read, and cannot be written.
UNWRITABLE = {name for name in OPEN if b"\\u" in CASES[name].lower()}
EMPTY = {"n_structure_no_data", "n_single_space", "n_structure_UTF8_BOM_no_data"}


class Any_(RootModel[Any]):
    pass


class Typed(BaseModel):
    a: int


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def is_json(name: str) -> bool:
    return OPEN[name] if name.startswith("i_") else name.startswith("y_")


def read(
    folder: Path, data: bytes, model: type[BaseModel] | None, shards: int = 1
) -> tuple[list[Any], list[Any]]:
    source, out, err = (folder / name for name in ("in", "out.jsonl", "err.jsonl"))
    source.write_bytes(data)
    pipe = Pipe(JSONInputAdapter(source), JSONOutputAdapter(out), JSONOutputAdapter(err), model)
    run_sharded(pipe, shards)
    return tuple([json.loads(x) for x in p.read_bytes().split(b"\n")[:-1]] for p in (out, err))


def one_line(case: bytes) -> bytes:
    """A case without newlines, which separate records here; a carriage return is to JSON what they are."""
    return case.replace(b"\n", b"\r")


def test_suites_are_whole() -> None:
    assert (len(TEST_PARSING), len(JSON_CHECKER)) == (318, 36)
    assert {name for name in CASES if name.startswith("i_")} == set(OPEN)


@pytest.mark.parametrize(
    ("before", "after", "neighbour", "model"),
    [
        (b"", b"", b'{"a":1}', Any_),
        (b'{"a":', b"}", b'{"a":1}', None),
        (b'{"a":', b"}", b'{"a":1}', Any_),
        (b'{"a":1,"x":', b"}", b'{"a":1,"x":"text"}', Typed),
        (b'{"a":1,"x":{"b":', b"}}", b'{"a":1,"x":{"b":2}}', Typed),
    ],
    ids=["alone", "no model", "whole rows", "columns", "columns, nested"],
)
@pytest.mark.parametrize(("shards", "block_bytes"), [(1, 1 << 20), (3, 1 << 20), (2, 500)])
def test_lines_are_judged_as_the_standard_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: bytes,
    after: bytes,
    neighbour: bytes,
    model: type[BaseModel] | None,
    shards: int,
    block_bytes: int,
) -> None:
    monkeypatch.setattr(json_read, "BLOCK_BYTES", block_bytes)
    is_ignored = model is Typed
    good, lines, expected, rejected = json.loads(neighbour), [], [], []
    record = 0
    for name, case in CASES.items():
        line = before + one_line(case) + after
        lines += [neighbour, line]
        expected.append({"a": 1} if is_ignored else good)
        record += 1
        if not line.strip(b" \t\r"):
            continue
        record += 1
        if not is_json(name) or (name in UNWRITABLE and not is_ignored):
            rejected.append((record, name))
        elif is_ignored:
            expected.append({"a": 1})
        else:
            expected.append(json.loads(line))
    rows, rejects = read(tmp_path, b"\n".join(lines), model, shards)
    assert [(row["_row"]) for row in rejects] == [number for number, _ in rejected]
    assert rows == json.loads(
        json.dumps(expected).replace("-Infinity", "null").replace("Infinity", "null")
    )
    for reject, (_, name) in zip(rejects, rejected, strict=True):
        if name not in UNWRITABLE:
            assert reject["_stage"] == "parse"
            assert reject["_errors"][0]["type"] in ("json_invalid", "json_encoding")


@pytest.mark.parametrize("name", CASES)
def test_element_is_judged_as_the_standard_says(tmp_path: Path, name: str) -> None:
    data = b'[{"a":1},' + CASES[name] + b',{"a":3}]'
    if is_json(name) and name not in UNWRITABLE:
        rows, rejects = read(tmp_path, data, Any_)
        assert not rejects
        assert rows[0::2] == [{"a": 1}, {"a": 3}]
        if name.startswith("y_"):
            assert rows[1] == json.loads(CASES[name])
        return
    try:
        rows, rejects = read(tmp_path, data, Any_)
    except InputError as error:
        # A quote or bracket that is not closed, or closes the array.
        assert "cut short" in str(error) or "goes on after the end" in str(error)
    else:
        assert rejects
        assert (rows[0], rows[-1]) == ({"a": 1}, {"a": 3})


@pytest.mark.parametrize("name", CASES)
def test_file_is_judged_as_the_standard_says(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    if name in EMPTY:
        # No record is no error.
        assert read(tmp_path, case, Any_) == ([], [])
    elif name == "i_structure_UTF-8_BOM_empty_object":
        assert read(tmp_path, case, Any_) == ([{}], [])
    elif case.lstrip().startswith(b"{") and b"\n" in case.strip():
        # An object on several lines is no JSON Lines.
        assert read(tmp_path, case, Any_)[1]
    elif is_json(name) and name not in UNWRITABLE:
        value = json.loads(case)
        rows, rejects = read(tmp_path, case, Any_)
        if name.startswith("y_"):
            assert rows == (value if isinstance(value, list) else [value])
        assert not rejects
    else:
        try:
            assert read(tmp_path, case, Any_)[1]
        except InputError as error:
            assert "cut short" in str(error) or "goes on after the end" in str(error)
