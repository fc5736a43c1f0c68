"""Arrow IPC, in and out, beside pyarrow's own readers and writers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pytest
from oracle import json_lines
from parquet_files import numbered
from pydantic import BaseModel, Field
from sharded import run_sharded

from zoopipe import (
    ArrowInputAdapter,
    ArrowOutputAdapter,
    DeclarationError,
    InputError,
    JSONOutputAdapter,
    LedgerError,
    Pipe,
)
from zoopipe.adapters import arrow_cut, columnar
from zoopipe.storage.parts import PartFile
from zoopipe.testing import staged

NEW = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}
OPEN = {"file": pa.ipc.open_file, "stream": pa.ipc.open_stream}
FORMATS = ["file", "stream"]


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def write(path: Path, table: pa.Table, format: str = "file", compression: str | None = None) -> str:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with NEW[format](str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=10)
    return str(path)


def rows(adapter: ArrowInputAdapter, folder: Path, shards: int = 1, **options: Any) -> list[Any]:
    run_sharded(Pipe(adapter, JSONOutputAdapter(folder / "out.jsonl"), **options), shards)
    return json_lines(folder / "out.jsonl")


class TestInput:
    @pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("shards", [1, 3, 20])
    def test_batches_are_read_once_and_in_order(
        self, tmp_path: Path, shards: int, format: str, compression: str | None
    ) -> None:
        paths = [
            write(tmp_path / f"{at}", numbered(at * 45, at * 45 + 45), format, compression)
            for at in range(2)
        ]
        adapter = ArrowInputAdapter(paths)
        assert len(adapter.plan(shards).shards) == min(shards, 10)
        assert rows(adapter, tmp_path, shards) == numbered(0, 90).to_pylist()

    @pytest.mark.parametrize("compression", ["uncompressed", "lz4"])
    def test_feather_files_are_read(self, tmp_path: Path, compression: str) -> None:
        table = numbered(0, 35)
        pyarrow.feather.write_feather(
            table, str(tmp_path / "f.feather"), compression=compression, chunksize=10
        )
        assert rows(ArrowInputAdapter(tmp_path / "f.feather"), tmp_path, 2) == table.to_pylist()

    def test_columns_lie_where_they_are_in_the_file(self, tmp_path: Path) -> None:
        numbers = pa.table({"number": range(1_000_000)})
        with pa.ipc.new_file(str(tmp_path / "f"), numbers.schema) as writer:
            writer.write_table(numbers)
        adapter = ArrowInputAdapter(tmp_path / "f")
        before = pa.total_allocated_bytes()
        plan = adapter.plan(1)
        held = list(adapter.read(plan.shards[0], plan.columns))
        assert pa.total_allocated_bytes() - before < 100_000
        assert sum(block.batch["number"].nbytes for block in held) == 8_000_000

    def test_batch_is_read_in_blocks_of_which_the_last_one_ends_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(columnar, "BLOCK_ROWS", 4)
        adapter = ArrowInputAdapter(write(tmp_path / "f", numbered(0, 20)))
        plan = adapter.plan(1)
        found = list(adapter.read(plan.shards[0], plan.columns))
        assert [(each.start, each.end, each.records) for each in found] == [
            (0, 0, 4), (0, 0, 4), (0, 1, 2), (1, 1, 4), (1, 1, 4), (1, 2, 2),
        ]  # fmt: skip
        assert sum(each.bytes_read for each in found) == plan.bytes_total

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("compression", [None, "zstd"])
    def test_rejected_rows_have_all_columns(
        self, tmp_path: Path, format: str, compression: str | None
    ) -> None:
        class Text(BaseModel):
            text: str

        path = write(tmp_path / "f", numbered(0, 60), format, compression)
        errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
        run = run_sharded(
            Pipe(ArrowInputAdapter(path), JSONOutputAdapter(tmp_path / "o"), errors, Text), 3
        )
        assert run.planned.read_columns == ("text",)
        found = json_lines(tmp_path / "bad.jsonl")
        assert [(row["number"], row["text"], row["_row"]) for row in found] == [
            (number, None, number + 1) for number in range(0, 60, 3)
        ]

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("limit", [None, 0, 7, 25])
    @pytest.mark.parametrize("skip", [0, 10, 13, 70])
    def test_skip_and_limit_count_rows_of_the_whole_input(
        self, tmp_path: Path, skip: int, limit: int | None, format: str
    ) -> None:
        path = write(tmp_path / "f", numbered(0, 60), format)
        adapter = ArrowInputAdapter(path, ["number"], skip, limit)
        last = None if limit is None else skip + limit
        found = [row["number"] for row in rows(adapter, tmp_path, 3)]
        assert found == list(range(60))[skip:last]

    def test_types_of_one_content_are_brought_to_the_one_that_stages_take(
        self, tmp_path: Path
    ) -> None:
        texts = pa.array(["a", None, "b"])
        views = pa.array([[1, 2], None, [3]], pa.list_view(pa.int64()))
        table = pa.table(
            {
                "view": texts.cast(pa.string_view()),
                "dictionary": texts.dictionary_encode(),
                "runs": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), ["x", "y"]),
                "lists": views,
                "within": pa.StructArray.from_arrays(
                    [views, texts.dictionary_encode()], ["v", "d"]
                ),
            }
        )
        found = rows(ArrowInputAdapter(write(tmp_path / "f", table)), tmp_path)
        assert found == table.to_pylist()

    def test_file_without_batches_has_columns(self, tmp_path: Path) -> None:
        adapter = ArrowInputAdapter(write(tmp_path / "f", numbered(0, 0)))
        assert adapter.plan(2).schema == numbered(0, 0).schema
        assert rows(adapter, tmp_path) == []

    @pytest.mark.parametrize("data", [b"", b"ARROW1\0\0", b"no Arrow at all", b"FEA1" + b"\0" * 60])
    def test_file_that_is_none_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "f").write_bytes(data)
        with pytest.raises(InputError, match=f"cannot read {tmp_path}/f: "):
            ArrowInputAdapter(tmp_path / "f").plan(1)

    @pytest.mark.parametrize("format", FORMATS)
    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_file_that_is_cut_short_is_refused(
        self, tmp_path: Path, format: str, share: float
    ) -> None:
        data = Path(write(tmp_path / "f", numbered(0, 60), format)).read_bytes()
        (tmp_path / "f").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match="cannot read"):
            rows(ArrowInputAdapter(tmp_path / "f"), tmp_path)

    def test_column_whose_buffers_are_damaged_ends_the_run(self, tmp_path: Path) -> None:
        table = pa.table({"t": ["some text", "other text"]})
        data = Path(write(tmp_path / "f", table)).read_bytes()
        offsets = b"".join(n.to_bytes(4, "little") for n in (0, 9, 19))
        assert data.count(offsets) == 1
        (tmp_path / "f").write_bytes(data.replace(offsets, offsets[:4] + b"\xff" * 4 + offsets[8:]))
        with pytest.raises(InputError, match="column 't' is damaged"):
            rows(ArrowInputAdapter(tmp_path / "f"), tmp_path)

    def test_files_of_other_columns_are_refused(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "0", numbered(0, 5)),
            write(tmp_path / "1", numbered(0, 5).select(["text"])),
        ]
        with pytest.raises(InputError, match="'number' is missing in"):
            ArrowInputAdapter(paths).plan(1)
        with pytest.raises(DeclarationError, match="'x'"):
            ArrowInputAdapter(paths[0], ["x"]).plan(1)


class Counted(BaseModel):
    number: int = Field(ge=5)
    text: str | None


class TestOutput:
    @pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
    @pytest.mark.parametrize("format", FORMATS)
    def test_bytes_are_the_same_for_any_number_of_shards(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Any, compression: Any
    ) -> None:
        monkeypatch.setattr(arrow_cut, "BATCH_ROWS", 16)
        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 100)))
        found = set()
        for shards in (1, 2, 7):
            output = ArrowOutputAdapter(tmp_path / "out", format, compression)
            run_sharded(Pipe(source, output, schema_model=Counted), shards)
            found.add((tmp_path / "out").read_bytes())
            with (
                OPEN[format](str(tmp_path / "out"))
                if format == "file"
                else OPEN[format]((tmp_path / "out").read_bytes()) as reader
            ):
                table = reader.read_all()
            assert table.to_pylist() == numbered(5, 100).to_pylist()
            assert [len(chunk) for chunk in table["number"].chunks] == [16] * 5 + [15]
        assert len(found) == 1
        assert staged(tmp_path) == []

    def test_format_goes_by_the_extension(self, tmp_path: Path) -> None:
        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 10)))
        for name, magic in (("o.arrow", b"ARROW1"), ("o.ARROWS", b"\xff\xff\xff\xff")):
            run_sharded(Pipe(source, ArrowOutputAdapter(tmp_path / name)), 1)
            assert (tmp_path / name).read_bytes().startswith(magic)

    @pytest.mark.parametrize("format", FORMATS)
    def test_empty_result_has_the_types_of_the_model(self, tmp_path: Path, format: Any) -> None:
        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 5)))
        errors = ArrowOutputAdapter(tmp_path / "bad")
        output = ArrowOutputAdapter(tmp_path / "out", format)
        run_sharded(Pipe(source, output, errors, Counted), 2)
        found = OPEN[format]((tmp_path / "out").read_bytes()).read_all()
        assert found.num_rows == 0
        assert found.schema == pa.schema(
            [pa.field("number", pa.int64(), False), ("text", pa.string())]
        )
        bad = pa.ipc.open_file(str(tmp_path / "bad")).read_all()
        assert (
            bad["number"].to_pylist() == [0, 1, 2, 3, 4] == [n - 1 for n in bad["_row"].to_pylist()]
        )

    def test_parts_are_whole_files_when_they_are_not_merged(self, tmp_path: Path) -> None:
        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 100)))
        run_sharded(Pipe(source, ArrowOutputAdapter(tmp_path / "out")), 3, merge=False)
        parts = sorted(tmp_path.glob("out*"))
        assert len(parts) == 3
        tables = [pa.ipc.open_file(str(part)).read_all() for part in parts]
        assert pa.concat_tables(tables).equals(numbered(0, 100))

    def test_part_that_was_changed_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        close = PartFile.close

        def spoil(file: PartFile, count: int) -> Any:
            part = close(file, count)
            if "00002" in str(part.path):
                path = Path(part.path)
                path.write_bytes(path.read_bytes()[:-1] + b"?")
            return part

        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 100)))
        monkeypatch.setattr(PartFile, "close", spoil)
        with pytest.raises(LedgerError, match="is not what was written"):
            run_sharded(Pipe(source, ArrowOutputAdapter(tmp_path / "out")), 3)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"format": "ipc"}, "format must be 'file' or 'stream'"),
            ({"compression": "gzip"}, "compression must be 'lz4', 'zstd' or None"),
            ({"schema": []}, "schema must be a pyarrow.Schema"),
        ],
    )
    def test_option_that_is_out_of_range_is_refused(
        self, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(DeclarationError, match=message):
            ArrowOutputAdapter("f", **options)

    def test_dictionaries_are_refused_before_a_row_is_read(self, tmp_path: Path) -> None:
        source = ArrowInputAdapter(write(tmp_path / "in", numbered(0, 10)))
        kind = pa.list_(pa.dictionary(pa.int8(), pa.string()))
        output = ArrowOutputAdapter(tmp_path / "out", schema=pa.schema([("text", kind)]))
        with pytest.raises(DeclarationError, match=r"'text' of .* is to be a dictionary"):
            run_sharded(Pipe(source, output), 1)
