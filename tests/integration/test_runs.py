"""Whole runs on one machine: sharding, merging, publishing, limits and logs."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import random
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from local_runs import Item, items, items_pipe, python, staged, write_items
from oracle import csv_dicts, csv_rows, json_lines, text_lines, validated
from pydantic import BaseModel, create_model

from zoopipe import (
    BaseHook,
    ColumnHook,
    CSVInputAdapter,
    CSVOutputAdapter,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    MultiThreadExecutor,
    OutputError,
    Pipe,
    PipeManager,
    RunFailed,
    SingleThreadExecutor,
)

EXECUTORS = pytest.mark.parametrize(
    "executor", [SingleThreadExecutor(), MultiThreadExecutor(2)], ids=["single", "multi"]
)


class Person(BaseModel):
    id: int
    name: str
    city: str
    age: int
    score: float
    active: bool
    born: date


@dataclass(frozen=True)
class People:
    source: Path
    lines: list[str]
    refused: list[tuple[int, list[dict[str, object]]]]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """About 3 MB of rows, some of them bad, and what the row loop makes of them."""
    rng = random.Random(2)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Person.model_fields)
    for number in range(50_000):
        bad = rng.random()
        writer.writerow(
            [
                "?" if bad < 0.005 else number,
                rng.choice(["Ann", "Bo, the 2nd", 'Cy "C"', "Dé\nnewline", "Zoë"]),
                rng.choice(["Oslo", "São Paulo", ""]),
                rng.choice(["+7", " 12 ", "1_0"]) if bad > 0.99 else rng.randrange(100),
                rng.random() * 10**9,
                rng.choice(["true", "0", "yes"]),
                "2026-02-30" if 0.98 < bad < 0.985 else f"19{rng.randrange(50, 99)}-06-01",
            ]
        )
    folder = tmp_path_factory.mktemp("people")
    source = folder / "people.csv"
    source.write_text(text.getvalue())
    lines, refused = validated(csv_dicts(source.read_bytes()), Person)
    assert len(refused) > 300
    return People(source, lines, refused)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@EXECUTORS
def test_run_is_what_the_row_loop_gives(tmp_path, people, workers, executor):
    pipe = Pipe(
        CSVInputAdapter(people.source),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        JSONOutputAdapter(tmp_path / "bad.jsonl"),
        Person,
    )
    report = PipeManager.parallelize_pipe(pipe, workers, executor=executor).run()
    assert text_lines(tmp_path / "out.jsonl") == people.lines
    rejects = json_lines(tmp_path / "bad.jsonl")
    assert [(row["_row"], row["_errors"]) for row in rejects] == people.refused
    data = people.source.read_bytes()
    assert all(data[row["_offset"] :].startswith(row["id"].encode() + b",") for row in rejects)
    assert report.total_processed == 50_000
    assert report.success_count + report.error_count == 50_000


def test_runs_give_the_same_bytes_when_workers_and_executors_differ(tmp_path, people):
    found = set()
    for workers, executor in [(1, None), (3, None), (7, MultiThreadExecutor(3)), (64, None)]:
        pipe = Pipe(
            CSVInputAdapter(people.source),
            CSVOutputAdapter(tmp_path / "out.csv"),
            CSVOutputAdapter(tmp_path / "bad.csv"),
            Person,
        )
        PipeManager.parallelize_pipe(pipe, workers, executor=executor).run()
        found.add(((tmp_path / "out.csv").read_bytes(), (tmp_path / "bad.csv").read_bytes()))
    assert len(found) == 1


def hostile() -> bytes:
    """Quoted newlines, doubled and stray quotes, CRLF, a BOM, short and long rows, bytes that are
    not UTF-8."""
    rng = random.Random(3)
    lines = ["\ufeffid,name,note".encode()]
    for number in range(8000):
        kind = rng.random()
        name = rng.choice(
            [b"plain", b'"two\r\nlines"', b'"a ""quoted"" word"', b'6" pipe', b'"x,y"']
        )
        row = [b"%d" % number, name, rng.choice([b"", b"caf\xc3\xa9", b'"\n\n"', b'it"s'])]
        if kind < 0.01:
            row = row[:2]
        elif kind < 0.02:
            row.append(b"more")
        elif kind < 0.025:
            row[2] = b"caf\xe9"
        elif kind < 0.035:
            row[0] = b"no number"
        lines.append(b",".join(row))
    return b"\r\n".join(lines) + b"\r\n"


class Note(BaseModel):
    id: int
    name: str
    note: str


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
@EXECUTORS
def test_hostile_csv_is_what_the_row_loop_gives(tmp_path, workers, executor):
    data = hostile()
    (tmp_path / "in.csv").write_bytes(data)
    lines, bad = [], []
    text = io.TextIOWrapper(
        io.BytesIO(data[3:]), encoding="utf-8", errors="surrogateescape", newline=""
    )
    for number, row in enumerate(csv.reader(text)):
        if number == 0:
            continue
        whole = "".join(row)
        if len(row) != 3 or (not whole.isascii() and any("\ud800" <= c < "\ue000" for c in whole)):
            bad.append((number, "parse"))
            continue
        found, refused = validated([dict(zip(Note.model_fields, row, strict=True))], Note)
        lines += found
        bad += [(number, "validate") for _ in refused]
    assert len(bad) > 200
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "in.csv"),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        JSONOutputAdapter(tmp_path / "bad.jsonl"),
        Note,
    )
    PipeManager.parallelize_pipe(pipe, workers, executor=executor).run()
    assert text_lines(tmp_path / "out.jsonl") == lines
    rejects = json_lines(tmp_path / "bad.jsonl")
    assert [(row["_row"], row["_stage"]) for row in rejects] == bad


# Published files.


@pytest.mark.parametrize("workers", [1, 3])
def test_merged_csv_has_one_header(tmp_path, workers):
    pipe = Pipe(
        CSVInputAdapter(write_items(tmp_path / "in.csv", 100)),
        CSVOutputAdapter(tmp_path / "out.csv"),
        schema_model=Item,
    )
    PipeManager.parallelize_pipe(pipe, workers).run()
    assert csv_rows((tmp_path / "out.csv").read_bytes()) == [
        ["id", "name"],
        *([str(row["id"]), row["name"]] for row in items(100)),
    ]


@pytest.mark.parametrize("bad", [(), (1,), tuple(range(1, 60)), tuple(range(1, 101))])
def test_merged_json_array_is_valid_when_shards_are_empty(tmp_path, bad):
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 100, bad),
        tmp_path / "out.json",
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.json"),
    )
    PipeManager.parallelize_pipe(pipe, 5).run()
    assert json.loads((tmp_path / "out.json").read_text()) == items(100, bad)
    rejects = json.loads((tmp_path / "bad.json").read_text())
    assert [row["_row"] for row in rejects] == list(bad)


def test_parts_are_published_when_not_merged(tmp_path):
    bad = (1, 2, 40, 77, 100)
    for number in (4, 17, 99999):
        (tmp_path / f"out_part_{number:05d}.csv").write_text("stale\n")
        (tmp_path / f"bad_part_{number:05d}.json").write_text("stale\n")
    (tmp_path / "out_part_4.csv").write_text("not ours\n")
    pipe = Pipe(
        CSVInputAdapter(write_items(tmp_path / "in.csv", 100, bad)),
        CSVOutputAdapter(tmp_path / "out.csv"),
        JSONOutputAdapter(tmp_path / "bad.json"),
        Item,
    )
    PipeManager.parallelize_pipe(pipe, 3, should_merge=False).run()
    assert sorted(os.listdir(tmp_path)) == [
        *(f"bad_part_0000{number}.json" for number in (1, 2, 3)),
        "in.csv",
        *(f"out_part_0000{number}.csv" for number in (1, 2, 3)),
        "out_part_4.csv",
    ]
    rows = []
    for path in sorted(tmp_path.glob("out_part_0000?.csv")):
        header, *part = csv_rows(path.read_bytes())
        assert header == ["id", "name"]
        assert part
        rows += part
    assert rows == [[str(row["id"]), row["name"]] for row in items(100, bad)]
    rejects = [
        row for path in sorted(tmp_path.glob("bad_*")) for row in json.loads(path.read_text())
    ]
    assert [row["_row"] for row in rejects] == list(bad)


def test_old_output_and_rejects_are_replaced_when_there_are_no_rejects(tmp_path):
    for name in ("out.jsonl", "bad.jsonl"):
        (tmp_path / name).write_text("of an earlier run\n")
    items_pipe(
        write_items(tmp_path / "in.csv", 3),
        tmp_path / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
    ).run()
    assert json_lines(tmp_path / "out.jsonl") == items(3)
    assert (tmp_path / "bad.jsonl").read_bytes() == b""


def test_output_folders_are_made(tmp_path):
    out = tmp_path / "a" / "b" / "out.jsonl"
    items_pipe(write_items(tmp_path / "in.csv", 3), out).run()
    assert os.listdir(out.parent) == ["out.jsonl"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_output_has_the_mode_that_open_gives(tmp_path, umask):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 3), tmp_path / "out.jsonl")
    before = os.umask(umask)
    try:
        (tmp_path / "opened").write_text("")
        PipeManager([pipe]).run()
    finally:
        os.umask(before)
    assert (tmp_path / "out.jsonl").stat().st_mode == (tmp_path / "opened").stat().st_mode


def test_output_keeps_its_mode_when_it_is_replaced(tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("private\n")
    out.chmod(0o600)
    items_pipe(write_items(tmp_path / "in.csv", 3), out).run()
    assert out.stat().st_mode & 0o777 == 0o600
    assert json_lines(out) == items(3)


def test_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "real" / "data.jsonl")
    items_pipe(write_items(tmp_path / "in.csv", 3), tmp_path / "out.jsonl").run()
    assert (tmp_path / "out.jsonl").is_symlink()
    assert json_lines(tmp_path / "real" / "data.jsonl") == items(3)


def test_output_may_replace_its_own_input(tmp_path):
    path = write_items(tmp_path / "in.csv", 500, bad=(2,))
    pipe = Pipe(CSVInputAdapter(path), CSVOutputAdapter(path), schema_model=Item)
    PipeManager.parallelize_pipe(pipe, 3).run()
    assert len(csv_dicts(path.read_bytes())) == 499


@pytest.mark.parametrize("length", [200, 240, 255])
def test_output_may_have_a_long_name(tmp_path, length):
    out = tmp_path / ("n" * length)
    items_pipe(write_items(tmp_path / "in.csv", 3), out).run()
    assert json_lines(out) == items(3)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("role", ["output", "rejects"])
def test_run_fails_with_the_reason_when_the_disk_is_full(tmp_path, small_disk, role):
    (small_disk / "out").write_text("old\n")
    bad = tuple(range(1, 20_001)) if role == "rejects" else ()
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 20_000, bad),
        small_disk / "out",
        error_output_adapter=JSONOutputAdapter(small_disk / "bad"),
    )
    with pytest.raises(RunFailed, match="No space left on device"):
        PipeManager.parallelize_pipe(pipe, 2).run()
    assert os.listdir(small_disk) == ["out"]
    assert (small_disk / "out").read_text() == "old\n"


class FailsAtTheEnd(JSONOutputAdapter):
    """An output that cannot be merged."""

    def finish(self, file, leader, others, schema):
        raise self.error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OutputError("no merge today"), "no merge today"),
        # What is not ours to say may hold values of rows.
        (ValueError("no merge today"), r"failed in the driver: ValueError at .*test_runs\.py:\d+$"),
    ],
)
def test_one_pipe_fails_alone_when_its_commit_raises(tmp_path, error, said):
    source = write_items(tmp_path / "in.csv", 3, bad=(1,))
    (tmp_path / "bad.jsonl").write_text("old\n")
    failing = FailsAtTheEnd(tmp_path / "a.jsonl")
    failing.error = error
    given = [
        Pipe(CSVInputAdapter(source), failing, JSONOutputAdapter(tmp_path / "bad.jsonl"), Item),
        *(items_pipe(source, tmp_path / f"{number}.jsonl") for number in range(3)),
    ]
    manager = PipeManager(given)
    with pytest.raises(RunFailed, match=said):
        manager.run()
    assert [report.status.value for report in manager.pipe_reports] == ["failed"] + [
        "completed"
    ] * 3
    assert (tmp_path / "bad.jsonl").read_text() == "old\n"
    assert not (tmp_path / "a.jsonl").exists()
    assert staged(tmp_path) == []


# Hooks in sharded runs.


class Positions(BaseHook):
    def execute(self, entries, store):
        for entry in entries:
            entry["validated_data"]["position"] = entry["position"]
        return entries


@pytest.mark.parametrize("workers", [1, 2, 5])
@EXECUTORS
def test_positions_count_through_the_whole_input_when_it_is_sharded(tmp_path, workers, executor):
    bad = (3, 50)
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 3000, bad),
        tmp_path / "out.jsonl",
        post_validation_hooks=[Positions()],
    )
    report = PipeManager.parallelize_pipe(pipe, workers, executor=executor).run()
    assert [row["position"] for row in json_lines(tmp_path / "out.jsonl")] == [
        number for number in range(3000) if number + 1 not in bad
    ]
    assert (report.total_processed, report.error_count) == (3000, 2)


def test_dropped_and_added_rows_balance(tmp_path):
    class Twice(ColumnHook):
        def execute(self, batch):
            import pyarrow as pa

            return pa.concat_batches([batch, batch])

    def odd(row):
        return row if row["id"] % 2 else None

    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 1000),
        tmp_path / "out.jsonl",
        post_validation_hooks=[Twice(), odd],
    )
    report = PipeManager.parallelize_pipe(pipe, 3).run()
    assert report.total_processed == 1000
    assert (report.added_count, report.dropped_count, report.success_count) == (1000, 1000, 1000)


# Inputs that are cut, and those that are not.


@pytest.mark.parametrize(("skip", "limit"), [(0, 10), (5, None), (7, 13), (90, 100), (0, 0)])
@pytest.mark.parametrize("workers", [1, 4])
def test_skip_and_limit_hold_for_the_whole_input(tmp_path, skip, limit, workers):
    write_items(tmp_path / "in.csv", 100, bad=(9, 95))
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "in.csv", skip_rows=skip, limit=limit),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        JSONOutputAdapter(tmp_path / "bad.jsonl"),
        Item,
    )
    PipeManager.parallelize_pipe(pipe, workers).run()
    wanted = range(1, 101)[skip : None if limit is None else skip + limit]
    assert json_lines(tmp_path / "out.jsonl") == [
        row for row in items(100, bad=(9, 95)) if row["id"] in wanted
    ]
    rejects = json_lines(tmp_path / "bad.jsonl")
    assert [row["_row"] for row in rejects] == [number for number in (9, 95) if number in wanted]


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_file_is_read_twice_when_it_is_named_twice(tmp_path, workers):
    source = write_items(tmp_path / "in.csv", 100)
    pipe = Pipe(
        CSVInputAdapter([source, source]), JSONOutputAdapter(tmp_path / "out.jsonl"), None, Item
    )
    PipeManager.parallelize_pipe(pipe, workers).run()
    assert json_lines(tmp_path / "out.jsonl") == items(100) * 2


def test_more_workers_than_rows_double_nothing(tmp_path):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 3), tmp_path / "out.jsonl")
    PipeManager.parallelize_pipe(pipe, 16).run()
    assert json_lines(tmp_path / "out.jsonl") == items(3)


@pytest.mark.parametrize("kind", ["gzip", "array"])
def test_log_says_why_when_the_input_cannot_be_cut(tmp_path, caplog, kind):
    if kind == "gzip":
        import gzip

        source = tmp_path / "in.csv.gz"
        source.write_bytes(gzip.compress(b"id,name\n" + b"1,secret\n" * 50))
        adapter = CSVInputAdapter(source)
    else:
        source = tmp_path / "in.json"
        source.write_text(json.dumps([{"id": 1, "name": "secret"}] * 50))
        adapter = JSONInputAdapter(source)
    pipe = Pipe(adapter, JSONOutputAdapter(tmp_path / "out.jsonl"), None, Item)
    with caplog.at_level(logging.WARNING, "zoopipe"):
        report = PipeManager.parallelize_pipe(pipe, 4).run()
    assert report.success_count == 50
    assert report.pipes[0].shard_count == 1
    (message,) = caplog.messages
    assert "runs as one shard, 4 were asked for" in message
    assert "no byte range of it can be read alone" in message


# Rejected rows: limits and logs.


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("limit", "passes"), [(10, True), (9, False), (0, False), ("1%", True), ("0.99%", False)]
)
def test_max_errors_holds_at_the_limit_and_fails_beyond(tmp_path, workers, limit, passes):
    (tmp_path / "out.jsonl").write_text("old\n")
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 1000, bad=tuple(range(100, 1001, 100))),
        tmp_path / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
        max_errors=limit,
    )
    manager = PipeManager.parallelize_pipe(pipe, workers)
    if passes:
        assert manager.run().error_count == 10
        return
    with pytest.raises(RunFailed, match=r"max_errors is .*: nothing is published") as raised:
        manager.run()
    assert "id: int_parsing (" in str(raised.value)
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.jsonl"]


def test_limit_is_that_of_its_pipe_when_several_run_together(tmp_path):
    source = write_items(tmp_path / "in.csv", 100, bad=range(1, 10))
    pipes = [
        items_pipe(source, tmp_path / f"{limit}.jsonl", max_errors=limit) for limit in (8, 9, "9%")
    ]
    manager = PipeManager(pipes)
    with pytest.raises(RunFailed, match="pipe 0: 9 rows were rejected, and max_errors is 8"):
        manager.run()
    assert [report.has_error for report in manager.pipe_reports] == [True, False, False]
    assert sorted(os.listdir(tmp_path)) == ["9%.jsonl", "9.jsonl", "in.csv"]


def test_run_ends_when_max_errors_is_passed_between_two_shards(tmp_path):
    # One slot: when the first shard is done and has too many, nothing runs that could be stopped.
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 100, bad=range(1, 10)), tmp_path / "o", max_errors=3
    )
    engine = MultiProcessEngine(max_workers=1)
    manager = PipeManager.parallelize_pipe(pipe, 4, engine=engine)
    manager.start()
    assert manager.wait(20)
    assert "9 rows were rejected, and max_errors is 3" in manager.report.error
    assert "id: int_parsing (9)" in manager.report.error
    assert 0 < manager.report.total_processed < 100
    assert os.listdir(tmp_path) == ["in.csv"]


@pytest.mark.parametrize("limit", [50, "0.01%"])
def test_run_stops_early_and_says_why_when_max_errors_is_passed(tmp_path, limit):
    rows = 400_000
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", rows, bad=range(1, 5001)),
        tmp_path / "out.jsonl",
        pre_validation_hooks=[lambda row: row],
        max_errors=limit,
    )
    manager = PipeManager([pipe])
    with pytest.raises(RunFailed, match=r"most frequent: id: int_parsing \(\d"):
        manager.run()
    report = manager.report
    assert 50 < report.error_count <= report.total_processed < rows
    assert report.error_summary == {"id: int_parsing": report.error_count}
    assert staged(tmp_path) == []


def test_log_has_counts_and_no_values_when_there_is_no_error_output(tmp_path, caplog):
    (tmp_path / "in.csv").write_text("id,name\n1,a\nsecret,b\nsecret,c\nsecret\n")
    pipe = items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl")
    with caplog.at_level(logging.DEBUG, "zoopipe"):
        PipeManager([pipe]).run()
    *rows, counts = caplog.messages
    source = tmp_path / "in.csv"
    assert rows == [
        f"pipe 0 rejected row 2 of {source} (validate): id: int_parsing",
        f"pipe 0 rejected row 3 of {source} (validate): id: int_parsing",
        f"pipe 0 rejected row 4 of {source} (parse): csv_width",
    ]
    assert "3 rows" in counts and "id: int_parsing (2)" in counts and "csv_width (1)" in counts


def test_log_names_the_first_rows_of_the_whole_input_when_it_is_cut(tmp_path, caplog):
    lines = [f"{'x' if number % 10 == 9 else number},a" for number in range(1, 3001)]
    (tmp_path / "in.csv").write_text("id,name\n" + "\n".join(lines) + "\n")
    pipe = items_pipe(tmp_path / "in.csv", tmp_path / "out.jsonl")
    with caplog.at_level(logging.WARNING, "zoopipe"):
        PipeManager.parallelize_pipe(pipe, workers=3).run()
    *rows, _ = caplog.messages
    assert [int(message.split("row ")[1].split()[0]) for message in rows] == [9, 19, 29, 39, 49]


def test_log_has_no_values_when_a_hook_raises(tmp_path, caplog):
    class Broken(BaseHook):
        def execute(self, entries, store):
            raise ValueError(f"cannot do {entries}")

    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 3), tmp_path / "o", pre_validation_hooks=[Broken()]
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(RunFailed) as raised:
        PipeManager([pipe]).run()
    assert "name 1" not in caplog.text + str(raised.value)


# Imports.


@pytest.mark.parametrize("model", ["None", "Item"])
def test_pandas_is_not_imported_by_a_run(tmp_path, model):
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text(
        "import traceback, pathlib\n"
        "pathlib.Path('imported').write_text(''.join(traceback.format_stack()))\n"
        "raise ImportError('pandas was imported')\n"
    )
    bad = (2, 30)
    write_items(tmp_path / "in.csv", 5000, bad)
    done = python(
        f"""
        from datetime import date
        from zoopipe import (BaseHook, CSVInputAdapter, CSVOutputAdapter,
            JSONInputAdapter, JSONOutputAdapter, Pipe, PipeManager)
        from pydantic import BaseModel

        class Item(BaseModel):
            id: int
            name: str
            born: date = date(2000, 1, 1)
            ratio: float | None = None

        for hooks in ([], [lambda row: row], [BaseHook()]):
            for output in (CSVOutputAdapter("out.csv"), JSONOutputAdapter("out.jsonl")):
                pipe = Pipe(CSVInputAdapter("in.csv"), output, CSVOutputAdapter("bad.csv"), {model},
                            post_validation_hooks=hooks)
                PipeManager.parallelize_pipe(pipe, 2).run()
                pipe.run()
        Pipe(JSONInputAdapter("out.jsonl"), JSONOutputAdapter("b.json"), None, {model}).run()
        """,
        tmp_path,
    )
    imported = tmp_path / "imported"
    assert not imported.exists(), imported.read_text()
    assert (done.returncode, done.stderr) == (0, "")


def test_run_as_one_job_a_time_when_one_worker_is_asked_for(tmp_path):
    pipe = items_pipe(write_items(tmp_path / "in.csv", 300), tmp_path / "out.jsonl")
    engine = MultiProcessEngine(max_workers=1)
    assert PipeManager.parallelize_pipe(pipe, 5, engine=engine).run().success_count == 300
    assert json_lines(tmp_path / "out.jsonl") == items(300)


def test_report_says_what_was_deferred_when_cells_needed_pydantic(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    cells = ["1", " 2", "x", "4", "5_0", "6"]
    source.write_text("a,b\n" + "".join(f"{cell},{cell}\n" for cell in cells))
    pipe = Pipe(
        CSVInputAdapter(source),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        schema_model=create_model("Row", a=(int, ...), b=(str, ...)),
    )
    report = PipeManager.parallelize_pipe(pipe, workers=2).run()
    assert (report.deferred_count, report.deferred_to) == (3, {"a": 3})
    assert "deferred 50.00% of the rows to pydantic: a 50.00%" in str(report)
