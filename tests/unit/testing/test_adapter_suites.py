"""The adapter suites fail where an adapter is wrong."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from zoopipe import CSVInputAdapter, JSONOutputAdapter
from zoopipe.testing import InputConformance, OutputConformance


class CSVInput(InputConformance):
    kind: type[CSVInputAdapter] = CSVInputAdapter

    def write(self, path: Path, rows: list[dict[str, str]]) -> None:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "name"])
            writer.writeheader()
            writer.writerows(rows)

    def adapter(self, path: Path) -> CSVInputAdapter:
        return self.kind(path)


class JSONOutput(OutputConformance):
    kind: type[JSONOutputAdapter] = JSONOutputAdapter

    def adapter(self, path: Path) -> JSONOutputAdapter:
        return self.kind(path, format="jsonl")

    def read(self, path: Path) -> list[dict[str, str]]:
        return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


class Uncut(CSVInputAdapter):
    def plan(self, shards):
        return super().plan(1)


class Misnumbered(CSVInputAdapter):
    def plan(self, shards):
        plan = super().plan(shards)
        return replace(plan, shards=tuple(replace(shard, index=0) for shard in plan.shards))


class Backwards(CSVInputAdapter):
    def read(self, shard, columns):
        for block in super().read(shard, columns):
            block.batch = block.batch.take(list(range(block.batch.num_rows))[::-1])
            yield block


class Overcounting(CSVInputAdapter):
    def read(self, shard, columns):
        for block in super().read(shard, columns):
            block.records += 1
            yield block


class Stateful(CSVInputAdapter):
    is_used = False

    def read(self, shard, columns):
        if not self.is_used:
            self.is_used = True
            yield from super().read(shard, columns)


@pytest.mark.parametrize(
    ("kind", "test", "given"),
    [
        (Uncut, "test_rows_are_read_once_and_in_order_when_cut", (3,)),
        (Backwards, "test_rows_are_read_once_and_in_order_when_cut", (1,)),
        (Misnumbered, "test_shards_are_numbered_and_pickle", ()),
        (Overcounting, "test_blocks_say_what_they_hold", ()),
        (Stateful, "test_adapter_reads_again_when_it_was_used_or_pickled", ()),
    ],
)
def test_suite_of_inputs_fails_when_an_input_is_wrong(tmp_path, kind, test, given):
    suite = CSVInput()
    (tmp_path / "right").mkdir()
    getattr(suite, test)(tmp_path / "right", *given)
    suite.kind = kind
    with pytest.raises(AssertionError):
        getattr(suite, test)(tmp_path, *given)


class Forgetful(JSONOutputAdapter):
    def finish(self, file, leader, others, schema):
        return super().finish(file, leader, others[:1], schema)


class Direct(JSONOutputAdapter):
    def open_part(self, file, schema, leads):
        Path(self.output).write_bytes(b"half")
        return super().open_part(file, schema, leads)


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Forgetful, "test_file_has_the_rows_in_order_and_the_same_bytes_when_shards_differ"),
        (Direct, "test_file_of_before_stays_when_a_run_fails"),
    ],
)
def test_suite_of_outputs_fails_when_an_output_is_wrong(tmp_path, kind, test):
    suite = JSONOutput()
    (tmp_path / "right").mkdir()
    getattr(suite, test)(tmp_path / "right")
    suite.kind = kind
    with pytest.raises(AssertionError):
        getattr(suite, test)(tmp_path)
