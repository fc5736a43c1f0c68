"""Runs one job of one contender in this process.

`python -P contender.py NAME JOB CPUS IN OUT ERRORS`; CPUS is how many it may use, 0 means all.

Prints one line of JSON: seconds of the job, the peak memory of the processes it started, versions.
Run by `measure.py`, with the Python that has the contender's libraries, and so without this
repository's folders in front of the installed ones.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path


def main(name: str, job: str, cpus: str, source: str, output: str, errors: str) -> None:
    """Imports the contender, times the job, prints what was measured."""
    _keep_to(int(cpus))
    # At the end, so that contenders/ never hides a library.
    sys.path.append(str(Path(__file__).parent))
    contender = importlib.import_module(f"contenders.{name}")
    run = getattr(contender, job)
    paths = (Path(source), Path(output), Path(errors))
    # A cluster's start, say, which is not the job.
    if hasattr(contender, "prepare"):
        contender.prepare(paths[0])
    started = time.perf_counter()
    run(*paths)
    seconds = time.perf_counter() - started
    measured = {
        "job_s": seconds,
        "worker_rss_kib": _peak_of_others(),
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in contender.LIBRARIES},
        },
    }
    if hasattr(contender, "finish"):
        contender.finish()
    print(json.dumps(measured))


def _keep_to(cpus: int) -> None:
    """Lets this process, and those that it starts, use so many CPUs; 0 means all there are."""
    if not cpus:
        return
    # The last ones: interrupts and other programs are seen most on the first.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cpus:])
    # Polars' own way to say it; it is read when Polars is imported.
    os.environ["POLARS_MAX_THREADS"] = str(cpus)


def _peak_of_others() -> int:
    """KiB of the largest process that this one started, itself or through others; 0 if none."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max([ended, *map(_peak_kib, _alive(os.getpid()))])


def _alive(pid: int) -> list[int]:
    """The processes, still running, that descend from this one: a cluster's, say."""
    found = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, tasks.read_text().split()):
            found += [child, *_alive(child)]
    return found


def _peak_kib(pid: int) -> int:
    """VmHWM of a process: the most memory that was resident; 0 where it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) if "VmHWM:" in status else 0


if __name__ == "__main__":
    main(*sys.argv[1:])
