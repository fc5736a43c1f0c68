"""Measures the entries of a contest: each in a fresh process, one after the other, in rounds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.agreement import Summary, compare, summarise
from benchmarks.case import Contest, Entry, Result
from benchmarks.environments import HERE, install

WORK = HERE / ".work"


class ContenderFailed(RuntimeError):
    """A contender's process did not end well; the message has what it said."""


@dataclass(slots=True)
class _Runs:
    """What the rounds so far have measured of one entry."""

    job_s: list[float] = field(default_factory=list)
    process_s: list[float] = field(default_factory=list)
    peak_rss_kib: list[int] = field(default_factory=list)
    worker_rss_kib: list[int] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    agreement: str = ""

    def result(self) -> Result:
        return Result(
            job_s=round(median(self.job_s), 4),
            process_s=round(median(self.process_s), 4),
            job_s_all=tuple(round(seconds, 5) for seconds in self.job_s),
            peak_rss_mib=round(median(self.peak_rss_kib) / 1024, 1),
            worker_rss_mib=round(median(self.worker_rss_kib) / 1024, 1),
            agreement=self.agreement,
            versions=self.versions,
        )


def measure(
    contest: Contest, entries: Sequence[Entry], repeats: int, say: Callable[[str], None]
) -> dict[str, Result]:
    """The results of those entries of a contest, by label.

    Rounds are interleaved: each entry runs once before any runs again, so that what else the
    machine does meets all alike. Inputs and outputs are removed in the end.

    Raises:
        ContenderFailed: a contender's process failed.
    """
    runs = {entry.label: _Runs() for entry in entries}
    pythons = {entry.contender: install(entry.contender) for entry in entries}
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as name:
        folder = Path(name)
        for file, make in contest.inputs.items():
            say(f"making {file}")
            make(folder / file)
        reference = _reference(contest, folder, say)
        for number in range(repeats):
            for entry in entries:
                run = runs[entry.label]
                _run_once(entry, pythons[entry.contender], folder, run)
                say(f"round {number + 1}: {entry.label} {run.job_s[-1]:.2f} s")
                if reference is not None and not run.agreement:
                    run.agreement = compare(reference, _outputs(folder, "kept"), _outputs(folder))
                _remove(_outputs(folder))
    return {label: run.result() for label, run in runs.items()}


def _reference(contest: Contest, folder: Path, say: Callable[[str], None]) -> Summary | None:
    """The reference's outputs, kept for comparison under another name; made without a clock."""
    if contest.reference is None:
        return None
    say("making the reference output")
    entry = contest.reference
    _run_once(entry, install(entry.contender), folder, _Runs())
    for path, kept in zip(_outputs(folder), _outputs(folder, "kept"), strict=True):
        path.replace(kept)
    return summarise(_outputs(folder, "kept"))


def _outputs(folder: Path, prefix: str = "out") -> tuple[Path, Path]:
    return folder / f"{prefix}-rows.jsonl", folder / f"{prefix}-errors.jsonl"


def _remove(outputs: tuple[Path, Path]) -> None:
    """Removes both outputs, and their parts; what is not yet on disk then never is written."""
    for path in outputs:
        for part in path.parent.glob(f"{path.stem}*"):
            if part.is_dir():
                shutil.rmtree(part)
            else:
                part.unlink()


def _run_once(entry: Entry, python: Path, folder: Path, runs: _Runs) -> None:
    """Adds a run in a fresh process to `runs`."""
    # An environment of its own is kept clean of PYTHONPATH: two packages are named zoopipe.
    alone = "-P" if python == Path(sys.executable) else "-I"
    command = [str(python), alone, str(HERE / "contender.py"), entry.contender, entry.job]
    command += map(str, (entry.cpus, folder / entry.input, *_outputs(folder)))
    said = folder / "said.txt"
    with said.open("w+") as out, (folder / "complained.txt").open("w+") as complaints:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=complaints)
        # Its memory is the largest of the process and of all that it waited for. Linux counts what
        # it had before exec too, which is this process's: so this one stays small (20 MiB).
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        complaints.seek(0)
        if process.returncode != 0:
            raise ContenderFailed(
                f"{entry.contender}.{entry.job} ended with {process.returncode}: "
                f"{complaints.read()[-2000:]}"
            )
        out.seek(0)
        measured = json.loads(out.read().splitlines()[-1])
    runs.job_s.append(measured["job_s"])
    runs.process_s.append(seconds)
    runs.peak_rss_kib.append(max(usage.ru_maxrss, measured["worker_rss_kib"]))
    runs.worker_rss_kib.append(measured["worker_rss_kib"])
    runs.versions = measured["versions"]
