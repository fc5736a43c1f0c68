"""One pipe over a small file, run, with what came out of it read back by Python's own modules."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle import json_lines, text_lines

from zoopipe import CSVInputAdapter, JSONInputAdapter, JSONOutputAdapter, Pipe, PipeManager
from zoopipe.report import FlowReport


@dataclass(frozen=True)
class Ran:
    """What a run gave: its report, the output's lines, and the rejects."""

    report: FlowReport
    lines: list[str]
    rejects: list[dict[str, Any]]

    @property
    def rows(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


def csv_pipe(folder: Path, text: str, **options: Any) -> Pipe:
    """A pipe from CSV text to `out.jsonl` and `rejected.jsonl` in `folder`."""
    source = folder / "in.csv"
    source.write_bytes(text.encode())
    return _pipe(folder, CSVInputAdapter(source), options)


def json_pipe(folder: Path, text: str, **options: Any) -> Pipe:
    """The same from JSON Lines."""
    source = folder / "in.jsonl"
    source.write_bytes(text.encode())
    return _pipe(folder, JSONInputAdapter(source), options)


def _pipe(folder: Path, source: Any, options: dict[str, Any]) -> Pipe:
    return Pipe(
        source,
        options.pop("output_adapter", JSONOutputAdapter(folder / "out.jsonl")),
        JSONOutputAdapter(folder / "rejected.jsonl"),
        **options,
    )


def ran(folder: Path, pipe: Pipe, workers: int = 0) -> Ran:
    """Runs a pipe, in this process or over `workers` processes."""
    report = PipeManager.parallelize_pipe(pipe, workers).run() if workers else pipe.run()
    return Ran(report, text_lines(folder / "out.jsonl"), json_lines(folder / "rejected.jsonl"))
