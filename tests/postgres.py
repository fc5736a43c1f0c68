"""The PostgreSQL of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.contenders.postgres_server import PASSWORD, Server, binaries, running

__all__ = ["PASSWORD", "Server", "postgres"]


@contextmanager
def postgres() -> Iterator[Server]:
    """A server that is gone afterwards."""
    if binaries() is None:
        why = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with running() as server:
        yield server
