"""Sets in JSON: the same bytes in every process, whatever order Python's sets have there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from zoopipe.validation.sets import holds_sets, with_sorted_sets

MODELS = """
from pydantic import BaseModel, model_validator

class Inner(BaseModel):
    names: frozenset[str]

class Fields(BaseModel):
    id: int
    words: set[str]
    inner: Inner
    by_name: dict[str, list[set[str]]] = {}
    maybe: set[str] | None = None
    numbers: set[int] = set()

class Whole(Fields):
    @model_validator(mode="after")
    def seen(self):
        return self
"""
JOB = """
import sys
from models import *
from zoopipe import FunctionHook, JSONInputAdapter, JSONOutputAdapter, Pipe
hooks = [lambda row: row] if sys.argv[2] == "hooked" else []
pipe = Pipe(
    JSONInputAdapter("in.jsonl"), JSONOutputAdapter("out.jsonl"),
    schema_model=globals()[sys.argv[1]], post_validation_hooks=hooks,
)
pipe.run()
"""
WORDS = ["b", "a", "ü", "d d", "c", "10", "9"]


def expected(row):
    """What JSON has to say, by hand."""

    def in_order(words):
        return sorted(set(words), key=json.dumps)

    return {
        "id": row["id"],
        "words": in_order(row["words"]),
        "inner": {"names": in_order(row["inner"]["names"])},
        "by_name": {key: list(map(in_order, sets)) for key, sets in row["by_name"].items()},
        "maybe": None if row["maybe"] is None else in_order(row["maybe"]),
        "numbers": sorted(set(row["numbers"]), key=json.dumps),
    }


@pytest.mark.parametrize("model", ["Fields", "Whole"])
@pytest.mark.parametrize("hooked", ["plain", "hooked"])
def test_bytes_are_the_same_whatever_order_sets_have(
    tmp_path: Path, model: str, hooked: str
) -> None:
    rows = [
        {
            "id": number,
            "words": WORDS[: number % 8],
            "inner": {"names": WORDS[number % 3 :]},
            "by_name": {"one": [WORDS[:3], []], "two": []},
            "maybe": None if number % 2 else WORDS,
            "numbers": [30, 4, 100, number],
        }
        for number in range(20)
    ]
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = set()
    for seed in ("1", "2", "3"):
        subprocess.run(
            [sys.executable, "-c", JOB, model, hooked],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            timeout=100,
        )
        found.add((tmp_path / "out.jsonl").read_bytes())
    (data,) = found
    if hooked == "plain":
        assert [json.loads(line) for line in data.split(b"\n") if line] == list(map(expected, rows))


def test_what_a_serializer_gave_another_shape_is_left_as_it_is() -> None:
    assert with_sorted_sets(["b", "a"], {"a", "b"}) == ["a", "b"]
    assert with_sorted_sets(["b", "a"], ["b", "a"]) == ["b", "a"]
    assert with_sorted_sets("b,a", {"a", "b"}) == "b,a"
    assert with_sorted_sets(["b"], {"a", "b"}) == ["b"]
    assert with_sorted_sets({"x": ["b", "a"]}, {"y": {"a", "b"}}) == {"x": ["a", "b"]}


def test_models_without_sets_are_told_apart() -> None:
    class Plain(BaseModel):
        words: list[str]

    class Deep(BaseModel):
        words: list[dict[str, frozenset[int]]]

    assert not holds_sets(Plain.__pydantic_core_schema__)
    assert holds_sets(Deep.__pydantic_core_schema__)
