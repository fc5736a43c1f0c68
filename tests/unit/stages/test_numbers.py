"""The numbers of records in what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from oracle import csv_dicts, json_lines
from piping import csv_pipe, json_pipe, ran
from pydantic import BaseModel

from zoopipe import BaseHook, ColumnHook, CSVOutputAdapter, DeclarationError


class User(BaseModel):
    id: int
    name: str


# Every seventh row is rejected by the model, every eleventh has too few fields.
LINES = [f"{n}" if n % 11 == 3 else f"{'x' if n % 7 == 2 else n},n{n}" for n in range(1, 400)]
TEXT = "id,name\n" + "\n".join(LINES) + "\n"
GOOD = [n for n in range(1, 400) if n % 11 != 3 and n % 7 != 2]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("hooks", [[], [lambda row: row]], ids=["columns", "rows"])
@pytest.mark.parametrize("model", [User, None])
def test_rows_have_the_numbers_of_their_records(
    tmp_path: Path, workers: int, hooks: list[Any], model: Any
) -> None:
    pipe = csv_pipe(tmp_path, TEXT, schema_model=model, pre_validation_hooks=hooks, row_numbers="n")
    out = ran(tmp_path, pipe, workers)
    expected = [n for n in range(1, 400) if n % 11 != 3] if model is None else GOOD
    assert [row["n"] for row in out.rows] == expected
    assert all(list(row) == ["id", "name", "n"] for row in out.rows)
    assert {row["_row"] for row in out.rejects} == set(range(1, 400)) - set(expected)


def test_csv_has_the_numbers_as_its_last_column(tmp_path: Path) -> None:
    output = CSVOutputAdapter(tmp_path / "out.csv")
    pipe = csv_pipe(tmp_path, TEXT, schema_model=User, output_adapter=output, row_numbers="line")
    pipe.run()
    rows = csv_dicts((tmp_path / "out.csv").read_bytes())
    assert list(rows[0]) == ["id", "name", "line"]
    assert [int(row["line"]) for row in rows] == GOOD


def test_number_is_empty_when_nobody_knows_the_record(tmp_path: Path) -> None:
    class Add(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            return [*entries[1:], {"raw_data": {"id": "9", "name": "more"}}]

    class WithoutFirst(ColumnHook):
        def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
            return batch.slice(1)

    text = "id,name\n1,a\n2,b\n3,c\n"
    for hook, expected in ((Add(), [2, 3, None]), (WithoutFirst(), [None, None])):
        pipe = csv_pipe(
            tmp_path, text, schema_model=User, pre_validation_hooks=[hook], row_numbers="n"
        )
        assert [row["n"] for row in ran(tmp_path, pipe).rows] == expected


def test_numbers_count_what_skip_rows_leaves_out(tmp_path: Path) -> None:
    pipe = csv_pipe(tmp_path, "id,name\n1,a\n2,b\n3,c\n", row_numbers="n")
    pipe.input_adapter = type(pipe.input_adapter)(tmp_path / "in.csv", skip_rows=1)
    assert [(row["id"], row["n"]) for row in ran(tmp_path, pipe).rows] == [("2", 2), ("3", 3)]


def test_whole_records_have_numbers_and_one_with_that_key_is_rejected(tmp_path: Path) -> None:
    records = [{"a": 1}, {"n": 5}, {"a": {"n": 1}}, {}, {"a": '"n"'}]
    pipe = json_pipe(tmp_path, "\n".join(map(json.dumps, records)), row_numbers="n")
    out = ran(tmp_path, pipe)
    assert out.rows == [{"a": 1, "n": 1}, {"a": {"n": 1}, "n": 3}, {"n": 4}, {"a": '"n"', "n": 5}]
    (reject,) = out.rejects
    assert (reject["_row"], reject["_stage"], reject["n"]) == (2, "write", 5)
    assert reject["_errors"][0]["type"] == "row_numbers_taken"


def test_name_that_a_column_has_is_refused_before_a_row_is_read(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="row_numbers names a column"):
        csv_pipe(tmp_path, TEXT, schema_model=User, row_numbers="name").run()
    assert not (tmp_path / "out.jsonl").exists()


def test_column_of_that_name_that_a_hook_makes_is_rejected(tmp_path: Path) -> None:
    pipe = csv_pipe(
        tmp_path,
        "id,name\n1,a\n",
        row_numbers="n",
        pre_validation_hooks=[lambda row: {**row, "n": 1}],
    )
    pipe.run()
    assert [row["_stage"] for row in json_lines(tmp_path / "rejected.jsonl")] == ["write"]
