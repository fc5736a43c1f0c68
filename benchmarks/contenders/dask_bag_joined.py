"""Dask Bag on a running Dask cluster: the jobs of `dask_bag`."""

from pathlib import Path

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


def nothing(source: Path, output: Path, errors: Path) -> None:
    """Joins, has two tasks done, leaves."""
    with Client(_address) as client:
        client.gather(client.map(_nothing, range(running.WORKERS)))


def _nothing(number: int) -> None:
    """A task that costs what any task does."""
