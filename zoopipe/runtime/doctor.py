"""Asks every node of a cluster what a run would need of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from zoopipe.errors import ZooPipeError
from zoopipe.runtime.parcel import Packer, Parcel, check_storage, differing, opened, versions
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import PlannedPipe, plan_pipes
from zoopipe.runtime.recovery import take_targets
from zoopipe.runtime.task import own_name
from zoopipe.storage.stores import create_part

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe
    from zoopipe.runtime.engine import BaseEngine


@dataclass(frozen=True, slots=True)
class Node:
    """What one node of a cluster says.

    Attributes:
        address: where it is.
        versions: of Python and of the packages that have to be the same everywhere.
        problems: sentences on what a run could not do there.
    """

    address: str
    versions: dict[str, str]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What all nodes say, and what the driver has."""

    driver: dict[str, str]
    nodes: tuple[Node, ...]

    @property
    def is_healthy(self) -> bool:
        """Whether there is a node, and none has a problem."""
        return bool(self.nodes) and not any(node.problems for node in self.nodes)

    def __str__(self) -> str:
        rows = [("node", *self.driver), ("driver", *self.driver.values())]
        rows += [
            (node.address, *(node.versions.get(name, "?") for name in self.driver))
            for node in self.nodes
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        problems = [
            f"{node.address}: {problem}" for node in self.nodes for problem in node.problems
        ]
        if not self.nodes:
            problems = ["the cluster has no nodes"]
        return "\n".join([*lines, *(problems or ["all nodes can run it"])])


def diagnose(engine: BaseEngine, pipes: Sequence[Pipe] = ()) -> Diagnosis:
    """Asks every node for its versions, and whether it can unpickle `pipes`, read their inputs and
    write their outputs.

    Effect: a staging folder stands beside each output meanwhile; nothing else is written.

    Raises:
        EngineError: the cluster cannot be used at all.
        InputError, OutputError: the driver cannot read an input or write an output.
    """
    planned = plan_pipes(pipes, 1, True)
    with ExitStack() as stack:
        for each in planned:
            stack.callback(each.input.close)
        stack.enter_context(take_targets(planned))
        parcels = _parcels(planned)
        answers = engine.survey(partial(examine, parcels, engine.libraries))
    ours = versions(engine.libraries)
    return Diagnosis(ours, tuple(_node(address, answer, ours) for address, answer in answers))


def _parcels(planned: Sequence[PlannedPipe]) -> tuple[Parcel, ...]:
    packer = Packer()
    tasks = [PipeRun(pipe).next_task() for pipe in planned]
    return tuple(packer.pack(task) for task in tasks if task is not None)


Findings = tuple[dict[str, str], tuple[str, ...]]


def examine(parcels: Sequence[Parcel], libraries: Sequence[str] = ()) -> Findings:
    """What a node says: its versions, and what it could not do with each parcel. Runs on the node."""
    problems: list[str] = []
    for number, parcel in enumerate(parcels):
        try:
            task = opened(parcel)
            check_storage(task, "this node")
            probe = own_name(task.part, f"{os.getpid()}.probe")
            file = create_part(probe, task.pipe.output_adapter.storage, durable=False)
            file.close(0)
            file.discard()
        except (ZooPipeError, OSError) as error:
            problems.append(f"pipe {number}: {error}")
    return versions(tuple(libraries)), tuple(problems)


def _node(address: str, answer: Findings | str, ours: dict[str, str]) -> Node:
    if isinstance(answer, str):
        return Node(address, {}, (answer,))
    theirs, problems = answer
    return Node(address, theirs, (*differing(theirs, ours), *problems))
