"""What a case is: contests, each an input and the contenders that do one job with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a table.

    Attributes:
        label: how the table names it.
        contender: the file in `contenders/` that does the job.
        job: the function in that file.
        input: which of the contest's inputs it is given.
        cpus: how many CPUs its processes may use; 0 means all there are.
        lacks: what the contender does not do that others do; empty where it does everything.
    """

    label: str
    contender: str
    job: str
    input: str = "input.csv"
    cpus: int = 1
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured of one entry: medians over the repeats.

    Attributes:
        job_s: seconds of the job alone, inside the process, without imports of the contender.
        process_s: seconds from the start of the process to its end.
        job_s_all: each repeat's `job_s`.
        peak_rss_mib: of the process, or of the largest process that it started.
        worker_rss_mib: of the largest process that it started; 0.0 where it started none.
        agreement: how the output compares with the reference's; empty where none is compared.
        versions: of Python and of the libraries that the contender names.
    """

    job_s: float
    process_s: float
    job_s_all: tuple[float, ...]
    peak_rss_mib: float
    worker_rss_mib: float
    agreement: str
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Contest:
    """One table of a case.

    Attributes:
        title: the line above the table.
        entries: who takes part; ratios are to the first.
        rows: how many rows the input has; 0 where rows mean nothing.
        inputs: how each input is made, by its file name.
        reference: whose output the others' are compared with; it need not take part.
        verdict: lines to print below the table, from the results by label, of which some may be
            missing.
    """

    title: str
    entries: tuple[Entry, ...]
    rows: int = 0
    inputs: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)
    reference: Entry | None = None
    verdict: Callable[[Mapping[str, Result]], list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A question that is answered by measuring.

    Attributes:
        name: of the case and of its file of results.
        question: what is measured.
        contests: the tables for an input of that many rows.
        most_repeats: more would tell nothing new.
    """

    name: str
    question: str
    contests: Callable[[int], list[Contest]]
    most_repeats: int | None = None
