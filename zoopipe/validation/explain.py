"""How each field of a model is checked, and why, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from zoopipe.validation.schema import Reading


@dataclass(frozen=True, slots=True)
class FieldExplanation:
    """How a field is checked, and why: by kernels in `columns`, by pydantic over `its column` alone or
    over several columns `with` others, or by pydantic in `whole rows`."""

    name: str
    how: str
    why: str


def explanations(reading: Reading, names: Iterable[str]) -> list[FieldExplanation]:
    """How each of a model's fields, by its name, is checked.

    Args:
        reading: what was read of the model.
        names: its fields.
    """
    obstacles = reading.obstacles
    if not obstacles:
        return [_explained(reading, place) for place in range(len(reading.fields))]
    found = []
    for name in names:
        own, model_wide = obstacles.get(name), obstacles.get("")
        why = own or (f"the model: {model_wide}" if model_wide else None)
        why = why or f"another field: {', '.join(obstacles)}"
        found.append(FieldExplanation(name, "whole rows", why))
    return found


def _explained(reading: Reading, place: int) -> FieldExplanation:
    fields = reading.fields
    plan = fields[place]
    group = next((group for group in reading.groups if place in group), frozenset())
    if len(group) > 1:
        others = ", ".join(fields[other].name for other in sorted(group - {place}))
        why = "validators that share a function, or may look at other fields"
        return FieldExplanation(plan.name, f"with {others}", why)
    if plan.kernel is None or group:
        return FieldExplanation(plan.name, "its column", plan.why)
    return FieldExplanation(plan.name, "columns", "proved, else deferred to pydantic")


def table(found: Iterable[FieldExplanation]) -> str:
    """The explanations, a line each."""
    rows = [("field", "checked in", "why"), *((one.name, one.how, one.why) for one in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
