"""A sample of the faults that `make chaos` tries; all of them take about half an hour."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from local_runs import wait_until

from chaos.__main__ import address_of, disturb, faults_of
from chaos.faults import Call, parse
from chaos.trial import OLD, Bench, Broken, Mode, Reader, no_workers_left

# Another each time would be a test that fails now and then; `make chaos` takes another.
SEED = 5


@pytest.fixture(autouse=True)
def path(monkeypatch):
    """Drivers and the workers of clusters find this package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)


@pytest.fixture
def bench(tmp_path):
    assert shutil.which("strace"), (
        "strace injects faults: install it (Debian: apt-get install strace)"
    )
    with no_workers_left(tmp_path / "bench"):
        yield Bench(tmp_path / "bench", rows=30_000)


# Only for what hangs altogether: each trial has a limit of its own, and a machine may be busy.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("engine", "faults"), [("multiprocess", 60), ("dask", 5), ("ray", 4)])
def test_nothing_is_lost_doubled_or_partly_visible(bench, tmp_path, engine, faults):
    with address_of(engine, tmp_path) as address:
        struck = 0
        for (mode, fault), end in disturb(bench, faults_of(bench, engine, address, SEED), 2):
            assert not isinstance(end, Broken), f"{mode.options} --only {fault}: {end}"
            struck += bool(end)
            if struck == faults:
                break


@pytest.mark.parametrize(
    "text",
    ["kill:worker:0.1250", "call:.out.jsonl.zoopipe/lock:flock:1:EIO", "call:out:write:2:SIGKILL"],
)
def test_fault_is_read_as_it_is_printed(text):
    assert str(parse(text)) == text


@pytest.mark.timeout(120)
def test_every_kind_of_call_is_found_and_strikes(bench):
    trials = faults_of(bench, "multiprocess", None, SEED)
    found = [fault for _, (_, fault) in zip(range(300), trials, strict=False)]
    names = {fault.name for fault in found if isinstance(fault, Call)}
    assert names >= {"openat", "write", "fsync", "close", "ftruncate", "flock", "rename", "mkdir"}
    for number, effect in enumerate(["SIGKILL", "EIO", "ENOSPC"]):
        fault = Call(".out.jsonl.zoopipe/state.jsonl", "fsync", 1, effect)
        end = bench.attempt(f"fsync-{number}", Mode(), fault)
        assert end == ("was killed" if effect == "SIGKILL" else "failed")


# A trial that cannot fail shows nothing.


def partly(folder):
    (folder / "out.jsonl").write_bytes(b"ro")


def in_the_wrong_order(folder):
    os.replace(folder / "new-out", folder / "out.jsonl")


def gone(folder):
    (folder / "bad.jsonl").unlink()


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        (partly, "saw 2 bytes of out.jsonl"),
        (in_the_wrong_order, "before its rejects"),
        (gone, "did not find bad.jsonl"),
    ],
)
def test_reader_sees_what_nobody_may_see(tmp_path, act, seen):
    wanted = {"out.jsonl": b"rows", "bad.jsonl": b"rejects"}
    (tmp_path / "new-out").write_bytes(b"rows")
    for name in wanted:
        (tmp_path / name).write_bytes(OLD)
    with Reader(tmp_path, wanted) as reader:
        act(tmp_path)
        wait_until(lambda: reader.broken)
    assert seen in reader.broken


def test_reader_is_content_when_rejects_come_first(tmp_path):
    wanted = {"out.jsonl": b"rows", "bad.jsonl": b"rejects"}
    for name in wanted:
        (tmp_path / name).write_bytes(OLD)
    with Reader(tmp_path, wanted) as reader:
        for name in reversed(wanted):
            (tmp_path / "draft").write_bytes(wanted[name])
            os.replace(tmp_path / "draft", tmp_path / name)
        wait_until(lambda: reader.has_seen_all)
    assert reader.broken == ""
