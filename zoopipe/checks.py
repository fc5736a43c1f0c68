"""Checks of options, made when an object is made."""

from __future__ import annotations

from typing import TypeGuard

from zoopipe.errors import DeclarationError, InputError, OutputError


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether an option is a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_whole(name: str, value: object, least: int) -> None:
    """Refuses what is no whole number from `least`; True and False are none.

    Raises:
        DeclarationError: naming the option and what was given.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DeclarationError(f"{name} must be a whole number from {least}, not {value!r}")


def check_seconds(name: str, value: object, above: bool = False) -> None:
    """Refuses what is no number of seconds from 0, or above it.

    Raises:
        DeclarationError: naming the option and what was given.
    """
    if not is_number(value) or not value >= 0 or (above and value == 0):
        least = "above" if above else "from"
        raise DeclarationError(f"{name} must be a number of seconds {least} 0, not {value!r}")


def check_unicode(path: str, error: type[InputError | OutputError]) -> None:
    """Refuses a path that is not UTF-8: rejects and the state of a run have no text for it.

    Raises:
        InputError, OutputError: the class that was given.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise error(f"cannot use {path!r}: its name is not UTF-8; rename it") from None


def check_model(model: object) -> None:
    """Refuses what is no pydantic model class.

    Raises:
        DeclarationError: naming what was given.
    """
    # Not before a model is given: a pipe without one does not need pydantic's models.
    from pydantic import BaseModel

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise DeclarationError(f"schema_model must be a pydantic BaseModel class, not {model!r}")
