"""Dask Bag on a running Dask cluster: the job of `dask_bag`, and one that writes without `to_textfiles`."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import dask.bag
from contenders import dask_bag, running
from distributed import Client

LIBRARIES = dask_bag.LIBRARIES
_address = ""


def prepare(source: Path) -> None:
    """Starts the cluster."""
    global _address
    _address = running.start("dask")


def finish() -> None:
    """Stops the cluster."""
    running.stop()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """Joins, runs the job of `dask_bag`, leaves."""
    with Client(_address):
        dask_bag.validated_copy(source, output, errors)


def validated_copy_in_one_pass(source: Path, output: Path, errors: Path) -> None:
    """The same by one task a block, which reads, validates and writes: nothing waits in memory."""
    with Client(_address):
        lines, names = dask_bag.read_lines(source)
        numbers = dask.bag.from_sequence(range(lines.npartitions), npartitions=lines.npartitions)
        write = partial(_write, names=names, output=output, errors=errors)
        lines.map_partitions(write, numbers).compute()


def _write(
    lines: Iterable[str], numbers: list[int], names: list[str], output: Path, errors: Path
) -> list[int]:
    """Writes the accepted and the rejected rows of a block; how many there are of either."""
    good, bad = [], []
    for row in dask_bag.parse(lines, names):
        is_accepted, line = dask_bag.validate(row)
        (good if is_accepted else bad).append(f"{line}\n")
    for path, written in ((output, good), (errors, bad)):
        part = path.with_name(f"{path.stem}_part_{numbers[0]:05d}{path.suffix}")
        part.write_text("".join(written), encoding="utf-8")
    return [len(good), len(bad)]


def nothing(source: Path, output: Path, errors: Path) -> None:
    """Joins, has two tasks done, leaves."""
    with Client(_address) as client:
        client.gather(client.map(_nothing, range(running.WORKERS)))


def _nothing(number: int) -> None:
    """A task that costs what any task does."""
