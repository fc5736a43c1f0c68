"""Random models and hostile rows: a plan's answers are a pydantic loop's, to the byte."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Optional

import pytest
from differential import check_plan, random_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model
from row_models import ROW_MODELS

from zoopipe.validation import compile_plan

TYPES: dict[str, type] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
}
DEFAULTS: dict[str, list[Any]] = {
    "str": ["", "x", 'q"uo\\te\n', None],
    "int": [0, -7, 10**30, None, True, 1.5],
    "float": [0.0, -0.0, 1e16, 1e-7, 0.1, None, 3, float("inf")],
    "bool": [True, False, None, 1],
    "date": [date(2024, 2, 29), None, "2024-01-01"],
    "datetime": [datetime(2024, 2, 29, 1, 2, 3), None],
}
BATCHES = st.builds(
    lambda rows, hostile, null, seed: {
        "count": rows,
        "hostile_share": hostile,
        "null_share": null,
        "seed": seed,
    },
    rows=st.sampled_from([1, 2, 3, 10, 63, 64, 65, 300, 1000, 2000]),
    hostile=st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.1, 0.5, 1.0]),
    null=st.sampled_from([0.0, 0.0, 0.02, 0.3]),
    seed=st.integers(0, 2**32),
)


def repeatable(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@st.composite
def columnar_models(draw: st.DrawFn) -> tuple[type[BaseModel], dict[str, str], list[str]]:
    """A model, the type of each input column's cells, and the columns that the input has."""
    fields: dict[str, Any] = {}
    kinds: dict[str, str] = {}
    present: list[str] = []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(sorted(TYPES)))
        annotation: Any = TYPES[kind]
        if draw(st.booleans()):
            annotation = Optional[annotation]  # noqa: UP045
        name, source, options = f"f{number}", f"f{number}", {}
        alias = draw(st.sampled_from([None, None, "alias", "validation_alias"]))
        if alias is not None:
            source = f"Col {number}"
            options[alias] = source
        has_default = draw(st.booleans())
        if has_default:
            options["default"] = draw(st.sampled_from(DEFAULTS[kind]))
        fields[name] = (annotation, Field(**options))
        if not has_default or draw(st.booleans()):
            present.append(source)
        kinds[source] = kind
    # A batch without any column would have no rows.
    if not present or draw(st.booleans()):
        kinds["extra"] = "str"
        present.append("extra")
    return create_model("Random", **fields), kinds, draw(st.permutations(present))


@repeatable(400)
@given(columnar_models(), BATCHES)
def test_plan_equals_pydantic_when_models_are_random(
    made: tuple[type[BaseModel], dict[str, str], list[str]], batch: dict[str, Any]
) -> None:
    model, kinds, names = made
    rows = [{name: row[name] for name in names} for row in random_rows(kinds, **batch)]
    check_plan(model, rows, names)


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("kind", sorted(TYPES))
@repeatable(15)
@given(BATCHES)
def test_plan_proves_valid_rows_when_a_field_is_alone(
    kind: str, optional: bool, batch: dict[str, Any]
) -> None:
    annotation: Any = Optional[TYPES[kind]] if optional else TYPES[kind]  # noqa: UP045
    model = create_model("Single", value=(annotation, ...))
    assert compile_plan(model).columnar
    check_plan(model, random_rows({"value": kind}, **batch), ["value"])


@pytest.mark.parametrize("name", sorted(ROW_MODELS))
@repeatable(12)
@given(batch=BATCHES)
def test_plan_equals_pydantic_when_rows_are_validated_whole(
    name: str, batch: dict[str, Any]
) -> None:
    model, kinds = ROW_MODELS[name]
    rows = random_rows(kinds, **{**batch, "count": min(batch["count"], 300)})
    check_plan(model, rows, list(kinds))
