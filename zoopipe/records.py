"""Whole records as Python's `json` reads them, where they are JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, NoReturn

from zoopipe.reasons import Reason

#: Lists and objects within each other. Python's parser ends somewhere below 1,000, depending on how deep the
#: call is; pydantic's at 255. A limit that is below both gives the same answer everywhere.
MAX_DEPTH = 200

# A string, also one that does not end, or what is neither that nor a bracket.
_BETWEEN_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[^"\[\]{}]++', re.DOTALL)
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


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

    Each is what `json.loads` gives, but for what is no JSON (`NaN`, `Infinity` and `-Infinity`), and for
    nesting beyond `MAX_DEPTH`.

    Args:
        texts: the records.
        rows: what each is called; by default its number.
    """
    parsed = Parsed()
    for row, text in zip(range(len(texts)) if rows is None else rows, texts, strict=True):
        try:
            if is_too_deep(text):
                raise _Refused(
                    f"lists and objects are more than {MAX_DEPTH} deep within each other"
                )
            parsed.values.append(_DECODER.decode(text))
        except ValueError as error:
            parsed.unparsed.append((row, [_reason(error)]))
        else:
            parsed.rows.append(row)
    return parsed


def is_too_deep(text: str) -> bool:
    """Whether a text's brackets are more than `MAX_DEPTH` deep within each other."""
    if len(text) <= MAX_DEPTH or text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    brackets = _BETWEEN_BRACKETS.sub("", text)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_DEPTH


class _Refused(ValueError):
    """What Python's parser takes, and we do not."""


def _refuse(constant: str) -> NoReturn:
    raise _Refused(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def _reason(error: ValueError) -> Reason:
    if isinstance(error, json.JSONDecodeError):
        message = f"{error.msg} at character {error.pos}"
    elif isinstance(error, _Refused):
        message = str(error)
    else:
        message = f"an integer has more than {sys.get_int_max_str_digits():,} digits"
    return {"loc": [], "type": "json_invalid", "msg": message}
