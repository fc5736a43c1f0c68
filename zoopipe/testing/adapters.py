"""The adapter conformance suites: what every input and every output has to do, whatever its format.

```python
class TestMyInput(InputConformance):
    def write(self, path, rows):       # by other means than the adapter
        my_format.dump(rows, path)

    def adapter(self, path):
        return MyInputAdapter(path)

class TestMyOutput(OutputConformance):
    def adapter(self, path):
        return MyOutputAdapter(path)

    def read(self, path):              # by other means than the adapter
        return my_format.load(path)
```

Rows have texts only, so that every format can hold them: quotes, delimiters, newlines, letters beyond ASCII,
and nothing at all.
"""

from __future__ import annotations

import csv
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zoopipe.adapters.base import InputAdapter, OutputAdapter
from zoopipe.adapters.csv import CSVInputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.errors import InputError, OutputError
from zoopipe.manager import PipeManager
from zoopipe.pipe import Pipe
from zoopipe.runtime.inline import InlineEngine
from zoopipe.testing.engines.binding import completed, failed
from zoopipe.testing.faults import Faults, Raise
from zoopipe.testing.items import json_rows, staged

Rows = list[dict[str, str]]

_NAMES = ("plain", "with, comma", 'with "quotes"', "two\nlines", "Zoë\u2028", " spaces ", "")


def sample_rows(count: int) -> Rows:
    """Rows of two columns, `id` and `name`."""
    return [{"id": str(number), "name": _NAMES[number % len(_NAMES)]} for number in range(count)]


def _run(source: InputAdapter, output: OutputAdapter, shards: int, merge: bool = True) -> int:
    """Runs a pipe as shards in this process; how many shards there were."""
    manager = PipeManager.parallelize_pipe(
        Pipe(source, output), 1, merge, engine=InlineEngine(), shards=shards
    )
    return completed(manager).pipes[0].shard_count


class InputConformance:
    """The suite for inputs.

    Attributes:
        can_be_cut: the input can be read as several shards.
    """

    can_be_cut: ClassVar[bool] = True

    def write(self, path: Path, rows: Rows) -> None:
        """Writes rows in the adapter's format."""
        raise NotImplementedError("write is the binder's to define")

    def adapter(self, path: Path) -> InputAdapter:
        """The adapter, for a file."""
        raise NotImplementedError("adapter is the binder's to define")

    @pytest.mark.parametrize("shards", [1, 2, 3, 7, 64])
    def test_rows_are_read_once_and_in_order_when_cut(self, tmp_path: Path, shards: int) -> None:
        rows = sample_rows(200)
        self.write(tmp_path / "in", rows)
        count = _run(self.adapter(tmp_path / "in"), JSONOutputAdapter(tmp_path / "out"), shards)
        assert json_rows(tmp_path / "out") == rows
        assert (count > 1) is (self.can_be_cut and shards > 1)
        assert count <= shards

    def test_nothing_is_read_when_there_are_no_rows(self, tmp_path: Path) -> None:
        self.write(tmp_path / "in", [])
        _run(self.adapter(tmp_path / "in"), JSONOutputAdapter(tmp_path / "out"), 3)
        assert (tmp_path / "out").read_bytes() == b""

    def test_adapter_reads_again_when_it_was_used_or_pickled(self, tmp_path: Path) -> None:
        rows = sample_rows(20)
        self.write(tmp_path / "in", rows)
        adapter = self.adapter(tmp_path / "in")
        for each in (adapter, adapter, pickle.loads(pickle.dumps(adapter))):
            _run(each, JSONOutputAdapter(tmp_path / "out"), 2)
            assert json_rows(tmp_path / "out") == rows

    def test_shards_are_numbered_and_pickle(self, tmp_path: Path) -> None:
        self.write(tmp_path / "in", sample_rows(50))
        plan = self.adapter(tmp_path / "in").plan(3)
        assert [shard.index for shard in plan.shards] == list(range(len(plan.shards)))
        assert pickle.loads(pickle.dumps(plan)) == plan
        if len(plan.shards) == 1:
            assert plan.why_whole

    def test_blocks_say_what_they_hold(self, tmp_path: Path) -> None:
        self.write(tmp_path / "in", sample_rows(50))
        adapter = self.adapter(tmp_path / "in")
        plan = adapter.plan(1)
        blocks = list(adapter.read(plan.shards[0], plan.columns))
        assert blocks
        assert sum(block.records for block in blocks) == 50
        for block in blocks:
            assert block.batch.num_rows + len(block.unparsed) == block.records
            assert block.start <= block.end
            if block.offsets is not None:
                offsets = list(block.offsets())
                assert len(offsets) == block.records
                assert offsets == sorted(set(offsets))

    def test_missing_file_is_named_when_the_run_is_planned(self, tmp_path: Path) -> None:
        # Making one does no I/O.
        adapter = self.adapter(tmp_path / "missing")
        manager = PipeManager([Pipe(adapter, JSONOutputAdapter(tmp_path / "out"))], InlineEngine())
        with pytest.raises(InputError, match="missing"):
            manager.start()
        assert staged(tmp_path) == []


class OutputConformance:
    """The suite for outputs.

    Attributes:
        same_bytes: the file is the same, byte by byte, for any number of shards. Where it is not, its rows
            and their order are.
    """

    same_bytes: ClassVar[bool] = True

    def adapter(self, path: Path) -> OutputAdapter:
        """The adapter, for a file."""
        raise NotImplementedError("adapter is the binder's to define")

    def read(self, path: Path) -> Sequence[dict[str, Any]]:
        """The rows of a file in the adapter's format."""
        raise NotImplementedError("read is the binder's to define")

    def _source(self, folder: Path, rows: Rows) -> CSVInputAdapter:
        with open(folder / "in.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "name"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return CSVInputAdapter(folder / "in.csv")

    def test_file_has_the_rows_in_order_and_the_same_bytes_when_shards_differ(
        self, tmp_path: Path
    ) -> None:
        rows = sample_rows(200)
        source = self._source(tmp_path, rows)
        found = set()
        for shards in (1, 2, 3, 7):
            # A longer file of before is replaced.
            (tmp_path / "out").write_bytes(b"old" * 10_000)
            _run(source, self.adapter(tmp_path / "out"), shards)
            assert list(self.read(tmp_path / "out")) == rows
            found.add((tmp_path / "out").read_bytes())
        assert len(found) == 1 or not self.same_bytes
        assert staged(tmp_path) == []

    def test_file_is_whole_when_there_are_no_rows(self, tmp_path: Path) -> None:
        _run(self._source(tmp_path, []), self.adapter(tmp_path / "out"), 1)
        assert list(self.read(tmp_path / "out")) == []

    def test_each_part_is_a_whole_file_when_it_is_not_merged(self, tmp_path: Path) -> None:
        rows = sample_rows(100)
        source = self._source(tmp_path, rows)
        assert _run(source, self.adapter(tmp_path / "out"), 3, merge=False) == 3
        parts = sorted(tmp_path.glob("out*"))
        assert len(parts) == 3
        assert [row for part in parts for row in self.read(part)] == rows

    def test_file_of_before_stays_when_a_run_fails(self, tmp_path: Path) -> None:
        (tmp_path / "out").write_bytes(b"old")
        faults = Faults({(1, None): Raise()})
        pipe = Pipe(
            self._source(tmp_path, sample_rows(100)),
            self.adapter(tmp_path / "out"),
            post_validation_hooks=[faults],
        )
        failed(PipeManager.parallelize_pipe(pipe, 2, engine=InlineEngine()), tmp_path)
        assert (tmp_path / "out").read_bytes() == b"old"

    def test_adapter_writes_again_when_it_was_used_or_pickled(self, tmp_path: Path) -> None:
        rows = sample_rows(20)
        adapter = self.adapter(tmp_path / "out")
        for each in (adapter, adapter, pickle.loads(pickle.dumps(adapter))):
            _run(self._source(tmp_path, rows), each, 2)
            assert list(self.read(tmp_path / "out")) == rows

    def test_folder_as_target_is_refused_before_a_row_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        pipe = Pipe(self._source(tmp_path, sample_rows(3)), self.adapter(tmp_path / "out"))
        with pytest.raises(OutputError, match="out"):
            PipeManager([pipe], InlineEngine()).start()
        assert staged(tmp_path) == []
