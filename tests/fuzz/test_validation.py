"""Random models and hostile rows: a plan's answers are a pydantic loop's, to the byte."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from cells import hard_rows, random_rows, uniform_rows
from differential import check_plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marathon import run
from pydantic import create_model
from random_models import TYPES, Made, columnar_models, constrained_models
from row_models import ROW_MODELS

from zoopipe.validation import compile_plan

# A default that is no value of its type is written all the same, and pydantic warns.
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")

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
SEEDS = st.integers(0, 2**32)


def repeatable(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@repeatable(300)
@given(columnar_models(), BATCHES)
def test_plan_equals_pydantic_when_models_are_random(made: Made, batch: dict[str, Any]) -> None:
    rows = random_rows({name: made.kinds[name] for name in made.names}, **batch)
    check_plan(made.model, rows, made.names)


@repeatable(600)
@given(constrained_models(), st.sampled_from([1, 5, 60, 150]), SEEDS)
def test_plan_equals_pydantic_when_fields_are_constrained(
    made: Made, count: int, seed: int
) -> None:
    rows = hard_rows({name: made.kinds[name] for name in made.names}, count, seed)
    check_plan(made.model, rows, made.names)


@repeatable(150)
@given(st.one_of(columnar_models(), constrained_models()), st.sampled_from([1, 30, 300]), SEEDS)
def test_plan_equals_pydantic_when_cells_are_alike(made: Made, count: int, seed: int) -> None:
    rows = uniform_rows({name: made.kinds[name] for name in made.names}, count, seed)
    check_plan(made.model, rows, made.names)


@pytest.mark.parametrize("optional", [False, True])
@pytest.mark.parametrize("kind", sorted(TYPES))
@repeatable(10)
@given(BATCHES)
def test_plan_proves_valid_rows_when_a_field_is_alone(
    kind: str, optional: bool, batch: dict[str, Any]
) -> None:
    annotation: Any = Optional[TYPES[kind]] if optional else TYPES[kind]  # noqa: UP045
    model = create_model("Single", value=(annotation, ...))
    assert compile_plan(model).columnar
    check_plan(model, random_rows({"value": kind}, **batch), ["value"])


@pytest.mark.parametrize("name", sorted(ROW_MODELS))
@repeatable(10)
@given(batch=BATCHES)
def test_plan_equals_pydantic_when_rows_are_validated_whole(
    name: str, batch: dict[str, Any]
) -> None:
    model, kinds = ROW_MODELS[name]
    rows = random_rows(kinds, **{**batch, "count": min(batch["count"], 300)})
    check_plan(model, rows, list(kinds))


def test_marathon_finds_no_difference_when_it_is_short() -> None:
    ran = run(rows=3000, seed=0, workers=1)
    assert ran.difference is None
    assert ran.rows >= 3000
