"""Adapters that are picked by the name of a file, a URL or a table."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from zoopipe import (
    CSVInputAdapter,
    CSVOutputAdapter,
    DeclarationError,
    Format,
    JSONInputAdapter,
    JSONOutputAdapter,
    MissingExtraError,
    adapter_for,
)
from zoopipe.adapters import formats as module


@pytest.fixture(autouse=True)
def fresh_table():
    """What one test has registered no other knows."""
    module.formats.cache_clear()
    yield
    module.formats.cache_clear()


@pytest.mark.parametrize(
    ("target", "role", "kind"),
    [
        ("in.csv", "input", CSVInputAdapter),
        ("IN.CSV", "input", CSVInputAdapter),
        ("in/*.csv", "input", CSVInputAdapter),
        ("in.csv.gz", "input", CSVInputAdapter),
        ("out.csv", "output", CSVOutputAdapter),
        ("a.b.jsonl", "input", JSONInputAdapter),
        ("rows.ndjson.zst", "input", JSONInputAdapter),
        (Path("folder.csv") / "rows.json", "output", JSONOutputAdapter),
    ],
)
def test_adapter_is_that_of_the_extension(target, role, kind):
    assert type(adapter_for(target, role)) is kind


def test_tabs_are_the_delimiter_of_tsv(tmp_path):
    (tmp_path / "in.tsv").write_text("a\tb\n1,2\t3\n")
    plan = adapter_for(tmp_path / "in.tsv").plan(1)
    assert plan.columns == ("a", "b")
    assert adapter_for(tmp_path / "in.tsv", options={"delimiter": ","}).plan(1).columns == ("a\tb",)


def test_options_are_handed_on(tmp_path):
    (tmp_path / "in.csv").write_text("1\n2\n")
    adapter = adapter_for(tmp_path / "in.csv", options={"fieldnames": ["id"], "limit": 1})
    assert adapter.plan(1).columns == ("id",)


def test_named_format_goes_before_the_extension(tmp_path):
    assert type(adapter_for("rows.txt", format="csv")) is CSVInputAdapter
    assert type(adapter_for("rows.csv", format="json")) is JSONInputAdapter


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("rows.txt",), r"rows\.txt does not say which format .*\.csv.*name the format"),
        (("rows",), "does not say which format"),
        (("rows.gz",), "does not say which format"),
        (("rows.csv", "sideways"), "role must be 'input' or 'output'"),
        (("rows.csv", "input", "nonsense"), r"no format 'nonsense'; known: arrow, csv"),
        (
            ("rows.csv", "input", None, {"delimitre": ";"}),
            r"CSVInputAdapter does not take.*delimitre",
        ),
        (("data.duckdb",), r"names no table: write data\.duckdb#table"),
        (("postgresql://host/shop",), "names no table"),
    ],
)
def test_what_is_not_known_is_said(arguments, sentence):
    with pytest.raises(DeclarationError, match=sentence):
        adapter_for(*arguments)


class Toy(CSVInputAdapter):
    """A format of somebody else."""

    def __init__(self, source: str, table_name: str = "") -> None:
        super().__init__(source)
        self.table_name = table_name


def registered(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    """Makes something the entry point `name` of the group."""
    entry = EntryPoint(name, "somewhere:thing", module.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: value)
    monkeypatch.setattr(module, "entry_points", lambda group: [entry])


def test_formats_of_others_are_found(monkeypatch):
    toy = Format("toy", f"{__name__}:Toy", None, extensions=(".toy",), has_tables=True)
    registered(monkeypatch, "toy", toy)
    adapter = adapter_for("in.toy#users")
    assert (type(adapter).__name__, adapter.table_name) == ("Toy", "users")
    with pytest.raises(DeclarationError, match=r"toy cannot be written: in\.toy"):
        adapter_for("in.toy#users", "output")


def test_formats_of_others_go_before_ours(monkeypatch):
    registered(monkeypatch, "mine", Format("mine", f"{__name__}:Toy", None, extensions=(".csv",)))
    assert type(adapter_for("in.csv")).__name__ == "Toy"
    assert type(adapter_for("out.csv", "output", "csv")) is CSVOutputAdapter


def test_what_is_no_format_is_refused(monkeypatch):
    registered(monkeypatch, "odd", 3)
    with pytest.raises(DeclarationError, match="'odd' is no Format"):
        adapter_for("in.csv")


def test_missing_extra_is_named(monkeypatch):
    absent = Format("absent", "no_such_package:X", None, extensions=(".absent",), extra="absent")
    registered(monkeypatch, "absent", absent)
    with pytest.raises(
        MissingExtraError, match=r"no_such_package: pip install 'zoopipe\[absent\]'"
    ):
        adapter_for("in.absent")
