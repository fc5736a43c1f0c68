"""The commit: what is on the disk before a file appears, and rejects of many blocks."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_runs import Item, items, python, write_items
from oracle import json_lines
from sharded import run_sharded

from zoopipe import CSVInputAdapter, CSVOutputAdapter, JSONOutputAdapter, Pipe
from zoopipe.runtime import commit as committing


@dataclass(frozen=True)
class Event:
    """Something that was made durable or renamed, when it was; a folder has no size."""

    kind: str
    path: Path
    inode: int
    size: int


@pytest.fixture
def disk(monkeypatch):
    """What happens on the disk, in order."""
    events = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor):
        fsync(descriptor)
        found, path = os.fstat(descriptor), Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        is_folder = stat.S_ISDIR(found.st_mode)
        events.append(Event("sync", path, found.st_ino, 0 if is_folder else found.st_size))

    def record_replace(source, target):
        found = os.stat(source)
        events.append(Event("rename", Path(target), found.st_ino, found.st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    return events


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.csv"])
def test_all_is_whole_on_the_disk_and_on_record_before_any_is_renamed(
    tmp_path, disk, name, shards, merge
):
    adapter = CSVOutputAdapter if name.endswith(".csv") else JSONOutputAdapter
    pipe = Pipe(
        CSVInputAdapter(write_items(tmp_path / "in.csv", 300, bad=(5, 150, 290))),
        adapter(tmp_path / name),
        adapter(tmp_path / f"bad-{name}"),
        Item,
    )
    run_sharded(pipe, shards, merge=merge)
    published = {path: path.stat() for path in tmp_path.iterdir() if path.name != "in.csv"}
    assert len(published) == 2 * (1 if merge else shards)
    first = next(at for at, event in enumerate(disk) if event.path in published)
    synced = [event for event in disk[:first] if event.kind == "sync"]
    # Files, then their names, then the record. Nothing else was waited for: a part that is copied
    # into another file is not published.
    folders = [tmp_path / f".{name}.zoopipe", tmp_path / f".bad-{name}.zoopipe", tmp_path]
    *files, record = [event for event in synced if event.path not in folders]
    assert {event.inode: event.size for event in files} == {
        found.st_ino: found.st_size for found in published.values()
    }
    assert [event.path for event in synced[len(files) : -1]] == folders
    assert record.path == tmp_path / f".{name}.zoopipe" / "state.jsonl"
    # All renames, rejects first, and then that they are on the disk.
    assert [event.kind for event in disk[first:]] == [*["rename"] * len(published), "sync"]
    renamed = [event.path.name.startswith("bad-") for event in disk[first:-1]]
    assert renamed == sorted(renamed, reverse=True)
    assert disk[-1].path == tmp_path


@pytest.mark.parametrize("size", [1, 1 << 10, 1 << 30])
def test_rejects_are_the_same_however_many_are_encoded_at_once(tmp_path, monkeypatch, size):
    bad = set(range(1, 60_001, 100))
    source = write_items(tmp_path / "in.csv", 60_000, bad)
    pipe = Pipe(
        CSVInputAdapter(source),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        JSONOutputAdapter(tmp_path / "bad.json"),
        Item,
    )
    monkeypatch.setattr(committing, "_ENCODED_BYTES", size)
    run_sharded(pipe, 3)
    assert json_lines(tmp_path / "out.jsonl") == items(60_000, bad)
    rejects = json.loads((tmp_path / "bad.json").read_text())
    assert [(row["_row"], row["name"]) for row in rejects] == [
        (number, f"name {number}") for number in sorted(bad)
    ]


@pytest.mark.parametrize("run", ["pipe.run()", "PipeManager.parallelize_pipe(pipe, 2).run()"])
def test_run_is_published_when_the_main_thread_has_ended(tmp_path, run):
    write_items(tmp_path / "in.csv", 30, bad=(3,))
    script = f"""
        import threading
        from pydantic import BaseModel
        from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe, PipeManager

        class Item(BaseModel):
            id: int
            name: str

        out, bad = JSONOutputAdapter("out.jsonl"), JSONOutputAdapter("bad.jsonl")
        pipe = Pipe(CSVInputAdapter("in.csv"), out, bad, Item)

        def run():
            threading.main_thread().join()
            {run}

        threading.Thread(target=run).start()
    """
    ended = python(script, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json_lines(tmp_path / "out.jsonl") == items(30, bad=(3,))
    assert [row["id"] for row in json_lines(tmp_path / "bad.jsonl")] == ["x"]
