"""Any format to any other: every type, in order, whole or in shards, with rejects, or with no row at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conformance.formats import INPUTS, OUTPUTS, POSTGRES_URI, FormatCase, PostgresCase, Rows
from oracle import json_lines
from pydantic import BaseModel, ValidationError

from zoopipe import JSONOutputAdapter, Pipe, PipeManager
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing import staged
from zoopipe.testing.everything import Everything, Flat, everything

PAIRS = [
    pytest.param(source, target, id=f"{source} to {target}")
    for source in INPUTS
    for target in OUTPUTS
]
# Of rows of Python nobody knows the columns before they are read.
PAIRS_WITHOUT_MODEL = [pair for pair in PAIRS if pair.values[0].knows_columns]


@pytest.fixture(autouse=True)
def servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of the formats of a test."""
    if any(isinstance(case, PostgresCase) for case in request.node.callspec.params.values()):
        monkeypatch.setenv(POSTGRES_URI, request.getfixturevalue("postgres_server").uri())


def common_model(*cases: FormatCase) -> type[BaseModel]:
    """What all of some formats can hold."""
    return Flat if any(case.model is Flat for case in cases) else Everything


def validated(model: type[BaseModel], rows: Sequence[Any]) -> tuple[list[BaseModel], list[int]]:
    """The instances of the rows that pass, and the numbers of the others."""
    accepted, refused = [], []
    for number, row in enumerate(rows, 1):
        try:
            accepted.append(model.model_validate(row))
        except ValidationError:
            refused.append(number)
    return accepted, refused


def run(pipe: Pipe, shards: int) -> None:
    PipeManager.parallelize_pipe(pipe, 1, engine=InlineEngine(), shards=shards).run()


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_every_type_comes_through(tmp_path, source, target):
    model, rows = common_model(source, target), everything()
    accepted, refused = validated(model, rows)
    assert accepted and refused
    given = source.target(tmp_path, "in")
    source.write(given, rows, list(model.model_fields))
    for shards in (1, 3):
        made = target.target(tmp_path, f"out{shards}")
        errors = JSONOutputAdapter(tmp_path / f"bad{shards}.jsonl")
        run(Pipe(source.input(given), target.output(made), errors, model), shards)
        found = target.read(made)
        assert [list(row) for row in found] == [list(model.model_fields)] * len(accepted)
        assert validated(model, found) == (accepted, [])
        rejects = json_lines(tmp_path / f"bad{shards}.jsonl")
        assert [reject["_row"] for reject in rejects] == refused
        assert {reject["_errors"][0]["type"] for reject in rejects} == {"greater_than_equal"}
    assert staged(tmp_path) == []


@pytest.mark.parametrize(("source", "target"), PAIRS_WITHOUT_MODEL)
def test_rows_come_through_without_a_model(tmp_path, source, target):
    model, rows = common_model(source, target), everything(bad=0)
    given, made = source.target(tmp_path, "in"), target.target(tmp_path, "out")
    source.write(given, rows, list(model.model_fields))
    run(Pipe(source.input(given), target.output(made)), 3)
    assert validated(model, parsed(target.read(made))) == validated(model, rows)


def parsed(rows: Rows) -> Rows:
    """Rows with the JSON text of lists and objects, which a format may have none of, as what it stands
    for."""

    def value(cell: Any) -> Any:
        is_json = isinstance(cell, str) and cell[:1] in ("[", "{")
        return json.loads(cell) if is_json else cell

    return [{name: value(cell) for name, cell in row.items()} for row in rows]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_result_without_rows_is_whole(tmp_path, source, target):
    model = common_model(source, target)
    given, made = source.target(tmp_path, "in"), target.target(tmp_path, "out")
    source.write(given, [], list(model.model_fields))
    run(Pipe(source.input(given), target.output(made), schema_model=model), 3)
    assert target.read(made) == []


@pytest.mark.parametrize("target", [case for case in OUTPUTS if case.takes_rejects], ids=str)
def test_rejects_are_written_in_every_format(tmp_path, target):
    rows = everything()
    _, refused = validated(Flat, rows)
    source = next(case for case in INPUTS if case.name == "csv")
    source.write(given := source.target(tmp_path, "in"), rows, list(Flat.model_fields))
    bad = target.target(tmp_path, "bad")
    pipe = Pipe(
        source.input(given), JSONOutputAdapter(tmp_path / "o.jsonl"), target.output(bad), Flat
    )
    run(pipe, 3)
    found = target.read(bad)
    assert [int(row["_row"]) for row in found] == refused
    assert [int(row["id"]) for row in found] == [rows[number - 1]["id"] for number in refused]
    assert {row["_stage"] for row in found} == {"validate"}


@pytest.mark.parametrize("target", OUTPUTS, ids=str)
def test_wide_rows_come_through(tmp_path: Path, target: FormatCase) -> None:
    names = [f"column {number}" for number in range(400)]
    rows: Rows = [{name: f"{name} of {row}" for name in names} for row in range(20)]
    source = next(case for case in INPUTS if case.name == "csv")
    assert source.write is not None and target.read is not None
    source.write(given := source.target(tmp_path, "in"), rows, names)
    made = target.target(tmp_path, "out")
    run(Pipe(source.input(given), target.output(made)), 3)
    assert target.read(made) == rows
