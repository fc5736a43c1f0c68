"""Batches cut anew: the same bytes, however the rows came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoopipe.adapters import arrow_cut
from zoopipe.adapters.arrow_cut import Cutter

COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "number": st.none() | st.integers(-(2**63), 2**63 - 1),
    "flag": st.none() | st.booleans(),
    "text": st.none() | st.text(max_size=20),
    "texts": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=3),
    "place": st.none() | st.fixed_dictionaries({"x": st.none() | st.floats()}),
}
SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("flag", pa.bool_()),
        ("text", pa.string()),
        ("texts", pa.list_(pa.string())),
        ("place", pa.struct([("x", pa.float64())])),
    ]
)


def cut(batches: Sequence[pa.RecordBatch], schema: pa.Schema = SCHEMA) -> list[pa.RecordBatch]:
    cutter, found = Cutter(schema), []
    for batch in batches:
        found += cutter.add(batch)
    return [*found, *cutter.rest()]


def written(batches: Sequence[pa.RecordBatch]) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.fixed_dictionaries(COLUMNS), max_size=40),
    st.lists(st.integers(0, 40), max_size=6),
    st.sampled_from([1, 3, 16]),
    st.sampled_from([300, 1000, 1 << 20]),
)
def test_bytes_are_the_same_however_rows_come(
    monkeypatch: pytest.MonkeyPatch,
    rows: list[dict[str, Any]],
    cuts: list[int],
    most_rows: int,
    most_bytes: int,
) -> None:
    monkeypatch.setattr(arrow_cut, "BATCH_ROWS", most_rows)
    monkeypatch.setattr(arrow_cut, "BATCH_BYTES", most_bytes)
    whole = pa.RecordBatch.from_pylist(rows, SCHEMA)
    bounds = [0, *sorted(min(at, len(rows)) for at in cuts), len(rows)]
    pieces = [whole.slice(low, high - low) for low, high in pairwise(bounds)]
    expected = cut([whole])
    assert pa.Table.from_batches(expected, SCHEMA).equals(pa.Table.from_batches([whole], SCHEMA))
    assert written(cut(pieces)) == written(expected)
    for batch in expected:
        assert 0 < batch.num_rows <= most_rows
        assert batch.num_rows == 1 or pa.ipc.get_record_batch_size(batch) <= most_bytes


def test_batches_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_cut, "BATCH_ROWS", 10)
    batch = pa.record_batch({"number": list(range(7))})
    found = cut([batch] * 5, batch.schema)
    assert [each.num_rows for each in found] == [10, 10, 10, 5]


def test_what_lies_below_nulls_is_not_written() -> None:
    schema = pa.schema([("number", pa.int64())])
    bits = pa.py_buffer(bytes([0b101]))
    found = []
    for hidden in (7, 8):
        data = pa.py_buffer(b"".join(n.to_bytes(8, "little") for n in (1, hidden, 3)))
        column = pa.Array.from_buffers(pa.int64(), 3, [bits, data])
        (batch,) = cut([pa.RecordBatch.from_arrays([column], schema=schema)], schema)
        found.append(batch.serialize().to_pybytes())
    assert found[0] == found[1]
