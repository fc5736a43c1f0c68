"""Runs one job of one contender in this process: `python -P contender.py NAME JOB IN OUT ERRORS`.

Prints one line of JSON: seconds of the job, the peak memory of the processes it started, versions.
Run by `measure.py`, with the Python that has the contender's libraries, and so without this
repository's folders in front of the installed ones.
"""

from __future__ import annotations

import importlib
import json
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path


def main(name: str, job: str, source: str, output: str, errors: str) -> None:
    """Imports the contender, times the job, prints what was measured."""
    # At the end, so that contenders/ never hides a library.
    sys.path.append(str(Path(__file__).parent))
    contender = importlib.import_module(f"contenders.{name}")
    run = getattr(contender, job)
    paths = (Path(source), Path(output), Path(errors))
    started = time.perf_counter()
    run(*paths)
    seconds = time.perf_counter() - started
    measured = {
        "job_s": seconds,
        "worker_rss_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "versions": {
            "python": platform.python_version(),
            **{library: version(library) for library in contender.LIBRARIES},
        },
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
