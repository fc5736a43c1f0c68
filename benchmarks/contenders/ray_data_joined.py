"""Ray Data on a running Ray cluster: the jobs of `ray_data`."""

from pathlib import Path

import ray
from contenders import ray_data, running

LIBRARIES = ray_data.LIBRARIES
_address = ""


def prepare(source: Path) -> None:
    """Starts the cluster."""
    global _address
    _address = running.start("ray")


def finish() -> None:
    """Leaves the cluster, and stops it."""
    ray.shutdown()
    running.stop()


def validated_copy(source: Path, output: Path, errors: Path) -> None:
    """Joins, runs the job of `ray_data`."""
    _join()
    ray_data.configure()
    ray_data.validated_copy(source, output, errors)


def nothing(source: Path, output: Path, errors: Path) -> None:
    """Joins, has two tasks done, leaves."""
    _join()
    ray.get([_nothing.remote() for _ in range(running.WORKERS)])
    ray.shutdown()


def _join() -> None:
    ray.init(_address, log_to_driver=False, logging_level="ERROR")


@ray.remote
def _nothing() -> None:
    """A task that costs what any task does."""
