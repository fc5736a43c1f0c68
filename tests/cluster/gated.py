"""The pipe that the cluster's jobs run, and the gate in it by which a test knows, and decides, when.

This module lies beside the driver's script; no worker can import it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from zoopipe import ColumnHook, CSVInputAdapter, JSONOutputAdapter, Pipe
from zoopipe.runtime.task import current_task

# A gate that nobody opens is an error, not a hang.
_CLOSED_S = 90.0


class Order(BaseModel):
    """The model of the rows."""

    id: int
    customer: str
    price: float
    note: str | None = None


class Gate(ColumnHook):
    """Says in a folder that an attempt has come to the middle of its shard, and holds some there.

    | file | says |
    |---|---|
    | `begun-<shard>-<attempt>-<pid>` | an attempt has come to its second block; the network namespace |
    | `ended-<shard>-<attempt>-<pid>` | it has come to its end, or to the hook's |
    | `open` | made by the test: whoever is held may go on |

    Args:
        folder: where the files are.
        held: the attempts that are held, as (shard, attempt).
    """

    def __init__(self, folder: Path, held: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.folder = folder
        self.held = tuple(held)
        self._attempt = (-1, -1)
        self._blocks = 0

    def setup(self, store: dict[str, Any]) -> None:
        task = current_task()
        assert task is not None, "hooks are set up by an attempt"
        self._attempt, self._blocks = (task.shard.index, task.attempt), 0

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        self._blocks += 1
        if self._blocks == 2:
            self._say("begun")
            if self._attempt in self.held:
                self._wait()
        return batch

    def teardown(self, store: dict[str, Any]) -> None:
        self._say("ended")

    def _say(self, what: str) -> None:
        shard, attempt = self._attempt
        path = self.folder / f"{what}-{shard}-{attempt}-{os.getpid()}"
        draft = path.with_name(f".{path.name}")
        draft.write_text(json.dumps({"network": os.stat("/proc/self/ns/net").st_ino}))
        draft.rename(path)

    def _wait(self) -> None:
        end = time.monotonic() + _CLOSED_S
        while not (self.folder / "open").exists():
            if time.monotonic() > end:
                raise TimeoutError(f"{self._attempt} was held for {_CLOSED_S} s")
            time.sleep(0.02)


def gated_pipe(source: Path, folder: Path, held: Sequence[tuple[int, int]] = ()) -> Pipe:
    """A pipe from a CSV of orders to `out.jsonl` and `rejected.jsonl`; its gate speaks in `gate`."""
    return Pipe(
        CSVInputAdapter(source),
        JSONOutputAdapter(folder / "out.jsonl"),
        JSONOutputAdapter(folder / "rejected.jsonl"),
        schema_model=Order,
        pre_validation_hooks=[Gate(folder / "gate", held)],
    )
