"""Disks that fill up, folders that vanish or turn read-only, workers with too little memory, poison."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from local_runs import (
    Fault,
    Item,
    While,
    block_for_ever,
    items,
    items_pipe,
    match_for_ever,
    staged,
    wait_until,
    workers,
    write_items,
)
from oracle import csv_dicts, json_lines, text_lines, validated
from pydantic import field_validator

from zoopipe import (
    JSONOutputAdapter,
    MultiThreadExecutor,
    OutputError,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
)
from zoopipe.testing.faults import Allocate, Exit, Faults, Gate, Loop, Poison

ROWS = 40_000
BAD = range(1, ROWS, 400)


@pytest.fixture
def source(tmp_path):
    return write_items(tmp_path / "in.csv", ROWS, bad=BAD)


def manager_of(source: Path, folder: Path, *hooks, resume=True, **options) -> PipeManager:
    pipe = items_pipe(
        source,
        folder / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(folder / "bad.jsonl"),
        pre_validation_hooks=hooks,
    )
    options.setdefault("retries", RetryPolicy(max_attempts=2, backoff_s=0.0))
    return PipeManager.parallelize_pipe(pipe, 2, shards=6, resume=resume, **options)


def check_published(source: Path, folder: Path) -> None:
    lines, refused = validated(csv_dicts(source.read_bytes()), Item)
    assert text_lines(folder / "out.jsonl") == lines
    assert [row["_row"] for row in json_lines(folder / "bad.jsonl")] == [row for row, _ in refused]
    assert staged(folder) == []


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of its own, which `resize` gives a size."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    with mounted(tmp_path / "disk") as folder:
        yield folder


def _mount(*options: str) -> None:
    done = subprocess.run(["mount", *options], capture_output=True, text=True)
    assert done.returncode == 0, f"a full disk needs a root user who may mount: {done.stderr}"


def resize(folder: Path, size_bytes: int) -> None:
    _mount("-o", f"remount,size={size_bytes}", str(folder))


@pytest.fixture(scope="module")
def needed_bytes(tmp_path_factory) -> int:
    """The least size of a disk that a run ends well on, but for one part in fifty."""
    folder = tmp_path_factory.mktemp("needed")
    source = write_items(folder / "in.csv", ROWS, bad=BAD)
    low, high = 0, 4 * source.stat().st_size
    with mounted(folder / "disk") as disk:
        while high - low > high // 50:
            middle = (low + high) // 2
            resize(disk, middle)
            try:
                manager_of(source, disk, resume=False).run()
                high = middle
            except (RunFailed, OutputError):
                low = middle
            for path in disk.iterdir():
                path.unlink()
    return high


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("share", [0.10, 0.50, 0.90, 0.99])
def test_run_on_a_disk_that_fills_up_fails_and_goes_on_when_there_is_room(
    tmp_path, source, small_disk, needed_bytes, share, resume
):
    (small_disk / "out.jsonl").write_text("old\n")
    resize(small_disk, int(needed_bytes * share))
    manager = manager_of(source, small_disk, resume=resume)
    try:
        manager.run()
    except (RunFailed, OutputError) as error:
        assert "No space left on device" in str(error)
        assert (small_disk / "out.jsonl").read_text() == "old\n"
        assert not (small_disk / "bad.jsonl").exists()
        assert resume or staged(small_disk) == []
    else:
        # How much is needed at once differs a little with which of two shards ends first.
        assert share > 0.9
    resize(small_disk, 64 << 20)
    manager_of(source, small_disk).run()
    check_published(source, small_disk)


def test_run_that_finds_its_disk_full_says_so(tmp_path, source, small_disk):
    (small_disk / "ballast").write_bytes(bytes(60 << 20))
    resize(small_disk, 60 << 20)
    manager = manager_of(source, small_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        manager.run()
    (small_disk / "ballast").unlink()
    manager.run()
    check_published(source, small_disk)


def test_file_system_that_turns_read_only_fails_the_run(tmp_path, source, small_disk):
    (small_disk / "out.jsonl").write_text("old\n")
    gate = Gate(tmp_path / "gate")
    manager = manager_of(source, small_disk, Faults({(5, 1): gate}))
    manager.start()
    gate.wait_for(5)
    wait_until(lambda: manager.get_pipe_report(0).shards_done == 5)
    # As the kernel does after an error; a file that is open for writing forbids to ask for it.
    _read_only(small_disk, True)
    gate.open()
    assert manager.wait(60)
    assert manager.report.status is PipeStatus.FAILED
    assert "Read-only file system" in manager.report.error
    assert (small_disk / "out.jsonl").read_text() == "old\n"
    _read_only(small_disk, False)
    manager_of(source, small_disk, Faults({(5, 1): gate})).run()
    check_published(source, small_disk)


def _read_only(folder: Path, is_set: bool) -> None:
    """A bind mount of the folder on itself hides nothing and can be read-only with open files below."""
    if is_set:
        _mount("--bind", str(folder), str(folder))
        _mount("-o", "remount,bind,ro", str(folder))
    else:
        subprocess.run(["umount", str(folder)], check=True)


def test_folder_that_vanishes_fails_the_run(tmp_path, source):
    folder = tmp_path / "here"
    folder.mkdir()
    gate = Gate(tmp_path / "gate")
    manager = manager_of(source, folder, Faults({(5, 1): gate}))
    manager.start()
    gate.wait_for(5)
    folder.rename(tmp_path / "there")
    gate.open()
    assert manager.wait(60)
    assert manager.report.status is PipeStatus.FAILED
    assert str(folder) in manager.report.error
    assert "No such file or directory" in manager.report.error
    assert not folder.exists()
    # What was done has moved with its folder.
    (tmp_path / "there").rename(folder)
    manager_of(source, folder, Faults({(5, 1): gate})).run()
    check_published(source, folder)


# Poison: records that end the worker that tries them.


class Segfault:
    """Reads from address zero."""

    def __call__(self, shard: int, attempt: int) -> None:
        ctypes.string_at(0)


class HardExit:
    """Ends the process as C does, without a word."""

    def __call__(self, shard: int, attempt: int) -> None:
        os._exit(3)


class Backtracking:
    """Matches a pattern for ever."""

    def __call__(self, shard: int, attempt: int) -> None:
        match_for_ever()


class Hoard:
    """Takes 2 GB, and keeps them until somebody ends it for that."""

    def __call__(self, shard: int, attempt: int) -> None:
        hoard = bytearray(b"\1") * (2 << 30)
        block_for_ever()
        del hoard


class TooMuch:
    """Takes 2 GB, more than the worker may have."""

    def __call__(self, shard: int, attempt: int) -> None:
        here = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, here[1]))
        try:
            Allocate(2 << 30)(shard, attempt)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, here)


SOON = {"record_timeout_s": 2.0}


def check_all_but(tmp_path: Path, poison: int, why: str) -> None:
    """The poison is rejected with a reason, and its neighbours are written."""
    rows = [row for row in items(3000) if row["id"] != poison]
    assert json_lines(tmp_path / "out.jsonl") == rows
    (rejected,) = json_lines(tmp_path / "bad.jsonl")
    assert (rejected["_row"], rejected["_stage"]) == (poison, "worker")
    assert why in rejected["_errors"][0]["msg"]
    assert staged(tmp_path) == []


@pytest.mark.parametrize(
    ("action", "why", "options"),
    [
        (Segfault(), "SIGSEGV", {}),
        (HardExit(), "exit code 3", {}),
        (Loop(), "in hand for more than 2 s", SOON),
        (Backtracking(), "in hand for more than 2 s", SOON),
    ],
    ids=["segfault", "os._exit", "endless loop", "endless match"],
)
def test_record_that_ends_its_worker_is_rejected_and_its_neighbours_are_not(
    tmp_path, action, why, options
):
    source = write_items(tmp_path / "in.csv", 3000)
    manager_of(source, tmp_path, Poison("id", "1234", action), **options).run()
    check_all_but(tmp_path, 1234, why)


class Endless(Item):
    """A model one of whose validators does not come back for one value."""

    @field_validator("name")
    @classmethod
    def check(cls, name: str) -> str:
        if name == "name 1234":
            Loop()(0, 0)
        return name


@pytest.mark.parametrize("how", ["validator", "function", "entries"])
def test_record_that_never_comes_back_is_rejected_wherever_it_is(tmp_path, how):
    source = write_items(tmp_path / "in.csv", 3000)
    hooks = {"validator": [], "function": [endless_row], "entries": [Fault(1234, endless)]}[how]
    pipe = items_pipe(
        source,
        tmp_path / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl"),
        schema_model=Endless if how == "validator" else Item,
        pre_validation_hooks=hooks,
        executor=MultiThreadExecutor(2),
    )
    PipeManager.parallelize_pipe(pipe, 2, shards=3, **SOON).run()
    check_all_but(tmp_path, 1234, "in hand for more than 2 s")


def endless() -> None:
    Loop()(0, 0)


def endless_row(row: dict[str, str]) -> dict[str, str]:
    if row["id"] == "1234":
        endless()
    return row


def test_record_that_takes_all_memory_is_rejected_and_its_neighbours_are_not(tmp_path):
    # The system's own killer looks at the whole machine; this one at our workers.
    source = write_items(tmp_path / "in.csv", 3000)
    manager = manager_of(source, tmp_path, Poison("id", "1", Hoard()))
    with manager:
        while not manager.wait(0.05):
            for worker in workers():
                with contextlib.suppress(psutil.Error):
                    if worker.memory_info().rss > 1 << 30:
                        worker.kill()
    check_all_but(tmp_path, 1, "SIGKILL")


def test_exit_that_can_be_caught_is_the_failure_of_a_hook(tmp_path):
    source = write_items(tmp_path / "in.csv", 3000)
    with pytest.raises(RunFailed, match="SystemExit"):
        manager_of(source, tmp_path, Poison("id", "1234", Exit(4))).run()


def greedy(row: dict[str, str]) -> dict[str, str]:
    if row["id"] == "1234":
        TooMuch()(0, 0)
    return row


def test_row_that_needs_more_memory_than_its_worker_may_have_is_rejected(tmp_path):
    source = write_items(tmp_path / "in.csv", 3000)
    manager_of(source, tmp_path, greedy).run()
    assert json_lines(tmp_path / "out.jsonl") == [row for row in items(3000) if row["id"] != 1234]
    (rejected,) = json_lines(tmp_path / "bad.jsonl")
    assert (rejected["_row"], rejected["_stage"]) == (1234, "hook")
    assert "MemoryError" in str(rejected["_errors"])


def test_allocation_that_a_worker_may_not_make_is_said(tmp_path):
    source = write_items(tmp_path / "in.csv", 3000)
    trouble = tmp_path / "trouble"
    trouble.touch()
    hook = Faults({(2, None): While(trouble, TooMuch())})
    with pytest.raises(RunFailed, match=r"MemoryError|out of memory"):
        manager_of(source, tmp_path, hook).run()
    trouble.unlink()
    manager_of(source, tmp_path, hook).run()
    assert json_lines(tmp_path / "out.jsonl") == items(3000)


@pytest.mark.parametrize("megabytes", [2, 16, 64, 256])
def test_run_whose_workers_may_have_little_memory_ends_in_time(tmp_path, source, megabytes):
    """Workers inherit the driver's limit on address space; what does not fit fails with a sentence."""
    script = f"""
import resource, sys
from pathlib import Path
from chaos.test_disks import manager_of
from zoopipe import RunFailed
import pyarrow.csv, pydantic, zoopipe_multiprocess, zoopipe.runtime.commit, threading

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + ({megabytes} << 20),) * 2)
try:
    manager_of(Path({str(source)!r}), Path({str(tmp_path)!r})).run()
except RunFailed as error:
    sys.exit(f"failed: {{error}}")
except MemoryError:
    sys.exit("failed: MemoryError")
except RuntimeError as error:
    sys.exit(f"failed: {{error}}")
"""
    (tmp_path / "out.jsonl").write_text("old\n")
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
    )
    if done.returncode:
        assert "failed: " in done.stderr
        assert (tmp_path / "out.jsonl").read_text() == "old\n"
    else:
        assert megabytes > 2
    manager_of(source, tmp_path).run()
    check_published(source, tmp_path)
