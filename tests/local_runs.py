"""Small inputs, scripted faults and checks for tests of runs on one machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel

from zoopipe import BaseHook, CSVInputAdapter, JSONOutputAdapter, Pipe
from zoopipe.testing import staged, wait_until
from zoopipe.testing.faults import Action

__all__ = [
    "Fault",
    "Item",
    "While",
    "block_for_ever",
    "items",
    "items_pipe",
    "kill_self",
    "match_for_ever",
    "python",
    "script_file",
    "staged",
    "wait_until",
    "workers",
    "write_items",
]


class Item(BaseModel):
    """The model of `write_items`' rows."""

    id: int
    name: str


def write_items(path: Path, count: int, bad: Container[int] = (), first: int = 1) -> Path:
    """A CSV of `count` items; those whose number is in `bad` have an id that is no integer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        f"{'x' if number in bad else number},name {number}"
        for number in range(first, first + count)
    ]
    path.write_text("\n".join(["id,name", *rows]) + "\n")
    return path


def items(count: int, bad: Container[int] = ()) -> list[dict[str, Any]]:
    """What has to be written of `write_items`' rows."""
    return [{"id": n, "name": f"name {n}"} for n in range(1, count + 1) if n not in bad]


def items_pipe(source: Path, output: Path, **options: Any) -> Pipe:
    """A pipe from CSV items to JSON Lines."""
    options.setdefault("schema_model", Item)
    return Pipe(CSVInputAdapter(source), JSONOutputAdapter(output), **options)


class Fault(BaseHook):
    """Does something to its worker when it sees the item with an id."""

    def __init__(self, at: int, fault: Callable[[], object]) -> None:
        super().__init__()
        self.at = str(at)
        self.fault = fault

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        if any(entry["raw_data"]["id"] == self.at for entry in entries):
            self.fault()
        return entries


@dataclass(frozen=True)
class While:
    """A scripted action for as long as a file is there: the pipe stays the same when it is gone."""

    path: Path
    action: Action

    def __call__(self, shard: int, attempt: int) -> None:
        if self.path.exists():
            self.action(shard, attempt)


def kill_self() -> None:
    """`kill -9` of the process that calls it."""
    os.kill(os.getpid(), signal.SIGKILL)


def match_for_ever() -> None:
    """A match that does not come back either, and keeps Python's lock from all other threads."""
    re.match(r"(a+)+$", "a" * 64 + "b")


def block_for_ever() -> None:
    """A call that comes back only with the end of the process."""
    threading.Event().wait()


def workers() -> list[psutil.Process]:
    """The processes that this process has started and that are still there, zombies included."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if not _is_service(child)]


_SERVICES = ("resource_tracker", "forkserver", "ray", "dask", "distributed")


def _is_service(process: psutil.Process) -> bool:
    """The servers that multiprocessing keeps for its own use, and clusters that other tests have
    started, are no workers."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return True
    # A forked worker has this process's own command, whatever words are in it.
    if command == psutil.Process().cmdline():
        return False
    return any(name in " ".join(command) for name in _SERVICES)


def python(script: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a script, as a file of its own, to its end."""
    return subprocess.run(
        [sys.executable, str(script_file(script, folder))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def script_file(script: str, folder: Path) -> Path:
    """Writes a script."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script))
    return path
