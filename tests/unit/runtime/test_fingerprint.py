"""The fingerprint of a plan: the same for the same job in every process, another for another job."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pyarrow
import pydantic
import pytest
from local_runs import write_items

from zoopipe.runtime.fingerprint import differences

JOB = """
import functools, re, sys
from decimal import Decimal
from typing import Annotated, Literal
from pydantic import BaseModel, Field, field_validator
from zoopipe import *

FACTOR = 3
NAMES = {"a", "b", "c", "d", "e"}

def scaled(value):
    return value * FACTOR

class Inner(BaseModel):
    price: Decimal = Decimal("1.5")

class Item(BaseModel):
    id: int
    name: Annotated[str, Field(max_length=50)]
    kind: Literal["x", "y"] = "x"
    inner: list[Inner] = []

    @field_validator("name")
    @classmethod
    def check(cls, value):
        return value if value not in NAMES else value.upper()

class Hook(BaseHook):
    size = 5
    def __init__(self, limit):
        super().__init__()
        self.limit = limit
    def execute(self, entries, store):
        return [entry for entry in entries if self.limit]

def clean(row, suffix="!"):
    pattern = re.compile("[a-z]+")
    return {**row, "name": pattern.sub(row["name"], suffix), "id": scaled(1)}

lookup = {"one": 1}
pipe = Pipe(
    CSVInputAdapter(sys.argv[1], encoding="utf-8"),
    JSONOutputAdapter("out.jsonl"),
    schema_model=Item,
    pre_validation_hooks=[Hook(3), clean],
    post_validation_hooks=[functools.partial(clean, suffix="?"), lambda row: lookup and row],
)

from zoopipe.runtime.fingerprint import fingerprint
plan = pipe.input_adapter.plan(3)
import json; print(json.dumps(fingerprint(pipe, plan, True)))
"""

HASHES = iter(range(1, 1000))


def fingerprint_of(folder, text=JOB):
    """What a process of its own says, with text hashed in an order of its own."""
    source = folder / "in.csv"
    if not source.exists():
        write_items(source, 100)
    (folder / "job.py").write_text(textwrap.dedent(text))
    ended = subprocess.run(
        [sys.executable, folder / "job.py", source],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONHASHSEED": str(next(HASHES))},
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("job")


@pytest.fixture(scope="module")
def first(folder):
    return fingerprint_of(folder)


def test_same_job_has_the_same_fingerprint_in_every_process(folder, first):
    assert fingerprint_of(folder) == first


def test_what_does_nothing_changes_nothing(folder, first):
    text = JOB.replace("FACTOR = 3", "# As many as there are.\n\nFACTOR = 3\nUNUSED = 9")
    assert fingerprint_of(folder, text) == first


CHANGES = {
    "a global of a function that a hook calls": ("FACTOR = 3", "FACTOR = 4", "hooks"),
    "the code of a function that a hook calls": ("value * FACTOR", "value + FACTOR", "hooks"),
    "a constant in a hook": ('"[a-z]+"', '"[a-z]*"', "hooks"),
    "a default of a hook": ('suffix="!"', 'suffix="."', "hooks"),
    "an attribute of a hook": ("Hook(3)", "Hook(4)", "hooks before validation"),
    "an attribute of a hook's class": ("size = 5", "size = 6", "hooks before validation"),
    "the code of a hook's class": ("if self.limit", "if not self.limit", "hooks before validation"),
    "what a partial is given": ('suffix="?"', 'suffix="??"', "hooks after validation"),
    "what a lambda names": ('{"one": 1}', '{"one": 2}', "hooks after validation"),
    "the order of hooks": ("[Hook(3), clean]", "[clean, Hook(3)]", "hooks before validation"),
    "a field's type": ("id: int", "id: float", "the model"),
    "a field's default": ('= "x"', '= "y"', "the model"),
    "a constraint": ("max_length=50", "max_length=51", "the model"),
    "a model within the model": ('Decimal("1.5")', 'Decimal("2.5")', "the model"),
    "the code of a validator": ("value.upper()", "value.lower()", "the model"),
    "what a validator names": ('"d", "e"}', '"d", "f"}', "the model"),
    "an option of the input": ('"utf-8"', '"latin-1"', "the input's options"),
    "the output": ("JSONOutputAdapter", "CSVOutputAdapter", "the output"),
}


@pytest.mark.parametrize(("old", "new", "part"), CHANGES.values(), ids=CHANGES)
def test_change_of_the_job_is_seen(folder, first, old, new, part):
    assert old in JOB
    found = fingerprint_of(folder, JOB.replace(old, new))
    differ = [name for name in first if found[name] != first[name]]
    assert differ
    assert all(part in name for name in differ)


def test_code_of_a_module_that_is_called_as_ours_begins_is_seen(tmp_path):
    text = JOB.replace("def clean(row", "from zoopipe_job import scaled\n\ndef clean(row")
    found = []
    for factor in (2, 3):
        module = f"def scaled(value):\n    return value * {factor}\n"
        (tmp_path / "zoopipe_job.py").write_text(module)
        found.append(fingerprint_of(tmp_path, text))
    differ = [name for name in found[0] if found[0][name] != found[1][name]]
    assert differ == ["the hooks before validation", "the hooks after validation"]


def test_input_is_known_by_size_and_time(folder, first):
    size = (folder / "in.csv").stat().st_size
    (text,) = (text for name, text in first.items() if "in.csv" in name)
    assert text.startswith(f"{size} bytes, mtime ")


def test_versions_are_compared(first):
    assert first["pydantic"] == pydantic.VERSION
    assert first["pyarrow"] == pyarrow.__version__


def test_differences_say_what_was_and_what_is_but_show_no_digest():
    before = {"a": "1", "b": "2", "the model": "0123456789abcdef", "gone": "x"}
    now = {"a": "1", "b": "3", "the model": "0123456789abcdee", "more": "x"}
    assert differences(before, now) == [
        "b (2, now 3)",
        "the model",
        "gone (gone)",
        "more (new)",
    ]
    assert differences(now, now) == []
