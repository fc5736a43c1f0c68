"""What a record of a CSV text is: plain quoting is proved, everything else is `csv.reader`'s."""

from __future__ import annotations

import csv
import io
import os
import pickle
import signal
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from zoopipe import DeclarationError
from zoopipe.adapters import csv_records
from zoopipe.adapters.csv_parse import Parser
from zoopipe.adapters.csv_records import (
    Dialect,
    guess_start,
    is_plain,
    line_offsets,
    plain_cut,
    read_records,
)
from zoopipe.adapters.offsets import summed_offsets

COMMA = Dialect(",", '"', "utf-8")


def by_csv(data: bytes, **dialect: str) -> list[list[str]]:
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="")
    return [row for row in csv.reader(text, **dialect) if row]


@pytest.mark.parametrize("value", ["", "ab", "\n", "\r", None, 1, b",", "\ud800"])
@pytest.mark.parametrize("name", ["delimiter", "quotechar"])
def test_dialect_is_refused_when_a_character_is_not_one(name: str, value: object) -> None:
    with pytest.raises(DeclarationError, match=name):
        Dialect(**{"delimiter": ",", "quotechar": '"', "encoding": "utf-8", name: value})


def test_dialect_is_refused_when_delimiter_and_quotechar_are_the_same() -> None:
    with pytest.raises(DeclarationError, match="both ','"):
        Dialect(",", ",", "utf-8")


def test_dialect_is_equal_when_pickled() -> None:
    assert pickle.loads(pickle.dumps(COMMA)) == COMMA


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"a,b\nc,d\n", True),
        (b'"a","b"\n', True),
        (b'"a,1\n2","b""c"\r\n,\n', True),
        (b'"",""""\n', True),
        (b'a"b,c\n', False),
        (b'"a"b,c\n', False),
        (b' "a",b\n', False),
        (b'"a" ,b\n', False),
        (b'"a,b\n', False),
        (b'a,"\n', False),
        (b'a"",b\n', False),
    ],
)
def test_quoting_is_plain_only_when_quotes_stand_at_the_ends_of_fields(
    data: bytes, plain: bool
) -> None:
    assert is_plain(data, COMMA) is plain


@pytest.mark.parametrize(
    ("data", "target", "at_end", "cut"),
    [
        (b"a\nb\nc", None, False, 4),
        (b"a\nb\nc", None, True, 5),
        (b"a\nb\nc", 1, False, 2),
        (b"a\nb\nc", 2, False, 2),
        (b"a\nb\nc", 3, False, 4),
        (b"a\r\nb", 2, False, 3),
        (b"a\rb\r", None, False, 2),
        (b"a\rb\r", None, True, 4),
        (b"abc", None, False, 0),
        (b'"a\nb"\nc\n', 2, False, 6),
        (b'x\n"a\nb', None, False, 2),
        (b'"a\nb', None, False, 0),
        (b'"a\nb', None, True, None),
        (b'"a\nb\n', 5, True, None),
        (b'a"b\nc\n', 1, False, None),
    ],
)
def test_plain_cut_falls_between_records_when_it_is_proved(
    data: bytes, target: int | None, at_end: bool, cut: int | None
) -> None:
    assert plain_cut(data, COMMA, target, at_end) == cut


@pytest.mark.parametrize(
    "data",
    [
        b'a"b,c\nd"\n',
        b'"a"b"c,d"\ne\n',
        b'"a\r\nb",c\r\rd\n',
        b'"open,\nto the end',
        b"\n\n a\n\n",
        b"a\0b,\0\n",
        "a\u2028b\u0085c\n\x0b\x0c\x1c\n".encode(),
        b"\xff,\xc3\n",
        b'""""""\n"""\n',
    ],
)
def test_records_are_those_of_csv_reader_when_quoting_is_odd(data: bytes) -> None:
    records = read_records(data, COMMA, None, at_end=True)
    assert records.rows == by_csv(data)
    assert records.end == len(data)
    for row, start, end in zip(records.rows, records.offsets, records.ends, strict=True):
        assert by_csv(data[start:end]) == [row]


def test_records_stop_before_the_unfinished_when_more_may_follow() -> None:
    records = read_records(b'a,b\nc,"d\n', COMMA, None, at_end=False)
    assert (records.rows, records.end) == ([["a", "b"]], 4)


def test_records_leave_a_carriage_return_when_a_newline_may_follow_it() -> None:
    assert read_records(b"a\nb\r", COMMA, None, at_end=False).end == 2


def test_field_limit_is_as_before_when_long_fields_were_read_in_threads() -> None:
    before = csv.field_size_limit()
    data = b'x"' + b"y" * 300_000 + b"\n"
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read_records(data, COMMA, None, True).rows, range(16)))
    assert all(rows == [['x"' + "y" * 300_000]] for rows in found)
    assert csv.field_size_limit() == before


def test_records_are_read_in_a_fork_when_it_was_made_while_another_thread_read() -> None:
    with csv_records._long_fields():
        worker = os.fork()
        if worker == 0:
            signal.alarm(10)
            os._exit(len(read_records(b"a,b\n", COMMA, None, True).rows))
    _, status = os.waitpid(worker, 0)
    assert os.waitstatus_to_exitcode(status) == 1


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (b"x1,2\n3,4\n", 5),
        # Inside of a quoted field whose lines look like nothing of the right width.
        (b'xt\ntext"\n3,4\n5,6\n', 9),
        (b'x2\n"3",4\n', 3),
        (b"no newline", 10),
    ],
)
def test_guess_finds_a_record_when_the_widths_tell(window: bytes, expected: int) -> None:
    assert guess_start(window, COMMA, 2, at_end=True) == expected


def test_guess_asks_for_more_when_no_line_ends() -> None:
    assert guess_start(b"no newline", COMMA, 2, at_end=False) is None


@pytest.mark.parametrize(
    ("data", "summed"),
    [
        (b"a,b\nccc,\n,dd\n", True),
        (b"a,b\nccc,\n,dd", True),
        ("é,日本\n😀,\n".encode(), True),
        (b",\n,\n", True),
        (b"a,b\r\nc,d\r\n", False),
        (b"a,b\n\nc,d\n", False),
        (b"\na,b\nc,d\n", False),
        (b"a,b\nc,d\n\n", False),
        (b"a,b\r\nc,d\n", False),
    ],
)
def test_offsets_are_where_csv_finds_records_when_they_are_summed_of_cells(
    data: bytes, summed: bool
) -> None:
    rows = by_csv(data)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=["x", "y"]
    )
    expected = list(read_records(data, COMMA, None, at_end=True).offsets)
    found = summed_offsets(data, batch.slice(0))
    assert (found is not None) == summed
    offsets = line_offsets(data, len(rows)) if found is None else found
    assert list(offsets[: len(rows)]) == expected
    assert found is None or list(found) == expected
    assert offsets[:2] == expected[:2]


def test_offsets_are_not_summed_when_a_cell_was_read_as_null() -> None:
    batch = pa.RecordBatch.from_pydict({"x": ["a", None], "y": ["b", "c"]})
    assert summed_offsets(b"a,b\nNA,c\n", batch) is None


@pytest.mark.parametrize(
    "data",
    [
        b'"a,1",b\nc,"d ""x"""\n"",\n',
        b'"a\n1",b\nc,d\n',
        b'"a\n1",b\nc,d',
        b'"a",b\n\nc,d\n',
        b'"a",b\r\nc,"d"\r\n',
        b'"a\r",b\nc,d\n',
        b'"a\r\n\r\n",b\r\n\r\nc,d\r\n',
    ],
)
def test_offsets_are_where_csv_finds_records_when_fields_are_quoted(data: bytes) -> None:
    block = Parser(COMMA, ("x", "y"), (), transcoded=False).take(data, None, at_end=True)
    assert block is not None
    assert block.records == len(by_csv(data))
    expected = list(read_records(data, COMMA, None, at_end=True).offsets)
    assert [block.offsets()[at] for at in range(block.records)] == expected
