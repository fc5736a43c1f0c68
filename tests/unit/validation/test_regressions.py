"""Cells for which a kernel, or a plan, once gave another answer than pydantic."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from proofs import compare, model_of
from pydantic import HttpUrl


class Forgiving(enum.Enum):
    A = "a"
    ONE = 1

    @classmethod
    def _missing_(cls, value: object) -> Forgiving:
        return cls.ONE


class Rate(float, enum.Enum):
    HALF = 0.5
    TWO = 2.0


# Each row: a type, and the cells. New ones are put at the end, with what went wrong.
FOUND: list[Any] = [
    # The enum's _missing_ gave a number for text, in a column of strings.
    pytest.param(Forgiving, ["a", "b", None], id="enum-with-missing"),
    # The host keeps its quote, which JSON escapes.
    pytest.param(HttpUrl, ['http://a"b/', "http://a/"], id="url-with-a-quote-in-its-host"),
    # An enum of floats takes whole numbers too.
    pytest.param(Rate | int, ["2", "0.5", "3"], id="whole-number-for-an-enum-of-floats"),
]


@pytest.mark.parametrize(("annotation", "cells"), FOUND)
def test_plan_equals_pydantic_where_it_once_did_not(
    annotation: Any, cells: list[str | None]
) -> None:
    compare(model_of(annotation), cells)
