"""What the tables are read for: how fast an entry is, or how much faster than others, beside what is
asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.case import Result

Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Target:
    """How many times as fast as others an entry is meant to be.

    Attributes:
        times: at least so many.
        others: the labels of entries; the fastest of them counts.
        label: of the entry itself.
    """

    times: float
    others: tuple[str, ...]
    label: str = "zoopipe"


@dataclass(frozen=True, slots=True)
class Limit:
    """How long an entry's job may take.

    Attributes:
        seconds: it has to be less.
        label: of the entry.
    """

    seconds: float
    label: str = "zoopipe"


def targets(*wanted: Target | Limit) -> Callable[[Results], list[str]]:
    """A verdict: a line for each target or limit whose entries were measured."""
    return lambda results: [line for target in wanted for line in _lines(target, results)]


def time_ratio(result: Result, other: Result) -> float:
    """The median of the rounds' ratios: what slows the machine for a while slows both in a round."""
    pairs = zip(result.job_s_all, other.job_s_all, strict=True)
    return median(mine / others for mine, others in pairs)


def judged(text: str, met: bool) -> str:
    """A line of a verdict, with how it stands."""
    return f"{text}: {'met' if met else 'NOT MET'}"


def _lines(target: Target | Limit, results: Results) -> list[str]:
    if isinstance(target, Limit):
        return _line_of_limit(target, results)
    others = [label for label in target.others if label in results]
    if target.label not in results or not others:
        return []
    whose = fastest = min(others, key=lambda label: results[label].job_s)
    if len(target.others) > 1:
        whose = f"the fastest of {len(others)}, {fastest}"
    times = time_ratio(results[fastest], results[target.label])
    text = f"{target.label} is {times:.2f} times as fast as {whose} (target {target.times:g})"
    return [judged(text, times >= target.times)]


def _line_of_limit(limit: Limit, results: Results) -> list[str]:
    if limit.label not in results:
        return []
    seconds = results[limit.label].job_s
    text = f"{limit.label} takes {seconds:.2f} s (target: less than {limit.seconds:g} s)"
    return [judged(text, seconds < limit.seconds)]
