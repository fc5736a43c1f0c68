"""The fingerprint of a plan: what decides which bytes a run writes, said so that two runs can be compared.

Code is known by its byte code, constants and the values and functions that it names, classes by their methods
and models by their core schema; of what is installed the name is enough, for versions are compared too.
Nothing is known by an address or a pickle: the same script gives the same fingerprint in every process.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoopipe.adapters.base import InputPlan
from zoopipe.redact import redact
from zoopipe.runtime.parcel import versions

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), re.Pattern)
# An address in a core schema's reference, which is another one in each process.
_ADDRESS = re.compile(r"(?<=[\w\]>]):\d{8,}")
# Keys of a core schema that say nothing of values.
_SILENT = frozenset({"metadata"})
# Installed wherever a run is, also from a checkout of this repository.
_OURS = ("zoopipe", "zoopipe_multiprocess", "zoopipe_ray", "zoopipe_dask")


def fingerprint(pipe: Pipe, plan: InputPlan, merge: bool) -> dict[str, str]:
    """What a run writes, by the names that a person knows the parts of it by."""
    # Another transaction of the same state has another name.
    shards = [replace(shard, snapshot="") for shard in plan.shards]
    found = {
        "the input's options": _digest(pipe.input_adapter),
        "the shards": f"{len(plan.shards)}, {_digest((tuple(shards), plan.columns))}",
        "the model": _digest(pipe.schema_model),
        "the hooks before validation": _digest(pipe.pre_validation_hooks),
        "the hooks after validation": _digest(pipe.post_validation_hooks),
        "the output": _digest(pipe.output_adapter),
        "the error output": _digest(pipe.error_output_adapter),
        "whether one file is published": str(merge),
        "the name of row_numbers": repr(pipe.row_numbers),
        "what is masked in the rejects": _digest((pipe.secret_columns, pipe.show_secrets)),
    }
    found.update({f"the input {redact(name)}": text for name, text in plan.identity.items()})
    found.update(versions())
    return found


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What two fingerprints differ in, as phrases; digests are not shown."""
    found = []
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if old is None or new is None:
            found.append(f"{name} ({'new' if old is None else 'gone'})")
        else:
            is_shown = _DIGEST.search(old) is None
            found.append(f"{name} ({old}, now {new})" if is_shown else name)
    return found


_DIGEST = re.compile(r"\b[0-9a-f]{16}\b")


def _digest(value: object) -> str:
    text = "\n".join(_Described().of(value))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _Described:
    """Describes one value; what it meets twice it describes once."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []

    def of(self, value: Any) -> Iterator[str]:
        """Lines of text that are the same for values that do the same."""
        if isinstance(value, _PLAIN):
            yield _ADDRESS.sub(":", repr(value)) if isinstance(value, str) else repr(value)
            return
        if isinstance(value, enum.Enum):
            yield f"{_name(type(value))}.{value.name}"
            return
        if id(value) in self._seen:
            yield f"again {self._seen[id(value)]}"
            return
        self._seen[id(value)] = len(self._seen)
        # An object that goes while this goes on would hand its id on.
        self._kept.append(value)
        yield from self._new(value)

    def _new(self, value: Any) -> Iterator[str]:
        if isinstance(value, Mapping):
            yield f"{_name(type(value))} of {len(value)}"
            for key, item in value.items():
                if key not in _SILENT:
                    yield from self.of(key)
                    yield from self.of(item)
        elif isinstance(value, AbstractSet):
            yield _name(type(value))
            yield from sorted("\n".join(_Described().of(item)) for item in value)
        elif isinstance(value, Sequence) and not isinstance(value, range):
            yield f"{_name(type(value))} of {len(value)}"
            for item in value:
                yield from self.of(item)
        elif isinstance(value, types.FunctionType):
            yield from self._function(value)
        elif isinstance(value, types.MethodType):
            yield from self.of(value.__self__)
            yield from self.of(value.__func__)
        elif isinstance(value, staticmethod | classmethod):
            yield from self.of(value.__func__)
        elif isinstance(value, property | functools.cached_property):
            yield from self.of(getattr(value, "fget", None) or getattr(value, "func", None))
        elif isinstance(value, functools.partial):
            yield from self.of((value.func, value.args, value.keywords))
        elif isinstance(value, types.ModuleType):
            yield f"module {value.__name__}"
        elif isinstance(value, type):
            yield from self._class(value)
        elif hasattr(value, "__wrapped__"):
            yield from self.of(value.__wrapped__)
        else:
            yield from self._object(value)

    def _function(self, function: types.FunctionType) -> Iterator[str]:
        yield _name(function)
        if _is_installed(function.__module__):
            return
        yield from self.of((function.__defaults__, function.__kwdefaults__))
        for cell in function.__closure__ or ():
            try:
                yield from self.of(cell.cell_contents)
            except ValueError:
                yield "an empty cell"
        yield from self._code(function.__code__, function.__globals__)

    def _code(self, code: types.CodeType, names: dict[str, Any]) -> Iterator[str]:
        yield code.co_code.hex()
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from self._code(constant, names)
            else:
                yield from self.of(constant)
        for name in code.co_names:
            yield name
            if name in names:
                yield from self.of(names[name])

    def _class(self, kind: type) -> Iterator[str]:
        yield _name(kind)
        if _is_installed(kind.__module__):
            return
        schema = kind.__dict__.get("__pydantic_core_schema__")
        if isinstance(schema, Mapping):
            yield from self.of(schema)
            return
        yield from self.of(kind.__bases__)
        for name, item in vars(kind).items():
            if name not in ("__dict__", "__weakref__", "__doc__", "__module__"):
                yield name
                yield from self.of(item)

    def _object(self, value: Any) -> Iterator[str]:
        yield from self.of(type(value))
        if isinstance(value, logging.Logger):
            yield value.name
            return
        if _is_installed(type(value).__module__) and not _is_ours(type(value).__module__):
            # What is in it may be as large as a program; what it shows of itself has to do.
            text = repr(value)
            yield "" if " at 0x" in text else text
            return
        state = dict(getattr(value, "__dict__", {}))
        for kind in type(value).__mro__:
            slots = kind.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(value, name):
                    state[name] = getattr(value, name)
        yield from self.of(state)


def _name(value: Any) -> str:
    module = getattr(value, "__module__", "")
    # A script is `__main__` when it is run, and has another name when the command line loads it.
    return f"{module}.{getattr(value, '__qualname__', '')}"


def _is_ours(name: str | None) -> bool:
    # A user's module may be called zoopipe_job.
    return (name or "").partition(".")[0] in _OURS


@functools.cache
def _is_installed(name: str | None) -> bool:
    """Whether a module is Python's, or was installed."""
    module = sys.modules.get(name or "")
    file = getattr(module, "__file__", None)
    if name in sys.builtin_module_names or (module is not None and file is None):
        return name != "__main__"
    if _is_ours(name):
        return True
    text = file or ""
    is_pythons = text.startswith(types.__file__.rpartition("/")[0])
    return is_pythons or "site-packages" in text or "dist-packages" in text
