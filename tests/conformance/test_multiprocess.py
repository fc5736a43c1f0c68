"""`MultiProcessEngine` passes the conformance suite; of what a start method changes, with each."""

from __future__ import annotations

import pytest

from zoopipe import BaseEngine, MultiProcessEngine
from zoopipe.testing import EngineConformance
from zoopipe.testing.engines import ScriptTests, StopTests

SOURCE = """\
from zoopipe import MultiProcessEngine
engine = MultiProcessEngine(max_workers=2, start_method={!r})
"""


class TestFork(EngineConformance):
    # A forked worker has the pipe already.
    pickles_tasks = False

    @pytest.fixture
    def engine(self) -> BaseEngine:
        return MultiProcessEngine(max_workers=2, start_method="fork")

    @pytest.fixture
    def engine_source(self) -> str:
        return SOURCE.format("fork")


class TestForkServer(EngineConformance):
    # The driver's part in it is the same as with fork.
    test_two_hundred_small_pipes_are_all_published_when_run_at_once = None

    @pytest.fixture
    def engine(self) -> BaseEngine:
        return MultiProcessEngine(max_workers=2, start_method="forkserver")

    @pytest.fixture
    def engine_source(self) -> str:
        return SOURCE.format("forkserver")


# A worker of a fresh interpreter takes half a second: what it knows of its driver, and its death.
class TestSpawn(ScriptTests, StopTests):
    @pytest.fixture
    def engine(self) -> BaseEngine:
        return MultiProcessEngine(max_workers=2, start_method="spawn")

    @pytest.fixture
    def engine_source(self) -> str:
        return SOURCE.format("spawn")
