"""Dask Bag on a local cluster with a process a CPU: `read_text`, `map_partitions`, `to_textfiles`."""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import dask
import dask.bag
from contenders.functions import enrich
from contenders.models import Person
from distributed import Client, LocalCluster
from pydantic import ValidationError

LIBRARIES = ("dask", "distributed", "pydantic")
# Some blocks a CPU, so that all end together. Of a block without rejected rows to_textfiles writes an
# empty line: none is so small.
BLOCKS_A_CPU, LEAST_BLOCK_BYTES, MOST_BLOCK_BYTES = 4, 1 << 20, 16 << 20
_started: list[Client] = []


def prepare(source: Path) -> None:
    """Starts the cluster."""
    workers = len(os.sched_getaffinity(0))
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None)
    _started.append(Client(cluster))


def finish() -> None:
    """Stops the cluster."""
    client = _started.pop()
    client.close()
    client.cluster.close()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a file a block, rejected rows with pydantic's reasons."""
    rows = _rows(source)
    checked = rows.map_partitions(lambda part: list(map(validate, part))).persist()
    good = checked.filter(lambda pair: pair[0]).pluck(1)
    bad = checked.filter(lambda pair: not pair[0]).pluck(1)
    tasks = good.to_textfiles(_parts(output), last_endline=True, compute=False)
    tasks += bad.to_textfiles(_parts(errors), last_endline=True, compute=False)
    dask.compute(*tasks)


def heavy_hook(source: Path, output: Path, errors: Path) -> None:
    """CSV to JSON Lines, a file a block, a function for each row."""
    lines = _rows(source).map(enrich).map(_line)
    lines.to_textfiles(_parts(output), last_endline=True)


def _rows(source: Path) -> dask.bag.Bag:
    lines, names = read_lines(source)
    return lines.map_partitions(partial(parse, names=names))


def read_lines(source: Path) -> tuple[dask.bag.Bag, list[str]]:
    """The lines of a CSV, the header's among them, and its names."""
    with source.open(newline="", encoding="utf-8") as file:
        names = next(csv.reader(file))
    blocks = BLOCKS_A_CPU * len(os.sched_getaffinity(0))
    wanted = source.stat().st_size // blocks + 1
    block_bytes = min(max(wanted, LEAST_BLOCK_BYTES), MOST_BLOCK_BYTES)
    return dask.bag.read_text(str(source), blocksize=block_bytes, encoding="utf-8"), names


def parse(lines: Iterable[str], names: list[str]) -> Iterator[dict[str, str]]:
    """The rows of lines."""
    rows = (dict(zip(names, row, strict=True)) for row in csv.reader(lines))
    # The header is a line of the first block.
    return (row for row in rows if row["id"] != "id")


def validate(row: dict[str, str]) -> tuple[bool, str]:
    """Whether a row is accepted, and the line to write for it."""
    try:
        return True, Person.model_validate(row).model_dump_json()
    except ValidationError as error:
        reasons = json.loads(error.json(include_url=False, include_input=False))
        return False, _line({**row, "_errors": reasons})


def _line(row: dict) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def _parts(path: Path) -> str:
    return str(path.with_name(f"{path.stem}_part_*{path.suffix}"))
