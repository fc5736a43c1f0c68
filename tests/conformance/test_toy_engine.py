"""A third party's engine, as `docs/writing-an-engine.md` shows it, passes the suite as it binds there.

With one mistake in it, it does not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from zoopipe.testing import EngineConformance

PAGE = Path(__file__).parents[2] / "docs" / "writing-an-engine.md"
ENGINE, BINDING = "toy_engine.py", "test_toy_engine.py"


def blocks() -> dict[str, str]:
    """The files that the page shows."""
    return dict(re.findall(r"^```py\n# (\S+)\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S))


def run_suite(files: dict[str, str], folder: Path, only: str = "test") -> ET.Element:
    """Runs the tests whose name holds `only` as a third party does; the results, as JUnit has them."""
    for name, text in files.items():
        (folder / name).write_text(text)
    subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "-k", only),
            "--junit-xml=results.xml",
            BINDING,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])},
        capture_output=True,
        timeout=110,
        check=False,
    )
    (results,) = ET.parse(folder / "results.xml").getroot()
    return results


def counts(results: ET.Element) -> tuple[str | None, ...]:
    return tuple(results.get(name) for name in ("errors", "failures", "skipped"))


def test_engine_of_the_docs_passes_the_suite_when_pasted(tmp_path):
    files = blocks()
    assert len(files[BINDING].splitlines()) <= 20
    results = run_suite(files, tmp_path)
    failures = [failure.text for failure in results.iter("failure")]
    assert failures == []
    assert counts(results) == ("0", "0", "0")
    passed = {case.get("name", "").partition("[")[0] for case in results}
    suite = {name for name in dir(EngineConformance) if name.startswith("test_")}
    # It has no cluster, and says so.
    assert suite - passed == {
        "test_pipe_fails_with_worker_and_path_when_a_worker_cannot_see_the_input",
        "test_run_fails_in_time_when_there_is_no_room_for_a_worker",
    }


# What the engine's code is, what it is instead, and which test has to say so.
MISTAKES = {
    "nothing is heard while an attempt runs": (
        "            channel.send(progress.snapshot())\n            if",
        "            if",
        "test_report_grows_when_a_worker_goes_on",
    ),
    "a stop does not reach the worker": (
        '            self.channel.send("stop")',
        "            pass",
        "test_shutdown_stops_attempts_between_blocks_when_they_obey",
    ),
    "a death is said to be the pipe's own mistake": (
        "            return Lost(",
        "            from zoopipe.runtime.engine import Raised, ZooPipeError\n"
        "            return (lambda why: Raised(ZooPipeError(why)))(",
        "test_only_the_lost_shard_is_run_again_when_a_worker_is_killed",
    ),
    "the last lines of a log are not sent": (
        "    channel.send(progress.snapshot())\n    channel.send(end)",
        "    channel.send(end)",
        "test_hundred_warnings_arrive_with_their_shard_when_a_worker_logs_without_end",
    ),
    "a worker logs to its driver's handlers": (
        "    silence_handlers()\n",
        "",
        "test_hundred_warnings_arrive_with_their_shard_when_a_worker_logs_without_end",
    ),
    "it cannot be started again": (
        "        self.packer, self.attempts = Packer(), []",
        "        assert not hasattr(self, 'packer')\n        self.packer, self.attempts = Packer(), []",
        "test_manager_and_engine_run_again_when_a_run_has_ended",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_suite_fails_when_an_engine_is_wrong(tmp_path, mistake):
    right, wrong, test = MISTAKES[mistake]
    files = blocks()
    assert files[ENGINE].count(right) == 1
    files[ENGINE] = files[ENGINE].replace(right, wrong)
    results = run_suite(files, tmp_path, test)
    assert counts(results) == ("0", "1", "0")
