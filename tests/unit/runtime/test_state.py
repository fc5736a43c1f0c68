"""The state of a run on disk: what is read again of what was written, and what is not believed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from zoopipe.adapters.base import FileRange, Shard
from zoopipe.counts import Counts
from zoopipe.errors import OutputError
from zoopipe.runtime.state import Finished, Output, StateFile, at_home, finish_commit, read_state
from zoopipe.runtime.task import ShardResult
from zoopipe.stages.rejects import RejectedRow
from zoopipe.storage.parts import Part, PartFile
from zoopipe.storage.staging import Staging

PLAN = {"the shards": "3", "pydantic": "2.12"}


@pytest.fixture
def stagings(tmp_path):
    found = [Staging(tmp_path / "out.jsonl"), Staging(tmp_path / "else" / "bad.jsonl")]
    for staging in found:
        staging.acquire()
    yield found
    for staging in found:
        staging.remove()


RANGES = (FileRange("in é.csv", 8, 99), FileRange("b.csv", 0, 1 << 62, exact=False))
SHARD = Shard(0, RANGES)


def finished(stagings, shard):
    """A shard with everything that there may be."""
    staging, rejects = stagings
    return Finished(
        shard,
        2,
        ShardResult(
            RANGES,
            Counts(10, 5, 4, 1, 0, 3, 99),
            Part(staging.part(shard, 2), 5, 300, "0123456789abcdef"),
            Part(rejects.part(shard, 2), 4, 200, "fedcba9876543210"),
            (("price", 3), ("whole rows", 1)),
            ((("id", "int_parsing"), 4),),
            (RejectedRow("in é.csv", 3, "validate", ("id: int_parsing",)),),
        ),
    )


def test_state_is_read_as_it_was_written(stagings):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 1)])
    file.add(finished(stagings, 0))
    state = read_state(stagings[0])
    assert state.begun.plan == PLAN
    assert state.begun.rejects == "else/bad.jsonl"
    assert state.begun.rejects_beside(stagings[0]) == stagings[1].target
    assert state.committing is None
    found = {shard: at_home(each, SHARD, *stagings) for shard, each in state.finished.items()}
    assert found == {shard: finished(stagings, shard) for shard in (0, 1)}


def test_state_holds_no_folder_so_that_folders_can_be_moved(stagings, tmp_path):
    file = StateFile(stagings[0], None)
    file.begin(PLAN, [finished(stagings, 1)])
    assert str(tmp_path) not in file.path.read_text()


def test_state_is_none_when_no_run_had_begun(stagings):
    assert read_state(stagings[0]) is None


def test_last_line_of_a_shard_counts(stagings):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    for attempts in (1, 2, 3):
        file.add(Finished(0, attempts, finished(stagings, 0).result))
    assert read_state(stagings[0]).finished[0].attempts == 3


def test_new_beginning_forgets_what_was(stagings):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 0)])
    file.begin({}, [])
    assert read_state(stagings[0]).finished == {}
    assert sorted(os.listdir(stagings[0].folder)) == ["lock", "state.jsonl"]


@pytest.mark.parametrize("size", range(0, 900, 37))
def test_line_that_is_cut_short_did_not_happen(stagings, size):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    first = file.path.stat().st_size
    file.add(finished(stagings, 0))
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: min(first + size, len(whole) - 2)])
    assert read_state(stagings[0]).finished == {}
    # What is added afterwards, by a run that goes on, is not taken for the end of it.
    file.begin(PLAN, [])
    file.add(finished(stagings, 1))
    assert list(read_state(stagings[0]).finished) == [1]


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 100,
        b"[1, 2]",
        b'{"finished": {"shard": "x"}}',
        b'{"finished": null}',
        b'{"begun": {"format": 1}}',
        b"\xff\xfe",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_damaged_line_did_not_happen(stagings, line):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    with open(file.path, "ab") as raw:
        raw.write(line + b"\n")
    file.add(finished(stagings, 0))
    assert list(read_state(stagings[0]).finished) == [0]


def test_state_of_another_format_is_not_believed(stagings):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 0)])
    text = file.path.read_text().replace('"format":1', '"format":2')
    assert text != file.path.read_text()
    file.path.write_text(text)
    assert read_state(stagings[0]) is None


@pytest.mark.parametrize("name", ["../in.csv", "/etc/passwd", "..", ""])
@pytest.mark.parametrize("which", ["part", "rejects"])
def test_names_that_lead_out_of_the_staging_are_refused(stagings, name, which):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 0)])
    begun, line = map(json.loads, file.path.read_text().splitlines())
    line["finished"]["result"][which]["path"] = name
    file.path.write_text(json.dumps(begun) + "\n" + json.dumps(line) + "\n")
    (found,) = read_state(stagings[0]).finished.values()
    with pytest.raises(ValueError, match="leads out"):
        at_home(found, SHARD, *stagings)


def test_disk_that_is_full_is_said_when_a_shard_is_noted(stagings, monkeypatch):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:20]))
    with pytest.raises(OutputError, match=r"state.jsonl: No space left"):
        file.add(finished(stagings, 0))
    monkeypatch.undo()
    # What came of it does not take the next line with it.
    file.add(finished(stagings, 1))
    assert list(read_state(stagings[0]).finished) == [1]


# The commit record.


def staged(staging, name, data, target):
    file = PartFile(staging.folder / name)
    file.write(data)
    part = file.close(1)
    return part.path, Part(str(target), part.rows, part.size_bytes, part.checksum)


def outputs(stagings):
    """Two parts of an output, one of its rejects, and a stale part of each."""
    staging, rejects = stagings
    here, there = Path(staging.target).parent, Path(rejects.target).parent
    for path in (here / "old-1", there / "old-2"):
        path.write_text("stale")
    return [
        Output(True, [staged(rejects, "r", b"R", there / "bad")], [str(there / "old-2")]),
        Output(
            False,
            [staged(staging, name, name.encode(), here / f"out-{name}") for name in "ab"],
            [str(here / "old-1")],
        ),
    ]


def published(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".zoopipe" not in str(path)
    }


AFTER = {"else/bad": "R", "out-a": "a", "out-b": "b"}


def test_commit_publishes_all_and_removes_what_is_stale(stagings, tmp_path):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    file.commit(outputs(stagings))
    assert file.is_committed
    assert published(tmp_path) == AFTER
    # To do it again changes nothing.
    finish_commit(read_state(stagings[0]).committing, *stagings)
    assert published(tmp_path) == AFTER


@pytest.mark.parametrize("call", range(1, 12))
def test_commit_that_was_cut_off_anywhere_is_finished_or_has_not_begun(
    stagings, tmp_path, monkeypatch, call
):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    given = outputs(stagings)
    before = published(tmp_path)
    calls = []

    class CutOff(BaseException):
        pass

    def counted(function):
        def counting(*arguments, **options):
            calls.append(function)
            if len(calls) == call:
                raise CutOff
            return function(*arguments, **options)

        return counting

    for name in ("fsync", "replace", "write", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    monkeypatch.setattr(Path, "unlink", counted(Path.unlink))
    try:
        file.commit(given)
    except CutOff:
        pass
    else:
        assert call > len(calls)
    monkeypatch.undo()
    state = read_state(stagings[0])
    if state.committing is None:
        assert published(tmp_path) == before
        return
    finish_commit(state.committing, *stagings)
    assert published(tmp_path) == AFTER


def failing(*given, **options):
    raise OSError(30, "Read-only file system")


def test_commit_that_was_refused_at_its_first_rename_is_not_done_by_the_next_run(
    stagings, tmp_path, monkeypatch
):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 0)])
    given = outputs(stagings)
    before = published(tmp_path)
    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OutputError, match="Read-only file system"):
        file.commit(given)
    monkeypatch.undo()
    assert not file.is_committed
    state = read_state(stagings[0])
    assert (state.committing, list(state.finished)) == (None, [0])
    assert published(tmp_path) == before


def test_commit_that_was_refused_later_is_done_by_the_next_run(stagings, tmp_path, monkeypatch):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    given = outputs(stagings)
    replace, renamed = os.replace, []

    def once(source, target):
        if renamed:
            failing()
        renamed.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(OutputError, match="Read-only file system"):
        file.commit(given)
    monkeypatch.undo()
    assert file.is_committed
    finish_commit(read_state(stagings[0]).committing, *stagings)
    assert published(tmp_path) == AFTER


def test_record_that_did_not_reach_the_disk_is_taken_back(stagings, tmp_path, monkeypatch):
    file = StateFile(*stagings)
    file.begin(PLAN, [finished(stagings, 0)])
    given = outputs(stagings)
    fsync = os.fsync

    def fail_for_state(descriptor):
        if os.path.samestat(os.fstat(descriptor), file.path.stat()):
            failing()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_state)
    with pytest.raises(OutputError, match="Read-only file system"):
        file.commit(given)
    monkeypatch.undo()
    assert not file.is_committed
    assert read_state(stagings[0]).committing is None


def test_state_that_cannot_be_read_is_said(stagings):
    StateFile(*stagings).path.mkdir()
    with pytest.raises(OutputError, match=r"cannot read .*state.jsonl: Is a directory"):
        read_state(stagings[0])


def test_commit_record_that_leads_out_of_the_folders_is_refused(stagings):
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    file.commit(outputs(stagings))
    text = file.path.read_text()
    for old, new in (('"out-a"', '"../out-a"'), ('"staged":"a"', '"staged":"../a"')):
        assert old in text
        file.path.write_text(text.replace(old, new))
        (stagings[0].folder / "a").touch()
        with pytest.raises(ValueError, match="leads out"):
            finish_commit(read_state(stagings[0]).committing, *stagings)


def test_password_of_an_input_is_not_in_the_state_and_is_known_again(stagings):
    part = FileRange("s3://key:hunter2@host/in.csv?sig=hunter2", 0, 9)
    result = ShardResult((part,), Counts(1, 1))
    file = StateFile(*stagings)
    file.begin(PLAN, [])
    file.add(Finished(0, 1, result))
    assert b"hunter2" not in file.path.read_bytes()
    found = read_state(stagings[0]).finished[0]
    assert at_home(found, Shard(0, (part,)), *stagings).result.ranges == (part,)
