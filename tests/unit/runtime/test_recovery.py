"""What is left of dead runs: found, kept or removed; what live ones hold is left alone."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from local_runs import items_pipe, staged, write_items

from zoopipe import JSONOutputAdapter, OutputError
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.recovery import begin, clean, take_targets
from zoopipe.runtime.state import Output
from zoopipe.storage import staging as staging_module
from zoopipe.storage.parts import PartFile


@pytest.fixture
def pipes(tmp_path):
    source = write_items(tmp_path / "in.csv", 20)
    (tmp_path / "rejects").mkdir()
    return [
        items_pipe(
            source,
            tmp_path / f"{name}.jsonl",
            error_output_adapter=JSONOutputAdapter(tmp_path / "rejects" / f"{name}.jsonl"),
        )
        for name in "ab"
    ]


def left_by_a_dead_run(pipes):
    """Staging folders with a staged file each, as they are when a driver was killed."""
    planned = begin(plan_pipes(pipes, 1, True), resume=True)
    folders = [staging.folder for pipe in planned for staging in pipe.stagings]
    for folder in folders:
        (folder / "shard-00000.attempt-1.0").touch()
    for pipe in planned:
        pipe.leave(is_done=False)
    return folders


def test_targets_are_all_held_or_none(pipes, tmp_path):
    (held,) = begin(plan_pipes(pipes[1:], 1, True), resume=False)
    with pytest.raises(OutputError, match="another run is writing it"):
        begin(plan_pipes(pipes, 1, True), resume=False)
    # The first pipe's folders are free, and gone.
    assert set(staged(tmp_path)) >= {staging.folder for staging in held.stagings}
    assert not (tmp_path / ".a.jsonl.zoopipe").exists()
    held.leave(is_done=True)
    for pipe in begin(plan_pipes(pipes, 1, True), resume=False):
        pipe.leave(is_done=True)
    assert staged(tmp_path) == []


def test_look_at_targets_leaves_what_a_dead_run_has_left(pipes, tmp_path):
    left_by_a_dead_run(pipes)
    before = sorted(staged(tmp_path))
    with take_targets(plan_pipes(pipes, 1, True)):
        pass
    assert sorted(staged(tmp_path)) == before


def test_next_run_removes_what_a_dead_one_has_staged(pipes, tmp_path):
    folders = left_by_a_dead_run(pipes)
    planned = begin(plan_pipes(pipes, 1, True), resume=False)
    for folder in folders:
        assert set(os.listdir(folder)) <= {"lock", "state.jsonl", "owner"}
    for pipe in planned:
        pipe.leave(is_done=True)
    assert staged(tmp_path) == []


@pytest.mark.parametrize("given", ["folder", "targets"])
def test_clean_removes_what_dead_runs_have_left_with_its_rejects(pipes, tmp_path, given):
    folders = left_by_a_dead_run(pipes)
    paths = [tmp_path] if given == "folder" else [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    cleaned = clean(paths)
    assert [(each.folder, each.sentence) for each in cleaned] == [
        (folder, "removed") for folder in sorted(folders)
    ]
    assert staged(tmp_path) == []
    assert clean(paths) == []


def test_clean_leaves_alone_what_a_live_run_holds(pipes, tmp_path):
    left_by_a_dead_run(pipes[:1])
    (held,) = begin(plan_pipes(pipes[1:], 1, True), resume=False)
    before = [staging.folder for staging in held.stagings]
    cleaned = clean([tmp_path, tmp_path / "rejects"])
    assert [each.folder for each in cleaned if not each.is_gone] == sorted(before)
    assert all("another run is writing it" in each.sentence for each in cleaned if not each.is_gone)
    assert sorted(path for path in staged(tmp_path) if path.is_dir()) == sorted(before)
    held.leave(is_done=True)


def cut_off_in_commit(pipe, monkeypatch):
    """What a run leaves that was killed between its commit record and the first rename."""

    class CutOff(BaseException):
        pass

    def cut_off(*given):
        raise CutOff

    (planned,) = begin(plan_pipes([pipe], 1, True), resume=False)
    outputs = []
    for staging, is_rejects in ((planned.reject_staging, True), (planned.staging, False)):
        file = PartFile(staging.part(0, 1))
        file.write(b"new\n")
        part = file.close(1)
        outputs.append(Output(is_rejects, [(part.path, replace(part, path=staging.target))]))
    monkeypatch.setattr(staging_module, "publish", cut_off)
    with pytest.raises(CutOff):
        planned.state.commit(outputs)
    monkeypatch.undo()
    for staging in planned.stagings:
        staging.release()
    return planned


@pytest.mark.parametrize("given", ["out.jsonl", "bad", "bad/bad.jsonl", "."])
def test_clean_publishes_rejects_with_their_output_whichever_it_finds_first(
    tmp_path, monkeypatch, given
):
    source = write_items(tmp_path / "in.csv", 20)
    (tmp_path / "bad").mkdir()
    pipe = items_pipe(
        source,
        tmp_path / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad" / "bad.jsonl"),
    )
    cut_off_in_commit(pipe, monkeypatch)
    cleaned = clean([tmp_path / given])
    assert all(each.is_gone for each in cleaned)
    for target in ("out.jsonl", "bad/bad.jsonl"):
        assert (tmp_path / target).read_text() == "new\n"
    assert staged(tmp_path) == []


def test_clean_keeps_rejects_of_a_run_that_it_cannot_finish(pipes, tmp_path, monkeypatch):
    planned = cut_off_in_commit(pipes[0], monkeypatch)
    planned.staging.acquire()
    (cleaned, _) = clean([tmp_path / "rejects"])
    assert not cleaned.is_gone
    planned.staging.release()
    assert all(each.is_gone for each in clean([tmp_path / "rejects"]))
    assert (tmp_path / "rejects" / "a.jsonl").read_text() == "new\n"
    assert (tmp_path / "a.jsonl").read_text() == "new\n"


def test_commit_is_finished_with_its_rejects_when_the_folder_was_moved(
    pipes, tmp_path, monkeypatch
):
    (tmp_path / "here" / "rejects").mkdir(parents=True)
    pipe = items_pipe(
        write_items(tmp_path / "in.csv", 20),
        tmp_path / "here" / "out.jsonl",
        error_output_adapter=JSONOutputAdapter(tmp_path / "here" / "rejects" / "bad.jsonl"),
    )
    cut_off_in_commit(pipe, monkeypatch)
    (tmp_path / "here").rename(tmp_path / "there")
    clean([tmp_path / "there"])
    assert (tmp_path / "there" / "out.jsonl").read_text() == "new\n"
    assert (tmp_path / "there" / "rejects" / "bad.jsonl").read_text() == "new\n"
    assert not (tmp_path / "here").exists()
    assert staged(tmp_path / "there") == []


def test_parts_with_names_that_are_too_long_are_refused_before_anything_is_read(tmp_path):
    source = write_items(tmp_path / "in.csv", 20)
    pipe = items_pipe(source, tmp_path / f"{'x' * 240}.jsonl")
    assert plan_pipes([pipe], 1, True)
    with pytest.raises(OutputError, match="File name too long"):
        plan_pipes([pipe], 1, False)
