"""Asks every node of a cluster something."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import cloudpickle
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from zoopipe_ray.faults import sentence
from zoopipe_ray.worker import answer

Answer = TypeVar("Answer")


def ask_nodes(
    question: Callable[[], Answer], environment: Mapping[str, Any], limit_s: float
) -> Sequence[tuple[str, Answer | str]]:
    """Each node's address, and its answer, or a sentence why there is none.

    Args:
        question: an importable function, or a `functools.partial` of one.
        environment: options of the tasks that ask.
        limit_s: how long all nodes have together.
    """
    asked = cloudpickle.dumps(question)
    end = time.monotonic() + limit_s
    refs = []
    for node in ray.nodes():
        if node["Alive"]:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            # Nodes answer also while all of their CPUs are taken.
            ask = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there, **environment)
            refs.append((str(node["NodeManagerAddress"]), ask(answer).remote(asked)))
    return sorted(((host, _answer(ref, end)) for host, ref in refs), key=lambda pair: pair[0])


def _answer(ref: Any, end: float) -> Any:
    try:
        _, said = ray.get(ref, timeout=max(end - time.monotonic(), 0.0))
    except ray.exceptions.RayError as error:
        return sentence(error)
    return said
