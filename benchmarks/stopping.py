"""How soon a run ends when more rows were rejected than `max_errors`: `python -m benchmarks.stopping`.

All bad rows are in the last third of the input, so that no worker but the last can know, and each one writes
down when it refuses a row. The time is that from the row that crosses the limit, whichever worker has it, to
the end of the pipe, when no worker works for it any more. To leave or to end the cluster is not in it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from zoopipe import (
    BaseEngine,
    CSVInputAdapter,
    DaskEngine,
    InputAdapter,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    Pipe,
    PipeManager,
    PipeStatus,
    RayEngine,
)

ENGINES: dict[str, Callable[[], BaseEngine]] = {
    "multiprocess": lambda: MultiProcessEngine(max_workers=2),
    "ray": lambda: RayEngine("local"),
    "dask": DaskEngine,
}
_LIMIT = 100


class Refusing:
    """A function for rows that refuses some, and writes down when."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if row["name"] != "bad":
            return row
        with open(self._folder / f"refused-{os.getpid()}", "ab") as file:
            file.write(b"%.6f\n" % time.time())
        raise ValueError("bad")


def write_input(folder: Path, form: str, rows: int) -> InputAdapter:
    """Rows of which one in a hundred is bad, from the last third on."""
    path = folder / f"in.{form}"
    with open(path, "w", encoding="utf-8") as file:
        if form != "jsonl":
            file.write("id,name\n")
        for number in range(rows):
            is_bad = number % 100 == 0 and number > rows * 2 // 3
            name = "bad" if is_bad else 'a ""quoted"" name' if form == "quoted.csv" else "a name"
            if form == "jsonl":
                file.write(f'{{"id": {number}, "name": "{name}"}}\n')
            else:
                file.write(f'{number},"{name}"\n' if '"' in name else f"{number},{name}\n")
    return JSONInputAdapter(path) if form == "jsonl" else CSVInputAdapter(path)


def seconds_to_stop(engine: BaseEngine, form: str, rows: int) -> float:
    """From the crossing of the limit to the end of the pipe."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pipe = Pipe(
            write_input(folder, form, rows),
            JSONOutputAdapter(folder / "out.jsonl"),
            pre_validation_hooks=[Refusing(folder)],
            max_errors=_LIMIT,
        )
        manager = PipeManager.parallelize_pipe(pipe, 2, engine=engine)
        manager.start()
        manager.wait()
        ended = manager.report.end_time
        assert manager.report.status is PipeStatus.FAILED and ended, manager.report
        assert manager.report.total_processed < rows, "it was stopped before its end"
        times = sorted(
            float(line) for path in folder.glob("refused-*") for line in path.read_bytes().split()
        )
        return ended.timestamp() - times[_LIMIT]


@click.command()
@click.option("--rows", default=4_000_000, show_default=True)
@click.option("--engine", "names", multiple=True, default=list(ENGINES), show_default=True)
def main(rows: int, names: tuple[str, ...]) -> None:
    """Measure each engine with each kind of input."""
    for name in names:
        for form in ("csv", "quoted.csv", "jsonl"):
            took = seconds_to_stop(ENGINES[name](), form, rows)
            click.echo(f"{name:14}{form:12}{took:6.2f} s")


if __name__ == "__main__":
    sys.exit(main())
