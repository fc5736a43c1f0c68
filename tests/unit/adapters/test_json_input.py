"""JSON input: Lines and arrays, each record as `json.loads` reads it."""

from __future__ import annotations

import bz2
import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict
from sharded import run_sharded

import zoopipe.adapters.json_read as json_read
from zoopipe import (
    CSVOutputAdapter,
    DeclarationError,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    Pipe,
)


class Model(BaseModel):
    a: int


class Strict(Model):
    model_config = ConfigDict(extra="forbid")


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(params=[1, 7, 1 << 20])
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(json_read, "BLOCK_BYTES", request.param)
    monkeypatch.setattr(json_read, "_HEAD_BYTES", max(request.param // 16, 3))
    return request.param


def read(
    adapter: JSONInputAdapter, folder: Path, shards: int = 1, model: type[BaseModel] | None = None
) -> tuple[list[Any], list[Any]]:
    out, err = folder / "out.jsonl", folder / "err.jsonl"
    run_sharded(Pipe(adapter, JSONOutputAdapter(out), JSONOutputAdapter(err), model), shards)
    return tuple([json.loads(x) for x in p.read_bytes().split(b"\n")[:-1]] for p in (out, err))


def file(folder: Path, data: bytes, name: str = "in.jsonl") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": []}, "source"),
        ({"source": 5}, "source"),
        ({"skip_rows": -1}, "skip_rows"),
        ({"limit": 0.5}, "limit"),
        ({"compression": "xz"}, "compression"),
    ],
)
def test_adapter_is_refused_when_an_option_is_out_of_range(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        JSONInputAdapter(**{"source": "in.jsonl", **options})


# JSON Lines

LINES = [
    b'{"a": 1}',
    b'  {"a": [1, {"b": null}], "s": "\\u00e9\\n"}\t',
    b"",
    b"   \t",
    b'{"a": 2, "a": 3}',
    '{"s": "\u2028\u0085\u00e9"}'.encode(),
    b'{"n": 123456789012345678901234567890, "f": 1e-7, "t": true}\r',
    b"{}",
]


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_lines_are_those_of_json_when_they_are_sharded(
    tmp_path: Path, block_bytes: int, shards: int, end: bytes, bom: bytes
) -> None:
    path = file(tmp_path, bom + b"\n".join(LINES) + end)
    expected = [json.loads(line) for line in LINES if line.strip()]
    assert read(JSONInputAdapter(path), tmp_path, shards) == (expected, [])


BAD_LINES = [
    (b'{"a": 1', "json_invalid"),
    (b'{"a": 1} {"a": 2}', "json_invalid"),
    (b"{'a': 1}", "json_invalid"),
    (b'{"a": "\x01"}', "json_invalid"),
    (b'\xef\xbb\xbf{"a": 1}', "json_invalid"),
    (b'{"a": NaN}', "json_invalid"),
    (b'{"a": [1, -Infinity]}', "json_invalid"),
    (b"1" * 5000, "json_invalid"),
    (b'{"a": ' + b"1" * 5000 + b"}", "json_invalid"),
    (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_invalid"),
    (b'{"a": "\xff"}', "json_encoding"),
    (b"[1, 2]", "json_type"),
    (b'"text"', "json_type"),
    (b"12", "json_type"),
    (b"null", "json_type"),
]


@pytest.mark.parametrize(("line", "kind"), BAD_LINES)
def test_line_is_rejected_alone_when_it_is_no_json_object(
    tmp_path: Path, line: bytes, kind: str
) -> None:
    good = b'{"a": 1}\n'
    path = file(tmp_path, good + line + b"\n\n" + good)
    rows, (reject,) = read(JSONInputAdapter(path), tmp_path, 3)
    assert rows == [{"a": 1}, {"a": 1}]
    assert (reject["_row"], reject["_offset"], reject["_stage"]) == (2, len(good), "parse")
    assert reject["_errors"][0]["type"] == kind
    assert reject["_text"] == line.decode("utf-8", "backslashreplace")


def test_last_line_is_rejected_when_it_is_cut_short(tmp_path: Path) -> None:
    rows, rejects = read(JSONInputAdapter(file(tmp_path, b'{"a":1}\n{"a":')), tmp_path, 2)
    assert (rows, [reject["_text"] for reject in rejects]) == ([{"a": 1}], ['{"a":'])


@pytest.mark.parametrize(("skip", "limit"), [(0, 0), (3, None), (2, 6), (11, 5), (99, 1)])
@pytest.mark.parametrize("shards", range(1, 8))
def test_skip_and_limit_hold_for_the_whole_input_when_it_is_sharded(
    tmp_path: Path, skip: int, limit: int | None, shards: int
) -> None:
    paths = [
        file(tmp_path, b"\n".join(b'{"n":%d}' % number for number in range(start, stop)), name)
        for name, start, stop in (("1", 0, 5), ("2", 5, 5), ("3", 5, 13))
    ]
    adapter = JSONInputAdapter(paths, skip_rows=skip, limit=limit)
    rows, _ = read(adapter, tmp_path, shards)
    assert [row["n"] for row in rows] == list(range(13))[skip:][:limit]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b" " * 70_000])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_rows_are_none_when_a_file_is_empty(tmp_path: Path, data: bytes, pack: Any) -> None:
    suffix = {bytes: "", gzip.compress: ".gz", bz2.compress: ".bz2"}[pack]
    adapter = JSONInputAdapter([file(tmp_path, pack(data), name + suffix) for name in "12"])
    assert read(adapter, tmp_path, 2) == ([], [])


def test_zero_bytes_are_no_rows_when_the_name_says_gzip(tmp_path: Path) -> None:
    assert read(JSONInputAdapter(file(tmp_path, b"", "in.gz")), tmp_path) == ([], [])


def test_members_are_all_read_when_lines_are_compressed(tmp_path: Path, block_bytes: int) -> None:
    data = gzip.compress(b'\xef\xbb\xbf{"a":1}\n{"a"') + gzip.compress(b':2}\n{"a":3}')
    adapter = JSONInputAdapter(file(tmp_path, data, "in.jsonl.gz"))
    assert read(adapter, tmp_path, 3)[0] == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_run_fails_when_compressed_lines_are_cut_short(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(b'{"a":%d}\n' % number for number in range(1000)))
    with pytest.raises(InputError, match="cut short"):
        read(JSONInputAdapter(file(tmp_path, data[:-9], "in.jsonl.gz")), tmp_path)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(st.sampled_from([*LINES, b"{", b"\xff", b'{"x": "y\\\\"}', b"\r"]), max_size=12),
    st.integers(1, 16),
    st.sampled_from([1, 5, 30, 1 << 20]),
)
def test_shards_read_as_json_when_lines_are_random(
    tmp_path: Path, lines: list[bytes], shards: int, block: int
) -> None:
    data = b"\n".join(lines)
    good, bad, offset = [], [], 0
    for line in lines:
        record = line.strip()
        if record:
            place = offset + line.index(record)
            try:
                good.append(json.loads(record))
            except ValueError:
                bad.append((len(good) + len(bad) + 1, place))
        offset += len(line) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_read, "BLOCK_BYTES", block)
        rows, rejects = read(JSONInputAdapter(file(tmp_path, data)), tmp_path, shards)
    assert rows == good
    assert [reject["_row"] for reject in rejects] == [number for number, _ in bad]
    for reject, (_, place) in zip(rejects, bad, strict=True):
        assert data[reject["_offset"] :].lstrip().startswith(data[place : place + 1])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(
        st.sampled_from(
            [b"{}", b"a", b" ", b"\t", b"\r", b"\n", b"\n", b"\xc3\xa9", b"\xff", b"\0"]
        )
    )
)
def test_records_are_stripped_lines_when_bytes_are_random(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    expected, bad, starts, offset = [], [], [], 0
    for line in data.split(b"\n"):
        if record := line.strip(b" \t\r"):
            starts.append(offset)
            try:
                expected.append(record.decode())
            except UnicodeDecodeError:
                bad.append(len(starts) - 1)
        offset += len(line) + 1
    block = json_read._lines_block(data, 7, json_read.Limits(1000, 1000))
    block.batch.validate(full=True)
    assert block.batch.column(0).to_pylist() == expected
    assert [record.record for record in block.unparsed] == bad
    assert (block.start, block.end, block.records) == (7, 7 + len(data), len(starts))
    assert list(block.offsets()) == starts


# Arrays


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        " [ \n ] ",
        '[{"a": 1}]',
        '\ufeff\n[{"a": 1},\r\n {"b": "],[{\\"\\\\"} , {"c": [[], {"d": {}}]}]\n\n',
        '[{"a": "\u2028é"},{"a": {"b": [1, 2, {"c": "}"}]}}]',
        "[" + " \n" * 40_000 + '{"a": 1}' + " " * 80_000 + "]" + "\n" * 80_000,
        " " * 80_000 + '[{"a": 1}]',
        json.dumps([{"a": "x" * 200_000, "b": [1]}, {"a": 2}]),
    ],
)
def test_elements_are_those_of_json_when_the_file_is_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int, text: str
) -> None:
    expected = json.loads(text.lstrip("\ufeff"))
    if block_bytes == 1 and len(text) > 1000:
        # A byte at a time would take long; any odd size will do.
        monkeypatch.setattr("zoopipe.adapters.json_read.BLOCK_BYTES", 997)
    assert read(JSONInputAdapter(file(tmp_path, text.encode())), tmp_path, 3) == (expected, [])


@pytest.mark.parametrize("pretty", [None, 2])
def test_elements_are_those_of_json_when_records_are_many(
    tmp_path: Path, block_bytes: int, pretty: int | None
) -> None:
    rng = random.Random(3)
    values = ["a,b", "]", '"', "\\", "{", 1, None, [1, [2]], {"k": ["}"]}]
    rows = [{"n": number, "v": rng.choice(values)} for number in range(300)]
    path = file(tmp_path, json.dumps(rows, indent=pretty).encode(), "in.json")
    assert read(JSONInputAdapter(path), tmp_path) == (rows, [])


@pytest.mark.parametrize(
    "element",
    [
        b'{"a": }',
        b'{"a": 1}}',
        b'{"a": 1]}',
        b'{"a": 1 "b": 2}',
        b"{'a': 1}",
        b'{"a": "\xff"}',
        b"nothing",
        b"",
        b"[1, 2]",
        b"3",
    ],
)
def test_element_is_rejected_alone_when_it_is_broken(
    tmp_path: Path, block_bytes: int, element: bytes
) -> None:
    data = b'[{"a": 1}, ' + element + b', {"a": 3}]'
    rows, (reject,) = read(JSONInputAdapter(file(tmp_path, data)), tmp_path)
    assert rows == [{"a": 1}, {"a": 3}]
    assert (reject["_row"], reject["_offset"], reject["_stage"]) == (2, 11, "parse")
    assert reject["_text"] == element.decode("utf-8", "backslashreplace")


def test_trailing_comma_is_a_rejected_element_when_an_array_ends_with_it(tmp_path: Path) -> None:
    rows, rejects = read(JSONInputAdapter(file(tmp_path, b'[{"a": 1},]')), tmp_path)
    assert (rows, [reject["_row"] for reject in rejects]) == ([{"a": 1}], [2])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[", "cut short"),
        (b'[{"a": 1}', "cut short"),
        (b'[{"a": 1},', "cut short"),
        (b'[{"a": 1}, {"a": "x', "cut short"),
        (b'[{"a": 1}, {"a": 2}', "cut short"),
        (b'[{"a": 1}] x', "goes on after the end"),
        (b'[{"a": 1}] [', "goes on after the end"),
        (b'[{"a": 1}]' + b" " * 5000 + b"x", "goes on after the end"),
    ],
)
def test_run_fails_when_an_array_does_not_end_where_the_file_does(
    tmp_path: Path, block_bytes: int, data: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=f"in.jsonl .*{message}"):
        read(JSONInputAdapter(file(tmp_path, data)), tmp_path)
    assert not (tmp_path / "out.jsonl").exists()


def test_array_is_read_in_the_middle_when_files_differ_in_kind(tmp_path: Path) -> None:
    paths = [
        file(tmp_path, b'{"n":0}\n{"n":1}\n', "1"),
        file(tmp_path, b'[{"n":2},{"n":3}]', "2"),
        file(tmp_path, gzip.compress(b'[{"n":4}]'), "3.gz"),
        file(tmp_path, b'{"n":5}\n{"n":6}', "4"),
    ]
    for shards in (1, 2, 4, 9):
        rows, _ = read(JSONInputAdapter(paths), tmp_path, shards)
        assert [row["n"] for row in rows] == list(range(7))


# Rejected records


def test_reject_is_one_line_when_its_record_has_many(tmp_path: Path) -> None:
    path = file(tmp_path, json.dumps([{"a": "x", "b": "y\n"}, {"a": 1}, {}], indent=2).encode())
    rows, rejects = read(JSONInputAdapter(path), tmp_path, model=Model)
    assert rows == [{"a": 1}]
    assert [(r["_row"], r["_errors"][0]["type"]) for r in rejects] == [
        (1, "int_parsing"),
        (3, "missing"),
    ]
    assert (rejects[0]["a"], rejects[0]["b"]) == ("x", "y\n")


def test_reject_keeps_its_own_keys_when_they_are_named_like_ours(tmp_path: Path) -> None:
    path = file(tmp_path, b'{"_row": "mine", "_errors": 0, "b": 5}\n{ }\n')
    _, rejects = read(JSONInputAdapter(path), tmp_path, model=Model)
    assert [(r["_row"], r.get("_row_"), r.get("_errors_"), r.get("b")) for r in rejects] == [
        (1, "mine", 0, 5),
        (2, None, None, None),
    ]


@pytest.mark.parametrize("record", [r'{"a": "\ud800"}', r'{"\udfff": [{"\ud800": 1}]}'])
@pytest.mark.parametrize("model", [None, Model, Strict])
def test_reject_keeps_the_text_when_unicode_cannot_hold_its_record(
    tmp_path: Path, record: str, model: type[BaseModel] | None
) -> None:
    path = file(tmp_path, f'{{"a": 1}}\n{record}\n'.encode())
    rows, (reject,) = read(JSONInputAdapter(path), tmp_path, model=model)
    assert rows == [{"a": 1}]
    assert (reject["_text"], reject["_row"]) == (record, 2)
    out, err = tmp_path / "out.csv", tmp_path / "err.csv"
    pipe = Pipe(JSONInputAdapter(path), CSVOutputAdapter(out), CSVOutputAdapter(err), model)
    run_sharded(pipe, 1)
    assert out.read_text() == "a\n1\n"
