"""Records beyond a limit: rejected alone, and never held, beside Python's own `csv` and `json`."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from sharded import run_sharded

import zoopipe.adapters.csv_read as csv_read
import zoopipe.adapters.json_read as json_read
from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiThreadExecutor,
    Pipe,
)
from zoopipe.adapters.base import InputAdapter
from zoopipe.adapters.csv_records import Dialect
from zoopipe.adapters.csv_skip import RecordEnd
from zoopipe.adapters.json_skip import ElementEnd

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Model(BaseModel):
    a: Any = None


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def read(
    adapter: InputAdapter, folder: Path, shards: int = 1, model: type[BaseModel] | None = None
) -> tuple[list[Any], list[Any]]:
    out, err = folder / "out.jsonl", folder / "err.jsonl"
    run_sharded(Pipe(adapter, JSONOutputAdapter(out), JSONOutputAdapter(err), model), shards)
    return tuple([json.loads(x) for x in p.read_bytes().split(b"\n")[:-1]] for p in (out, err))


def file(folder: Path, data: bytes, name: str = "in") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def kinds(rejects: Sequence[Any]) -> list[tuple[int, str]]:
    return [(reject["_row"], reject["_errors"][0]["type"]) for reject in rejects]


@pytest.mark.parametrize("adapter", [CSVInputAdapter, JSONInputAdapter])
@pytest.mark.parametrize("name", ["max_record_bytes", "max_columns", "max_decompression_ratio"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "10"])
def test_limit_is_refused_when_it_is_no_whole_number(adapter: Any, name: str, value: Any) -> None:
    with pytest.raises(DeclarationError, match=f"{name} must be a whole number from 1"):
        adapter("in", **{name: value})


# JSON


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data`, cut into pieces of these sizes, again and again."""
    cuts = [0]
    while cuts[-1] < len(data):
        cuts.append(min(cuts[-1] + sizes[len(cuts) % len(sizes)], len(data)))
    return [data[start:end] for start, end in pairwise(cuts)]


LINES = st.lists(
    st.tuples(
        st.sampled_from([b"", b" ", b"\t" * 30, b"\r"]),
        st.sampled_from(
            [
                *(b"", b"{}", b'{"a":1}', b'{"a":"%s"}' % (b"x" * 9), b'{"a":"%s"}' % (b"y" * 40)),
                *('{"a":"é"}'.encode(), b'{"a":"%s"}' % ("é" * 12).encode()),
                *(b"\xff" * 19, b"\xff" * 21, b"{" * 20, b"[" * 21, b'{"a":"b c  d e f g"}  x'),
            ]
        ),
        st.sampled_from([b"", b" " * 50, b"\r"]),
    ),
    max_size=10,
)


@QUICK
@given(
    LINES, st.integers(1, 8), st.sampled_from([1, 3, 16, 1000]), st.sampled_from([1, 10, 20, 45])
)
def test_lines_are_rejected_alone_when_they_are_too_long(
    tmp_path: Path, lines: list[tuple[bytes, bytes, bytes]], shards: int, block: int, most: int
) -> None:
    # A bracket that comes first would make it an array.
    data = b"\n".join([b"{}", *(b"".join(line) for line in lines)])
    good, bad, number = [], [], 0
    for line in data.split(b"\n"):
        record = line.strip(b" \t\r")
        if not record:
            continue
        number += 1
        if len(record) > most:
            bad.append((number, "record_too_long"))
            continue
        try:
            good.append(json.loads(record.decode()))
        except UnicodeDecodeError:
            bad.append((number, "json_encoding"))
        except ValueError:
            bad.append((number, "json_invalid"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_read, "BLOCK_BYTES", block)
        adapter = JSONInputAdapter(file(tmp_path, data), max_record_bytes=most)
        rows, rejects = read(adapter, tmp_path, shards)
    assert rows == good
    assert kinds(rejects) == bad
    for reject in rejects:
        start = reject["_offset"]
        line = data[start:].split(b"\n")[0].strip(b" \t\r")
        assert reject["_text"] == line.decode("utf-8", "backslashreplace")


ELEMENTS = st.lists(
    st.sampled_from(
        [
            *(
                b"{}",
                b'{"a":1}',
                b'{"a":"],}{[\\"\\\\"}',
                b'{"a":[[1],{"b":[2]}]}',
                b'{"a":"xxxxx"}',
            ),
            *(b'{"a":"%s"}' % (b"\\\\" * 20), b'{"a":[%s]}' % (b'{"b":"]"},' * 9 + b"0")),
            *(b'{"a":%s1%s}' % (b"[" * 30, b"]" * 30), b'{"a":"%s"}' % (b'\\"' * 21), b"\xff" * 50),
        ]
    ),
    max_size=6,
)


@QUICK
@given(
    ELEMENTS,
    st.sampled_from([b"", b" ", b"\n" * 40]),
    st.sampled_from([1, 3, 16, 1000]),
    st.sampled_from([1, 10, 20, 45]),
)
def test_elements_are_rejected_alone_when_they_are_too_long(
    tmp_path: Path, elements: list[bytes], blank: bytes, block: int, most: int
) -> None:
    data = b"[" + (blank + b"," + blank).join(elements) + blank + b"]" + blank
    good, bad = [], []
    for number, element in enumerate(elements, 1):
        if len(element) > most:
            bad.append((number, "record_too_long"))
        else:
            good.append(json.loads(element))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_read, "BLOCK_BYTES", block)
        adapter = JSONInputAdapter(file(tmp_path, data), max_record_bytes=most)
        rows, rejects = read(adapter, tmp_path)
    assert rows == good
    assert kinds(rejects) == bad
    for reject in rejects:
        element = elements[reject["_row"] - 1]
        assert data[reject["_offset"] :].startswith(element)
        assert reject["_text"] == element.decode("utf-8", "backslashreplace")


@pytest.mark.parametrize("data", [b'[{"a":"%s', b'[{"a":[[%s', b'[{}, "%s', b'[{"a":1 %s'])
def test_run_fails_when_an_array_ends_in_an_element_that_is_too_long(
    tmp_path: Path, data: bytes
) -> None:
    path = file(tmp_path, data % (b"x" * 3_000_000))
    with pytest.raises(InputError, match="cut short"):
        read(JSONInputAdapter(path, max_record_bytes=1000), tmp_path)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from([b'"', b'"', b"\\", b"[", b"]", b"{", b"}", b",", b"x", b"yy"])),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_element_ends_where_it_does_when_it_is_seen_whole(
    tokens: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(tokens)
    element, before, found = ElementEnd(), 0, None
    for chunk in pieces(data, sizes):
        end = element.feed(chunk)
        if end is not None:
            found = before + end
            break
        before += len(chunk)
    assert found == json_read._element_end(data, 0)


@pytest.mark.parametrize("text", ["x" * 5000, "é" * 5000, "😀" * 5000, "\\u0041" * 5000])
@pytest.mark.parametrize("block", [1 << 10, 1 << 20])
@pytest.mark.parametrize("array", [False, True])
def test_reject_has_the_first_characters_when_its_record_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, block: int, array: bool
) -> None:
    monkeypatch.setattr(json_read, "BLOCK_BYTES", block)
    record = f'{{"a":"{text}"}}'
    data = f"[{{}},{record},{{}}]" if array else f"{{}}\n{record}\n{{}}"
    adapter = JSONInputAdapter(file(tmp_path, data.encode()), max_record_bytes=4000)
    rows, (reject,) = read(adapter, tmp_path)
    assert rows == [{}, {}]
    assert reject["_text"] == record[:1024]
    assert reject["_errors"] == [
        {
            "loc": [],
            "type": "record_too_long",
            "msg": "the record has more than 4,000 bytes (max_record_bytes)",
        }
    ]


@pytest.mark.parametrize("model", [None, Model])
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("most", [1, 2, 5])
def test_record_is_rejected_when_it_has_too_many_keys(
    tmp_path: Path, model: type[BaseModel] | None, array: bool, most: int
) -> None:
    records = [
        '{"a":1}',
        json.dumps({f"k{n}": n for n in range(most)}),
        json.dumps({f"k{n}": n for n in range(most + 1)}),
        # A key that comes twice counts once, and what is inside of a value is no column.
        "{" + ",".join(['"a":1'] * (most + 1)) + "}",
        json.dumps({"a": {f"k{n}": ":" for n in range(most + 1)}}),
        '{"a":' + "1" * 100,
        json.dumps({f"é{n}": "\n" for n in range(most + 1)}, ensure_ascii=False),
    ]
    text = "[" + ",".join(records) + "]" if array else "\n".join(records)
    if array:
        text = text.replace(records[5], "nothing")
    adapter = JSONInputAdapter(file(tmp_path, text.encode()), max_columns=most)
    rows, rejects = read(adapter, tmp_path, model=model)
    assert len(rows) == 4
    assert kinds(rejects) == [(3, "record_too_wide"), (6, "json_invalid"), (7, "record_too_wide")]
    assert rejects[0]["_text"] == records[2]
    assert rejects[0]["_errors"][0]["msg"] == (
        f"the record has {most + 1} keys, and max_columns is {most}"
    )


def test_keys_are_counted_when_they_are_ten_thousand(tmp_path: Path) -> None:
    records = [json.dumps({str(n): 0 for n in range(count)}) for count in (10_000, 10_001)]
    rows, rejects = read(JSONInputAdapter(file(tmp_path, "\n".join(records).encode())), tmp_path)
    assert [len(row) for row in rows] == [10_000]
    assert kinds(rejects) == [(2, "record_too_wide")]


def nested(depth: int, opening: str, closing: str) -> str:
    """An object with so many lists or objects within each other, itself among them."""
    return '{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"


class Typed(BaseModel):
    b: int = 0


@pytest.mark.parametrize("model", [None, Model, Typed])
@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_record_is_rejected_when_it_is_nested_too_deeply(
    tmp_path: Path,
    model: type[BaseModel] | None,
    threads: int,
    array: bool,
    opening: str,
    closing: str,
) -> None:
    depths = [1, 199, 200, 201, 260, 1000, 100_000]
    records = ['{"b":1}'] * 20 + [nested(depth, opening, closing) for depth in depths]
    records.append('{"a":"%s"}' % ("[{" * 300))
    text = "[" + ",".join(records) + "]" if array else "\n".join(records)
    out, err = tmp_path / "out.jsonl", tmp_path / "err.jsonl"
    pipe = Pipe(
        JSONInputAdapter(file(tmp_path, text.encode())),
        JSONOutputAdapter(out),
        JSONOutputAdapter(err),
        model,
        **({"executor": MultiThreadExecutor(max_workers=threads)} if threads else {}),
    )
    run_sharded(pipe, 1)
    assert len(out.read_text().splitlines()) == 24
    rejects = [json.loads(line) for line in err.read_text().splitlines()]
    assert kinds(rejects) == [(number, "json_invalid") for number in (24, 25, 26, 27)]
    assert {reject["_errors"][0]["msg"] for reject in rejects} == {
        "lists and objects are more than 200 deep within each other"
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":NaN}', "NaN is no JSON"),
        ('{"a":[-Infinity]}', "-Infinity is no JSON"),
        ('{"a":' + "7" * 4301 + "}", "an integer has more than 4,300 digits"),
        ('{"a":1,}', "at character 7"),
    ],
)
def test_reason_says_what_is_wrong_when_a_record_is_no_json(
    tmp_path: Path, text: str, message: str
) -> None:
    _, (reject,) = read(JSONInputAdapter(file(tmp_path, text.encode())), tmp_path)
    assert message in reject["_errors"][0]["msg"]


@pytest.mark.parametrize("digits", [19, 20, 300, 4300])
@pytest.mark.parametrize("model", [None, Model])
def test_integers_are_whole_when_they_are_beyond_64_bits(
    tmp_path: Path, digits: int, model: type[BaseModel] | None
) -> None:
    text = '{"a":-%s}\n' % ("7" * digits)
    read(JSONInputAdapter(file(tmp_path, text.encode())), tmp_path, model=model)
    assert (tmp_path / "out.jsonl").read_text() == text


# CSV


def lines_of(data: bytes) -> list[str]:
    return list(io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline=""))


def is_unclosed(data: bytes) -> bool:
    """Whether the last record ends inside of quotes: a further line is then none of its own."""
    lines = lines_of(data)
    return len(list(csv.reader([*lines, "x"]))) == len(list(csv.reader(lines)))


def records_of(data: bytes) -> list[tuple[int, list[str], bytes]]:
    """What `csv.reader` makes of each record, blank lines left out, with its place and its bytes."""
    lines = lines_of(data)
    sizes = [len(line.encode("utf-8", "surrogateescape")) for line in lines]
    reader, found, offset, line = csv.reader(lines), [], 0, 0
    for row in reader:
        size = sum(sizes[line : reader.line_num])
        if row:
            found.append((offset, row, data[offset : offset + size].rstrip(b"\r\n")))
        offset, line = offset + size, reader.line_num
    return found


CSV_PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b'"',
                b'"',
                b'""',
                b",",
                b",",
                b"\n",
                b"\n",
                b"\r\n",
                b"\r",
                b"x",
                b"1,2\n",
                b"x" * 9,
            ),
            *(b'1,"2"\n', b'"%s",2\n' % (b"y\n" * 12), b'1,"%s"\r\n' % (b'""' * 15), b"z" * 50),
            *(b"\0", b"\xff", "é".encode()),
        ]
    ),
    max_size=25,
)


@QUICK
@given(
    CSV_PIECES, st.integers(1, 5), st.sampled_from([1, 3, 16, 1000]), st.sampled_from([4, 20, 60])
)
@example([b"1,2\n", b"z" * 50, b"\n", b"1,2\n"], 3, 16, 20)
@example([b'1,"%s"\r\n' % (b'""' * 15), b"1,2\n"], 1, 1, 4)
def test_csv_records_are_rejected_alone_when_they_are_too_long(
    tmp_path: Path, tokens: list[bytes], shards: int, block: int, most: int
) -> None:
    data = b"".join(tokens)
    good, bad = [], []
    records = records_of(data)
    for number, (offset, row, raw) in enumerate(records, 1):
        if number == len(records) and is_unclosed(data):
            bad.append((number, "csv_unclosed_quote", offset, raw))
        elif len(raw) > most:
            bad.append((number, "record_too_long", offset, raw))
        elif len(row) != 2:
            bad.append((number, "csv_width", offset, raw))
        elif any(0xD800 <= ord(char) < 0xE000 for cell in row for char in cell):
            bad.append((number, "csv_encoding", offset, raw))
        else:
            good.append({"a": row[0], "b": row[1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_read, "BLOCK_BYTES", block)
        patch.setattr(csv_read, "_WINDOW_BYTES", block)
        patch.setattr(csv_read, "_MOST_WINDOW_BYTES", 4 * block)
        adapter = CSVInputAdapter(
            file(tmp_path, data), fieldnames=["a", "b"], max_record_bytes=most
        )
        rows, rejects = read(adapter, tmp_path, shards)
    assert rows == good
    found = [
        (*kind, reject["_offset"]) for kind, reject in zip(kinds(rejects), rejects, strict=True)
    ]
    assert found == [(number, kind, offset) for number, kind, offset, _ in bad]
    for reject, (_, kind, _, raw) in zip(rejects, bad, strict=True):
        text = raw.decode("utf-8", "backslashreplace")
        if kind == "csv_unclosed_quote":
            assert text.startswith(reject["_text"].rstrip("\r\n"))
        else:
            assert reject["_text"] == text


@pytest.mark.parametrize(("delimiter", "quote"), [(",", '"'), ("é", "'"), ("\t", "ü"), ("😀", "§")])
@settings(parent=QUICK, max_examples=300)
@given(tokens=CSV_PIECES, sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_csv_record_ends_where_the_reader_says_when_it_is_followed(
    delimiter: str, quote: str, tokens: list[bytes], sizes: list[int]
) -> None:
    data = b"".join(tokens).replace(b",", delimiter.encode()).replace(b'"', quote.encode())
    lines = lines_of(data)
    reader = csv.reader(lines, delimiter=delimiter, quotechar=quote)
    if next(reader, None) is None:
        return
    expected = sum(
        len(line.encode("utf-8", "surrogateescape")) for line in lines[: reader.line_num]
    )
    record, before, found = RecordEnd(Dialect(delimiter, quote, "utf-8")), 0, None
    for chunk in [*pieces(data, sizes), None]:
        end = record.feed(chunk or b"", at_end=chunk is None)
        if end is not None:
            found = before + end
            break
        before += len(chunk or b"")
    assert (before if found is None else found) == expected


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "shift_jis"])
@pytest.mark.parametrize("block", [16, 1 << 20])
def test_csv_record_is_rejected_when_it_is_too_long_in_another_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, block: int
) -> None:
    monkeypatch.setattr(csv_read, "BLOCK_BYTES", block)
    letter = "表" if encoding == "shift_jis" else "é"
    text = f"a,b\n1,2\n{letter * 2000},x\n3,{letter}\n"
    adapter = CSVInputAdapter(
        file(tmp_path, text.encode(encoding)), encoding=encoding, max_record_bytes=100
    )
    rows, (reject,) = read(adapter, tmp_path)
    assert [row["b"] for row in rows] == ["2", letter]
    assert reject["_errors"][0]["type"] == "record_too_long"
    assert reject["_text"] == letter * 1024


def test_nul_is_a_character_like_any_other_when_it_is_in_csv(tmp_path: Path) -> None:
    data = b'a,b\n\0,1\nx\0y,"\0"\n2,3\0\n'
    expected = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    for shards in (1, 3):
        assert read(CSVInputAdapter(file(tmp_path, data)), tmp_path, shards) == (expected, [])


def test_header_is_a_record_like_any_other_when_it_comes_again(tmp_path: Path) -> None:
    class Row(BaseModel):
        a: int
        b: int

    path = file(tmp_path, b"a,b\n1,2\na,b\n3,4\n")
    assert [row["a"] for row in read(CSVInputAdapter(path), tmp_path)[0]] == ["1", "a", "3"]
    rows, rejects = read(CSVInputAdapter(path), tmp_path, model=Row)
    assert [row["a"] for row in rows] == [1, 3]
    assert kinds(rejects) == [(2, "int_parsing")]


@pytest.mark.parametrize("name", ["in", "in.gz", "in.bz2"])
@pytest.mark.parametrize("kind", ["csv", "json"])
@pytest.mark.parametrize("end", [b"", b"\n"])
def test_bytes_read_are_those_of_the_file_when_it_has_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, end: bytes
) -> None:
    reader, adapter = (
        (csv_read, CSVInputAdapter) if kind == "csv" else (json_read, JSONInputAdapter)
    )
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1 << 12)
    line = b"%d,some text" if kind == "csv" else b'{"a":%d}'
    data = b"a,b\n" * (kind == "csv") + b"\n".join(line % number for number in range(20_000)) + end
    pack = {"in": bytes, "in.gz": gzip.compress, "in.bz2": bz2.compress}[name]
    path = file(tmp_path, pack(data), name)
    pipe = Pipe(adapter(path), JSONOutputAdapter(tmp_path / "out"))
    run_ = run_sharded(pipe, 1)
    header = 4 if (kind, name) == ("csv", "in") else 0
    assert run_.report().bytes_read == os.path.getsize(path) - header


@pytest.mark.parametrize("shards", [1, 3])
def test_rest_is_a_rejected_record_when_a_quote_is_never_closed(
    tmp_path: Path, shards: int
) -> None:
    data = b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 2000
    rows, (reject,) = read(CSVInputAdapter(file(tmp_path, data)), tmp_path, shards)
    assert rows == [{"a": "1", "b": "2"}]
    assert (reject["_row"], reject["_offset"]) == (2, data.index(b"3,"))
    assert reject["_errors"][0]["type"] == "csv_unclosed_quote"
    assert "not closed before the end of the file" in reject["_errors"][0]["msg"]


def test_header_with_too_many_columns_is_an_error(tmp_path: Path) -> None:
    header = ",".join(f"c{n}" for n in range(4)).encode()
    path = file(tmp_path, header + b"\n1,2,3,4\n")
    assert len(read(CSVInputAdapter(path, max_columns=4), tmp_path)[0]) == 1
    with pytest.raises(InputError, match="in has 4 columns, and max_columns is 3"):
        CSVInputAdapter(path, max_columns=3).plan(1)
    with pytest.raises(DeclarationError, match="names 2 columns, and max_columns is 1"):
        CSVInputAdapter(path, max_columns=1, fieldnames=["a", "b"])


def test_record_is_rejected_when_it_has_a_million_fields(tmp_path: Path) -> None:
    data = b"a,b\n1,2\n" + b"," * 1_000_000 + b"\n3,4\n"
    rows, rejects = read(CSVInputAdapter(file(tmp_path, data)), tmp_path, 2)
    assert [row["a"] for row in rows] == ["1", "3"]
    assert kinds(rejects) == [(2, "csv_width")]
