"""Runs that are cut off, and go on later: which shards are run again, and that the bytes are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from local_runs import Item, While, items_pipe, staged, wait_until, write_items
from oracle import csv_dicts, json_lines, text_lines, validated
from pydantic import BaseModel

from zoopipe import (
    BaseHook,
    CSVInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    Pipe,
    PipeManager,
    PipeStatus,
    ResumeError,
    RetryPolicy,
    RunFailed,
)
from zoopipe.runtime import commit as commit_module
from zoopipe.storage import staging as staging_module
from zoopipe.testing.faults import Faults, Gate, Journal, Kill, Raise

BAD = range(1, 901, 40)


@pytest.fixture
def source(tmp_path):
    return write_items(tmp_path / "in.csv", 900, bad=BAD)


@pytest.fixture
def trouble(tmp_path):
    """The file that makes `While` faults act."""
    (tmp_path / "trouble").touch()
    return tmp_path / "trouble"


def pipe_of(folder: Path, *hooks, **options) -> Pipe:
    return items_pipe(
        folder / "in.csv",
        folder / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(folder / "bad.jsonl"),
        pre_validation_hooks=hooks,
        **options,
    )


def manager_of(pipe: Pipe, resume: bool = True, workers: int = 1, **options) -> PipeManager:
    options.setdefault("retries", RetryPolicy(max_attempts=1))
    return PipeManager.parallelize_pipe(pipe, workers, shards=6, resume=resume, **options)


def journal_of(folder: Path) -> Journal:
    (folder / "journal").mkdir(exist_ok=True)
    return Journal(folder / "journal")


def runs_of(journal: Journal) -> dict[int, int]:
    """How many attempts each shard had."""
    found: dict[int, int] = {}
    for (shard, _), times in journal.times("setup").items():
        found[shard] = found.get(shard, 0) + len(times)
    return found


def check_outputs(folder: Path) -> None:
    lines, refused = validated(csv_dicts((folder / "in.csv").read_bytes()), Item)
    assert text_lines(folder / "out.jsonl") == lines
    assert [row["_row"] for row in json_lines(folder / "bad.jsonl")] == [row for row, _ in refused]
    assert staged(folder) == []


# A shard that raises is tried a second time, once it is known that it began at a record.
@pytest.mark.parametrize(
    ("fault", "tries"), [(Raise(), 2), (Kill(), 1)], ids=["a hook raises", "a worker is killed"]
)
def test_finished_shards_are_kept_when_a_run_fails(tmp_path, source, trouble, fault, tries):
    journal = journal_of(tmp_path)
    pipe = pipe_of(tmp_path, journal, Faults({(3, None): While(trouble, fault)}))
    (tmp_path / "out.jsonl").write_text("old\n")
    with pytest.raises(RunFailed):
        manager_of(pipe).run()
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert not (tmp_path / "bad.jsonl").exists()
    trouble.unlink()
    report = manager_of(pipe).run()
    assert runs_of(journal) == {0: 1, 1: 1, 2: 1, 3: tries + 1, 4: 1, 5: 1}
    check_outputs(tmp_path)
    # The books are those of the whole.
    assert report.total_processed == report.ledger.counts.records == 900
    assert [entry.shard for entry in report.ledger.pipes[0].shards] == list(range(6))


def test_nothing_is_kept_when_nobody_has_asked_for_it(tmp_path, source, trouble):
    journal = journal_of(tmp_path)
    pipe = pipe_of(tmp_path, journal, Faults({(3, None): While(trouble, Raise())}))
    with pytest.raises(RunFailed):
        manager_of(pipe, resume=False).run()
    assert staged(tmp_path) == []
    trouble.unlink()
    manager_of(pipe).run()
    assert runs_of(journal) == {0: 2, 1: 2, 2: 2, 3: 3, 4: 1, 5: 1}
    check_outputs(tmp_path)


def test_run_begins_anew_when_it_is_not_asked_to_resume(tmp_path, source, trouble):
    journal = journal_of(tmp_path)
    pipe = pipe_of(tmp_path, journal, Faults({(3, None): While(trouble, Raise())}))
    with pytest.raises(RunFailed):
        manager_of(pipe).run()
    trouble.unlink()
    manager_of(pipe, resume=False).run()
    assert runs_of(journal) == {0: 2, 1: 2, 2: 2, 3: 3, 4: 1, 5: 1}
    check_outputs(tmp_path)


def test_run_that_is_shut_down_is_resumed(tmp_path, source):
    journal, gate = journal_of(tmp_path), Gate(tmp_path / "gate")
    pipe = pipe_of(tmp_path, journal, Faults({(4, 1): gate}))
    manager = manager_of(pipe)
    manager.start()
    gate.wait_for(4)
    manager.shutdown(0)
    assert manager.report.status is PipeStatus.ABORTED
    gate.open()
    with manager_of(pipe) as again:
        assert again.wait(60)
    assert runs_of(journal) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 1}
    check_outputs(tmp_path)


@pytest.mark.parametrize("damage", ["part", "rejects", "state"])
def test_shard_is_run_again_when_what_is_left_of_it_is_damaged(tmp_path, source, trouble, damage):
    journal = journal_of(tmp_path)
    pipe = pipe_of(tmp_path, journal, Faults({(3, None): While(trouble, Raise())}))
    with pytest.raises(RunFailed):
        manager_of(pipe).run()
    out, bad = tmp_path / ".out.jsonl.zoopipe", tmp_path / ".bad.jsonl.zoopipe"
    if damage == "state":
        # The line of shard 2 is the last of four; a run that is killed while it writes cuts it short.
        state = (out / "state.jsonl").read_bytes()
        assert state.count(b"\n") == 4
        (out / "state.jsonl").write_bytes(state[:-30])
    else:
        (part,) = (out if damage == "part" else bad).glob("shard-00002.*")
        data = bytearray(part.read_bytes())
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    trouble.unlink()
    manager_of(pipe).run()
    assert runs_of(journal) == {0: 1, 1: 1, 2: 2, 3: 3, 4: 1, 5: 1}
    check_outputs(tmp_path)


def test_hooks_that_ask_for_positions_get_them_when_a_run_is_resumed(tmp_path, source, trouble):
    class Numbered(BaseModel):
        id: int
        name: str
        position: int

    class Number(BaseHook):
        def execute(self, entries, store):
            for entry in entries:
                entry["raw_data"]["position"] = entry["position"]
            return entries

    journal = journal_of(tmp_path)
    options = {
        "schema_model": Numbered,
        "error_output_adapter": JSONOutputAdapter(tmp_path / "b.jsonl"),
    }
    hooks = [Number(), journal, Faults({(3, None): While(trouble, Raise())})]
    pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=hooks, **options)
    with pytest.raises(RunFailed):
        manager_of(pipe).run()
    trouble.unlink()
    manager_of(pipe).run()
    assert runs_of(journal) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}
    rows = json_lines(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [n for n in range(1, 901) if n not in BAD]
    # Positions are numbers of records in the whole input, from 0.
    assert [row["position"] for row in rows] == [row["id"] - 1 for row in rows]


def test_shard_that_began_wrongly_is_found_when_a_run_is_resumed(tmp_path, trouble):
    # Each line but the first could be a record: only the end of the shard before tells.
    text = "id,name\n" + "".join(f'{n},"\n{n},x\n"\n' for n in range(1, 400))
    (tmp_path / "in.csv").write_text(text)
    # A second attempt is made only of a shard that began wrongly; what the first has done is on record.
    pipe = pipe_of(tmp_path, Faults({(5, 2): While(trouble, Raise())}))
    with pytest.raises(RunFailed, match="shard 6 of 6"):
        manager_of(pipe).run()
    trouble.unlink()
    manager_of(pipe).run()
    check_outputs(tmp_path)


# What is refused.


class Other(BaseModel):
    """Another model of the same rows."""

    id: int
    name: str
    more: int = 0


@pytest.mark.parametrize(
    "change",
    ["the input", "the shards", "the model", "the hooks before validation", "whether one file"],
)
def test_resume_of_another_plan_is_refused_and_says_what_differs(tmp_path, source, trouble, change):
    hooks = [Faults({(3, None): While(trouble, Raise())})]

    def made(**changes):
        options = {
            "shards": 6,
            "should_merge": True,
            "schema_model": Item,
            "hooks": hooks,
            **changes,
        }
        pipe = Pipe(
            CSVInputAdapter(source),
            JSONOutputAdapter(tmp_path / "out.jsonl"),
            schema_model=options["schema_model"],
            pre_validation_hooks=options["hooks"],
        )
        return PipeManager.parallelize_pipe(
            pipe,
            1,
            should_merge=options["should_merge"],
            shards=options["shards"],
            resume=True,
        )

    with pytest.raises(RunFailed):
        made().run()
    changed: dict[str, object] = {}
    if change == "the input":
        os.utime(source, ns=(1, 1))
    elif change == "the shards":
        changed = {"shards": 5}
    elif change == "the model":
        changed = {"schema_model": Other}
    elif change == "the hooks before validation":
        changed = {"hooks": [*hooks, str.upper]}
    else:
        changed = {"should_merge": False}
    before = {path: path.read_bytes() for path in staged(tmp_path) if path.is_file()}
    with pytest.raises(ResumeError, match=change):
        made(**changed).run()
    # What there is to go on with is still there.
    for path, data in before.items():
        assert path.name == "lock" or path.read_bytes() == data
    if change != "the input":
        trouble.unlink()
        made().run()
        assert staged(tmp_path) == []


# The commit, cut off.


@pytest.mark.parametrize("renames", [0, 1, 2])
@pytest.mark.parametrize("resume", [True, False])
def test_commit_that_was_cut_off_is_finished_by_the_next_run(tmp_path, source, renames, resume):
    script = f"""
import os, signal
from pathlib import Path
from test_resume import manager_of, pipe_of
from zoopipe.runtime import record
from zoopipe.storage import staging

renamed = []
publish = staging.publish

def cut_off(staged, target):
    if len(renamed) == {renames}:
        os.kill(os.getpid(), signal.SIGKILL)
    publish(staged, target)
    renamed.append(target)

staging.publish = cut_off
sync = record.sync_folder
def sync_or_die(folder):
    if len(renamed) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    sync(folder)
record.sync_folder = sync_or_die
manager_of(pipe_of(Path({str(tmp_path)!r})), workers=2).run()
"""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert (tmp_path / "bad.jsonl").exists() == (renames > 0)
    assert (tmp_path / "out.jsonl").exists() == (renames > 1)
    journal = journal_of(tmp_path)
    report = manager_of(pipe_of(tmp_path), resume=resume).run()
    check_outputs(tmp_path)
    assert report.total_processed == 900
    assert runs_of(journal) == {}


@pytest.mark.parametrize("failing", [0, 1])
def test_commit_that_failed_midway_is_kept_and_finished(tmp_path, source, monkeypatch, failing):
    publish, targets = staging_module.publish, []

    def fail(staged_file, target):
        targets.append(target)
        if len(targets) == failing + 1:
            raise commit_module.OutputError(f"cannot write {target}: no")
        publish(staged_file, target)

    monkeypatch.setattr(staging_module, "publish", fail)
    manager = manager_of(pipe_of(tmp_path), resume=False)
    with pytest.raises(RunFailed) as raised:
        manager.run()
    if failing == 0:
        # Nothing was published: nothing is left to do.
        assert os.listdir(tmp_path) == ["in.csv"]
        return
    assert (tmp_path / "bad.jsonl").exists() and not (tmp_path / "out.jsonl").exists()
    command = f"zoopipe clean {tmp_path / 'out.jsonl'}"
    assert command in str(raised.value)
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "published and removed" in done.stderr
    check_outputs(tmp_path)


# Several pipes.


def test_pipes_that_are_published_are_not_run_again(tmp_path, trouble):
    journal = journal_of(tmp_path)
    hooks = ([journal], [Faults({(0, None): While(trouble, Raise())})])
    pipes = [
        items_pipe(
            write_items(tmp_path / f"{name}.csv", 50),
            tmp_path / f"{name}.jsonl",
            pre_validation_hooks=hook,
        )
        for name, hook in zip("ab", hooks, strict=True)
    ]
    with pytest.raises(RunFailed):
        PipeManager(pipes, MultiProcessEngine(1), resume=True).run()
    published = (tmp_path / "a.jsonl").stat().st_ino
    trouble.unlink()
    report = PipeManager(pipes, MultiProcessEngine(1), resume=True).run()
    assert [pipe.total_processed for pipe in report.pipes] == [50, 50]
    assert runs_of(journal) == {0: 1}
    assert (tmp_path / "a.jsonl").stat().st_ino == published
    assert [len(pipe.published) for pipe in report.ledger.pipes] == [1, 1]
    assert staged(tmp_path) == []


# The command.

JOB = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_resume import pipe_of, journal_of
from zoopipe.testing.faults import Faults, Gate

def make():
    here = Path({folder!r})
    return pipe_of(here, journal_of(here), Faults({{(4, 1): Gate(here / "gate")}}))
"""


def zoopipe(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "zoopipe", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_command_goes_on_where_it_was_stopped(tmp_path, source, number, code):
    here = Path(__file__).parent
    text = JOB.format(path=[str(here), str(here.parent)], folder=str(tmp_path))
    (tmp_path / "job.py").write_text(text)
    call = ["run", "job.py:make", "--workers", "1", "--shards", "6", "--resume"]
    first = zoopipe(tmp_path, *call)
    Gate(tmp_path / "gate").wait_for(4)
    first.send_signal(number)
    first.communicate(timeout=60)
    assert first.returncode == code
    assert not (tmp_path / "out.jsonl").exists()
    Gate(tmp_path / "gate").open()
    # A worker whose driver was killed ends by itself.
    wait_until(lambda: not journal_of(tmp_path).running)
    again = zoopipe(tmp_path, *call, "--ledger", "ledger.json")
    _, stderr = again.communicate(timeout=60)
    assert again.returncode == 0, stderr
    assert runs_of(journal_of(tmp_path)) == {0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 1}
    check_outputs(tmp_path)
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["counts"]["records"] == 900
    assert ledger["counts"]["rejected"] == len(BAD)
    # The ranges tile the input, from the first record to the end.
    ranges = [entry["ranges"] for entry in ledger["pipes"][0]["shards"]]
    assert [len(each) for each in ranges] == [1] * 6
    ends = [each[0]["end"] for each in ranges]
    assert [each[0]["start"] for each in ranges] == [len("id,name\n"), *ends[:-1]]
    assert ends[-1] == (tmp_path / "in.csv").stat().st_size
