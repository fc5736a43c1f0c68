"""Rows as Python dicts: made of columns of values, and written as JSON, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

Row = dict[str, Any]


def zip_rows(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[Row]:
    """The rows of columns of Python values; of columns with one name the last counts, as in `dict`.

    Args:
        names: the columns' names.
        columns: at least one, all of one length.
    """
    return _row_maker(tuple(names))(zip(*columns, strict=True))


@lru_cache(maxsize=64)
def _row_maker(names: tuple[str, ...]) -> Callable[[Iterable[tuple[Any, ...]]], list[Row]]:
    """A function from tuples of values to dicts with these keys, compiled for them.

    A dict display of known keys takes a third of what `dict(zip(names, values))` does.
    """
    # The repr of a str is a literal of exactly that str, so that a name cannot be read as code.
    values = [f"v{position}" for position in range(len(names))]
    members = ",".join(f"{name!r}:{value}" for name, value in zip(names, values, strict=True))
    source = f"lambda tuples: [{{{members}}} for {','.join(values)}, in tuples]"
    made: Callable[[Iterable[tuple[Any, ...]]], list[Row]] = eval(source, {"__builtins__": {}})
    return made


def columns_of(rows: Sequence[Any]) -> dict[Any, list[Any]] | None:
    """The values of each key; None where not all rows are dicts with the same keys in one order."""
    if set(map(type, rows)) != {dict}:
        return None
    names = tuple(rows[0])
    if set(map(tuple, rows)) != {names}:
        return None
    return {name: [row[name] for row in rows] for name in names}
