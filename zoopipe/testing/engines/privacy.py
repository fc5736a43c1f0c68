"""Values of rows are in no log, report, error or state, whatever fails; rejects count live; replay."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import BaseModel, field_validator

from zoopipe.adapters.csv import CSVInputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.executors import SingleThreadExecutor
from zoopipe.hooks import BaseHook, ColumnHook, HookStore
from zoopipe.manager import PipeManager
from zoopipe.pipe import Pipe
from zoopipe.runtime.engine import BaseEngine
from zoopipe.storage.parts import PartFile
from zoopipe.testing.engines.binding import EngineBinding, completed, failed, needs, running, waited
from zoopipe.testing.faults import Faults, Gate
from zoopipe.testing.items import as_is, items_pipe, json_rows, write_items

#: What stands in every row of the input, and must stand nowhere else.
CANARY = "c4n4ry"


class Named(BaseModel):
    """A row; a name of `worse` is not only invalid, its validator raises what no validator should."""

    id: int
    name: str

    @field_validator("name")
    @classmethod
    def check(cls, value: str) -> str:
        """Refuses some names, and quotes them."""
        if "bad" in value:
            raise ValueError(f"{value} is bad")
        if "worse" in value:
            raise RuntimeError(f"{value} is worse")
        return value


class OwnError(Exception):
    """An error that does not pickle."""

    def __init__(self, *, value: str) -> None:
        super().__init__(value)


class RaisesOnEntries(BaseHook):
    """Quotes the rows it fails on."""

    def execute(self, entries: list[Any], store: HookStore) -> list[Any]:
        try:
            raise KeyError(str(entries[0]["raw_data"]))
        except KeyError as error:
            raise OwnError(value=str(entries)) from error


class RaisesOnColumns(ColumnHook):
    """Fails as pyarrow does, whose message quotes a cell."""

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        batch.column(batch.schema.get_field_index("name")).cast(pa.int64())
        return batch


class RaisesAtTheEnd(BaseHook):
    """Quotes the last row when it is torn down."""

    def execute(self, entries: list[Any], store: HookStore) -> list[Any]:
        store["last"] = entries[-1]["raw_data"]
        return entries

    def teardown(self, store: HookStore) -> None:
        raise RuntimeError(f"{store.get('last')} was last")


class GivesNoEntries(BaseHook):
    """Gives back something else than entries."""

    def execute(self, entries: list[Any], store: HookStore) -> list[Any]:
        return [str(entries[0]["raw_data"])]


class BrokenPart(JSONOutputAdapter):
    """An output with a mistake, which quotes what it was to write."""

    def open_part(self, file: PartFile, schema: pa.Schema | None, leads: bool) -> Any:
        """A part that cannot be written to."""
        part = super().open_part(file, schema, leads)

        def fail(encoded: Any) -> None:
            raise RuntimeError(bytes(encoded.payload[0]).decode())

        part.write = fail  # type: ignore[method-assign]
        return part


def raises(row: dict[str, Any]) -> dict[str, Any]:
    """Refuses every row, and quotes it."""
    raise ValueError(str(row))


def leaves(row: dict[str, Any]) -> dict[str, Any]:
    """Ends as no hook should, and quotes the row."""
    raise SystemExit(str(row))


#: By the kind of failure: the options of a pipe over rows of the canary, and whether it fails.
FAILURES: dict[str, tuple[Callable[[], dict[str, Any]], bool]] = {
    "a validator": (dict, False),
    "a function": (lambda: {"pre_validation_hooks": [raises]}, False),
    "a function that leaves": (lambda: {"post_validation_hooks": [leaves]}, True),
    "entries": (lambda: {"pre_validation_hooks": [RaisesOnEntries()]}, True),
    "no entries": (lambda: {"post_validation_hooks": [GivesNoEntries()]}, True),
    "columns": (lambda: {"post_validation_hooks": [RaisesOnColumns()]}, True),
    "teardown": (lambda: {"pre_validation_hooks": [RaisesAtTheEnd()]}, True),
    "an output": (lambda: {"is_broken": True}, True),
    "a limit": (lambda: {"max_errors": 0}, True),
}


def canary_pipe(folder: Path, is_broken: bool = False, **options: Any) -> Pipe:
    """A pipe over rows of which some are refused; all hold the canary."""
    names = [CANARY, f"{CANARY} bad", f"{CANARY} worse"]
    lines = [f"{number},{names[number % 3]} {number}" for number in range(60)]
    lines += [f"{CANARY},x", f"1,2,{CANARY}", f'"{CANARY}', ""]
    (folder / "in.csv").write_text("id,name\n" + "\n".join(lines))
    output = BrokenPart if is_broken else JSONOutputAdapter
    return Pipe(
        CSVInputAdapter(folder / "in.csv"),
        output(folder / "out.jsonl"),
        schema_model=Named,
        **options,
    )


class PrivacyTests(EngineBinding):
    """What is set aside is told by place and reason, and can be taken up again."""

    @pytest.mark.parametrize("kind", FAILURES)
    def test_no_value_of_a_row_is_shown_when_something_fails(
        self,
        engine: BaseEngine,
        tmp_path: Path,
        kind: str,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="zoopipe")
        options, fails = FAILURES[kind]
        # With `resume` the state of what failed stays on the disk.
        pipe = canary_pipe(tmp_path, **options())
        with running(PipeManager([pipe], engine, resume=True)) as manager:
            report = waited(manager)
        assert report.has_error is fails, report
        shown = [str(report), repr(report), report.ledger.to_json(), repr(report.ledger)]
        shown += [caplog.text, *(str(record.exc_info) for record in caplog.records)]
        shown += [path.read_text() for path in tmp_path.glob(".*.zoopipe/state.jsonl")]
        shown += capfd.readouterr()
        assert [text for text in shown if CANARY in text] == []
        if fails:
            assert report.error and ("rows" in report.error or "raised" in report.error)
        else:
            assert any("rejected" in record.getMessage() for record in caplog.records)

    def test_message_of_a_hook_is_shown_when_that_is_asked_for(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        pipe = canary_pipe(tmp_path, pre_validation_hooks=[RaisesOnEntries()], show_messages=True)
        assert CANARY in failed(PipeManager([pipe], engine), tmp_path)

    @needs("can_kill")
    def test_rejects_of_all_workers_count_towards_the_limit_while_they_run(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        gate = Gate(tmp_path / "gate")
        bad = (*range(1, 7), *range(220, 226))
        source = write_items(tmp_path / "in.csv", 400, bad=bad)
        # Either shard alone is below the limit, and none of them ends.
        pipe = items_pipe(
            source,
            tmp_path / "out.jsonl",
            pre_validation_hooks=[as_is, Faults({(0, None): gate, (1, None): gate}, at=100)],
            executor=SingleThreadExecutor(batch_size=10),
            max_errors=8,
        )
        sentence = failed(PipeManager.parallelize_pipe(pipe, 2, engine=engine), tmp_path)
        assert "12 rows were rejected, and max_errors is 8" in sentence
        assert gate.begun == {(0, 1), (1, 1)}
        assert not (tmp_path / "out.jsonl").exists()

    def test_run_and_replay_give_what_a_clean_run_gives(
        self, engine: BaseEngine, tmp_path: Path
    ) -> None:
        bad = (3, 77, 150, 199)
        clean = write_items(tmp_path / "clean.csv", 200, plain=False)
        dirty = write_items(tmp_path / "in.csv", 200, bad=bad, plain=False)
        pipes = [
            items_pipe(
                source,
                tmp_path / f"{source.stem}.jsonl",
                error_output_adapter=JSONOutputAdapter(tmp_path / f"{source.stem}-bad.jsonl"),
                row_numbers="_row",
            )
            for source in (clean, dirty)
        ]
        for pipe in pipes:
            completed(PipeManager.parallelize_pipe(pipe, 2, engine=engine, shards=3))
        rejects = json_rows(tmp_path / "in-bad.jsonl")
        assert [row["_row"] for row in rejects] == list(bad)
        for row in rejects:
            row["id"] = row["id"].removeprefix("x")
        (tmp_path / "in-bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rejects))
        again = pipes[1].replaying(
            tmp_path / "in-bad.jsonl", JSONOutputAdapter(tmp_path / "more.jsonl")
        )
        completed(PipeManager.parallelize_pipe(again, 2, engine=engine))
        found = [
            line
            for name in ("in", "more")
            for line in (tmp_path / f"{name}.jsonl").read_text().split("\n")[:-1]
        ]
        found.sort(key=lambda line: int(json.loads(line)["_row"]))
        assert found == (tmp_path / "clean.jsonl").read_text().split("\n")[:-1]
