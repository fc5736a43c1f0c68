"""Attempts launched on an engine directly, without a supervisor: for tests of transports."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from zoopipe import BaseEngine, Pipe
from zoopipe.runtime.engine import Attempt, End
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.recovery import begin
from zoopipe.testing import wait_until

Engine = TypeVar("Engine", bound=BaseEngine)


@contextmanager
def connected(engine: Engine) -> Iterator[Engine]:
    """An engine that has joined its workers, and leaves them."""
    engine.connect()
    try:
        yield engine
    finally:
        engine.disconnect()


@contextmanager
def attempts(
    engine: BaseEngine, pipe: Pipe, shards: int = 1, least_slots: int = 0
) -> Iterator[list[Attempt]]:
    """Attempts at a pipe's shards, launched once there are `least_slots` slots."""
    (planned,) = begin(plan_pipes([pipe], shards, True), resume=False)
    run = PipeRun(planned)
    try:
        with connected(engine):
            wait_until(lambda: engine.slots() >= least_slots)
            yield [engine.launch(run.next_task()) for _ in range(shards)]
    finally:
        planned.leave(is_done=False)


def ends(engine: BaseEngine, count: int = 1, limit_s: float = 20) -> dict[Attempt, End]:
    """How the next `count` attempts end."""
    found: dict[Attempt, End] = {}
    until = time.monotonic() + limit_s
    while len(found) < count:
        assert time.monotonic() < until, f"{len(found)} of {count} attempts ended"
        found.update(engine.ended(0.1))
    return found
