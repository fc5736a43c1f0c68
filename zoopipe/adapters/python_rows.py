"""Where the rows of a Python program come from: a function that is called for them, a collection that can be
gone through again, an iterator that gives each row once."""

from __future__ import annotations

import dataclasses
import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from typing import Any
from uuid import uuid4

from zoopipe.errors import DeclarationError, InputError, ZooPipeError
from zoopipe.reasons import Reason, clean_text, raised_reason
from zoopipe.rows import Row
from zoopipe.storage.files import encodes

_STAYS = (
    "an iterator cannot leave the process that made it, and gives its rows once: run the pipe with Pipe.run(), "
    "or give the adapter a function that makes the rows"
)


class RowSource:
    """What gives rows.

    Attributes:
        name: how messages and rejects name it.
        takes_shards: whether it can be asked for a part of the rows.
    """

    name: str
    takes_shards: bool = False

    @property
    def __wrapped__(self) -> object:
        """What the fingerprint of a plan shows of it: never the rows, which may be many."""
        raise NotImplementedError

    def head(self, count: int) -> list[Any]:
        """The first values, which are not lost by that; none where only a call could tell."""
        raise NotImplementedError

    def values(self, shard: int, shards: int) -> Iterator[Any]:
        """The values, of part `shard`, from 0, of `shards`."""
        raise NotImplementedError


class FunctionSource(RowSource):
    """A function that gives an iterable of rows; it is never called but to read them."""

    def __init__(self, function: Callable[..., Iterable[Any]]) -> None:
        self._function = function
        named = getattr(function, "func", function)
        self.name = f"{getattr(named, '__qualname__', type(named).__qualname__)}()"
        self.takes_shards = {"shard", "shards"} <= _parameters(function)

    @property
    def __wrapped__(self) -> object:
        return self._function

    def head(self, count: int) -> list[Any]:
        return []

    def values(self, shard: int, shards: int) -> Iterator[Any]:
        call = self._function
        try:
            made = call(shard=shard, shards=shards) if self.takes_shards else call()
        except (ZooPipeError, MemoryError):
            raise
        except Exception as error:
            raise InputError(f"{self.name} raised {_named(error)}") from error
        if not isinstance(made, Iterable) or isinstance(made, str | bytes | Mapping):
            raise InputError(
                f"{self.name} gave {type(made).__name__}, which is no iterable of rows"
            )
        return iter(made)


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        # Some builtins have no signature.
        return set()


class CollectionSource(RowSource):
    """An iterable that can be gone through again and again."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = values
        self.name = type(values).__qualname__
        # Nobody but the process that holds it knows what is in it.
        self._token = uuid4().hex

    @property
    def __wrapped__(self) -> object:
        return self._token

    def head(self, count: int) -> list[Any]:
        return taken(iter(self._values), count, self.name, 0)

    def values(self, shard: int, shards: int) -> Iterator[Any]:
        return iter(self._values)


class IteratorSource(RowSource):
    """An iterator: it gives each row once, and only where it was made."""

    def __init__(self, values: Iterator[Any]) -> None:
        self._values = values
        self.name = getattr(values, "__qualname__", type(values).__qualname__)
        self._process = os.getpid()
        self._ahead: list[Any] = []
        self._is_used = False
        self._token = uuid4().hex

    @property
    def __wrapped__(self) -> object:
        return self._token

    def head(self, count: int) -> list[Any]:
        self._check_unused()
        had = len(self._ahead)
        if had < count:
            self._ahead += taken(self._values, count - had, self.name, had)
        return self._ahead[:count]

    def values(self, shard: int, shards: int) -> Iterator[Any]:
        if os.getpid() != self._process:
            raise InputError(f"cannot read {self.name} here: {_STAYS}")
        self._check_unused()
        ahead, self._ahead, self._is_used = self._ahead, [], True
        return chain(ahead, self._values)

    def _check_unused(self) -> None:
        if self._is_used:
            raise InputError(
                f"{self.name} is used up by an earlier run: an iterator gives its rows once; give the "
                "adapter a list, or a function that makes the rows"
            )

    def __getstate__(self) -> object:
        raise TypeError(_STAYS)


def row_source(rows: object) -> RowSource:
    """What gives the rows of a function, of a collection or of an iterator.

    Raises:
        DeclarationError: it is none of them.
    """
    if isinstance(rows, Iterator):
        return IteratorSource(rows)
    if isinstance(rows, Iterable) and not isinstance(rows, str | bytes | Mapping):
        return CollectionSource(rows)
    if callable(rows):
        return FunctionSource(rows)
    raise DeclarationError(
        f"rows must be an iterable of rows, or a function that gives one, not {type(rows).__name__}"
    )


def taken(values: Iterator[Any], count: int, name: str, before: int) -> list[Any]:
    """The next values, at most so many, each as it was when it was given.

    Args:
        name: how messages name the source.
        before: how many it has given before.

    Raises:
        InputError: the source raised; the message has no value of a row.
    """
    found: list[Any] = []
    try:
        for value in islice(values, count):
            found.append(copied(value))
    except (ZooPipeError, MemoryError):
        raise
    except Exception as error:
        row = before + len(found) + 1
        raise InputError(f"{name} raised {_named(error)} when asked for row {row:,}") from error
    return found


def _named(error: Exception) -> str:
    """An exception by its type and place; its message may quote a row."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def copied(value: Any) -> Any:
    """A dict of its own: a generator may give one dict again and again."""
    return value.copy() if type(value) is dict else value


class NoRow(Exception):
    """A value is no row.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def as_row(value: Any) -> Row:
    """A value as a row: a dict whose keys are names.

    Raises:
        NoRow: it is none.
    """
    try:
        row = _as_dict(value)
    except Exception as error:
        # What a class of the user's own does when it is looked at.
        raise NoRow(raised_reason(error, "row_error")) from error
    if row is None:
        message = f"the record is no mapping but {clean_text(type(value).__qualname__)}"
        raise NoRow({"loc": [], "type": "row_type", "msg": message})
    if not _are_names(tuple(row)):
        message = "the record has keys that are no names: a row's keys are strings"
        raise NoRow({"loc": [], "type": "row_keys", "msg": message})
    return row


@lru_cache(maxsize=256)
def _are_names(keys: tuple[Any, ...]) -> bool:
    """Whether keys are strings that can be written; most rows have the same."""
    return all(isinstance(key, str) and encodes(key) for key in keys)


def _as_dict(value: Any) -> Row | None:
    if type(value) is dict:
        return value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(type(value), "__pydantic_core_schema__") and hasattr(value, "model_dump"):
        return dict(value.model_dump())
    return None
