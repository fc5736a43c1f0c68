"""A third party's engine, as `docs/writing-an-engine.md` shows it, passes the suite as it binds there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from zoopipe.testing import EngineConformance

PAGE = Path(__file__).parents[2] / "docs" / "writing-an-engine.md"


def test_engine_of_the_docs_passes_the_suite_when_pasted(tmp_path):
    blocks = re.findall(r"^```py\n# (\S+)\n(.*?)^```$", PAGE.read_text(), flags=re.M | re.S)
    assert [name for name, _ in blocks] == ["toy_engine.py", "test_toy_engine.py"]
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    # The binding is no work.
    assert len(blocks[1][1].splitlines()) <= 20
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"),
            "--junit-xml=results.xml",
            "test_toy_engine.py",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    (results,) = ET.parse(tmp_path / "results.xml").getroot()
    wanted = [name for name in dir(EngineConformance) if name.startswith("test_")]
    passed = {case.get("name", "").partition("[")[0] for case in results}
    assert results.get("skipped") == results.get("failures") == results.get("errors") == "0"
    cluster_only = set(wanted) - passed
    assert {"no_room" in name or "cannot_see" in name for name in cluster_only} == {True}
