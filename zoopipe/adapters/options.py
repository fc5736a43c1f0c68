"""Checks of what users say of a format, made when an adapter is made; and of a file's header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from zoopipe.checks import check_whole
from zoopipe.errors import DeclarationError, InputError
from zoopipe.storage.files import encodes


def check_names(names: Sequence[str], option: str) -> tuple[str, ...]:
    """Column names that a user gave: strings, at least one, none twice."""
    check_texts(names, option)
    if not names:
        raise DeclarationError(f"{option} must name at least one column")
    twice = repeated(names)
    if twice:
        raise DeclarationError(f"{option} names {', '.join(map(repr, twice))} twice")
    return tuple(names)


def check_texts(values: Sequence[str], option: str) -> None:
    """An option that is a list of strings, of such as can be written."""
    if (
        isinstance(values, str)
        or not isinstance(values, Collection)
        or not all(isinstance(value, str) and encodes(value) for value in values)
    ):
        raise DeclarationError(f"{option} must be a list of strings, not {values!r}")


def repeated(names: Sequence[str]) -> list[str]:
    """The names that are there more than once."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def check_header(names: Sequence[str], path: str, most: int) -> tuple[str, ...]:
    """Column names that a file gave, at most so many."""
    if len(names) > most:
        raise InputError(
            f"the header of {path} has {len(names):,} columns, and max_columns is {most:,}"
        )
    if not all(map(encodes, names)):
        raise InputError(f"the header of {path} does not decode: give encoding=")
    blank = [number for number, name in enumerate(names, 1) if not name]
    if blank:
        raise InputError(
            f"the header of {path} has no name for column {blank[0]}: give fieldnames= and skip_rows=1"
        )
    twice = repeated(names)
    if twice:
        raise InputError(
            f"the header of {path} names {', '.join(map(repr, twice))} twice: "
            "give fieldnames= and skip_rows=1"
        )
    return tuple(names)


def check_counts(**counts: int | None) -> None:
    """Options that count something: whole numbers from 0, or None."""
    for name, value in counts.items():
        if value is not None:
            check_whole(name, value, 0)
