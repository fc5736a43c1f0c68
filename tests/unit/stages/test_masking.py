"""Secrets that are in no reject, and values of rows that are in no report."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest
from oracle import json_lines
from piping import csv_pipe, json_pipe, ran
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    RootModel,
    Secret,
    SecretBytes,
    SecretStr,
    field_validator,
    model_validator,
)

from zoopipe import CSVOutputAdapter, DeclarationError, Pipe, PipeManager
from zoopipe.testing.faults import wait_until
from zoopipe.validation.privacy import MASK, secrets_of

SECRET = "hunter2"


class Inner(BaseModel):
    password: SecretStr
    deeper: Inner | None = None


class Own(SecretStr):
    pass


class Day(Secret[date]):
    pass


class Many(BaseModel):
    id: int
    plain: str
    aliased: SecretStr = Field(alias="Aliased")
    optional: SecretBytes | None = None
    nested: list[Inner] = []
    mixed: dict[str, int | Secret[int]] = {}
    chosen: Own | str = Field("", validation_alias=AliasChoices("one", "two", AliasPath("at", 0)))
    day: Day | None = None
    bounded: Annotated[SecretStr, Field(min_length=3)] = SecretStr("abc")
    other: list[int] = []


class Extra(BaseModel):
    model_config = {"extra": "allow"}
    __pydantic_extra__: dict[str, SecretStr]
    id: int


def test_secret_columns_are_found_by_all_their_names() -> None:
    found = secrets_of(Many)
    expected = {"aliased", "Aliased", "optional", "nested", "mixed"}
    expected |= {"chosen", "one", "two", "at", "day", "bounded"}
    assert (found.columns, found.everything) == (expected, False)
    assert secrets_of(Inner).columns == {"password", "deeper"}
    for model in (RootModel[dict[str, SecretStr]], Extra):
        assert secrets_of(model).everything

    class Plain(BaseModel):
        id: int
        more: list[Plain] = []

    assert not secrets_of(Plain)


class Login(BaseModel):
    id: int
    password: SecretStr


def test_column_of_a_secret_field_is_masked_and_text_with_it(tmp_path: Path) -> None:
    text = f"id,password,note\nx,{SECRET},a\n1,{SECRET}\ny,,b\n"
    out = ran(tmp_path, csv_pipe(tmp_path, text, schema_model=Login))
    assert [(row["id"], row["password"], row["note"], row["_text"]) for row in out.rejects] == [
        ("x", MASK, "a", None),
        (None, None, None, MASK),
        ("y", MASK, "b", None),
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_no_reject_of_any_shape_holds_a_secret(tmp_path: Path, form: str) -> None:
    records = [
        {"id": "x", "plain": "a", "Aliased": SECRET, "optional": SECRET, "one": SECRET},
        {"id": "x", "plain": "a", "two": SECRET, "at": [SECRET], "day": SECRET, "bounded": SECRET},
        {"id": "x", "plain": "a", "nested": [{"password": SECRET, "deeper": {"password": SECRET}}]},
        {"id": 1, "plain": "a", "Aliased": SECRET, "mixed": {"k": SECRET}, "day": SECRET},
        [SECRET],
    ]
    lines = [json.dumps(record) for record in records] + ['{"id": 1, "Aliased": "' + SECRET]
    pipe = json_pipe(tmp_path, "\n".join(lines), schema_model=Many)
    if form == "csv":
        pipe.error_output_adapter = CSVOutputAdapter(tmp_path / "rejected.csv")
    assert pipe.run().error_count == 6
    assert SECRET not in (tmp_path / f"rejected.{form}").read_text()
    if form == "jsonl":
        first, *_, array, cut = json_lines(tmp_path / "rejected.jsonl")
        assert (first["id"], first["plain"], first["Aliased"]) == ("x", "a", MASK)
        assert (array["_text"], cut["_text"]) == (MASK, MASK)


def test_staged_rejects_hold_no_secret_either(tmp_path: Path) -> None:
    text = f"id,password\nx,{SECRET}\n" + "1,b\n" * 1000
    seen: list[bytes] = []

    def look(row: dict[str, Any]) -> dict[str, Any]:
        seen.extend(path.read_bytes() for path in tmp_path.glob(".rejected*/*"))
        return row

    pipe = csv_pipe(tmp_path, text, schema_model=Login, post_validation_hooks=[look])
    pipe = pipe.with_executor(type(pipe.executor)(batch_size=100))
    pipe.run()
    assert any(MASK.encode() in data for data in seen)
    assert not any(SECRET.encode() in data for data in seen)


class Talkative(BaseModel):
    id: int
    password: SecretStr

    @field_validator("password")
    @classmethod
    def check(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() == SECRET:
            raise ValueError(f"{value.get_secret_value()} is weak")
        return value

    @model_validator(mode="after")
    def check_all(self) -> Talkative:
        if self.id == 2:
            raise ValueError(f"{self.password.get_secret_value()} of 2")
        return self


def test_messages_about_secrets_are_masked_and_others_are_not(tmp_path: Path) -> None:
    def refuse(row: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(row["password"].get_secret_value())

    text = f"id,password\n1,{SECRET}\n2,{SECRET}2\nx,abc\n3,{SECRET}3\n"
    pipe = csv_pipe(tmp_path, text, schema_model=Talkative, post_validation_hooks=[refuse])
    out = ran(tmp_path, pipe)
    found = [[(e["type"], e["msg"]) for e in row["_errors"]] for row in out.rejects]
    assert found[0] == [("value_error", MASK)]
    assert found[1] == [("value_error", MASK)]
    assert found[2][0][1].startswith("Input should be a valid integer")
    assert found[3] == [("hook_error", MASK)]
    assert SECRET not in (tmp_path / "rejected.jsonl").read_text()


def test_secrets_are_shown_when_that_is_asked_for(tmp_path: Path) -> None:
    text = f"id,password\nx,{SECRET}\n1,{SECRET},more\n"
    out = ran(tmp_path, csv_pipe(tmp_path, text, schema_model=Login, show_secrets=True))
    assert [(row["password"], row["_text"]) for row in out.rejects] == [
        (SECRET, None),
        (None, f"1,{SECRET},more"),
    ]


def test_named_columns_are_masked_too(tmp_path: Path) -> None:
    class Plain(BaseModel):
        id: int

    def rename(row: dict[str, Any]) -> dict[str, Any]:
        return {"id": row["id"], "password": row["pw"]}

    pipe = csv_pipe(
        tmp_path,
        f"id,pw\nx,{SECRET}\n",
        schema_model=Plain,
        pre_validation_hooks=[rename],
        secret_columns=["pw"],
    )
    (reject,) = ran(tmp_path, pipe).rejects
    assert (reject["id"], reject["pw"]) == ("x", MASK)
    with pytest.raises(DeclarationError, match="secret_columns"):
        Pipe(pipe.input_adapter, pipe.output_adapter, secret_columns="pw")


def test_rows_that_hooks_added_show_no_secret(tmp_path: Path) -> None:
    from zoopipe import BaseHook

    class Add(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            return [*entries, {"raw_data": {"id": "x", "password": SECRET}}]

    pipe = csv_pipe(
        tmp_path, f"id,password\n1,{SECRET}\n", schema_model=Login, pre_validation_hooks=[Add()]
    )
    (reject,) = ran(tmp_path, pipe).rejects
    assert (reject["_row"], reject["_text"]) == (None, MASK)


class Scores(BaseModel):
    model_config = {"extra": "forbid"}
    id: int
    scores: dict[str, int] = {}
    inner: Inner | None = None


def test_keys_of_rows_are_in_no_reason_of_a_report(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = [{"id": 1, "scores": {SECRET: "x"}}, {"id": "x", SECRET: 1}, {"id": 1, "scores": [1]}]
    pipe = json_pipe(tmp_path, "\n".join(map(json.dumps, records)), schema_model=Scores)
    pipe.error_output_adapter = None
    report = pipe.run()
    assert dict(report.error_summary) == {
        "scores.*: int_parsing": 1,
        "id: int_parsing": 1,
        "*: extra_forbidden": 1,
        "scores: dict_type": 1,
    }
    assert SECRET not in caplog.text + str(report)
    assert "rejected row 1 of" in caplog.text


def test_rejects_of_several_shards_are_masked_alike(tmp_path: Path) -> None:
    text = "id,password\n" + f"x,{SECRET}\n" * 500
    pipe = csv_pipe(tmp_path, text, schema_model=Login)
    manager = PipeManager.parallelize_pipe(pipe, 2)
    manager.start()
    wait_until(lambda: manager.report.is_finished, 30)
    assert manager.report.error_count == 500
    assert SECRET not in (tmp_path / "rejected.jsonl").read_text()
