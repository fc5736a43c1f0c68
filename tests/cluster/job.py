"""A user's script that runs the gated pipe on a cluster; the tests start it on the head.

`job.py OPTIONS`, with the options as JSON: engine, address, source, folder, workers, shards, held, and the
retry policy. It prints a line of JSON whenever the report has changed, and one at the end.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gated import gated_pipe

from zoopipe import PipeManager, RetryPolicy
from zoopipe.report import PipeReport
from zoopipe.runtime.registry import engine_class

_LIMIT_S = 100.0


def shown(report: PipeReport) -> dict[str, Any]:
    """What the tests look at."""
    return {
        "status": report.status.value,
        "error": report.error,
        "read": report.total_processed,
        "written": report.success_count,
        "rejected": report.error_count,
        "lost": report.lost_count,
        "shards_done": report.shards_done,
        "workers": [
            {key: value for key, value in asdict(worker).items() if key != "quiet_s"}
            for worker in report.workers
        ],
    }


def main(options: dict[str, Any]) -> None:
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s %(message)s")
    held = [(shard, attempt) for shard, attempt in options["held"]]
    pipe = gated_pipe(Path(options["source"]), Path(options["folder"]), held)
    manager = PipeManager.parallelize_pipe(
        pipe,
        workers=options["workers"],
        shards=options["shards"],
        engine=engine_class(options["engine"])(options["address"]),
        retries=RetryPolicy(options["max_attempts"], options["backoff_s"]),
    )
    end = time.monotonic() + _LIMIT_S
    seen: dict[str, Any] = {}
    with manager:
        while not manager.wait(0.05):
            if time.monotonic() > end:
                raise TimeoutError(f"the run took more than {_LIMIT_S} s")
            seen = _say(manager, seen)
    _say(manager, seen)


def _say(manager: PipeManager, seen: dict[str, Any]) -> dict[str, Any]:
    report = shown(manager.get_pipe_report(0))
    if report != seen:
        print(json.dumps(report), flush=True)
    return report


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
