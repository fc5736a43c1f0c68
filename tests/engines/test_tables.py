"""The example of docs/duckdb.md, as pasted, on each engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "duckdb.md"
ENGINES = {
    "multiprocess": "",
    "ray": ", engine=zoopipe.RayEngine()",
    "dask": ", engine=zoopipe.DaskEngine()",
}


@pytest.mark.parametrize("engine", ENGINES)
def test_three_pipes_load_three_tables_of_one_file(tmp_path, engine):
    example = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)[0]
    assert example.count("PipeManager(pipes)") == 1
    script = example.replace("PipeManager(pipes)", f"PipeManager(pipes{ENGINES[engine]})")
    path = tmp_path / "example.py"
    path.write_text(f"import zoopipe\n{script}")
    done = subprocess.run(
        [sys.executable, path.name], cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(tmp_path / "analytics.duckdb")) as connection:
        tables = [row[0] for row in connection.execute("SHOW TABLES").fetchall()]
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]
            for name in tables
        }
    assert counts == {"orders": 2, "products": 2, "users": 2}
    assert (tmp_path / "users.rejected.jsonl").read_text().count("\n") == 1
