"""Frames in and out: pyarrow, pandas and Polars hold what a row loop over them gives."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel

from zoopipe import (
    DeclarationError,
    FrameInputAdapter,
    FrameOutputAdapter,
    InputError,
    JSONOutputAdapter,
    MultiProcessEngine,
    OutputError,
    Pipe,
    PipeManager,
    PyGeneratorInputAdapter,
    RunFailed,
)
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.items import json_rows, staged

ROWS = [
    {"id": number, "name": None if number % 7 == 3 else f"Zoë {number}", "day": date(2024, 1, 1)}
    for number in range(100)
]
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("day", pa.date32())])


class OnlyArray:
    """Exports a batch, and nothing else."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return pa.RecordBatch.from_pylist(ROWS, SCHEMA).__arrow_c_array__(requested_schema)


FRAMES = {
    "table": lambda: pa.Table.from_pylist(ROWS, SCHEMA),
    "chunks": lambda: pa.concat_tables(
        [pa.Table.from_pylist(ROWS[:33], SCHEMA), pa.Table.from_pylist(ROWS[33:], SCHEMA)]
    ),
    "batch": lambda: pa.RecordBatch.from_pylist(ROWS, SCHEMA),
    "reader": lambda: pa.Table.from_pylist(ROWS, SCHEMA).to_reader(max_chunksize=9),
    "polars": lambda: pl.DataFrame(ROWS),
    "pandas": lambda: pa.Table.from_pylist(ROWS, SCHEMA).to_pandas(date_as_object=True),
    "array": OnlyArray,
}


def run(adapter: Any, output: Any, shards: int, engine: Any = None) -> int:
    manager = PipeManager.parallelize_pipe(
        Pipe(adapter, output), 2, engine=engine or InlineEngine(), shards=shards
    )
    return manager.run().pipes[0].shard_count


@pytest.mark.parametrize("shards", [1, 3, 500])
@pytest.mark.parametrize("kind", FRAMES)
def test_rows_are_those_of_the_frame_in_order_however_it_is_cut(
    tmp_path: Path, kind: str, shards: int
) -> None:
    adapter = FrameInputAdapter(FRAMES[kind]())
    expected = [{**row, "day": "2024-01-01"} for row in ROWS]
    # What was used or pickled reads again.
    for each in (adapter, adapter, pickle.loads(pickle.dumps(adapter))):
        assert run(each, JSONOutputAdapter(tmp_path / "out"), shards) == min(shards, 100)
        assert json_rows(tmp_path / "out") == expected


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_frames_go_to_workers(tmp_path: Path, start_method: Any) -> None:
    adapter = FrameInputAdapter(pl.DataFrame(ROWS))
    engine = MultiProcessEngine(2, start_method=start_method)
    assert run(adapter, JSONOutputAdapter(tmp_path / "out"), 4, engine) == 4
    assert [row["id"] for row in json_rows(tmp_path / "out")] == list(range(100))


def test_slice_of_a_frame_is_sent_as_what_it_shows() -> None:
    table = pa.table({"n": range(1_000_000)})
    assert len(pickle.dumps(FrameInputAdapter(table.slice(500, 10)))) < 5_000


def test_columns_of_numbers_are_not_copied() -> None:
    table = pa.table({"n": pa.array(range(1000), pa.int64())})
    adapter = FrameInputAdapter(table)
    plan = adapter.plan(1)
    (block,) = adapter.read(plan.shards[0], plan.columns)
    assert block.batch["n"].buffers()[1].address == table["n"].chunk(0).buffers()[1].address


def test_types_of_other_libraries_are_read(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "category": pl.Series(["a", "b", None], dtype=pl.Categorical),
            "list": [["x"], [], None],
            "struct": [{"a": 1}, {"a": None}, {"a": 3}],
            "took": [timedelta(hours=1), None, None],
            "price": pl.Series([Decimal("1.50"), None, None], dtype=pl.Decimal(10, 2)),
        }
    )
    run(FrameInputAdapter(frame), JSONOutputAdapter(tmp_path / "out"), 1)
    assert json_rows(tmp_path / "out")[0] == {
        "category": "a",
        "list": ["x"],
        "struct": {"a": 1},
        "took": "PT1H",
        "price": "1.50",
    }
    assert [row["category"] for row in json_rows(tmp_path / "out")] == ["a", "b", None]


def test_index_of_a_pandas_frame_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    for each in (frame[frame.a > 1], frame.set_index(pd.Index([7, 8, 9], name="i"))[1:]):
        run(FrameInputAdapter(each), JSONOutputAdapter(tmp_path / "out"), 1)
        assert json_rows(tmp_path / "out") == [{"a": 2}, {"a": 3}]


def test_rejects_have_all_columns_when_only_some_were_read(tmp_path: Path) -> None:
    class Model(BaseModel):
        n: int

    frame = pl.DataFrame({"n": ["1", "x"], "other": ["a", "b"]})
    Pipe(
        FrameInputAdapter(frame),
        JSONOutputAdapter(tmp_path / "out"),
        JSONOutputAdapter(tmp_path / "rejects"),
        Model,
    ).run()
    (reject,) = json_rows(tmp_path / "rejects")
    assert (reject["n"], reject["other"], reject["_row"]) == ("x", "b", 2)
    assert reject["_source"] == "polars.DataFrame"


def test_skip_rows_and_limit_are_of_the_whole_frame(tmp_path: Path) -> None:
    for shards in (1, 4):
        adapter = FrameInputAdapter(pl.DataFrame(ROWS), skip_rows=10, limit=21)
        run(adapter, JSONOutputAdapter(tmp_path / "out"), shards)
        assert [row["id"] for row in json_rows(tmp_path / "out")] == list(range(10, 31))
    run(
        FrameInputAdapter(pl.DataFrame(ROWS), skip_rows=500), JSONOutputAdapter(tmp_path / "out"), 2
    )
    assert json_rows(tmp_path / "out") == []


def test_frame_without_rows_keeps_its_columns() -> None:
    output = FrameOutputAdapter()
    run(FrameInputAdapter(SCHEMA.empty_table()), output, 3)
    assert output.table.schema == SCHEMA
    assert output.table.num_rows == 0


def test_identity_changes_with_the_rows() -> None:
    def identity(values: list[int]) -> Any:
        return FrameInputAdapter(pa.table({"n": values})).plan(1).identity

    assert identity([1, 2]) == identity([1, 2])
    assert identity([1, 2]) != identity([1, 3])


@pytest.mark.parametrize("frame", [[{"a": 1}], {"a": [1]}, pl.DataFrame, "path", None])
def test_what_is_no_frame_is_refused_when_the_adapter_is_made(frame: Any) -> None:
    with pytest.raises(DeclarationError, match="frame must be"):
        FrameInputAdapter(frame)


@pytest.mark.parametrize(
    "frame", [pa.table([[1], [2]], names=["a", "a"]), pa.table({}), pd.DataFrame([[1, 2]], columns=["a", "a"])]
)  # fmt: skip
def test_columns_that_cannot_be_told_apart_are_an_error(frame: Any) -> None:
    with pytest.raises(InputError):
        FrameInputAdapter(frame).plan(1)


def test_neither_pandas_nor_polars_is_imported() -> None:
    script = (
        "import sys, pyarrow as pa\n"
        "from zoopipe import FrameInputAdapter, FrameOutputAdapter, Pipe\n"
        "table = pa.Table.from_arrays([pa.nulls(3)], names=['a'])\n"
        "output = FrameOutputAdapter()\n"
        "Pipe(FrameInputAdapter(table), output).run()\n"
        "assert output.table.num_rows == 3\n"
        "print([name for name in ('pandas', 'polars') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# Frames out.


def test_table_has_the_rows_in_the_types_of_the_model() -> None:
    class Model(BaseModel):
        id: int
        price: Decimal
        at: datetime | None

    rows = [{"id": n, "price": Decimal(n) / 4, "at": None} for n in range(5000)]
    output = FrameOutputAdapter()
    Pipe(PyGeneratorInputAdapter(rows), output, schema_model=Model).run()
    table = output.table
    assert table.schema.types == [pa.int64(), pa.decimal128(38, 18), pa.timestamp("us")]
    assert table.to_pylist() == rows
    assert output.table is table


@pytest.mark.parametrize("shards", [1, 4])
@pytest.mark.parametrize("engine", [InlineEngine, MultiProcessEngine])
def test_table_has_all_shards_in_order(tmp_path: Path, engine: Any, shards: int) -> None:
    output = FrameOutputAdapter(folder=tmp_path)
    run(FrameInputAdapter(pl.DataFrame(ROWS)), output, shards, engine())
    assert output.table.to_pylist() == ROWS
    # The rows are in memory, and nowhere else.
    assert list(tmp_path.iterdir()) == []


def test_table_is_of_the_last_run() -> None:
    output = FrameOutputAdapter()
    for number in range(2):
        run(FrameInputAdapter(pa.table({"n": [number]})), output, 1)
        assert output.table.to_pylist() == [{"n": number}]


def test_table_of_a_run_that_failed_is_an_error(tmp_path: Path) -> None:
    def bad() -> Any:
        yield {"n": 1}
        raise RuntimeError("x")

    output = FrameOutputAdapter(pa.schema([("n", pa.int64())]), folder=tmp_path)
    with pytest.raises(OutputError, match="no run"):
        _ = output.table
    with pytest.raises(RunFailed):
        Pipe(PyGeneratorInputAdapter(bad), output).run()
    with pytest.raises(OutputError, match="no run"):
        _ = output.table
    assert staged(tmp_path) == []


def test_rejects_may_be_a_table() -> None:
    class Model(BaseModel):
        n: int

    output, refused = FrameOutputAdapter(), FrameOutputAdapter()
    source = FrameInputAdapter(pa.table({"n": ["1", "x", "3"]}))
    Pipe(source, output, refused, Model).run()
    assert output.table.to_pylist() == [{"n": 1}, {"n": 3}]
    assert refused.table.select(["n", "_row", "_stage"]).to_pylist() == [
        {"n": "x", "_row": 2, "_stage": "validate"}
    ]


def test_nothing_is_left_of_a_table_that_nobody_looks_at(tmp_path: Path) -> None:
    output = FrameOutputAdapter(folder=tmp_path)
    run(FrameInputAdapter(pa.table({"n": [1]})), output, 1)
    assert list(tmp_path.iterdir()) != []
    del output
    gc.collect()
    assert list(tmp_path.iterdir()) == []
