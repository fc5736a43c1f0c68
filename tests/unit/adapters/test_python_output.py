"""Rows for a loop: in order, each once, while the run goes on; and no loop ever waits for nothing."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, field_serializer

from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    JSONOutputAdapter,
    MultiProcessEngine,
    OutputError,
    Pipe,
    PipeManager,
    PipeStatus,
    PyGeneratorInputAdapter,
    PyGeneratorOutputAdapter,
    RunFailed,
)
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.faults import Faults, Kill, Raise

# More than any test needs: a loop that hangs fails by the limit of each test.
PATIENCE_S = 60.0


class Row(BaseModel):
    id: int
    price: Decimal


def rows(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"id": number, "price": Decimal(number) / 4}


def part(shard: int, shards: int) -> Iterator[dict[str, Any]]:
    for number in range(shard * 4000 // shards, (shard + 1) * 4000 // shards):
        yield {"id": number, "price": Decimal(number) / 4}


@pytest.fixture
def output(tmp_path: Path) -> PyGeneratorOutputAdapter:
    return PyGeneratorOutputAdapter(folder=tmp_path / "staged", patience_s=PATIENCE_S)


def is_clean(folder: Path) -> bool:
    return not list((folder / "staged").glob("*")) if (folder / "staged").exists() else True


def test_rows_come_while_the_run_goes_on_and_it_waits_where_they_are_not_taken(
    tmp_path: Path,
) -> None:
    made = []

    def counted() -> Iterator[dict[str, Any]]:
        for found in rows(50_000):
            made.append(1)
            yield found

    output = PyGeneratorOutputAdapter(buffer_rows=2_000, folder=tmp_path / "staged")
    source = PyGeneratorInputAdapter(counted, block_rows=500)
    with Pipe(source, output, schema_model=Row) as pipe:
        for number, found in enumerate(output):
            assert found == {"id": number, "price": Decimal(number) / 4}
            # What waits, what is on its way through the stages, and what the loop holds.
            assert len(made) <= number + 2_000 + 3 * 1_000 + 500
    assert number == 49_999
    assert pipe.report.status is PipeStatus.COMPLETED
    assert is_clean(tmp_path)


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("engine", [InlineEngine, MultiProcessEngine])
def test_rows_are_those_of_the_input_in_order_on_any_engine(
    output: PyGeneratorOutputAdapter, tmp_path: Path, engine: Any, shards: int
) -> None:
    pipe = Pipe(PyGeneratorInputAdapter(part), output, schema_model=Row)
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=engine(), shards=shards)
    for _ in range(2):
        manager.start()
        assert list(output) == list(rows(4000))
        assert manager.wait(PATIENCE_S)
        assert manager.report.status is PipeStatus.COMPLETED
        assert is_clean(tmp_path)


def test_rows_of_shards_that_began_at_a_wrong_place_are_given_once(
    output: PyGeneratorOutputAdapter, tmp_path: Path
) -> None:
    # Every line looks like a row, and most of them are within a quoted field.
    text = "id,name\n" + "".join(f'{n},"{"1,x" + chr(10) + "2,y" * 50}"\n' for n in range(300))
    (tmp_path / "a.csv").write_text(text)
    pipe = Pipe(CSVInputAdapter(tmp_path / "a.csv"), output)
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=MultiProcessEngine(2), shards=9)
    manager.start()
    assert [found["id"] for found in output] == [str(number) for number in range(300)]


def test_values_are_those_of_model_dump(output: PyGeneratorOutputAdapter) -> None:
    class Own(BaseModel):
        id: int
        tags: frozenset[str]
        data: bytes

        @field_serializer("id")
        def as_text(self, value: int) -> str:
            return f"#{value}"

    given = [{"id": n, "tags": {"a"}, "data": b"\xff"} for n in range(5)]
    with Pipe(PyGeneratorInputAdapter(given), output, schema_model=Own):
        assert list(output) == [Own.model_validate(found).model_dump() for found in given]


def test_rows_without_a_model_are_as_they_were_read(
    output: PyGeneratorOutputAdapter, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2,\n")
    with Pipe(CSVInputAdapter(tmp_path / "a.csv"), output):
        assert list(output) == [{"a": "1", "b": "x"}, {"a": "2", "b": ""}]


def test_rows_have_their_numbers_where_the_pipe_asks_for_them(
    output: PyGeneratorOutputAdapter, tmp_path: Path
) -> None:
    given = [{"id": 5}, {"id": 6, "n": "taken"}, {"id": 7}]
    errors = JSONOutputAdapter(tmp_path / "rejects")
    with Pipe(PyGeneratorInputAdapter(given), output, errors, row_numbers="n"):
        assert list(output) == [{"id": 5, "n": 1}, {"id": 7, "n": 3}]
    assert (tmp_path / "rejects").read_text().count("row_numbers_taken") == 1


def test_rejected_rows_are_left_out_and_written(
    output: PyGeneratorOutputAdapter, tmp_path: Path
) -> None:
    given = [{"id": 1, "price": 1}, {"id": "x", "price": 1}, {"id": 3, "price": 1}]
    errors = JSONOutputAdapter(tmp_path / "rejects")
    with Pipe(PyGeneratorInputAdapter(given), output, errors, Row):
        assert [found["id"] for found in output] == [1, 3]
    assert (tmp_path / "rejects").read_text().count("\n") == 1


def test_hooks_after_validation_change_what_is_given(output: PyGeneratorOutputAdapter) -> None:
    def double(found: dict[str, Any]) -> dict[str, Any] | None:
        return None if found["id"] == 1 else {**found, "twice": found["price"] * 2}

    source = PyGeneratorInputAdapter(rows(3))
    with Pipe(source, output, schema_model=Row, post_validation_hooks=[double]):
        assert list(output) == [
            {"id": 0, "price": Decimal(0), "twice": Decimal(0)},
            {"id": 2, "price": Decimal("0.5"), "twice": Decimal(1)},
        ]


@pytest.mark.parametrize("engine", [InlineEngine, MultiProcessEngine])
@pytest.mark.parametrize("shards", [1, 3])
def test_run_that_fails_raises_in_the_loop(
    output: PyGeneratorOutputAdapter, tmp_path: Path, engine: Any, shards: int
) -> None:
    pipe = Pipe(
        PyGeneratorInputAdapter(part),
        output,
        schema_model=Row,
        post_validation_hooks=[Faults({(shards - 1, None): Raise()})],
    )
    manager = PipeManager.parallelize_pipe(pipe, 1, engine=engine(), shards=shards)
    manager.start()
    seen = []
    with pytest.raises(RunFailed, match="shard"):
        for found in output:
            seen.append(found)
    assert manager.wait(PATIENCE_S)
    assert manager.report.status is PipeStatus.FAILED
    assert [found["id"] for found in seen] == list(range(len(seen)))
    assert is_clean(tmp_path)


def test_rows_are_given_once_when_a_worker_is_lost(
    output: PyGeneratorOutputAdapter, tmp_path: Path
) -> None:
    pipe = Pipe(
        PyGeneratorInputAdapter(part),
        output,
        schema_model=Row,
        post_validation_hooks=[Faults({(1, 1): Kill()})],
    )
    manager = PipeManager.parallelize_pipe(pipe, 2, engine=MultiProcessEngine(2), shards=4)
    manager.start()
    assert [found["id"] for found in output] == list(range(4000))


@pytest.mark.parametrize("engine", [InlineEngine, MultiProcessEngine])
@pytest.mark.parametrize("shards", [1, 6])
def test_loop_that_is_left_early_stops_the_run(tmp_path: Path, engine: Any, shards: int) -> None:
    output = PyGeneratorOutputAdapter(
        buffer_rows=100, buffer_shards=2, folder=tmp_path / "staged", patience_s=PATIENCE_S
    )
    # More blocks than one, so that a run of one shard has rows left when the loop ends.
    source = PyGeneratorInputAdapter(part, block_rows=100)
    pipe = Pipe(source, output, schema_model=Row)
    manager = PipeManager.parallelize_pipe(pipe, 1, engine=engine(), shards=shards)
    manager.start()
    for found in output:
        assert found["id"] == 0
        break
    gc.collect()
    assert manager.wait(PATIENCE_S)
    # One shard of another process is done by the time that its first row is here.
    is_done = engine is MultiProcessEngine and shards == 1
    assert manager.report.status is (PipeStatus.COMPLETED if is_done else PipeStatus.ABORTED)
    assert is_clean(tmp_path)
    assert threading.active_count() < 20


def test_exception_in_the_loop_stops_the_run(output: PyGeneratorOutputAdapter) -> None:
    source = PyGeneratorInputAdapter(rows(100_000), block_rows=500)
    pipe = Pipe(source, output, schema_model=Row)
    with pytest.raises(ZeroDivisionError), pipe:
        for found in output:
            found["id"] / 0
    assert pipe.report.status is PipeStatus.ABORTED


@pytest.mark.parametrize("shards", [1, 6])
def test_run_that_nobody_iterates_fails_and_says_what_to_do(tmp_path: Path, shards: int) -> None:
    output = PyGeneratorOutputAdapter(
        buffer_rows=100, buffer_shards=2, folder=tmp_path / "staged", patience_s=0
    )
    source = PyGeneratorInputAdapter(part, block_rows=100)
    manager = PipeManager.parallelize_pipe(
        Pipe(source, output, schema_model=Row), 1, engine=InlineEngine(), shards=shards
    )
    with pytest.raises(RunFailed, match=r"nobody iterates the rows: call start\(\)"):
        manager.run()
    with pytest.raises(RunFailed, match="nobody iterates"):
        list(output)
    assert is_clean(tmp_path)


def test_small_results_wait_for_a_loop_that_begins_after_the_run(
    output: PyGeneratorOutputAdapter,
) -> None:
    Pipe(PyGeneratorInputAdapter(rows(100)), output, schema_model=Row).run()
    assert list(output) == list(rows(100))


def test_stopped_run_raises_in_the_loop(output: PyGeneratorOutputAdapter) -> None:
    pipe = Pipe(PyGeneratorInputAdapter(rows(100_000)), output, schema_model=Row)
    pipe.start()
    found = iter(output)
    next(found)
    pipe.shutdown()
    with pytest.raises(RunFailed, match="stopped"):
        for _ in found:
            pass


def test_rows_are_iterated_once_and_only_of_a_run(output: PyGeneratorOutputAdapter) -> None:
    with pytest.raises(OutputError, match="no run has begun"):
        iter(output)
    with Pipe(PyGeneratorInputAdapter(rows(3)), output, schema_model=Row):
        assert len(list(output)) == 3
    with pytest.raises(OutputError, match="once"):
        iter(output)


def test_shards_wait_where_the_loop_is_behind(tmp_path: Path) -> None:
    begun = []

    def noted(shard: int, shards: int) -> Iterator[dict[str, Any]]:
        begun.append(shard)
        yield {"id": shard, "price": 1}

    output = PyGeneratorOutputAdapter(buffer_shards=3, folder=tmp_path / "staged")
    pipe = Pipe(PyGeneratorInputAdapter(noted), output, schema_model=Row)
    PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=20).start()
    for number, found in enumerate(output):
        assert found["id"] == number
        # The shard of this row still counts as one that is not taken.
        assert max(begun) < number + 3
    assert begun == list(range(20))


def test_value_that_does_not_pickle_is_one_sentence(tmp_path: Path) -> None:
    output = PyGeneratorOutputAdapter(folder=tmp_path / "staged")

    def add(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "lock": threading.Lock()}

    pipe = Pipe(PyGeneratorInputAdapter(part), output, post_validation_hooks=[add])
    manager = PipeManager.parallelize_pipe(pipe, 1, engine=MultiProcessEngine(1))
    with pytest.raises(RunFailed, match="does not pickle"):
        manager.run()


def test_it_is_no_error_output() -> None:
    with pytest.raises(DeclarationError, match="cannot be an error output"):
        Pipe(PyGeneratorInputAdapter([]), JSONOutputAdapter("out"), PyGeneratorOutputAdapter())


@pytest.mark.parametrize(
    "options", [{"buffer_rows": 0}, {"buffer_shards": 0}, {"patience_s": -1}, {"patience_s": "x"}]
)
def test_bad_options_are_refused_when_the_adapter_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        PyGeneratorOutputAdapter(**options)
