"""Records that keep their worker for too long: found by what is in hand, and never for being many."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoopipe import Pipe, RetryPolicy, WorkerLostError
from zoopipe.adapters.base import Shard
from zoopipe.counts import Counts
from zoopipe.runtime.engine import Lost
from zoopipe.runtime.pace import Pace
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.shardrun import ShardRun
from zoopipe.runtime.task import Task

LIMIT_S = 8.0
LOST = Lost("its worker was ended")


def next_task(shard: ShardRun) -> Task:
    def make(**given) -> Task:
        return Task(
            pipe_index=0,
            pipe=cast(Pipe, None),
            shards=1,
            columns=None,
            output_schema=None,
            part=Path("part"),
            rejects=None,
            leads=True,
            record_timeout_s=LIMIT_S,
            **given,
        )

    return shard.next_task(make)


def held(task: Task, seconds: list[float]) -> tuple[int, int] | None:
    """The records that are in hand for too long, of records that take so many seconds each; simulated."""
    pace = Pace(LIMIT_S, task.suspects)
    killers = {killer.record for killer in task.killers}
    at = 0
    while at < len(seconds):
        records = 1 if at in killers else min(pace.records(at), len(seconds) - at)
        assert records >= 1
        end = min([at + records, *(number for number in killers if number > at)])
        took = 0.0 if at in killers else sum(seconds[at:end])
        if took > LIMIT_S:
            return at, end
        pace.took(end - at, took)
        at = end
    return None


def rejected(seconds: list[float], max_attempts: int = 3) -> tuple[list[int], int]:
    """The records that a shard is run without at last, and how many attempts were ended before."""
    shard, policy = ShardRun(Shard(0, ()), 0), RetryPolicy(max_attempts)
    ended = 0
    while (found := held(task := next_task(shard), seconds)) is not None:
        ended += 1
        progress = Progress()
        progress.counts = Counts(records=found[0])
        with progress.holding(found[1]):
            shard.time_out(task, LOST, progress, policy)
    return sorted(killer.record for killer in task.killers), ended


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 60_000), st.data())
def test_endless_record_is_found_alone(records, data):
    endless = data.draw(st.integers(0, records - 1))
    seconds = [1e-5] * records
    seconds[endless] = 1e9
    found, ended = rejected(seconds)
    assert found == [endless]
    assert ended <= 4


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sets(st.integers(0, 3000), max_size=4))
def test_each_of_several_endless_records_is_found(endless):
    seconds = [1e9 if number in endless else 1e-4 for number in range(3001)]
    found, _ = rejected(seconds)
    assert set(found) == endless


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.floats(1e-7, LIMIT_S / 2),
    st.lists(st.floats(0.6, 1.6), min_size=1, max_size=1000),
)
def test_no_worker_is_ended_for_records_that_are_many_and_slow(each_s, shares):
    assert rejected([each_s * share for share in shares]) == ([], 0)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 4000))
def test_no_record_is_rejected_when_records_become_slow_all_at_once(first_slow):
    # A thousand times slower, but none of them for too long.
    seconds = [1e-3] * first_slow + [1.0] * 100 + [1e-3] * 100
    found, ended = rejected(seconds)
    assert found == []
    assert ended <= 2


def test_record_that_comes_back_the_second_time_is_not_rejected():
    shard, policy = ShardRun(Shard(0, ()), 0), RetryPolicy()
    progress = Progress()
    with progress.holding(1):
        shard.time_out(next_task(shard), LOST, progress, policy)
    assert next_task(shard).killers == ()


def test_pipe_fails_when_one_attempt_is_all_there_is():
    with pytest.raises(WorkerLostError, match="its worker was ended"):
        rejected([1e9], max_attempts=1)


def test_pipe_fails_when_every_record_takes_too_long():
    with pytest.raises(WorkerLostError, match="no fault of few records"):
        rejected([1e9] * 100)
