"""An attempt on its way to a worker: pickled in the driver, unpacked and run there."""

from __future__ import annotations

import gc
import os
import pickle
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast

import cloudpickle

from zoopipe import __version__
from zoopipe.errors import (
    DeclarationError,
    EngineError,
    InputError,
    OutputError,
    RunStopped,
    ZooPipeError,
)
from zoopipe.redact import named
from zoopipe.runtime.engine import Done, End, Raised
from zoopipe.runtime.logs import relaying
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.task import Task, run_task
from zoopipe.storage.files import END
from zoopipe.storage.urls import is_local, local_path

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe

_SHARED_STORAGE = "use storage that every worker reaches (s3://, NFS)"


@cache
def versions(libraries: tuple[str, ...] = ()) -> dict[str, str]:
    """What has to be the same in driver and workers: it decides what bytes are written.

    Of Python the feature release: pickled functions are its byte code. `libraries` are an engine's own.
    """
    packages = ("pyarrow", "pydantic", "pydantic_core", "cloudpickle", *libraries)
    found = {name: version(name) for name in packages}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"Python": python, "zoopipe": __version__, **found}


def differing(worker: dict[str, str], driver: dict[str, str]) -> list[str]:
    """What a worker has in other versions than the driver, as phrases."""
    return [
        f"{name} {worker.get(name, 'is not installed')} (the driver has {version_there})"
        for name, version_there in driver.items()
        if worker.get(name) != version_there
    ]


@dataclass(frozen=True, slots=True)
class Parcel:
    """An attempt for a worker. Pickles with the standard `pickle`.

    Attributes:
        versions: the driver's.
        pipe: the pipe, pickled. The same object for all attempts of a pipe, so that a transport may
            send it once.
        task: the task without its pipe, pickled.
    """

    versions: dict[str, str]
    pipe: bytes
    task: bytes


class Packer:
    """Makes parcels of one run's tasks; each pipe is pickled once.

    Args:
        by_value: send modules that only this machine has (those beside the script or in the working
            directory) by value, not by name.
    """

    def __init__(self, by_value: bool = True) -> None:
        self._by_value = by_value
        self._pipes: dict[int, bytes] = {}
        self._modules: list[ModuleType] = []
        self._modules_of = 0

    def pack(self, task: Task) -> Parcel:
        """The parcel of an attempt.

        Raises:
            DeclarationError: something in the pipe does not pickle.
        """
        pipe = self._pipes.get(task.pipe_index)
        if pipe is None:
            pipe = self._pipes[task.pipe_index] = self._pickled(task)
        return Parcel(versions(), pipe, pickle.dumps(replace(task, pipe=cast("Pipe", None))))

    def _pickled(self, task: Task) -> bytes:
        try:
            if self._by_value:
                try:
                    return self._dumped_by_value(task.pipe)
                except Exception:
                    # What a module beside the script holds may not pickle; perhaps workers have it too.
                    return bytes(cloudpickle.dumps(task.pipe))
            return bytes(cloudpickle.dumps(task.pipe))
        except Exception as error:
            raise DeclarationError(
                f"{task.label}: the pipe cannot be sent to a worker, for something in its hooks, model "
                f"or adapters does not pickle: {error}"
            ) from error

    def _dumped_by_value(self, pipe: Pipe) -> bytes:
        # Thousands of modules take tens of milliseconds to look at.
        if len(sys.modules) != self._modules_of:
            self._modules, self._modules_of = local_modules(), len(sys.modules)
        with _registered(self._modules):
            return bytes(cloudpickle.dumps(pipe))


@contextmanager
def _registered(modules: list[ModuleType]) -> Iterator[None]:
    known = cloudpickle.list_registry_pickle_by_value()
    ours = [module for module in modules if module.__name__ not in known]
    for module in ours:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in ours:
            cloudpickle.unregister_pickle_by_value(module)


def local_modules() -> list[ModuleType]:
    """The modules that were loaded from beside the script or from the working directory, and are not
    installed: workers elsewhere cannot import them."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    folders = {Path.cwd(), *([Path(script).resolve().parent] if script else [])}
    return [
        module
        for name, module in list(sys.modules.items())
        if isinstance(module, ModuleType)
        and name == getattr(module, "__name__", None)
        and name != "__main__"
        and name.partition(".")[0] not in _OURS
        and _is_local(getattr(module, "__file__", None), folders)
    ]


# Installed wherever a worker is, also where that is a checkout of this repository.
_OURS = ("zoopipe", "zoopipe_multiprocess", "zoopipe_ray", "zoopipe_dask")
_INSTALLED = ("site-packages", "dist-packages")


def _is_local(file: str | None, folders: set[Path]) -> bool:
    if not file:
        return False
    path = Path(os.path.abspath(file))
    if path.is_relative_to(Path(os.__file__).parent) or not {*_INSTALLED}.isdisjoint(path.parts):
        return False
    return any(path.is_relative_to(folder) for folder in folders)


def run_parcel(parcel: Parcel, progress: Progress, worker: str = "") -> End:
    """Runs an attempt on a worker, and never raises. Its end pickles with the standard `pickle`.

    Args:
        parcel: what the driver sent.
        progress: the attempt's counters; the transport shows them to the driver.
        worker: how messages name the worker, where that is not the driver's machine.
    """
    here = f"worker {worker}" if worker else "a worker"
    differ = ", ".join(differing(versions(), parcel.versions))
    if differ:
        return Raised(EngineError(f"{here} has {differ}: install the same versions everywhere"))
    try:
        task = opened(parcel)
    except ZooPipeError as error:
        return Raised(type(error)(f"{here} {error}"))
    return run_here(task, progress, worker)


def opened(parcel: Parcel) -> Task:
    """The task of a parcel.

    Raises:
        EngineError: it cannot be unpickled here; a sentence without its subject.
    """
    try:
        task: Task = pickle.loads(parcel.task)
        return replace(task, pipe=pickle.loads(parcel.pipe))
    except Exception as error:
        raise EngineError(f"cannot unpickle the pipe: {type(error).__name__}: {error}") from error


def run_here(task: Task, progress: Progress, worker: str = "") -> End:
    """`run_parcel` for a worker that has the task already."""
    with relaying(progress.log), _older_objects_aside():
        end = _run(task, progress, worker)
    try:
        pickle.dumps(end)
    except Exception as error:
        # An error class of the user's own may not pickle; its sentence does.
        return Raised(ZooPipeError(str(end.error) if isinstance(end, Raised) else str(error)))
    return end


@contextmanager
def _older_objects_aside() -> Iterator[None]:
    """Keeps what the process had before from the cyclic collector, which would look at all of it again
    and again: a Dask worker has so many objects that it took a tenth of a run."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _run(task: Task, progress: Progress, worker: str) -> End:
    try:
        if worker:
            check_storage(task, f"worker {worker}")
        return Done(run_task(task, progress))
    except RunStopped as error:
        return Raised(error)
    except ZooPipeError as error:
        return Raised(error)
    except (SystemExit, KeyboardInterrupt) as error:
        kind = type(error).__name__
        return Raised(ZooPipeError(f"{task.label}: {kind} was raised, by a hook or a validator"))
    except Exception as error:
        return Raised(unexpected(task, error))


def unexpected(task: Task, error: BaseException) -> ZooPipeError:
    """What an attempt says of an exception that no stage of it took: what and where, no values of rows."""
    sentence = f"{task.label}: {named(error, task.pipe.show_messages)}"
    if task.pipe.show_messages or not str(error) or str(error) in sentence:
        return ZooPipeError(sentence)
    return ZooPipeError(
        f"{sentence}; its message may hold values of rows, and Pipe(show_messages=True) shows it"
    )


def check_storage(task: Task, here: str) -> None:
    """Sees to it that a worker elsewhere has the files that the driver saw.

    Args:
        here: how messages name the worker.

    Raises:
        InputError: it has not the input, or another one.
        OutputError: it has not the staging folder, which the driver made.
    """
    for part in task.shard.ranges:
        path = task.shard.file_of(part)
        if not is_local(path):
            # Who reads it says what is wrong with it, and reaches as far from everywhere.
            continue
        try:
            with open(local_path(path), "rb") as file:
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise InputError(
                f"{here} cannot read {path} ({error.strerror}): {_SHARED_STORAGE}"
            ) from error
        if part.end != END and size < part.end:
            raise InputError(
                f"{here} sees {size} bytes of {path}, fewer than the driver: {_SHARED_STORAGE}"
            )
    folder = os.path.dirname(task.part)
    if is_local(task.part) and not os.access(folder, os.W_OK | os.X_OK):
        target = os.path.dirname(folder)
        raise OutputError(f"{here} cannot write to {target}: {_SHARED_STORAGE}")
