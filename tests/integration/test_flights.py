"""336,776 real rows: every number of workers and every executor give what the row loop gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from oracle import csv_dicts, json_lines, text_lines, validated

from zoopipe import MultiThreadExecutor, PipeManager, SingleThreadExecutor
from zoopipe.demo import Flight, demo_pipe, flights_csv
from zoopipe.runtime.registry import make_engine


@dataclass(frozen=True)
class Expected:
    folder: Path
    lines: list[str]
    refused: list[tuple[int, list[dict[str, object]]]]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Expected:
    folder = tmp_path_factory.mktemp("flights")
    rows = csv_dicts(flights_csv(folder).read_bytes())
    assert len(rows) == 336_776
    nulled = [{name: None if cell == "NA" else cell for name, cell in row.items()} for row in rows]
    return Expected(folder, *validated(nulled, Flight))


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "executor",
    [SingleThreadExecutor(), MultiThreadExecutor(max_workers=2)],
    ids=["single", "multi"],
)
def test_flights_are_what_the_row_loop_gives(
    expected: Expected, workers: int, executor: SingleThreadExecutor | MultiThreadExecutor
) -> None:
    pipe = demo_pipe(expected.folder)
    report = PipeManager.parallelize_pipe(pipe, workers=workers, executor=executor).run()
    assert report.total_processed == 336_776
    assert text_lines(expected.folder / "flights.jsonl") == expected.lines
    rejects = json_lines(expected.folder / "rejected.jsonl")
    assert [(row["_row"], row["_errors"]) for row in rejects] == expected.refused
    data = (expected.folder / "flights.csv").read_bytes()
    for row in rejects[:: len(rejects) // 50]:
        record = data[row["_offset"] :].split(b"\n", 1)[0].decode()
        cells = record.split(",")
        assert (cells[0], cells[10], cells[3]) == (row["year"], row["flight"], "NA")


def test_runs_of_flights_give_the_same_bytes(expected: Expected) -> None:
    found = set()
    for workers in (1, 2, 5):
        PipeManager.parallelize_pipe(demo_pipe(expected.folder), workers=workers).run()
        names = ("flights.jsonl", "rejected.jsonl")
        found.add(tuple((expected.folder / name).read_bytes() for name in names))
    assert len(found) == 1


def published(expected: Expected) -> tuple[str, str]:
    """The sha256 of the output and of the rejects."""
    output, rejects = (expected.folder / name for name in ("flights.jsonl", "rejected.jsonl"))
    return tuple(hashlib.sha256(path.read_bytes()).hexdigest() for path in (output, rejects))


@pytest.fixture(scope="module")
def published_alone(expected: Expected) -> tuple[str, str]:
    """What one thread of one process publishes."""
    demo_pipe(expected.folder).run()
    assert text_lines(expected.folder / "flights.jsonl") == expected.lines
    return published(expected)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("engine", ["multiprocess", "ray", "dask"])
def test_flights_are_the_same_bytes_on_every_engine(
    expected: Expected, published_alone: tuple[str, str], engine: str, workers: int
) -> None:
    for name in ("flights.jsonl", "rejected.jsonl"):
        (expected.folder / name).unlink(missing_ok=True)
    pipe = demo_pipe(expected.folder)
    PipeManager.parallelize_pipe(pipe, workers=workers, engine=make_engine(engine)).run()
    assert published(expected) == published_alone
