"""Rows of Python programs: each value reaches the model as it is, and each way to go wrong is one sentence."""

from __future__ import annotations

import pickle
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from zoopipe import (
    CSVOutputAdapter,
    DeclarationError,
    FrameOutputAdapter,
    InputError,
    JSONOutputAdapter,
    MultiProcessEngine,
    Pipe,
    PipeManager,
    PyGeneratorInputAdapter,
    PyGeneratorOutputAdapter,
    RunFailed,
)
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.items import json_rows, staged


class Exact(BaseModel):
    """Takes each value only if it is of the very type."""

    model_config = ConfigDict(strict=True)

    id: int
    price: Decimal
    at: datetime
    tags: set[str]
    nested: dict[str, list[int]]
    raw: bytes
    took: timedelta


def row(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "price": Decimal("1.10") * number,
        "at": datetime(2024, 2, 29, 12, tzinfo=UTC),
        "tags": {"a"},
        "nested": {"n": [number]},
        "raw": b"\xff",
        "took": timedelta(microseconds=number),
    }


def rows_of(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield row(number)


def part_of(shard: int, shards: int) -> Iterator[dict[str, Any]]:
    for number in range(shard * 12 // shards, (shard + 1) * 12 // shards):
        yield {"id": number}


def ids(path: Path) -> list[int]:
    return [found["id"] for found in json_rows(path)]


def test_values_reach_a_strict_model_as_they_are(tmp_path: Path) -> None:
    output = PyGeneratorOutputAdapter()
    with Pipe(PyGeneratorInputAdapter(rows_of(20)), output, schema_model=Exact):
        assert list(output) == [Exact.model_validate(row(n)).model_dump() for n in range(20)]


def test_rows_may_be_mappings_models_dataclasses_and_named_tuples(tmp_path: Path) -> None:
    class Model(BaseModel):
        a: int

    @dataclass
    class Data:
        a: int

    named = namedtuple("named", ["a"])
    given = [{"a": 1}, MappingProxyType({"a": 2}), Model(a=3), Data(4), named(5)]
    Pipe(PyGeneratorInputAdapter(given), JSONOutputAdapter(tmp_path / "out")).run()
    assert json_rows(tmp_path / "out") == [{"a": number} for number in range(1, 6)]


def test_one_dict_given_again_and_again_is_as_many_rows(tmp_path: Path) -> None:
    def same() -> Iterator[dict[str, int]]:
        found: dict[str, int] = {}
        for found["id"] in range(7):
            yield found

    Pipe(PyGeneratorInputAdapter(same), JSONOutputAdapter(tmp_path / "out")).run()
    assert ids(tmp_path / "out") == list(range(7))


def test_what_is_no_row_is_rejected_with_its_number(tmp_path: Path) -> None:
    class Raises(dict[str, int]):
        def keys(self) -> Any:
            raise RuntimeError("secret")

        __iter__ = keys

    loop: list[Any] = []
    loop.append(loop)
    given = [{"id": 1}, 5, None, {2: "x"}, Raises(), loop, "text", {"id": "\ud800"}, {"id": 9}]
    pipe = Pipe(
        PyGeneratorInputAdapter(given, skip_rows=1),
        JSONOutputAdapter(tmp_path / "out"),
        JSONOutputAdapter(tmp_path / "rejects"),
    )
    report = pipe.run()
    assert (report.success_count, report.error_count) == (1, 7)
    found = json_rows(tmp_path / "rejects")
    assert [reject["_row"] for reject in found] == [2, 3, 4, 5, 6, 7, 8]
    kinds = [reject["_errors"][0]["type"] for reject in found]
    expected = ["row_type", "row_type", "row_keys", "row_error", "row_type", "row_type"]
    assert kinds == [*expected, "not_serializable"]
    assert {reject["_source"] for reject in found} == {"list"}


def test_rejects_show_the_row_in_columns_of_its_own(tmp_path: Path) -> None:
    given = [{"id": "x", "price": Decimal("1.5")}, {"id": "y", "seen": {1}}, {"id": float("nan")}]

    class Model(BaseModel):
        id: int

    pipe = Pipe(
        PyGeneratorInputAdapter(given),
        JSONOutputAdapter(tmp_path / "out"),
        CSVOutputAdapter(tmp_path / "rejects"),
        Model,
    )
    pipe.run()
    header, *lines = (tmp_path / "rejects").read_text().splitlines()
    assert header.split(",")[:3] == ["id", "price", "seen"]
    assert [line.split(",list,")[0] for line in lines] == ["x,1.5,", "y,,[1]", "NaN,,"]


def test_typed_rows_that_are_rejected_have_columns_too(tmp_path: Path) -> None:
    class Model(BaseModel):
        id: int

    pipe = Pipe(
        PyGeneratorInputAdapter([{"id": "x", "n": 1}, {"id": "7", "n": 2}]),
        JSONOutputAdapter(tmp_path / "out"),
        CSVOutputAdapter(tmp_path / "rejects"),
        Model,
    )
    pipe.run()
    assert (tmp_path / "rejects").read_text().splitlines()[1].startswith("x,1,list,1,,validate,")


# Iterators, collections and functions.


def test_iterator_that_is_used_up_is_an_error_and_not_no_rows(tmp_path: Path) -> None:
    adapter = PyGeneratorInputAdapter(rows_of(5))
    pipe = Pipe(adapter, JSONOutputAdapter(tmp_path / "out"), schema_model=Exact)
    for _ in range(3):
        # To plan looks at the first row, and takes none away.
        adapter.plan(1)
    with pytest.raises(RunFailed):
        # `raw` is no text: all rows are refused, and read.
        Pipe(adapter, JSONOutputAdapter(tmp_path / "out"), schema_model=Exact, max_errors=0).run()
    with pytest.raises(InputError, match="used up by an earlier run"):
        pipe.start()


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_iterator_stays_in_the_process_that_made_it(tmp_path: Path, start_method: Any) -> None:
    pipe = Pipe(PyGeneratorInputAdapter(iter([{"id": 1}])), JSONOutputAdapter(tmp_path / "out"))
    manager = PipeManager([pipe], MultiProcessEngine(1, start_method=start_method))
    with pytest.raises(RunFailed, match=r"an iterator cannot leave the process .* Pipe\.run\(\)"):
        manager.run()
    assert staged(tmp_path) == []
    # Nothing was taken from it.
    pipe.run()
    assert ids(tmp_path / "out") == [1]


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_lists_and_functions_go_to_workers(tmp_path: Path, start_method: Any) -> None:
    for source in ([{"id": number} for number in range(12)], part_of):
        pipe = Pipe(PyGeneratorInputAdapter(source), JSONOutputAdapter(tmp_path / "out"))
        manager = PipeManager.parallelize_pipe(
            pipe, 2, engine=MultiProcessEngine(2, start_method=start_method), shards=3
        )
        report = manager.run()
        assert ids(tmp_path / "out") == list(range(12))
        assert report.pipes[0].shard_count == (3 if source is part_of else 1)


@pytest.mark.parametrize("shards", [1, 2, 3, 5, 20])
def test_function_of_shards_gives_the_same_rows_for_any_number(tmp_path: Path, shards: int) -> None:
    pipe = Pipe(PyGeneratorInputAdapter(part_of, block_rows=2), JSONOutputAdapter(tmp_path / "out"))
    manager = PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=shards)
    report = manager.run()
    assert ids(tmp_path / "out") == list(range(12))
    assert report.pipes[0].shard_count == shards
    ranges = [part for entry in report.ledger.pipes[0].shards for part in entry.ranges]
    assert [(part.start, part.end, part.unit) for part in ranges] == [
        (number, number + 1, "calls") for number in range(shards)
    ]


def test_function_is_called_only_to_read_its_rows(tmp_path: Path) -> None:
    calls = []

    class Model(BaseModel):
        at: datetime

    def pop() -> Iterator[dict[str, Any]]:
        calls.append(1)
        yield {"at": datetime(2024, 1, 1)}

    # The type of `at` depends on whether the first rows have an offset.
    output = FrameOutputAdapter()
    Pipe(PyGeneratorInputAdapter(pop), output, schema_model=Model).run()
    assert output.table.to_pylist() == [{"at": datetime(2024, 1, 1)}]
    assert calls == [1]


def test_first_rows_of_an_iterator_tell_types_and_are_not_lost() -> None:
    class Model(BaseModel):
        at: datetime

    at = datetime(2024, 1, 1, tzinfo=UTC)
    output = FrameOutputAdapter()
    source = PyGeneratorInputAdapter({"at": at + timedelta(days=n)} for n in range(2500))
    Pipe(source, output, schema_model=Model).run()
    assert output.table["at"].to_pylist() == [at + timedelta(days=n) for n in range(2500)]


def test_limit_asks_for_no_more_rows_and_an_endless_iterator_ends(tmp_path: Path) -> None:
    given = []

    def endless() -> Iterator[dict[str, int]]:
        while True:
            given.append(1)
            yield {"id": len(given)}

    source = PyGeneratorInputAdapter(endless, skip_rows=2, limit=3, block_rows=2)
    Pipe(source, JSONOutputAdapter(tmp_path / "out")).run()
    assert ids(tmp_path / "out") == [3, 4, 5]
    assert len(given) == 5


def test_generator_is_closed_when_the_run_is_stopped_early(tmp_path: Path) -> None:
    closed = []

    def rows() -> Iterator[dict[str, Any]]:
        try:
            for number in range(100_000):
                yield {"id": number if number < 10 else "bad"}
        finally:
            closed.append(1)

    class Model(BaseModel):
        id: int

    pipe = Pipe(
        PyGeneratorInputAdapter(rows, block_rows=10),
        JSONOutputAdapter(tmp_path / "out"),
        schema_model=Model,
        max_errors=5,
    )
    with pytest.raises(RunFailed):
        pipe.run()
    assert closed == [1]


def test_exception_of_a_generator_fails_the_run_by_type_and_place_without_values(
    tmp_path: Path,
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from rows_of(3)
        raise KeyError("secret")

    pipe = Pipe(PyGeneratorInputAdapter(rows), JSONOutputAdapter(tmp_path / "out"))
    with pytest.raises(
        RunFailed, match=r"rows\(\) raised KeyError at .*test_python_input"
    ) as found:
        pipe.run()
    assert "asked for row 4" in str(found.value)
    assert "secret" not in str(found.value)
    assert staged(tmp_path) == []
    assert not (tmp_path / "out").exists()


def test_function_that_gives_no_rows_is_named(tmp_path: Path) -> None:
    def nothing() -> None:
        return None

    pipe = Pipe(PyGeneratorInputAdapter(nothing), JSONOutputAdapter(tmp_path / "out"))  # type: ignore[arg-type]
    with pytest.raises(RunFailed, match=r"nothing\(\) gave NoneType"):
        pipe.run()


@pytest.mark.parametrize("rows", ["text", b"bytes", {"a": 1}, 5, None])
def test_what_gives_no_rows_is_refused_when_the_adapter_is_made(rows: Any) -> None:
    with pytest.raises(DeclarationError, match="rows must be an iterable"):
        PyGeneratorInputAdapter(rows)


@pytest.mark.parametrize("options", [{"limit": -1}, {"skip_rows": 1.5}, {"block_rows": 0}])
def test_bad_options_are_refused_when_the_adapter_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        PyGeneratorInputAdapter([], **options)


def test_no_rows_are_no_rows(tmp_path: Path) -> None:
    for source in ([], iter([]), lambda: []):
        Pipe(PyGeneratorInputAdapter(source), JSONOutputAdapter(tmp_path / "out")).run()
        assert (tmp_path / "out").read_bytes() == b""


def test_first_row_names_the_columns_of_a_csv(tmp_path: Path) -> None:
    Pipe(PyGeneratorInputAdapter([{"b": 1, "a": None}]), CSVOutputAdapter(tmp_path / "out")).run()
    assert (tmp_path / "out").read_text() == "b,a\n1,\n"


def test_plan_of_a_run_shows_functions_and_no_rows(tmp_path: Path) -> None:
    class Never(dict[str, int]):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("a row was looked at")

    adapter = PyGeneratorInputAdapter([Never() for _ in range(3)])
    from zoopipe.runtime.fingerprint import _digest

    assert _digest(adapter) == _digest(adapter)
    assert _digest(PyGeneratorInputAdapter(part_of)) == _digest(PyGeneratorInputAdapter(part_of))
    assert _digest(PyGeneratorInputAdapter(part_of)) != _digest(PyGeneratorInputAdapter(rows_of))


def test_adapter_of_a_list_pickles() -> None:
    adapter = pickle.loads(pickle.dumps(PyGeneratorInputAdapter([{"id": 1}])))
    plan = adapter.plan(1)
    assert [block.batch.to_pylist() for block in adapter.read(plan.shards[0], None)] == [
        [{"id": 1}]
    ]
