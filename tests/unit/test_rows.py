"""Rows made of columns are the dicts that `dict(zip(...))` makes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoopipe.rows import columns_of, zip_rows

QUICK = settings(max_examples=60, deadline=None, derandomize=True)


@QUICK
@given(st.lists(st.text(), min_size=1), st.integers(0, 3))
def test_rows_are_those_of_dict_and_zip_when_names_are_any(names: list[str], length: int) -> None:
    columns = [[(name, row) for row in range(length)] for name in names]
    expected = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    found = zip_rows(names, columns)
    assert found == expected
    assert [list(row) for row in found] == [list(row) for row in expected]


@pytest.mark.parametrize(
    "name", ["'", '"""', "\\", "\n", "a':v0}for v0 in[1]]#", "{v0}", "\ud800", "\x00", "v1"]
)
def test_name_is_a_key_and_no_code_when_it_looks_like_code(name: str) -> None:
    assert zip_rows([name, "b"], [[1], [2]]) == [{name: 1, "b": 2}]


def test_row_has_thousands_of_keys_when_there_are_thousands_of_columns() -> None:
    names = [f"column {number}" for number in range(5000)]
    columns: list[Any] = [[number] for number in range(5000)]
    assert zip_rows(names, columns) == [dict(zip(names, range(5000), strict=True))]


def test_rows_are_refused_when_columns_are_of_different_lengths() -> None:
    with pytest.raises(ValueError, match="shorter"):
        zip_rows(["a", "b"], [[1, 2], [1]])


def test_columns_are_the_values_of_each_key_when_rows_are_alike() -> None:
    assert columns_of([{"a": 1, "b": None}, {"a": "x", "b": 2}]) == {"a": [1, "x"], "b": [None, 2]}
    assert columns_of([{}, {}]) == {}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [1, 2],
        [["a"], ["a"]],
        [{"a": 1}, {"b": 1}],
        [{"a": 1}, {"a": 1, "b": 2}],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
        [{"a": 1}, OrderedDict(a=1)],
    ],
)
def test_rows_have_no_columns_when_they_are_not_alike(rows: list[Any]) -> None:
    assert columns_of(rows) is None
