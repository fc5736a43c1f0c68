"""Replay: what is read of rejected rows, what is tried again, and what is handed on."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oracle import csv_dicts, json_lines, text_lines, validated
from pydantic import BaseModel, SecretStr

from zoopipe import (
    BaseHook,
    CSVInputAdapter,
    CSVOutputAdapter,
    DeclarationError,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    OutputAdapter,
    Pipe,
    PipeManager,
    RunFailed,
)
from zoopipe.runtime.inline import InlineEngine

FORMATS = ["jsonl", "csv"]


class User(BaseModel):
    id: int
    name: str


def output(path: Path) -> OutputAdapter:
    return CSVOutputAdapter(path) if path.suffix == ".csv" else JSONOutputAdapter(path)


def pipe_of(folder: Path, source: Path, form: str = "jsonl", **options: Any) -> Pipe:
    adapter = JSONInputAdapter if source.suffix == ".jsonl" else CSVInputAdapter
    return Pipe(
        options.pop("input_adapter", None) or adapter(source),
        JSONOutputAdapter(folder / "out.jsonl"),
        output(folder / f"rejected.{form}"),
        options.pop("schema_model", User),
        **options,
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a rejects file, by Python's own modules."""
    if path.suffix != ".csv":
        return json_lines(path)
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def mend(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Repairs a rejects file, row by row, by Python's own modules."""
    rows = rows_of(path)
    for row in rows:
        change(row)
    with open(path, "w", newline="", encoding="utf-8") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def replayed(
    folder: Path, pipe: Pipe, form: str = "jsonl", shards: int = 1, **options: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """The lines that pass now, and the rows that do not."""
    again = pipe.replaying(
        folder / f"rejected.{form}",
        JSONOutputAdapter(folder / "more.jsonl"),
        output(folder / f"still.{form}"),
        **options,
    )
    PipeManager.parallelize_pipe(again, 1, engine=InlineEngine(), shards=shards).run()
    return text_lines(folder / "more.jsonl"), rows_of(folder / f"still.{form}")


TEXT = 'id,name\n1,ann\nx,bob\ntoo,many,fields\n4,"d,an"\n5\ny,eve\n'


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("shards", [1, 3])
def test_mended_rows_pass_with_their_numbers_and_the_others_are_as_they_were(
    tmp_path: Path, form: str, shards: int
) -> None:
    (tmp_path / "in.csv").write_text(TEXT)
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", form, row_numbers="n")
    pipe.run()
    before = rows_of(tmp_path / f"rejected.{form}")

    def change(row: dict[str, Any]) -> None:
        if row["_text"] == "too,many,fields":
            row["_text"] = '3,"too, many"'
        elif row["id"] == "x":
            row["id"] = "2"

    mend(tmp_path / f"rejected.{form}", change)
    lines, still = replayed(tmp_path, pipe, form, shards)
    assert lines == ['{"id":2,"name":"bob","n":2}', '{"id":3,"name":"too, many","n":3}']
    assert still == before[2:]
    assert [str(row["_row"]) for row in still] == ["5", "6"]


@pytest.mark.parametrize("form", FORMATS)
def test_columns_of_a_row_count_before_its_text_when_somebody_filled_them_in(
    tmp_path: Path, form: str
) -> None:
    (tmp_path / "in.csv").write_text(TEXT)
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", form)
    pipe.run()
    mend(tmp_path / f"rejected.{form}", lambda row: row.update(id="7", name="x"))
    lines, still = replayed(tmp_path, pipe, form)
    assert (lines, still) == (['{"id":7,"name":"x"}'] * 4, [])


def test_cells_that_are_no_text_are_taken_as_csv_has_them(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\nx,bob\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", schema_model=None, pre_validation_hooks=[_refuse])
    pipe.run()
    mend(tmp_path / "rejected.jsonl", lambda row: row.update(id=7, name=True))
    mended = pipe_of(tmp_path, tmp_path / "in.csv", schema_model=None)
    assert replayed(tmp_path, mended)[0] == ['{"id":"7","name":"true"}']


def _refuse(row: dict[str, Any]) -> dict[str, Any]:
    raise LookupError("no")


@pytest.mark.parametrize("form", FORMATS)
def test_columns_named_like_ours_get_their_names_back(tmp_path: Path, form: str) -> None:
    names = ["id", "_row", "_row_", "_text", "_errors__"]
    (tmp_path / "in.csv").write_text(",".join(names) + "\nx,a,b,c,d\n")

    class Odd(BaseModel):
        model_config = {"extra": "allow"}
        id: int

    pipe = pipe_of(tmp_path, tmp_path / "in.csv", form, schema_model=Odd)
    pipe.run()
    (reject,) = rows_of(tmp_path / f"rejected.{form}")
    expected = ["id", "_row_", "_row__", "_text_", "_errors___"]
    assert list(reject)[:5] == expected
    mend(tmp_path / f"rejected.{form}", lambda row: row.update(id="1"))
    lines, _ = replayed(tmp_path, pipe, form)
    assert [json.loads(line) for line in lines] == [dict(zip(names, [1, *"abcd"], strict=True))]


RECORDS = [
    '{"id": 1, "name": "ann"}',
    '{"id": "x", "name": "bob", "more": {"a": [1, 2.5, null]}, "_row": "mine"}',
    '{"id": 3, "name": "c',
    '["no", "object"]',
    '{"id": 5, "name": null}',
]


@pytest.mark.parametrize("form", FORMATS)
def test_whole_records_are_replayed(tmp_path: Path, form: str) -> None:
    class Wide(User):
        model_config = {"extra": "allow"}

    (tmp_path / "in.jsonl").write_text("\n".join(RECORDS) + "\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.jsonl", form, schema_model=Wide)
    pipe.run()

    def change(row: dict[str, Any]) -> None:
        if row.get("id") == "x":
            row["id"] = 2 if form == "jsonl" else "2"
        elif row["_text"] and row["_text"].startswith("{"):
            row["_text"] += '"}'

    mend(tmp_path / f"rejected.{form}", change)
    lines, still = replayed(tmp_path, pipe, form)
    fixed = [RECORDS[1].replace('"x"', "2"), RECORDS[2] + '"}']
    assert lines == validated(map(json.loads, fixed), Wide)[0]
    assert [str(row["_row"]) for row in still] == ["4", "5"]
    assert still[0]["_text"] == RECORDS[3]


def test_hooks_see_the_original_positions_and_errors_the_original_places(tmp_path: Path) -> None:
    class Number(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            for entry in entries:
                entry["validated_data"]["name"] += f" {entry['position']}"
            return entries

    bad = {7, 42, 99}
    lines = [f"{'x' if n in bad else n},n" for n in range(100)]
    (tmp_path / "in.csv").write_text("id,name\n" + "\n".join(lines) + "\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", post_validation_hooks=[Number()])
    pipe.run()
    mend(tmp_path / "rejected.jsonl", lambda row: row.update(id=row["_row"]))
    found, _ = replayed(tmp_path, pipe, shards=2)
    assert [json.loads(line)["name"] for line in found] == ["n 7", "n 42", "n 99"]


@pytest.mark.parametrize("stage", ["pre", "post"])
def test_row_that_a_hook_refused_passes_when_the_hook_was_mended(
    tmp_path: Path, stage: str
) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,ann\n2,bob\n")
    hooks: dict[str, Any] = {f"{'pre' if stage == 'pre' else 'post'}_validation_hooks": [_refuse]}
    pipe_of(tmp_path, tmp_path / "in.csv", **hooks).run()
    mended = pipe_of(tmp_path, tmp_path / "in.csv")
    rows = csv_dicts((tmp_path / "in.csv").read_bytes())
    assert replayed(tmp_path, mended) == (validated(rows, User)[0], [])


def test_row_that_a_hook_had_added_is_handed_on_as_it_was(tmp_path: Path) -> None:
    class Double(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            added = [{"raw_data": {"id": "x", "name": "more"}} for _ in entries]
            return [*entries, *added]

    (tmp_path / "in.csv").write_text("id,name\n1,ann\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", pre_validation_hooks=[Double()])
    pipe.run()
    before = rows_of(tmp_path / "rejected.jsonl")
    assert before[0]["_row"] is None
    assert replayed(tmp_path, pipe_of(tmp_path, tmp_path / "in.csv")) == ([], before)


def test_text_that_is_cut_or_does_not_decode_is_not_taken_for_the_record(tmp_path: Path) -> None:
    long = "3," + "n" * 5000
    data = b"id,name\n1,caf\xe9\n" + long.encode() + b"\n"
    (tmp_path / "in.csv").write_bytes(data)
    source = CSVInputAdapter(tmp_path / "in.csv", max_record_bytes=4000)
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", input_adapter=source)
    pipe.run()
    before = rows_of(tmp_path / "rejected.jsonl")
    assert [row["_errors"][0]["type"] for row in before] == ["csv_encoding", "record_too_long"]
    # Unchanged, both would read as records of two fields.
    assert replayed(tmp_path, pipe) == ([], before)
    texts = {1: "1,café", 2: long}
    mend(tmp_path / "rejected.jsonl", lambda row: row.update(_text=texts[row["_row"]]))
    lines, still = replayed(tmp_path, pipe)
    assert lines == [
        '{"id":1,"name":"café"}',
        json.dumps({"id": 3, "name": "n" * 5000}, separators=(",", ":")),
    ]
    assert still == []


def test_quote_that_is_closed_gives_back_the_records_that_it_had_swallowed(tmp_path: Path) -> None:
    good = 'id,name\n1,ann\n2,"bob"\n3,cat\n4,"d\n,an"\n5,eve\n'
    (tmp_path / "in.csv").write_text(good.replace('"bob"', '"bob').replace('"d\n,an"', "dan"))
    pipe = pipe_of(tmp_path, tmp_path / "in.csv", row_numbers="n")
    pipe.run()
    mend(
        tmp_path / "rejected.jsonl",
        lambda row: row.update(_text=row["_text"].replace("bob", 'bob"')),
    )
    lines, still = replayed(tmp_path, pipe)
    assert [(json.loads(line)["id"], json.loads(line)["n"]) for line in lines] == [
        (n, n) for n in (2, 3, 4, 5)
    ]
    assert still == []


@pytest.mark.parametrize("text", ["1,a\n2,b", ""])
def test_text_of_another_number_of_records_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.csv").write_text("id,name\ntoo,many,fields\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    pipe.run()
    mend(tmp_path / "rejected.jsonl", lambda row: row.update(_text=text))
    lines, (reject,) = replayed(tmp_path, pipe)
    assert lines == []
    assert (reject["_row"], reject["_text"]) == (1, text)
    assert reject["_errors"][0]["type"] == "replay_text"


def test_line_that_a_repair_has_broken_is_rejected_and_its_neighbours_pass(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\nx,ann\nx,bob\nx,cat\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    pipe.run()
    mend(tmp_path / "rejected.jsonl", lambda row: row.update(id="1"))
    first, second, third = text_lines(tmp_path / "rejected.jsonl")
    (tmp_path / "rejected.jsonl").write_text(f"{first}\n{second[:-1]}\n{third}\n[]\n")
    lines, still = replayed(tmp_path, pipe)
    assert lines == ['{"id":1,"name":"ann"}', '{"id":1,"name":"cat"}']
    assert [(row["_stage"], row["_text"]) for row in still] == [
        ("parse", second[:-1]),
        ("parse", "[]"),
    ]


class Login(BaseModel):
    id: int
    password: SecretStr


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_masked_rows_are_not_tried_before_the_secret_is_put_back(
    tmp_path: Path, form: str, kind: str
) -> None:
    source = tmp_path / f"in.{kind}"
    if kind == "csv":
        source.write_text("id,password\nx,hunter2\ntoo,many,hunter2\n")
    else:
        source.write_text('{"id": "x", "password": "hunter2"}\n{"id": 1, "hunter2\n')
    pipe = pipe_of(tmp_path, source, form, schema_model=Login)
    pipe.run()
    mend(tmp_path / f"rejected.{form}", lambda row: row["_text"] or row.update(id="1"))
    lines, still = replayed(tmp_path, pipe, form)
    assert lines == [] and len(still) == 2
    assert "hunter2" not in (tmp_path / f"still.{form}").read_text()
    assert all("replay_masked" in str(row["_errors"]) for row in still[:1])
    mend(
        tmp_path / f"rejected.{form}",
        lambda row: row.update(id="1", password="hunter3", _text=None),
    )
    lines, still = replayed(tmp_path, pipe, form)
    assert lines == ['{"id":1,"password":"**********"}'] * 2
    assert still == []


def test_rejects_may_be_replaced_by_those_that_still_do_not_pass(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(TEXT)
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    pipe.run()
    rejected = tmp_path / "rejected.jsonl"
    mend(rejected, lambda row: row["id"] == "x" and row.update(id="2"))
    again = pipe.replaying(rejected, JSONOutputAdapter(tmp_path / "more.jsonl"), output(rejected))
    assert again.run().success_count == 1
    assert [row["_row"] for row in rows_of(rejected)] == [3, 5, 6]


def test_limit_of_a_replay_is_its_own_and_beyond_it_nothing_is_published(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(TEXT)
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    pipe.run()
    with pytest.raises(RunFailed, match="max_errors is 3"):
        replayed(tmp_path, pipe, max_errors=3)
    assert not (tmp_path / "more.jsonl").exists()
    assert len(replayed(tmp_path, pipe, max_errors=4)[1]) == 4


def test_file_that_holds_no_rejects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,ann\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    with pytest.raises(InputError, match="reads no rejects"):
        pipe.replaying(tmp_path / "in.csv", JSONOutputAdapter(tmp_path / "m.jsonl")).run()


def test_column_that_other_rows_have_not_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\nx,ann\nx,bob\n")
    pipe = pipe_of(tmp_path, tmp_path / "in.csv")
    pipe.run()
    mend(tmp_path / "rejected.jsonl", lambda row: row["_row"] == 2 and row.update(idd="1"))
    with pytest.raises(RunFailed, match=r"_row 2\) has a column 'idd'"):
        replayed(tmp_path, pipe)


def test_no_rejects_give_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,name\n1,ann\n")
    for form in FORMATS:
        pipe = pipe_of(tmp_path, tmp_path / "in.csv", form)
        pipe.run()
        assert replayed(tmp_path, pipe, form) == ([], [])


def test_format_has_to_be_known(tmp_path: Path) -> None:
    pipe = Pipe(CSVInputAdapter("in.csv"), JSONOutputAdapter("out.jsonl"))
    with pytest.raises(DeclarationError, match=r"format of rejects\.bin is not known"):
        pipe.replaying("rejects.bin", JSONOutputAdapter("more.jsonl"))
