"""Rows with bytes that are no UTF-8, in text outputs."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa

from zoopipe.adapters.csv_encode import CSVEncoder
from zoopipe.adapters.csv_records import Dialect
from zoopipe.adapters.json_encode import JSONEncoder

VALUES = [b"a", b"\xff", None, b"b", b"\xc3\xa9", b"\xff"]
BATCH = pa.RecordBatch.from_pydict(
    {"id": list(range(6)), "v": VALUES, "more": [[b"x"]] * 3 + [[b"\xfe"]] + [[]] * 2}
)
HELD = [(0, "a", ["x"]), (2, None, ["x"]), (4, "é", [])]


def test_rows_are_refused_when_json_cannot_hold_their_bytes() -> None:
    encoded = JSONEncoder("\n")(BATCH)
    lines = [json.loads(line) for line in b"".join(encoded.payload).decode().split("\n") if line]
    assert [tuple(line.values()) for line in lines] == HELD
    assert encoded.rows == 3
    assert [(at, reason["loc"]) for at, reason in encoded.refused] == [
        (1, ["v"]),
        (3, ["more"]),
        (5, ["v"]),
    ]
    assert {reason["type"] for _, reason in encoded.refused} == {"not_serializable"}


def test_refused_rows_count_among_the_selected_ones() -> None:
    selection = pa.array([False, True, True, True, False, False])
    encoded = JSONEncoder("\n")(BATCH, selection)
    assert json.loads(b"".join(encoded.payload)) == {"id": 2, "v": None, "more": ["x"]}
    assert [at for at, _ in encoded.refused] == [0, 2]


def test_rows_are_refused_when_csv_cannot_hold_their_bytes() -> None:
    encoded = CSVEncoder(Dialect(",", '"', "utf-8"), ("id", "v", "more"))(BATCH)
    rows = list(csv.reader(io.StringIO(b"".join(encoded.payload).decode(), newline="")))
    assert rows == [["0", "a", '["x"]'], ["2", "", '["x"]'], ["4", "é", "[]"]]
    assert [at for at, _ in encoded.refused] == [1, 3, 5]


def test_other_refusals_keep_their_places() -> None:
    encoded = CSVEncoder(Dialect(",", '"', "utf-8"), ("id", "v"))(BATCH)
    assert encoded.rows == 0
    assert [at for at, _ in encoded.refused] == list(range(6))
