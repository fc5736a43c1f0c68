"""Whole records as Python's `json` reads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zoopipe.reasons import Reason


@dataclass(slots=True)
class Parsed:
    """Records that were parsed.

    Attributes:
        values: what each record that is JSON stands for.
        rows: which records these are.
        unparsed: the others, each with the reason.
    """

    values: list[Any] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    unparsed: list[tuple[int, list[Reason]]] = field(default_factory=list)


def parse_records(texts: Sequence[str], rows: Sequence[int] | None = None) -> Parsed:
    """Parses records, one by one.

    Args:
        texts: the records.
        rows: what each is called; by default its number.
    """
    parsed = Parsed()
    for row, text in zip(range(len(texts)) if rows is None else rows, texts, strict=True):
        try:
            parsed.values.append(json.loads(text))
        except (ValueError, RecursionError) as error:
            parsed.unparsed.append((row, [_reason(error)]))
        else:
            parsed.rows.append(row)
    return parsed


def _reason(error: Exception) -> Reason:
    if isinstance(error, RecursionError):
        message = "nested too deeply"
    elif isinstance(error, json.JSONDecodeError):
        message = f"{error.msg} at character {error.pos}"
    else:
        # Python's own message quotes nothing of the number, only its length.
        message = str(error)
    return {"loc": [], "type": "json_invalid", "msg": message}
