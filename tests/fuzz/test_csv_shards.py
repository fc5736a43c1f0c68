"""Random CSV text, cut into 1 to 16 shards, reads as Python's `csv.reader` reads it."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sharded import run_sharded

import zoopipe.adapters.csv_read as csv_read
from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe

NAMES = ["a", "b", "c"]
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Record:
    """What `csv.reader` makes of one record, and the bytes it came from."""

    number: int
    offset: int
    row: list[str]
    raw: bytes

    @property
    def is_good(self) -> bool:
        return len(self.row) == len(NAMES) and all(
            not 0xD800 <= ord(char) < 0xE000 for cell in self.row for char in cell
        )


def records_of(data: bytes, start: int, encoding: str, **dialect: str) -> list[Record]:
    """The records of `data` from `start` on by `csv.reader`, blank lines left out."""
    text = io.TextIOWrapper(
        io.BytesIO(data[start:]), encoding=encoding, errors="surrogateescape", newline=""
    )
    lines = list(text)
    sizes = [len(line.encode(encoding, "surrogateescape")) for line in lines]
    reader = csv.reader(lines, **dialect)
    records: list[Record] = []
    offset = line = 0
    for row in reader:
        size = sum(sizes[line : reader.line_num])
        if row:
            place = start + offset
            records.append(Record(len(records) + 1, place, row, data[place : place + size]))
        offset, line = offset + size, reader.line_num
    return records


@contextmanager
def small_blocks(block_bytes: int, window_bytes: int) -> Iterator[None]:
    with (
        mock.patch.object(csv_read, "BLOCK_BYTES", block_bytes),
        mock.patch.object(csv_read, "_WINDOW_BYTES", window_bytes),
        mock.patch.object(os, "fsync", lambda descriptor: None),
    ):
        yield


def check(
    data: bytes,
    shards: int,
    *,
    block_bytes: int = 1 << 20,
    window_bytes: int = 1 << 16,
    delimiter: str = ",",
    quotechar: str = '"',
    encoding: str = "utf-8",
    header: bool = False,
    reverse: bool = False,
) -> None:
    start = len(BOM) if encoding == "utf-8" and data.startswith(BOM) else 0
    expected = records_of(data, start, encoding, delimiter=delimiter, quotechar=quotechar)
    if header:
        assert expected[0].row == NAMES
        expected = [
            Record(record.number - 1, record.offset, record.row, record.raw)
            for record in expected[1:]
        ]
    with tempfile.TemporaryDirectory() as folder, small_blocks(block_bytes, window_bytes):
        source, output, rejected = (Path(folder, name) for name in ("in.csv", "out", "rejected"))
        source.write_bytes(data)
        pipe = Pipe(
            CSVInputAdapter(
                str(source),
                delimiter=delimiter,
                quotechar=quotechar,
                encoding=encoding,
                fieldnames=None if header else NAMES,
            ),
            JSONOutputAdapter(str(output)),
            JSONOutputAdapter(str(rejected)),
        )
        run = run_sharded(pipe, shards, pick=lambda tasks: tasks[-1 if reverse else 0])
        written = [json.loads(line) for line in output.read_bytes().split(b"\n")[:-1]]
        refused = [json.loads(line) for line in rejected.read_bytes().split(b"\n")[:-1]]
    good = [dict(zip(NAMES, record.row, strict=True)) for record in expected if record.is_good]
    bad = [record for record in expected if not record.is_good]
    assert written == good
    assert [(row["_row"], row["_offset"]) for row in refused] == [
        (record.number, record.offset) for record in bad
    ]
    assert [row["_text"] for row in refused] == [
        record.raw.rstrip(b"\r\n").decode(encoding, "backslashreplace") for record in bad
    ]
    report = run.report()
    assert report.total_processed == len(expected)
    assert (report.success_count, report.error_count) == (len(good), len(bad))


def texts(delimiter: str, quotechar: str, encoding: str, most: int) -> st.SearchStrategy[bytes]:
    """Well-formed records between pieces that are anything but."""
    d, q = delimiter.encode(encoding), quotechar.encode(encoding)
    plain = st.sampled_from([b"", b"x", b"12", b" y ", "é".encode(encoding), b"long" * 5])
    inner = st.lists(
        st.sampled_from([b"x", d, q + q, b"\n", b"\r\n", b"\r", b"\n\n", b"q" * 9]), max_size=5
    )
    quoted = inner.map(lambda parts: q + b"".join(parts) + q)
    end = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n\n", b"\r\r\n"])
    record = st.tuples(st.lists(plain | quoted, min_size=3, max_size=3), end).map(
        lambda item: d.join(item[0]) + item[1]
    )
    noise = st.sampled_from(
        [
            q,
            q + q,
            q * 3,
            b"x" + q + b"y",
            d + q,
            q + d,
            q + b"\n",
            b"\n" + q,
            d,
            d + d,
            b"\n",
            b"\r",
            b"\r\n",
            b"\0",
            b"\xff",
            b"\xc3",
            b" ",
            BOM,
            b"a" + d + b"b" + d + b"c",
        ]
        + ["\u2028".encode(), "\u0085".encode()] * (encoding == "utf-8")
    )
    pieces = st.lists(st.one_of(record, record, noise), max_size=most)
    return pieces.map(b"".join)


FUZZ = settings(
    max_examples=250,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
DIALECTS = [
    (",", '"', "utf-8"),
    (",", '"', "utf-8"),
    (";", "'", "utf-8"),
    ("\t", '"', "utf-8"),
    ("|", '"', "latin-1"),
    (" ", "\\", "utf-8"),
    (".", "^", "utf-8"),
    ("§", "¤", "utf-8"),
    (",", "«", "latin-1"),
    (",", "\0", "utf-8"),
]


@st.composite
def cases(draw: st.DrawFn, most: int) -> dict[str, object]:
    delimiter, quotechar, encoding = draw(st.sampled_from(DIALECTS))
    data = draw(texts(delimiter, quotechar, encoding, most))
    header = draw(st.booleans())
    if header:
        data = delimiter.join(NAMES).encode(encoding) + b"\n" + data
    if encoding == "utf-8" and draw(st.booleans()):
        data = BOM + data
    return {
        "data": data,
        "shards": draw(st.integers(1, 16)),
        "block_bytes": draw(st.sampled_from([1, 2, 3, 7, 16, 50, 1 << 20])),
        "window_bytes": draw(st.sampled_from([4, 5, 9, 40, 1 << 16])),
        "delimiter": delimiter,
        "quotechar": quotechar,
        "encoding": encoding,
        "header": header,
        "reverse": draw(st.booleans()),
    }


@FUZZ
@given(cases(most=14))
@example({"data": b'a,"b\n', "shards": 1})
@example({"data": b'x,y,z\n1,"2\n', "shards": 3})
@example({"data": b"1,2,3\n\xef\xbb\xbf4,5,6\n", "shards": 2, "block_bytes": 6})
def test_shards_read_as_csv_reader_when_text_is_random(case: dict[str, object]) -> None:
    check(**case)


@settings(FUZZ, max_examples=60)
@given(cases(most=120))
def test_shards_read_as_csv_reader_when_text_is_long(case: dict[str, object]) -> None:
    check(**case)
