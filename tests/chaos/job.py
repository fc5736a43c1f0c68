"""The job that is disturbed, and the driver that runs it: `python -m chaos.job FOLDER …`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import BaseModel

from zoopipe import (
    ColumnHook,
    CSVInputAdapter,
    DaskEngine,
    JSONOutputAdapter,
    MultiProcessEngine,
    Pipe,
    PipeManager,
    RayEngine,
    RetryPolicy,
    RunFailed,
    ZooPipeError,
)
from zoopipe.runtime import task
from zoopipe.storage import staging

if TYPE_CHECKING:
    import pyarrow as pa

    from zoopipe import BaseEngine

SHARDS = 3


class Order(BaseModel):
    """The model of the input's rows."""

    id: int
    customer: str
    price: float
    paid: bool


def write_input(path: Path, rows: int) -> None:
    """Orders, of which every 97th has an id that is no integer, and every 13th a name of two lines."""
    with path.open("w", newline="") as file:
        file.write("id,customer,price,paid\n")
        for number in range(rows):
            key = f"x{number}" if number % 97 == 0 else str(number)
            name = f'"customer\n{number}"' if number % 13 == 0 else f"customer {number}"
            file.write(f"{key},{name},{number}.25,{'yes' if number % 2 else 'no'}\n")


class Attendance(ColumnHook):
    """Writes down which process works on an attempt, and goes on from there at once."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.folder = folder

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        Path(self.folder, str(os.getpid())).touch()
        return batch


def pipe_in(folder: Path) -> Pipe:
    """The pipe whose outputs are in `folder`, and whose input is beside it."""
    return Pipe(
        CSVInputAdapter(folder.parent / "in.csv"),
        JSONOutputAdapter(folder / "out.jsonl"),
        JSONOutputAdapter(folder / "bad.jsonl"),
        Order,
        # Not in the folder, which is looked at for what is left behind.
        pre_validation_hooks=[Attendance(str(folder.parent / f"pids-{folder.name}"))],
    )


def make_engine(name: str, address: str | None) -> BaseEngine:
    if name == "ray":
        return RayEngine(address, max_workers=2)
    if name == "dask":
        return DaskEngine(address, max_workers=2)
    return MultiProcessEngine(max_workers=2)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-merge", dest="merge", action="store_false")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--engine", default="multiprocess")
    parser.add_argument("--address")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    # The names of staged files end in random digits. For a fault at the n-th call on a file the name
    # has to be known before.
    task.uuid4 = staging.uuid4 = lambda: UUID(int=0)  # type: ignore[assignment]
    try:
        PipeManager.parallelize_pipe(
            pipe_in(given.folder),
            workers=2,
            shards=SHARDS,
            should_merge=given.merge,
            engine=make_engine(given.engine, given.address),
            retries=RetryPolicy(backoff_s=0.0),
            resume=given.resume,
        ).run()
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except ZooPipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
