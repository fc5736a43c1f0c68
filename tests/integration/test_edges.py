"""Cases where several parts meet: guesses and failures, hooks and serializers, headers and models."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from oracle import json_lines, text_lines
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_serializer, model_serializer

from zoopipe import (
    BaseHook,
    ColumnHook,
    CSVInputAdapter,
    CSVOutputAdapter,
    DeclarationError,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    OutputError,
    Pipe,
    PipeManager,
    RunFailed,
    ZooPipeError,
)


class Tagged(BaseModel):
    x: int

    @field_serializer("x", when_used="json")
    def _tag(self, value: int) -> str:
        return f"<{value}>"


class KeepOdd(ColumnHook):
    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.filter(pa.array([int(x) % 2 == 1 for x in batch.column("x").to_pylist()]))


def test_rows_keep_their_own_serializers_when_a_hook_hides_where_they_came_from(
    tmp_path: Path,
) -> None:
    (tmp_path / "in.csv").write_text("x\n1\n2\n3\n5\n")
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        schema_model=Tagged,
        pre_validation_hooks=[KeepOdd()],
        post_validation_hooks=[lambda row: row],
    )
    pipe.run()
    assert text_lines(tmp_path / "out.jsonl") == ['{"x":"<1>"}', '{"x":"<3>"}', '{"x":"<5>"}']


# One record whose field looks like many records, and then many records.
HIDING = (
    'id,name\n1,"' + "7,seven\n" * 3000 + '"\n' + "".join(f"{n},n{n}\n" for n in range(2, 2000))
)


@pytest.mark.parametrize("start", [20, 5_000, 20_000, len(HIDING) - 100])
def test_start_byte_is_where_a_record_begins_when_quotes_hide_it(
    tmp_path: Path, start: int
) -> None:
    (tmp_path / "in.csv").write_text(HIDING)
    counts = []
    for options in ({"end_byte": start}, {"start_byte": start}):
        pipe = Pipe(
            input_adapter=CSVInputAdapter(tmp_path / "in.csv", **options),
            output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        )
        for workers in (1, 3):
            report = PipeManager.parallelize_pipe(pipe, workers).run()
            counts.append(report.success_count)
            assert report.error_count == 0
    rows = sum(1 for _ in csv.DictReader(HIDING.splitlines(keepends=True)))
    assert counts[0] == counts[1] and counts[2] == counts[3]
    assert counts[0] + counts[2] == rows


class RefuseSeven(ColumnHook):
    """Raises on rows that are there only where a shard begins inside of the quoted field."""

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if "seven" in batch.column("name").to_pylist():
            raise ValueError
        return batch


@pytest.mark.parametrize("workers", [1, 2, 4, 7])
def test_run_completes_when_only_a_wrong_guess_makes_a_hook_raise(
    tmp_path: Path, workers: int
) -> None:
    (tmp_path / "in.csv").write_text(HIDING)
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        pre_validation_hooks=[RefuseSeven()],
    )
    report = PipeManager.parallelize_pipe(pipe, workers).run()
    assert report.success_count == sum(1 for _ in csv.DictReader(HIDING.splitlines(keepends=True)))


class RefuseLast(ColumnHook):
    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if "1999" in batch.column("id").to_pylist():
            raise ValueError
        return batch


def test_run_fails_when_a_hook_raises_in_a_later_shard(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(HIDING)
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        pre_validation_hooks=[RefuseLast()],
    )
    with pytest.raises(RunFailed, match="RefuseLast raised ValueError"):
        PipeManager.parallelize_pipe(pipe, 4).run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


class OddError(ZooPipeError):
    """Pickles, and does not unpickle."""

    def __init__(self, place: str, cause: str) -> None:
        super().__init__(f"{cause} at {place}")


class OddInput(CSVInputAdapter):
    def read(self, shard: Any, columns: Any) -> Any:
        raise OddError("here", "trouble")
        yield


def test_run_fails_with_the_sentence_when_an_error_does_not_unpickle(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("x\n1\n")
    pipe = Pipe(
        input_adapter=OddInput(tmp_path / "in.csv"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
    )
    with pytest.raises(RunFailed, match="trouble at here"):
        PipeManager([pipe]).run()


def test_managers_report_their_own_runs_when_they_share_an_engine(tmp_path: Path) -> None:
    engine = MultiProcessEngine()
    managers = []
    for rows in (3, 5):
        (tmp_path / f"{rows}.csv").write_text("x\n" + "1\n" * rows)
        pipe = Pipe(
            input_adapter=CSVInputAdapter(tmp_path / f"{rows}.csv"),
            output_adapter=JSONOutputAdapter(tmp_path / f"{rows}.jsonl"),
        )
        managers.append(PipeManager([pipe], engine))
    managers[0].run()
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = managers[1].report
    managers[1].run()
    assert [manager.report.success_count for manager in managers] == [3, 5]


def test_progress_is_shown_within_a_block_when_hooks_are_slow(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("x\n" + "1\n" * 5000)
    gate = tmp_path / "gate"

    def wait_late(row: dict[str, str]) -> dict[str, str]:
        seen.append(None)
        while len(seen) > 4000 and not gate.exists():
            time.sleep(0.01)
        return row

    seen: list[None] = []
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        post_validation_hooks=[wait_late],
    )
    pipe.start()
    limit = time.monotonic() + 30
    while pipe.report.total_processed < 4000 and time.monotonic() < limit:
        time.sleep(0.01)
    assert pipe.report.total_processed == 4000
    gate.touch()
    assert pipe.wait(30)
    assert pipe.report.success_count == 5000


def test_relative_inputs_are_found_when_the_driver_changes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "in.csv").write_text("x\n" + "1\n" * 1000 + "1,2\n")
    monkeypatch.chdir(tmp_path / "a")
    gate = tmp_path / "gate"

    def wait(row: dict[str, str]) -> dict[str, str]:
        while not gate.exists():
            time.sleep(0.01)
        return row

    pipe = Pipe(
        input_adapter=CSVInputAdapter("in.csv"),
        output_adapter=JSONOutputAdapter("out.jsonl"),
        error_output_adapter=JSONOutputAdapter("rejected.jsonl"),
        post_validation_hooks=[wait],
    )
    manager = PipeManager.parallelize_pipe(pipe, 3, engine=MultiProcessEngine(max_workers=1))
    manager.start()
    os.chdir(tmp_path)
    gate.touch()
    assert manager.wait(30)
    assert manager.report.error is None
    assert [row["_source"] for row in json_lines(tmp_path / "a" / "rejected.jsonl")] == ["in.csv"]


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "/dev/null"])
def test_output_is_refused_when_it_is_a_device(tmp_path: Path, output: str) -> None:
    (tmp_path / "in.csv").write_text("x\n1\n")
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"), output_adapter=JSONOutputAdapter(output)
    )
    with pytest.raises(OutputError, match="device"):
        pipe.run()


class ByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    x: int = Field(alias="id")
    y: str = Field(alias="name", serialization_alias="NAME")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int


class Partly(BaseModel):
    id: int
    name: str = Field(exclude=True)


@pytest.mark.parametrize("model", [ByAlias, Open, Partly])
def test_csv_header_is_that_of_the_models_dump(tmp_path: Path, model: type[BaseModel]) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,a\n2,b\n")
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=CSVOutputAdapter(tmp_path / "out.csv"),
        schema_model=model,
    )
    pipe.run()
    with open(tmp_path / "in.csv", newline="") as file:
        expected = [
            model.model_validate(row).model_dump(mode="json") for row in csv.DictReader(file)
        ]
    with open(tmp_path / "out.csv", newline="") as file:
        reader = csv.DictReader(file)
        assert [dict(row) for row in reader] == [
            {name: str(value) for name, value in row.items()} for row in expected
        ]
        assert reader.fieldnames == list(expected[0])


class Whole(BaseModel):
    id: int

    @model_serializer
    def _all(self) -> dict[str, Any]:
        return {f"key{self.id}": self.id}


class Ids(RootModel[dict[str, int]]):
    pass


@pytest.mark.parametrize("model", [Whole, Ids])
def test_csv_output_asks_for_fieldnames_when_only_a_dump_could_tell_them(
    tmp_path: Path, model: type[BaseModel]
) -> None:
    (tmp_path / "in.csv").write_text("id\n1\n")
    pipe = Pipe(
        input_adapter=CSVInputAdapter(tmp_path / "in.csv"),
        output_adapter=CSVOutputAdapter(tmp_path / "out.csv"),
        schema_model=model,
    )
    with pytest.raises(DeclarationError, match="fieldnames="):
        pipe.run()


class Emptying(BaseHook):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def execute(self, entries: Any, store: Any) -> Any:
        for entry in entries:
            entry["validated_data"] = self.value
        return entries


@pytest.mark.parametrize("value", [None, "secret", 5])
def test_run_fails_when_a_hook_leaves_no_dict(tmp_path: Path, value: Any) -> None:
    (tmp_path / "in.jsonl").write_text('{"x": 1}\n')
    pipe = Pipe(
        input_adapter=JSONInputAdapter(tmp_path / "in.jsonl"),
        output_adapter=JSONOutputAdapter(tmp_path / "out.jsonl"),
        post_validation_hooks=[Emptying(value)],
    )
    with pytest.raises(RunFailed, match="Emptying left") as failure:
        pipe.run()
    assert "secret" not in str(failure.value)
