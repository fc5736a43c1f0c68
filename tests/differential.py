"""Column plans against pydantic: a comparison of everything that a plan gives."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from cells import Row
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from zoopipe.adapters.csv import CSVOutputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.validation import Accepted, compile_plan


def text_batch(rows: Sequence[Row], names: Sequence[str]) -> pa.RecordBatch:
    """The rows as a reader gives them: columns of text."""
    columns = [pa.array([row[name] for row in rows], pa.string()) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def cell(value: Any) -> str:
    """The CSV cell of a JSON-mode value, by the definition in DESIGN.md."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value, inf_nan_mode="constants").decode()


def check_plan(
    model: type[BaseModel], rows: Sequence[Row], names: Sequence[str], full: bool = True
) -> Accepted:
    """Fails where a plan's answers for text rows are not those of a pydantic loop.

    Compared are the JSON lines and the errors, and in `full` the CSV cells and the Python values with
    their types too.
    """
    kept, refused = [], []
    for position, row in enumerate(rows):
        try:
            instance = model.model_validate(row)
            line = instance.model_dump_json()
        except ValidationError as error:
            refused.append((position, _errors(error)))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            refused.append((position, [{"loc": [], "type": "validator_error", "msg": message}]))
        else:
            dumps = (instance.model_dump(mode="json"), instance.model_dump()) if full else ()
            kept.append((position, line, *dumps))

    batch = text_batch(rows, names)
    accepted = compile_plan(model).columns(batch)
    assert sorted(accepted.refused, key=lambda item: item[0]) == refused
    assert _positions(accepted, len(rows)) == [item[0] for item in kept]
    assert _json_lines(accepted) == [item[1] for item in kept]

    if full:
        _check_cells_and_values(model, rows, batch, kept, refused)
    return accepted


def _check_cells_and_values(
    model: type[BaseModel],
    rows: Sequence[Row],
    batch: pa.RecordBatch,
    kept: Sequence[Any],
    refused: Sequence[Any],
) -> None:
    constants = compile_plan(model, "constants").columns(batch)
    assert sorted(constants.refused, key=lambda item: item[0]) == refused
    if all(isinstance(item[2], dict) for item in kept):
        columns = list(dict.fromkeys(name for item in kept for name in item[2])) or ["none"]
        expected = [[cell(item[2].get(name)) for name in columns] for item in kept]
        assert _csv_rows(constants, columns) == expected

    as_rows = compile_plan(model).rows([dict(row) for row in rows], batch)
    assert sorted(as_rows.refused, key=lambda item: item[0]) == refused
    assert _positions(as_rows, len(rows)) == [item[0] for item in kept]
    # The repr tells 1 from True and from 1.0, and nan is like itself.
    assert list(map(repr, as_rows.values)) == [repr(item[3]) for item in kept]
    assert [_types(value) for value in as_rows.values] == [_types(item[3]) for item in kept]


def _errors(error: ValidationError) -> list[dict[str, Any]]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in found]


def _positions(accepted: Accepted, rows: int) -> list[int]:
    return list(range(rows)) if accepted.kept is None else list(accepted.kept)


def _json_lines(accepted: Accepted) -> list[str]:
    encoded = JSONOutputAdapter("unused.jsonl").encoder(None)(accepted.batch)
    data = b"".join(map(bytes, encoded.payload)).decode()
    assert data == "" or data.endswith("\n")
    lines = data.split("\n")[:-1]
    assert len(lines) == encoded.rows
    return lines


def _csv_rows(accepted: Accepted, columns: list[str]) -> list[list[str]]:
    encoded = CSVOutputAdapter("unused.csv", fieldnames=columns).encoder(None)(accepted.batch)
    assert not encoded.refused
    data = b"".join(map(bytes, encoded.payload)).decode()
    return list(csv.reader(io.StringIO(data, newline="")))


def _types(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: type(item) for name, item in value.items()}
    return type(value)
