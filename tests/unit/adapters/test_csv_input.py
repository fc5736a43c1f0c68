"""CSV input: files, headers, options, encodings, compression; read as `csv` and `codecs` read."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import os
import pickle
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import lz4.frame
import pyarrow as pa
import pytest
from sharded import run_sharded

import zoopipe.adapters.csv_read as csv_read
from zoopipe import CSVInputAdapter, DeclarationError, InputError, JSONOutputAdapter, Pipe


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def read(
    adapter: CSVInputAdapter, folder: Path, shards: int = 1
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows and the rejects of an input, taken through a pipe without a model."""
    out, err = folder / "out.jsonl", folder / "err.jsonl"
    run_sharded(Pipe(adapter, JSONOutputAdapter(out), JSONOutputAdapter(err)), shards)
    return tuple([json.loads(x) for x in p.read_bytes().split(b"\n")[:-1]] for p in (out, err))


def file(folder: Path, data: bytes, name: str = "in.csv") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def zstd(*frames: bytes) -> bytes:
    sink = b""
    for frame in frames:
        stream = pa.BufferOutputStream()
        with pa.CompressedOutputStream(stream, "zstd") as out:
            out.write(frame)
        sink += stream.getvalue().to_pybytes()
    return sink


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": ""}, "source"),
        ({"source": []}, "source"),
        ({"source": None}, "source"),
        ({"source": [1]}, "source"),
        ({"source": ["a.csv", ""]}, "source"),
        ({"delimiter": ""}, "delimiter"),
        ({"delimiter": "||"}, "delimiter"),
        ({"delimiter": "\n"}, "delimiter"),
        ({"quotechar": None}, "quotechar"),
        ({"delimiter": '"'}, "both"),
        ({"skip_rows": -1}, "skip_rows"),
        ({"skip_rows": True}, "skip_rows"),
        ({"skip_rows": 1.0}, "skip_rows"),
        ({"limit": -1}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"start_byte": -5}, "start_byte"),
        ({"start_byte": 5, "end_byte": 4}, "end_byte 4 is before start_byte 5"),
        ({"fieldnames": "abc"}, "fieldnames"),
        ({"fieldnames": []}, "fieldnames"),
        ({"fieldnames": [1]}, "fieldnames"),
        ({"fieldnames": ["a", "b", "a"]}, "names 'a' twice"),
        ({"fieldnames": (name for name in "ab")}, "fieldnames"),
        ({"encoding": "no-such"}, "encoding 'no-such'"),
        ({"encoding": "base64"}, "encoding 'base64'"),
        ({"encoding": None}, "encoding None"),
        ({"encoding": "a\0b"}, "encoding"),
        ({"null_values": "NA"}, "null_values"),
        ({"null_values": None}, "null_values"),
        ({"null_values": [None]}, "null_values"),
        ({"compression": "zip"}, "compression"),
    ],
)
def test_adapter_is_refused_when_an_option_is_out_of_range(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeclarationError, match=message):
        CSVInputAdapter(**{"source": "in.csv", **options})


def test_adapter_does_no_io_and_pickles_when_it_is_made() -> None:
    adapter = CSVInputAdapter(Path("/nowhere/in.csv"), encoding="shift_jis", null_values=["NA"])
    assert repr(pickle.loads(pickle.dumps(adapter))) == "CSVInputAdapter(/nowhere/in.csv)"


# Files


def test_files_are_read_in_order_when_globs_and_paths_are_mixed(tmp_path: Path) -> None:
    for name in ("b2", "b1", "a"):
        file(tmp_path, f"n\n{name}\n".encode(), f"{name}.csv")
    adapter = CSVInputAdapter([str(tmp_path / "b*.csv"), tmp_path / "a.csv"])
    for shards in (1, 2, 5):
        assert [row["n"] for row in read(adapter, tmp_path, shards)[0]] == ["b1", "b2", "a"]


def test_file_is_read_twice_when_it_is_named_twice(tmp_path: Path) -> None:
    path = file(tmp_path, b"n\n1\n2\n3\n")
    for shards in (1, 2, 4):
        rows, _ = read(CSVInputAdapter([path, path], skip_rows=1, limit=4), tmp_path, shards)
        assert [row["n"] for row in rows] == ["2", "3", "1", "2"]


def test_file_is_read_when_its_name_looks_like_a_glob(tmp_path: Path) -> None:
    path = file(tmp_path, b"n\n1\n", "in[1].csv")
    assert read(CSVInputAdapter(path), tmp_path)[0] == [{"n": "1"}]


@pytest.mark.parametrize("name", ["missing.csv", "missing/*.csv", "folder"])
def test_input_error_names_the_path_when_there_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name.replace("*", r"\*")):
        CSVInputAdapter(str(tmp_path / name)).plan(1)


def test_input_error_names_the_cause_when_the_file_is_not_permitted(tmp_path: Path) -> None:
    path = file(tmp_path, b"n\n1\n")
    os.chmod(path, 0)
    user = os.geteuid()
    # Root may read every file, so that root becomes nobody for a moment.
    os.seteuid(65534 if user == 0 else user)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            CSVInputAdapter(path).plan(1)
    finally:
        os.seteuid(user)


# Headers


@pytest.mark.parametrize("data", [b"", b"\n\r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_input_error_is_clear_when_a_file_has_no_header(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"in\.csv is empty: a header was expected"):
        CSVInputAdapter(file(tmp_path, data)).plan(1)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b,a\n1,2,3\n", "names 'a' twice"),
        (b"a,,c\n1,2,3\n", "no name for column 2"),
        (b"a,b,\n1,2,3\n", "no name for column 3"),
        (b"a,\xff\n1,2\n", "does not decode: give encoding="),
    ],
)
def test_input_error_is_clear_when_the_header_is_unusable(
    tmp_path: Path, data: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        CSVInputAdapter(file(tmp_path, data)).plan(1)


def test_input_error_names_both_files_when_headers_differ(tmp_path: Path) -> None:
    paths = [file(tmp_path, b"a,b\n1,2\n", "1.csv"), file(tmp_path, b"b,a\n1,2\n", "2.csv")]
    with pytest.raises(InputError, match=r"2\.csv differs from that of .*1\.csv"):
        CSVInputAdapter(paths).plan(1)


@pytest.mark.parametrize("data", [b"a,b", b"a,b\n", b"a,b\r\n\r\n", b"\n\n\xef\xbb\xbfa,b\n\n\n"])
@pytest.mark.parametrize("shards", [1, 3])
def test_rows_are_none_when_there_is_only_a_header(
    tmp_path: Path, data: bytes, shards: int
) -> None:
    assert read(CSVInputAdapter(file(tmp_path, data)), tmp_path, shards) == ([], [])


def test_header_is_read_when_it_is_longer_than_the_first_read(tmp_path: Path) -> None:
    names = [f"column number {number}" for number in range(9000)]
    path = file(tmp_path, (",".join(names) + "\r\n" + ",".join("1" * 9000) + "\n").encode())
    assert read(CSVInputAdapter(path), tmp_path)[0] == [dict.fromkeys(names, "1")]


def test_first_record_is_data_when_fieldnames_are_given(tmp_path: Path) -> None:
    path = file(tmp_path, b"\xef\xbb\xbf\n1,2\n3,4\n")
    for shards in (1, 2):
        rows, _ = read(CSVInputAdapter(path, fieldnames=["a", "b"]), tmp_path, shards)
        assert rows == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


# skip_rows, limit, byte ranges


@pytest.mark.parametrize(("skip", "limit"), [(0, 0), (0, 5), (3, None), (3, 4), (18, 9), (99, 2)])
@pytest.mark.parametrize("shards", range(1, 8))
def test_skip_and_limit_hold_for_the_whole_input_when_it_is_sharded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skip: int, limit: int | None, shards: int
) -> None:
    monkeypatch.setattr(csv_read, "BLOCK_BYTES", 16)
    paths = [
        file(tmp_path, b'n,t\n0,x\n1,y\n\n2\n3,"a\nb"\n', "1.csv"),
        file(tmp_path, b"n,t\n", "2.csv"),
        file(tmp_path, b"n,t\r\n" + b"".join(b'%d,"q"\r\n' % n for n in range(4, 20)), "3.csv"),
    ]
    rows, rejects = read(CSVInputAdapter(paths, skip_rows=skip, limit=limit), tmp_path, shards)
    wanted = list(range(20))[skip:][:limit]
    assert [int(row["n"]) for row in rows] == [number for number in wanted if number != 2]
    assert [row["_row"] for row in rejects] == [3] * (2 in wanted)


@pytest.mark.parametrize("shards", [1, 3])
def test_byte_ranges_partition_a_file_when_they_touch(tmp_path: Path, shards: int) -> None:
    data = b"n,t\n" + b"".join(b"%d,text\r\n" % number for number in range(50))
    path = file(tmp_path, data)
    rng = random.Random(1)
    for _ in range(10):
        bounds = [0, *sorted(rng.sample(range(1, len(data) + 9), 3)), None]
        found = []
        for start, end in pairwise(bounds):
            adapter = CSVInputAdapter(path, start_byte=start, end_byte=end)
            found += [int(row["n"]) for row in read(adapter, tmp_path, shards)[0]]
        assert found == list(range(50))


def test_byte_range_is_refused_when_the_input_cannot_be_cut(tmp_path: Path) -> None:
    packed = file(tmp_path, gzip.compress(b"a\n1\n", mtime=0), "in.csv.gz")
    with pytest.raises(InputError, match="cannot cut"):
        CSVInputAdapter(packed, end_byte=3).plan(1)
    plain = file(tmp_path, b"a\n1\n")
    with pytest.raises(InputError, match="one file"):
        CSVInputAdapter([plain, plain], start_byte=3).plan(1)


# Cells


def test_cells_are_strings_when_they_look_like_anything_else(tmp_path: Path) -> None:
    row = ["007", "1e3", "true", "NULL", "", "2020-01-01", " x ", "NaN"]
    names = [f"c{number}" for number in range(len(row))]
    path = file(tmp_path, (",".join(names) + "\n" + ",".join(row) + "\n").encode())
    assert read(CSVInputAdapter(path), tmp_path)[0] == [dict(zip(names, row, strict=True))]


@pytest.mark.parametrize("tail", [b"", b'o"dd,x\n', b"short\n"])
def test_null_values_are_none_when_cells_equal_them(tmp_path: Path, tail: bytes) -> None:
    path = file(tmp_path, 'a,b\nNA,"NA"\n,n/a\n é,é\nNAN,""\n'.encode() + tail)
    rows, _ = read(CSVInputAdapter(path, null_values=["NA", "", "é"]), tmp_path)
    assert rows[:4] == [
        {"a": None, "b": None},
        {"a": None, "b": "n/a"},
        {"a": " é", "b": None},
        {"a": "NAN", "b": None},
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "UTF8"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_quotes_are_read_when_the_encoding_has_a_bom(
    tmp_path: Path, encoding: str, bom: bytes
) -> None:
    path = file(tmp_path, bom + b'"a","b"\n"1","2"\n"3,","4\n"\n')
    for shards in (1, 3):
        rows, _ = read(CSVInputAdapter(path, encoding=encoding), tmp_path, shards)
        assert rows == [{"a": "1", "b": "2"}, {"a": "3,", "b": "4\n"}]


def test_bom_is_kept_when_it_is_not_at_the_start_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_read, "BLOCK_BYTES", 8)
    path = file(tmp_path, "\ufeffa,b\n\ufeff1,2\n\ufeff3,4\n".encode())
    for shards in (1, 2, 3):
        rows, _ = read(CSVInputAdapter(path), tmp_path, shards)
        assert [row["a"] for row in rows] == ["\ufeff1", "\ufeff3"]


@pytest.mark.parametrize("quoted", [False, True])
def test_field_is_whole_when_it_is_longer_than_csv_allows(tmp_path: Path, quoted: bool) -> None:
    long = "x" * (csv.field_size_limit() + 1) * 10
    cell = f'"{long}"' if quoted else f'{long}"'
    rows, _ = read(CSVInputAdapter(file(tmp_path, f"a\n{cell}\nz\n".encode())), tmp_path)
    assert [row["a"] for row in rows] == [long if quoted else f'{long}"', "z"]


def test_record_is_whole_when_it_is_longer_than_a_block(tmp_path: Path) -> None:
    text = 'line, of a "quoted" field\n' * 100_000
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["a", "b"], [text, "1"], ["2", "3"]])
    path = file(tmp_path, buffer.getvalue().encode())
    for shards in (1, 4):
        rows, rejects = read(CSVInputAdapter(path), tmp_path, shards)
        assert [(row["a"], row["b"]) for row in rows] == [(text, "1"), ("2", "3")]
        assert not rejects


# Rejected records


def test_reject_says_where_and_why_when_a_record_does_not_parse(tmp_path: Path) -> None:
    data = b"a,b\r\n1,2\r\n3\r\n4,5,6\r\n\xff,7\r\n8,9\r\n"
    rows, rejects = read(CSVInputAdapter(file(tmp_path, data)), tmp_path, 2)
    assert [row["a"] for row in rows] == ["1", "8"]
    found = [(r["_row"], r["_offset"], r["_stage"], r["_text"]) for r in rejects]
    assert found == [
        (2, data.index(b"3"), "parse", "3"),
        (3, data.index(b"4,5"), "parse", "4,5,6"),
        (4, data.index(b"\xff"), "parse", "\\xff,7"),
    ]
    assert [(r["_errors"][0]["type"], r["_errors"][0]["loc"]) for r in rejects] == [
        ("csv_width", []),
        ("csv_width", []),
        ("csv_encoding", ["a"]),
    ]
    assert all(r["_source"] == str(tmp_path / "in.csv") for r in rejects)


# Encodings


@pytest.mark.parametrize(
    "encoding",
    [
        "latin-1",
        "cp1252",
        "utf-8",
        "utf-8-sig",
        "utf-16",
        "utf-16-le",
        "utf-32",
        "shift_jis",
        "gbk",
        "euc_jp",
        "cp037",
        "iso2022_jp",
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_text_is_that_of_the_codec_when_an_encoding_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, shards: int
) -> None:
    monkeypatch.setattr(csv_read, "BLOCK_BYTES", 64)
    letters = {
        "shift_jis": "表ソ能,日",
        "gbk": "中,文|乂",
        "euc_jp": "日本,語",
        "iso2022_jp": "日本,語",
    }.get(encoding, "é,ü")
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(["näme" if letters == "é,ü" else letters[:1], "b"])
    writer.writerows([[f"{letters}{number}", f'"{letters[0]}"\n'] for number in range(50)])
    text = buffer.getvalue()
    path = file(tmp_path, text.encode(encoding))
    expected = list(csv.DictReader(io.StringIO(text, newline="")))
    rows, rejects = read(CSVInputAdapter(path, encoding=encoding), tmp_path, shards)
    assert (rows, rejects) == (expected, [])


@pytest.mark.parametrize(
    ("encoding", "bad", "text"),
    [
        ("utf-8", b"\xc3(", r"\xc3(,3"),
        ("ascii", b"\xe9", r"\xe9,3"),
        ("cp1252", b"\x81", r"\x81,3"),
        ("shift_jis", b"\x81 ", r"\x81 ,3"),
        ("gbk", b"\xff", r"\xff,3"),
        ("euc_jp", b"\x8f ", r"\x8f ,3"),
        ("utf-16-le", b"\x00\xd8x\x00", r"\x00\xd8x,3"),
        ("utf-16-be", b"\xdc\x00", r"\xdc\x00,3"),
        ("utf-32-le", b"\xff\xff\xff\x7f", r"\xff\xff\xff\x7f,3"),
    ],
)
def test_one_record_is_rejected_when_its_bytes_do_not_decode(
    tmp_path: Path, encoding: str, bad: bytes, text: str
) -> None:
    before, after = (text.encode(encoding) for text in ("a,b\n1,2\n", ",3\n4,5\n"))
    path = file(tmp_path, before + bad + after)
    rows, rejects = read(CSVInputAdapter(path, encoding=encoding), tmp_path)
    assert [row["a"] for row in rows] == ["1", "4"]
    assert [(r["_row"], r["_errors"][0]["type"]) for r in rejects] == [(2, "csv_encoding")]
    assert [r["_errors"][0]["loc"] for r in rejects] == [["a"]]
    assert rejects[0]["_text"] == text


# Compression

PARTS = (b"a,b\n1,2\n", b'3,"4\n', b'4"\n', b"", b"5,6\n")
PACKED = [
    ("in.csv.gz", b"".join(gzip.compress(part, mtime=0) for part in PARTS)),
    # Arrow gives up on a bz2 member of no bytes between two others.
    ("in.csv.bz2", b"".join(bz2.compress(part) for part in PARTS if part)),
    ("in.csv.zst", zstd(*PARTS)),
    ("in.csv.lz4", b"".join(map(lz4.frame.compress, PARTS))),
    ("in.CSV.GZ", gzip.compress(b"".join(PARTS), mtime=0)),
]


@pytest.mark.parametrize(("name", "data"), PACKED)
@pytest.mark.parametrize("shards", [1, 4])
def test_all_members_are_read_when_a_file_is_compressed(
    tmp_path: Path, name: str, data: bytes, shards: int
) -> None:
    rows, _ = read(CSVInputAdapter(file(tmp_path, data, name)), tmp_path, shards)
    assert [(row["a"], row["b"]) for row in rows] == [("1", "2"), ("3", "4\n4"), ("5", "6")]


@pytest.mark.parametrize(("name", "data"), PACKED)
def test_run_fails_when_a_compressed_file_is_cut_short(
    tmp_path: Path, name: str, data: bytes
) -> None:
    adapter = CSVInputAdapter(file(tmp_path, data[:-5], name))
    with pytest.raises(InputError, match=f"{name}: .* damaged or cut short"):
        read(adapter, tmp_path)
    assert not (tmp_path / "out.jsonl").exists()


def test_compression_is_what_the_option_says_when_the_name_says_otherwise(tmp_path: Path) -> None:
    path = file(tmp_path, gzip.compress(b"a\n1\n", mtime=0), "data")
    assert read(CSVInputAdapter(path, compression="gzip"), tmp_path)[0] == [{"a": "1"}]
    path = file(tmp_path, b"a\n1\n", "plain.gz")
    assert read(CSVInputAdapter(path, compression=None), tmp_path)[0] == [{"a": "1"}]
    with pytest.raises(InputError, match="gzip data is damaged"):
        CSVInputAdapter(path).plan(1)


def test_files_keep_their_order_when_their_headers_outweigh_them(tmp_path: Path) -> None:
    header = b"x" * 5000 + b",n\n"
    paths = [
        file(tmp_path, gzip.compress(header + b"0,%d\n" % number, mtime=0), f"{number}.csv.gz")
        for number in range(5)
    ] + [file(tmp_path, header + b"0,5\n" * 40, "5.csv")]
    for shards in (1, 2, 6):
        rows, _ = read(CSVInputAdapter(paths), tmp_path, shards)
        assert [row["n"] for row in rows] == [*"01234", *"5" * 40]
