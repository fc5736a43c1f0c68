"""Parquet input, beside what pyarrow reads of the same files."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from oracle import json_lines
from parquet_files import numbered, set_field, with_footer, write
from pydantic import BaseModel, ConfigDict, Field
from sharded import run_sharded

from zoopipe import (
    BaseHook,
    DeclarationError,
    InputError,
    JSONOutputAdapter,
    ParquetInputAdapter,
    Pipe,
)
from zoopipe.adapters import columnar, parquet_read
from zoopipe.adapters.base import Block, InputPlan
from zoopipe.columns import encoded_field


def rows(
    adapter: ParquetInputAdapter, folder: Path, shards: int = 1, **options: Any
) -> list[dict[str, Any]]:
    run_sharded(Pipe(adapter, JSONOutputAdapter(folder / "out.jsonl"), **options), shards)
    return json_lines(folder / "out.jsonl")


def blocks(plan: InputPlan, adapter: ParquetInputAdapter, *names: str) -> list[Block]:
    found = []
    for shard in plan.shards:
        found += adapter.read(shard, names or plan.columns)
    return found


def test_columns_are_those_that_were_chosen_in_that_order(tmp_path: Path) -> None:
    table = numbered(0, 20).append_column("a.b", pa.array(range(20)))
    table = table.append_column("a", pa.array([{"b": 1, "c": 2}] * 20))
    path = write(tmp_path / "f", table)
    chosen = ["a.b", "text", "a"]
    assert rows(ParquetInputAdapter(path, chosen), tmp_path) == table.select(chosen).to_pylist()
    assert rows(ParquetInputAdapter(path, ["a"]), tmp_path) == table.select(["a"]).to_pylist()


def test_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    adapter = ParquetInputAdapter(write(tmp_path / "f", numbered(0, 1)), ["number", "x"])
    with pytest.raises(DeclarationError, match=r"'x'.*number, text"):
        adapter.plan(1)


@pytest.mark.parametrize(
    "options",
    [
        {"columns": []},
        {"columns": ["a", "a"]},
        {"columns": "a"},
        {"skip_rows": -1},
        {"limit": True},
    ],
)
def test_option_that_is_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        ParquetInputAdapter("f", **options)


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_row_groups_of_all_files_are_shared_by_size(tmp_path: Path, shards: int) -> None:
    paths = [write(tmp_path / f"{at}", numbered(at * 40, at * 40 + 40)) for at in range(3)]
    plan = ParquetInputAdapter(paths).plan(shards)
    assert len(plan.shards) == shards
    ranges = [part for shard in plan.shards for part in shard.ranges]
    assert {part.unit for part in ranges} == {"row groups"}
    counts = [sum(part.end - part.start for part in shard.ranges) for shard in plan.shards]
    assert sum(counts) == 12 and max(counts) - min(counts) <= 1
    for before, after in pairwise(ranges):
        assert after.start == (before.end if before.path == after.path else 0)


@pytest.mark.parametrize("shards", [1, 3, 8])
@pytest.mark.parametrize("limit", [None, 0, 1, 9, 10, 25, 100])
@pytest.mark.parametrize("skip", [0, 5, 10, 39, 50, 80])
def test_skip_and_limit_count_rows_of_the_whole_input(
    tmp_path: Path, skip: int, limit: int | None, shards: int
) -> None:
    paths = [
        write(tmp_path / "0", numbered(0, 0)),
        write(tmp_path / "1", numbered(0, 35)),
        write(tmp_path / "2", numbered(35, 60)),
    ]
    adapter = ParquetInputAdapter(paths, ["number"], skip, limit)
    last = None if limit is None else skip + limit
    expected = list(range(60))[skip:last]
    assert [row["number"] for row in rows(adapter, tmp_path, shards)] == expected
    numbers = [row for block in blocks(adapter.plan(shards), adapter) for row in block.batch[0]]
    # Row groups that hold none of the rows are not read.
    assert len(numbers) < len(expected) + 20 or not expected


def test_numbers_of_rejected_rows_count_from_the_start_of_the_input(tmp_path: Path) -> None:
    class Odd(BaseModel):
        number: int = Field(multiple_of=2)

    path = write(tmp_path / "f", numbered(0, 60))
    adapter = ParquetInputAdapter(path, skip_rows=15, limit=30)
    errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
    rows(adapter, tmp_path, 3, error_output_adapter=errors, schema_model=Odd)
    found = json_lines(tmp_path / "bad.jsonl")
    assert [row["_row"] for row in found] == list(range(16, 46, 2))
    # All columns, though the model needs one; and no place in bytes.
    assert [row["number"] for row in found] == list(range(15, 45, 2))
    expected = numbered(15, 45)["text"].to_pylist()[::2]
    assert [row["text"] for row in found] == expected
    assert {row["_offset"] for row in found} == {None}


def test_blocks_tile_and_are_small_when_a_row_group_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_read, "BLOCK_ROWS", 7)
    path = write(tmp_path / "f", numbered(0, 50), row_group_size=25)
    adapter = ParquetInputAdapter(path)
    plan = adapter.plan(1)
    found = blocks(plan, adapter)
    assert [block.records for block in found] == [7, 7, 7, 4] * 2
    assert [(block.start, block.end) for block in found] == [
        *[(0, 0)] * 3, (0, 1), *[(1, 1)] * 3, (1, 2),
    ]  # fmt: skip
    assert sum(block.bytes_read for block in found) == plan.bytes_total
    assert rows(adapter, tmp_path, 2) == numbered(0, 50).to_pylist()


def test_blocks_have_fewer_rows_when_rows_are_long(tmp_path: Path) -> None:
    texts = [f"{number} {'x' * 100_000}" for number in range(200)]
    write(tmp_path / "f", pa.table({"t": texts}), use_dictionary=False, row_group_size=200)
    adapter = ParquetInputAdapter(str(tmp_path / "f"))
    found = blocks(adapter.plan(1), adapter)
    assert max(block.batch.nbytes for block in found) < 2 * columnar.BLOCK_BYTES
    assert [text for block in found for text in block.batch[0].to_pylist()] == texts


@pytest.mark.parametrize("groups", [0, 1])
def test_file_without_rows_has_a_block_and_columns(tmp_path: Path, groups: int) -> None:
    write(tmp_path / "f", numbered(0, 0))
    if groups == 0:
        pq.ParquetWriter(tmp_path / "f", numbered(0, 0).schema).close()
    adapter = ParquetInputAdapter(tmp_path / "f")
    plan = adapter.plan(3)
    (block,) = blocks(plan, adapter)
    assert (block.records, block.start, block.end) == (0, 0, groups)
    assert block.batch.schema.equals(plan.schema)


class TestPruning:
    def test_only_columns_that_the_model_needs_are_read(self, tmp_path: Path) -> None:
        class Aliased(BaseModel):
            renamed: str | None = Field(alias="text")

        path = write(tmp_path / "f", numbered(0, 30).append_column("more", pa.array(range(30))))
        adapter = ParquetInputAdapter(path)
        run = run_sharded(
            Pipe(adapter, JSONOutputAdapter(tmp_path / "o.jsonl"), schema_model=Aliased), 2
        )
        assert run.planned.read_columns == ("text",)
        found = json_lines(tmp_path / "o.jsonl")
        assert [row["renamed"] for row in found] == numbered(0, 30)["text"].to_pylist()
        (block, *_) = blocks(adapter.plan(1), adapter, "text")
        assert block.batch.schema.names == ["text"]
        assert block.whole is not None
        assert block.whole().schema.names == ["number", "text", "more"]
        # Once more, without a model: nothing of it stays with the adapter.
        assert list(rows(adapter, tmp_path)[0]) == ["number", "text", "more"]

    def test_whole_rows_are_right_in_any_order(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(parquet_read, "BLOCK_ROWS", 4)
        adapter = ParquetInputAdapter(write(tmp_path / "f", numbered(0, 30)))
        found = blocks(adapter.plan(1), adapter, "text")
        for at in (3, 0, 0, 8, 2, 3, 7, 1):
            assert found[at].whole is not None
            whole = found[at].whole()
            assert whole["text"].equals(found[at].batch["text"])
            first = sum(block.records for block in found[:at])
            assert whole["number"].to_pylist() == list(range(first, first + found[at].records))

    @pytest.mark.parametrize("extra", ["forbid", "allow"])
    def test_models_that_look_at_all_columns_get_them(self, tmp_path: Path, extra: Any) -> None:
        class Extra(BaseModel):
            model_config = ConfigDict(extra=extra)
            number: int

        path = write(tmp_path / "f", numbered(0, 30))
        errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
        found = rows(
            ParquetInputAdapter(path), tmp_path, error_output_adapter=errors, schema_model=Extra
        )
        assert found == (numbered(0, 30).to_pylist() if extra == "allow" else [])
        assert len(json_lines(tmp_path / "bad.jsonl")) == (0 if extra == "allow" else 30)

    def test_hooks_before_validation_see_all_columns(self, tmp_path: Path) -> None:
        class Number(BaseModel):
            number: int

        class Seen(BaseHook):
            def execute(self, entries: Any, store: Any) -> Any:
                assert all(list(entry["raw_data"]) == ["number", "text"] for entry in entries)
                return entries

        path = write(tmp_path / "f", numbered(0, 30))
        found = rows(
            ParquetInputAdapter(path),
            tmp_path,
            pre_validation_hooks=[Seen()],
            schema_model=Number,
        )
        assert found == [{"number": number} for number in range(30)]


class TestFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        names = [
            "year=2023/city=Den Haag/b.parquet",
            "year=2023/city=a%2Fb/a.parquet",
            "year=2024/city=__HIVE_DEFAULT_PARTITION__/a.parquet",
            "year=2024/city=7/a.parquet",
        ]
        for at, name in enumerate(names):
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, numbered(at * 25, at * 25 + 25))
        for name in ("_SUCCESS", ".hidden", "year=2023/_metadata", "_temporary/x.parquet"):
            path = tmp_path / "in" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"no data")
        return tmp_path / "in"

    @pytest.mark.parametrize("shards", [1, 2, 5])
    def test_names_of_folders_are_columns_as_arrow_has_them(
        self, folder: Path, tmp_path: Path, shards: int
    ) -> None:
        expected = ds.dataset(folder, partitioning="hive").to_table()
        adapter = ParquetInputAdapter(folder)
        assert adapter.plan(shards).schema == expected.schema.remove_metadata()
        assert rows(adapter, tmp_path, shards) == expected.to_pylist()

    @pytest.mark.parametrize("columns", [["city"], ["year", "number"], ["text", "city", "year"]])
    def test_columns_of_folders_are_chosen_like_others(
        self, folder: Path, tmp_path: Path, columns: list[str]
    ) -> None:
        expected = ds.dataset(folder, partitioning="hive").to_table(columns=columns)
        assert rows(ParquetInputAdapter(folder, columns), tmp_path, 3) == expected.to_pylist()

    def test_rejected_rows_have_them(self, folder: Path, tmp_path: Path) -> None:
        class Few(BaseModel):
            number: int = Field(lt=98)

        errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
        rows(
            ParquetInputAdapter(folder), tmp_path, 2, error_output_adapter=errors, schema_model=Few
        )
        found = json_lines(tmp_path / "bad.jsonl")
        assert [(row["number"], row["year"], row["city"]) for row in found] == [
            (98, 2024, "7"),
            (99, 2024, "7"),
        ]

    @pytest.mark.parametrize(
        "values", [["1", "02"], ["1", "x"], ["2147483648"], ["", "1"], ["0x10"], ["-5", "+5"]]
    )
    def test_types_are_those_that_arrow_infers(self, tmp_path: Path, values: list[str]) -> None:
        for value in values:
            (tmp_path / "in" / f"key={value}").mkdir(parents=True)
            write(tmp_path / "in" / f"key={value}" / "f", numbered(0, 1))
        expected = ds.dataset(tmp_path / "in", partitioning="hive").to_table()
        assert rows(ParquetInputAdapter(tmp_path / "in"), tmp_path) == expected.to_pylist()

    def test_glob_says_nothing_of_folders(self, folder: Path, tmp_path: Path) -> None:
        found = rows(ParquetInputAdapter(str(folder / "year=*/*/*.parquet")), tmp_path)
        assert list(found[0]) == ["number", "text"] and len(found) == 100

    def test_file_in_other_folders_is_refused(self, folder: Path) -> None:
        write(folder / "year=2023" / "stray.parquet", numbered(0, 1))
        with pytest.raises(InputError, match=r"stray\.parquet is in folders for year"):
            ParquetInputAdapter(folder).plan(1)

    def test_column_that_is_a_folder_too_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "number=1").mkdir()
        write(tmp_path / "number=1" / "f", numbered(0, 1))
        with pytest.raises(InputError, match="'number' is a column"):
            ParquetInputAdapter(tmp_path).plan(1)

    def test_folder_without_files_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "_hidden").write_bytes(b"")
        with pytest.raises(InputError, match="no file is in"):
            ParquetInputAdapter(tmp_path).plan(1)


class TestTypes:
    def test_types_of_one_content_are_brought_to_the_one_that_stages_take(
        self, tmp_path: Path
    ) -> None:
        texts = pa.array(["a", None, "b", "a"])
        lists = pa.array([["x"], None, [], ["y", None]], pa.large_list(pa.large_string()))
        table = pa.table(
            {
                "large": texts.cast(pa.large_string()),
                "dictionary": texts.dictionary_encode(),
                "numbers": pa.array([1, 2, None, 1]).dictionary_encode(),
                "lists": lists,
                "struct": pa.array([{"t": "x"}, None, {"t": None}, {"t": "y"}]).cast(
                    pa.struct([("t", pa.dictionary(pa.int8(), pa.string()))])
                ),
                "bytes": pa.array([b"a", None, b"", b"b"], pa.large_binary()),
            }
        )
        adapter = ParquetInputAdapter(write(tmp_path / "f", table))
        assert adapter.plan(1).schema == pa.schema(
            [
                ("large", pa.string()),
                ("dictionary", pa.string()),
                ("numbers", pa.int64()),
                ("lists", pa.list_(pa.string())),
                ("struct", pa.struct([("t", pa.string())])),
                ("bytes", pa.binary()),
            ]
        )
        expected = table.set_column(5, "bytes", table["bytes"].cast(pa.large_string())).to_pylist()
        assert rows(adapter, tmp_path) == expected

    def test_text_that_does_not_decode_rejects_its_row_alone(self, tmp_path: Path) -> None:
        texts = [b"ok", b"\xff\xfe", b"Zo\xc3\xab", None, b"cut \xc3"] * 5
        table = pa.table({"n": range(25), "t": pa.array(texts, pa.binary()).view(pa.string())})
        lists = pa.ListArray.from_arrays([*range(25), 25], table["t"].chunk(0))
        for column in (table["t"], lists):
            path = write(tmp_path / "f", table.set_column(1, "t", column))
            errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
            found = rows(ParquetInputAdapter(path), tmp_path, 2, error_output_adapter=errors)
            assert [row["n"] for row in found] == [n for n in range(25) if n % 5 not in (1, 4)]
            bad = json_lines(tmp_path / "bad.jsonl")
            assert [row["_row"] - 1 for row in bad] == [n for n in range(25) if n % 5 in (1, 4)]
            assert {row["_stage"] for row in bad} == {"parse"}
            assert bad[0]["_errors"] == [
                {"loc": ["t"], "type": "text_encoding", "msg": "not valid UTF-8"}
            ]
        assert json_lines(tmp_path / "bad.jsonl")[0]["n"] is None

    def test_json_texts_come_back_as_values_and_others_are_rejected(self, tmp_path: Path) -> None:
        texts = ['{"a": [1, null]}', "no JSON", None, '"text"', "[" * 100_000]
        schema = pa.schema([encoded_field("value", "json")])
        path = write(tmp_path / "f", pa.table([texts], schema=schema))
        errors = JSONOutputAdapter(tmp_path / "bad.jsonl")
        found = rows(ParquetInputAdapter(path), tmp_path, error_output_adapter=errors)
        assert [row["value"] for row in found] == [{"a": [1, None]}, None, "text"]
        bad = json_lines(tmp_path / "bad.jsonl")
        assert [(row["_row"], row["_errors"][0]["type"]) for row in bad] == [
            (2, "json_invalid"),
            (5, "json_invalid"),
        ]
        assert bad[0]["_text"] == "no JSON"


class TestFiles:
    def test_columns_may_have_another_order_in_another_file(self, tmp_path: Path) -> None:
        paths = [
            write(tmp_path / "0", numbered(0, 5)),
            write(tmp_path / "1", numbered(5, 15).select(["text", "number"])),
        ]
        found = rows(ParquetInputAdapter(paths), tmp_path, 2)
        assert found == numbered(0, 15).to_pylist()
        assert {tuple(row) for row in found} == {("number", "text")}

    @pytest.mark.parametrize(
        ("other", "message"),
        [
            (numbered(0, 1).select(["number"]), "'text' is missing in .*1 and string in .*0"),
            (numbered(0, 1).append_column("more", [[1]]), "'more' is int64 in .*1 and missing in"),
            (
                numbered(0, 1).set_column(0, "number", [[1.5]]),
                "'number' is double in .*1 and int64",
            ),
        ],
    )
    def test_files_of_other_columns_are_refused(
        self, tmp_path: Path, other: pa.Table, message: str
    ) -> None:
        paths = [write(tmp_path / "0", numbered(0, 5)), write(tmp_path / "1", other)]
        with pytest.raises(InputError, match=message):
            ParquetInputAdapter(paths).plan(1)

    def test_column_that_is_there_twice_is_refused(self, tmp_path: Path) -> None:
        table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
        with pytest.raises(InputError, match="more than one column 'a'"):
            ParquetInputAdapter(write(tmp_path / "f", table)).plan(1)


class TestDamage:
    @pytest.mark.parametrize("data", [b"", b"PAR1", b"no Parquet at all", b"PAR1" + b"\0" * 50])
    def test_file_that_is_none_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "f").write_bytes(data)
        with pytest.raises(InputError, match=f"cannot read {tmp_path}/f: "):
            ParquetInputAdapter(tmp_path / "f").plan(1)

    @pytest.mark.parametrize("size", [-1, -8, -300, 100])
    def test_file_that_is_cut_short_is_refused(self, tmp_path: Path, size: int) -> None:
        write(tmp_path / "f", numbered(0, 50))
        (tmp_path / "f").write_bytes((tmp_path / "f").read_bytes()[:size])
        with pytest.raises(InputError, match="cannot read"):
            ParquetInputAdapter(tmp_path / "f").plan(1)

    def test_footer_that_counts_other_rows_than_its_row_groups_is_refused(
        self, tmp_path: Path
    ) -> None:
        write(tmp_path / "f", numbered(0, 50))
        with_footer(tmp_path / "f", lambda footer: set_field(footer, 3, 0))
        with pytest.raises(InputError, match="counts 0 rows, and 50"):
            ParquetInputAdapter(tmp_path / "f").plan(1)

    @pytest.mark.parametrize("said", [0, 4, 9, 11, 1000])
    def test_row_group_with_other_rows_than_the_footer_counts_ends_the_run(
        self, tmp_path: Path, said: int
    ) -> None:
        write(tmp_path / "f", numbered(0, 50))

        def change(footer: Any) -> None:
            set_field(footer[4].value[2], 3, said)
            set_field(footer, 3, 40 + said)

        with_footer(tmp_path / "f", change)
        with pytest.raises(InputError, match=f"footer counts {said} rows in row group 2, and 10"):
            rows(ParquetInputAdapter(tmp_path / "f"), tmp_path)

    def test_rows_that_are_missing_end_the_run(self, tmp_path: Path) -> None:
        write(tmp_path / "f", numbered(0, 50))

        def change(footer: Any) -> None:
            for chunk in footer[4].value[2][1].value:
                set_field(chunk[3].value, 5, 60)
            set_field(footer[4].value[2], 3, 60)
            set_field(footer, 3, 100)

        with_footer(tmp_path / "f", change)
        with pytest.raises(
            InputError, match="counts 60 rows in row group 2, and only 10 were found"
        ):
            rows(ParquetInputAdapter(tmp_path / "f"), tmp_path)

    def test_page_that_is_not_what_was_written_ends_the_run(self, tmp_path: Path) -> None:
        options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
        write(tmp_path / "f", numbered(0, 50), **options)
        data = (tmp_path / "f").read_bytes()
        (tmp_path / "f").write_bytes(data.replace(b"text 22", b"text 99", 1))
        with pytest.raises(InputError, match="CRC"):
            rows(ParquetInputAdapter(tmp_path / "f"), tmp_path)

    def test_file_that_changed_after_the_plan_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "f", numbered(0, 50))
        adapter = ParquetInputAdapter(tmp_path / "f")
        plan = adapter.plan(1)
        write(tmp_path / "f", numbered(0, 10))
        with pytest.raises(InputError, match="did it change"):
            blocks(plan, adapter)
        write(tmp_path / "f", pa.table({"other": range(50)}))
        with pytest.raises(InputError, match="no column 'number' any more"):
            blocks(plan, adapter)


def test_plan_changes_with_the_file(tmp_path: Path) -> None:
    adapter = ParquetInputAdapter(write(tmp_path / "f", numbered(0, 50)))
    before = adapter.plan(1)
    write(tmp_path / "f", numbered(0, 51))
    assert before.identity != adapter.plan(1).identity
    sizes = pq.ParquetFile(tmp_path / "f").metadata
    columns = [sizes.row_group(at).column(0) for at in range(sizes.num_row_groups)]
    expected = sum(column.total_compressed_size for column in columns)
    assert ParquetInputAdapter(tmp_path / "f", ["number"]).plan(2).bytes_total == expected
    assert json.dumps(dict(before.identity))
