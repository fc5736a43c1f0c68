"""`InlineEngine`, which `Pipe.run()` uses, passes the part of the suite that a thread can pass."""

from __future__ import annotations

import pytest

from zoopipe import BaseEngine
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing import EngineConformance


class TestInline(EngineConformance):
    isolates_processes = False
    can_kill = False
    pickles_tasks = False

    @pytest.fixture
    def engine(self) -> BaseEngine:
        return InlineEngine()

    @pytest.fixture
    def engine_source(self) -> str:
        return "from zoopipe.runtime.inline import InlineEngine\nengine = InlineEngine()"
