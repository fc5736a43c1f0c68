"""Scripted faults: what goes wrong, at which shard and attempt, at which record. Never by sleeping.

A fault is a `ColumnHook`, so that columns stay columns; it acts in the worker, before the block with
its record goes on.

```python
Faults({(1, 1): Kill()}, at=20)             # the second shard's first attempt, at its 20th record
Faults({(0, None): Raise()})          # each attempt at the first shard, at its first record
Poison("id", "x", Kill())                   # the record whose id is x, whoever reads it
```

Shards are numbered as in `Shard.index`, from 0, attempts from 1.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoopipe.hooks import ColumnHook, HookStore
from zoopipe.runtime.task import current_task

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

#: A shard's number from 0, and an attempt's from 1; None for each attempt.
Place = tuple[int, int | None]

_POLL_S = 0.01


class Action(Protocol):
    """What a fault does to the worker that calls it."""

    def __call__(self, shard: int, attempt: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Kill:
    """Ends the worker's process by a signal, `SIGKILL` unless told otherwise."""

    signal: int = signal.SIGKILL

    def __call__(self, shard: int, attempt: int) -> None:
        os.kill(os.getpid(), self.signal)


@dataclass(frozen=True, slots=True)
class Raise:
    """Raises a `RuntimeError`, as a hook with a mistake does."""

    def __call__(self, shard: int, attempt: int) -> None:
        raise RuntimeError("a scripted fault")


@dataclass(frozen=True, slots=True)
class Exit:
    """Calls `sys.exit`, as a hook should not."""

    code: int = 1

    def __call__(self, shard: int, attempt: int) -> None:
        sys.exit(self.code)


@dataclass(frozen=True, slots=True)
class Log:
    """Logs so many warnings, and as many lines at info."""

    lines: int

    def __call__(self, shard: int, attempt: int) -> None:
        for number in range(self.lines):
            logger.info("chatter %d", number)
            logger.warning("line %d of shard %d", number, shard)


@dataclass(frozen=True, slots=True)
class Allocate:
    """Takes so many bytes of memory, and gives them back."""

    size_bytes: int

    def __call__(self, shard: int, attempt: int) -> None:
        bytearray(b"\1") * self.size_bytes


@dataclass(frozen=True, slots=True)
class Slow:
    """Takes so many seconds, as heavy work does; nothing may depend on how many."""

    seconds: float

    def __call__(self, shard: int, attempt: int) -> None:
        time.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Loop:
    """Never comes back, as an endless loop in Python does."""

    def __call__(self, shard: int, attempt: int) -> None:
        while True:
            time.sleep(0)


@dataclass(frozen=True, slots=True)
class Gate:
    """Stops an attempt at a known place, until the driver lets it go on.

    The worker writes `<folder>/<shard>-<attempt>.begun`, with its process, and waits for
    `<shard>-<attempt>.go`, or `all.go`. It holds a lock on the former while it waits, so that the driver
    can tell whether anybody still does. The folder is one that driver and workers share.

    Args:
        folder: made by the first attempt.
        limit_s: how long an attempt waits, before it raises `TimeoutError`.
    """

    folder: Path
    limit_s: float = 60.0

    def __call__(self, shard: int, attempt: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        gone_on = self._file(shard, attempt, "go"), self.folder / "all.go"
        with open(self._file(shard, attempt, "lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            begun = self._file(shard, attempt, "begun")
            draft = begun.with_suffix(".draft")
            draft.write_text(json.dumps({"pid": os.getpid(), "host": platform.node()}))
            draft.rename(begun)
            wait_until(lambda: any(file.exists() for file in gone_on), self.limit_s)

    # The driver's side.

    def wait_for(self, shard: int, attempt: int = 1, limit_s: float = 60.0) -> int:
        """The process of the attempt that has come to the gate.

        Raises:
            TimeoutError: it has not come within `limit_s`.
        """
        begun = self._file(shard, attempt, "begun")
        wait_until(begun.exists, limit_s)
        return int(json.loads(begun.read_text())["pid"])

    @property
    def begun(self) -> set[tuple[int, int]]:
        """The attempts, as (shard, attempt), that have come to the gate so far."""
        return {_place(file) for file in self.folder.glob("*.begun")}

    @property
    def held(self) -> set[tuple[int, int]]:
        """The attempts that wait at the gate now; one whose process is gone does not."""
        return {_place(file) for file in self.folder.glob("*.lock") if _is_locked(file)}

    def open(self, shard: int | None = None, attempt: int = 1) -> None:
        """Lets an attempt go on, or all of them, whenever they come."""
        self.folder.mkdir(parents=True, exist_ok=True)
        go = self.folder / "all.go" if shard is None else self._file(shard, attempt, "go")
        go.touch()

    def _file(self, shard: int, attempt: int, what: str) -> Path:
        return self.folder / f"{shard}-{attempt}.{what}"


class _Scripted(ColumnHook):
    """A hook that knows which attempt it works for."""

    def setup(self, store: HookStore) -> None:
        task = current_task()
        assert task is not None, "hooks are set up by an attempt"
        self.shard, self.attempt = task.shard.index, task.attempt


class Faults(_Scripted):
    """Acts at the n-th record of some attempts.

    Args:
        script: what happens, by (shard, attempt); an attempt of None stands for each.
        at: which record of the attempt, from 1.
        again: act at each later block too.
    """

    def __init__(self, script: Mapping[Place, Action], at: int = 1, again: bool = False) -> None:
        super().__init__()
        self.script = dict(script)
        self.at = at
        self.again = again

    def setup(self, store: HookStore) -> None:
        super().setup(store)
        self._seen = 0

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        before, self._seen = self._seen, self._seen + batch.num_rows
        for place in ((self.shard, self.attempt), (self.shard, None)):
            action = self.script.get(place)
            if action is not None and self.at <= self._seen and (self.again or before < self.at):
                action(self.shard, self.attempt)
        return batch


class Poison(_Scripted):
    """Acts whenever a certain record is read, in any shard and attempt.

    Args:
        column, value: which record: the one with this text in this column of the input.
        action: what happens.
    """

    def __init__(self, column: str, value: str, action: Action) -> None:
        super().__init__()
        self.column = column
        self.value = value
        self.action = action

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if self.value in map(str, batch.column(self.column).to_pylist()):
            self.action(self.shard, self.attempt)
        return batch


class Journal(_Scripted):
    """Writes down when an attempt's hooks were set up and torn down, and shows whether it goes on.

    Args:
        folder: one that driver and workers share; it has to be there.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def setup(self, store: HookStore) -> None:
        super().setup(store)
        self._note("setup")
        self._lock = open(self._file("lock"), "a")  # noqa: SIM115
        # Shared: an attempt may be run twice.
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def teardown(self, store: HookStore) -> None:
        self._note("teardown")
        self._lock.close()

    def _file(self, what: str) -> Path:
        return self.folder / f"{self.shard}-{self.attempt}.{what}"

    def _note(self, what: str) -> None:
        with open(self._file(what), "a") as file:
            print(time.monotonic(), file=file)

    # The driver's side.

    def times(self, what: str) -> dict[tuple[int, int], list[float]]:
        """When it was, by (shard, attempt), on the machine's clock in seconds.

        Args:
            what: `setup` or `teardown`.
        """
        files = self.folder.glob(f"*.{what}")
        return {_place(file): [float(line) for line in file.read_text().split()] for file in files}

    @property
    def running(self) -> set[tuple[int, int]]:
        """The attempts that were set up, and neither torn down nor ended with their process."""
        return {_place(file) for file in self.folder.glob("*.lock") if _is_locked(file)}


def wait_until(holds: Callable[[], object], limit_s: float = 60.0) -> None:
    """Returns as soon as `holds()` is true.

    Raises:
        TimeoutError: it is not, `limit_s` seconds later.
    """
    end = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit_s} s in vain")
        time.sleep(_POLL_S)


def _place(file: Path) -> tuple[int, int]:
    shard, attempt = file.stem.split("-")
    return int(shard), int(attempt)


def _is_locked(path: Path) -> bool:
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
