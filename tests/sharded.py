"""Runs a pipe as shards in this process and thread: what the supervisor does, without workers."""

from __future__ import annotations

from collections.abc import Callable

from zoopipe import Pipe
from zoopipe.runtime.commit import commit
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.recovery import begin
from zoopipe.runtime.task import Task, run_task


def run_sharded(
    pipe: Pipe,
    shards: int,
    *,
    merge: bool = True,
    pick: Callable[[list[Task]], Task] = lambda tasks: tasks[0],
) -> PipeRun:
    """Runs `pipe` as at most `shards` shards and commits it; `pick` says which attempt is next."""
    (planned,) = begin(plan_pipes([pipe], shards, merge), resume=False)
    try:
        run = PipeRun(planned)
        waiting: list[Task] = []
        while not run.is_done:
            while (task := run.next_task()) is not None:
                waiting.append(task)
            task = pick(waiting)
            waiting.remove(task)
            progress = Progress()
            run.launched(task, progress)
            run.done(task, run_task(task, progress))
        commit(run)
    finally:
        planned.leave(is_done=True)
    return run
