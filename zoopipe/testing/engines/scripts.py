"""Models and hooks that a user's script, or a module beside it, defines."""

from __future__ import annotations

from pathlib import Path

from zoopipe.testing.engines.binding import EngineBinding, run_script, write_script
from zoopipe.testing.items import json_rows, write_items


class ScriptTests(EngineBinding):
    """What no worker can import by its name."""

    def test_script_runs_when_it_and_a_module_beside_it_define_models_and_hooks(
        self, engine_source: str, tmp_path: Path
    ) -> None:
        write_items(tmp_path / "in.csv", 100, bad=(3,))
        (tmp_path / "beside_zoopipe_script.py").write_text(_BESIDE)
        done = run_script(write_script(_SCRIPT, engine_source, tmp_path))
        # An engine does not print, and what is fine is not logged.
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        numbers = [number for number in range(1, 101) if number != 3]
        assert json_rows(tmp_path / "main.jsonl") == [
            {
                "id": number,
                "name": f"item {number}",
                "twice": 2 * number,
                "kind": "main",
                "position": number - 1,
                "tripled": 3 * number,
            }
            for number in numbers
        ]
        assert json_rows(tmp_path / "beside.jsonl") == [
            {"id": number, "thrice": 3 * number} for number in numbers
        ]


_BESIDE = """
from pydantic import BaseModel

FACTOR = 3

class Narrow(BaseModel):
    id: int

def thrice(row):
    return {**row, "thrice": FACTOR * row["id"]}
"""

_SCRIPT = """
    import beside_zoopipe_script as beside
    from enum import Enum
    from pydantic import BaseModel, field_validator
    from zoopipe import BaseHook, CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager

    class Kind(Enum):
        MAIN = "main"

    class Wide(BaseModel):
        id: int
        name: str
        twice: int
        kind: Kind = Kind.MAIN

        @field_validator("twice")
        @classmethod
        def is_even(cls, value):
            assert value % 2 == 0
            return value

    class Places(BaseHook):
        def execute(self, entries, store):
            for entry in entries:
                entry["validated_data"]["position"] = entry["position"]
            return entries

    def twice(row):
        return {**row, "twice": str(2 * int(row["id"])) if row["id"].isdigit() else "0"}

    def main():
        # Relative paths: workers may have another working directory.
        wide = Pipe(
            CSVInputAdapter("in.csv"),
            JSONOutputAdapter("main.jsonl"),
            schema_model=Wide,
            pre_validation_hooks=[twice],
            post_validation_hooks=[
                Places(), lambda row: {**row, "tripled": beside.FACTOR * row["id"]}],
            error_output_adapter=JSONOutputAdapter("bad.jsonl"),
        )
        narrow = Pipe(
            CSVInputAdapter("in.csv"),
            JSONOutputAdapter("beside.jsonl"),
            schema_model=beside.Narrow,
            post_validation_hooks=[beside.thrice],
            error_output_adapter=JSONOutputAdapter("bad2.jsonl"),
        )
        engine = make_engine()
        for pipe in (wide, narrow):
            report = PipeManager.parallelize_pipe(pipe, workers=2, engine=engine).run()
            assert report.success_count == 99, report
"""
