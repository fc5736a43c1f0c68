"""`MultiProcessEngine` passes the conformance suite, by each start method."""

from __future__ import annotations

import pytest

from zoopipe import BaseEngine, MultiProcessEngine
from zoopipe.testing import EngineConformance


class TestFork(EngineConformance):
    # A forked worker has the pipe already.
    pickles_tasks = False

    @pytest.fixture
    def engine(self) -> BaseEngine:
        return MultiProcessEngine(max_workers=2, start_method="fork")

    @pytest.fixture
    def engine_source(self) -> str:
        return _SOURCE.format("fork")


_SOURCE = """\
from zoopipe import MultiProcessEngine
engine = MultiProcessEngine(max_workers=2, start_method={!r})
"""
