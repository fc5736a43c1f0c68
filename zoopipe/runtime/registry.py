"""Engines by name, through the entry-point group `zoopipe.engines`."""

from __future__ import annotations

import inspect
from importlib.metadata import entry_points

from zoopipe.errors import DeclarationError, MissingExtraError
from zoopipe.runtime.engine import BaseEngine

GROUP = "zoopipe.engines"
#: Engines that come with an extra of the same name.
_EXTRAS = ("ray", "dask")


def engine_class(name: str) -> type[BaseEngine]:
    """The engine that is registered as `name`.

    Raises:
        MissingExtraError: it needs an extra that is not installed.
        DeclarationError: there is no such engine.
    """
    found = entry_points(group=GROUP)
    if name not in found.names:
        if name in _EXTRAS:
            raise MissingExtraError(
                f"the engine {name!r} is not installed: pip install 'zoopipe[{name}]'"
            )
        known = ", ".join(sorted(found.names)) or "none"
        raise DeclarationError(f"there is no engine {name!r}; installed: {known}")
    try:
        engine = found[name].load()
    except ImportError as error:
        install = f": pip install 'zoopipe[{name}]'" if name in _EXTRAS else ""
        raise MissingExtraError(f"the engine {name!r} needs {error.name}{install}") from error
    if not (isinstance(engine, type) and issubclass(engine, BaseEngine)):
        raise DeclarationError(
            f"what is registered as engine {name!r} is no BaseEngine: {engine!r}"
        )
    return engine


def make_engine(name: str, address: str | None = None) -> BaseEngine:
    """The engine that is registered as `name`, on the cluster at `address` or on its own.

    Raises:
        DeclarationError: as for `engine_class`, or the engine has no address.
    """
    kind = engine_class(name)
    if address is None:
        return kind()
    if "address" not in inspect.signature(kind).parameters:
        raise DeclarationError(f"the engine {name!r} has no address: it runs on this machine")
    return kind(address=address)  # type: ignore[call-arg]


def default_engine() -> BaseEngine:
    """Processes on this machine."""
    return engine_class("multiprocess")()
