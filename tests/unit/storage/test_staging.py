"""Staging folders: who holds them, and what is found in them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from zoopipe.errors import OutputError
from zoopipe.storage import staging as staging_module
from zoopipe.storage.staging import Staging, staging_folders


@pytest.fixture
def held(tmp_path):
    staging = Staging(tmp_path / "out.csv")
    staging.acquire()
    yield staging
    staging.remove()


def test_staging_is_beside_the_target_and_for_its_owner_only(tmp_path):
    staging = Staging(tmp_path / "a" / "out.csv")
    staging.acquire()
    assert staging.folder.parent == tmp_path / "a"
    assert stat.S_IMODE(staging.folder.stat().st_mode) == 0o700
    Path(staging.part(0, 1)).touch()
    staging.remove()
    staging.remove()
    assert os.listdir(tmp_path / "a") == []


def test_staging_is_refused_when_a_parent_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        Staging(tmp_path / "file" / "out.csv").acquire()


def test_staging_is_refused_when_it_is_a_link(tmp_path):
    (tmp_path / "else").mkdir()
    (tmp_path / ".out.csv.zoopipe").symlink_to(tmp_path / "else")
    with pytest.raises(OutputError, match="no folder of this user's"):
        Staging(tmp_path / "out.csv").acquire()
    assert os.listdir(tmp_path / "else") == []


def test_staging_is_refused_in_a_shared_folder_when_it_is_somebody_elses(tmp_path, monkeypatch):
    staging = Staging(tmp_path / "out.csv")
    staging.folder.mkdir()
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OutputError, match="no folder of this user's"):
        staging.acquire()
    tmp_path.chmod(0o777)
    staging.acquire()
    staging.remove()


def test_attempts_have_parts_of_their_own(tmp_path):
    staging = Staging(tmp_path / "out.csv")
    assert len({staging.part(shard, attempt) for shard in (0, 1) for attempt in (1, 2)}) == 4


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_staging_is_made_when_the_name_is_as_long_as_names_may_be(tmp_path, name):
    stagings = [Staging(tmp_path / f"{name[:-1]}{end}") for end in "ab"]
    for staging in stagings:
        staging.acquire()
        assert Staging.at(staging.folder).folder == staging.folder
    assert sorted(staging_folders(tmp_path)) == sorted(staging.folder for staging in stagings)
    for staging in stagings:
        staging.remove()


# Who holds it.


def test_staging_that_is_held_is_refused_and_says_by_whom(held, tmp_path):
    Path(held.part(0, 1)).write_text("rows")
    with pytest.raises(
        OutputError, match=rf"another run is writing it \(process {os.getpid()} on "
    ):
        Staging(tmp_path / "out.csv").acquire()
    assert Path(held.part(0, 1)).read_text() == "rows"


def hold(target, ready):
    Staging(target).acquire()
    ready.set()
    signal.pause()


def test_staging_of_a_process_that_was_killed_is_free_with_all_that_is_in_it(tmp_path):
    ready = multiprocessing.Event()
    holder = multiprocessing.Process(target=hold, args=(tmp_path / "out.csv", ready))
    holder.start()
    assert ready.wait(20)
    staging = Staging(tmp_path / "out.csv")
    (staging.folder / "part").write_text("rows")
    with pytest.raises(OutputError, match=f"process {holder.pid} on"):
        staging.acquire()
    holder.kill()
    holder.join()
    staging.acquire()
    assert (staging.folder / "part").read_text() == "rows"
    staging.remove()


def wait_for_the_end(ready):
    ready.set()
    signal.pause()


def test_workers_that_outlive_their_driver_hold_nothing(tmp_path):
    staging = Staging(tmp_path / "out.csv")
    staging.acquire()
    ready = multiprocessing.Event()
    forked = multiprocessing.get_context("fork").Process(target=wait_for_the_end, args=(ready,))
    forked.start()
    # Of a process of another program as well.
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert ready.wait(20)
    # As the system does when the driver dies.
    staging_module._held.discard(staging._lock)
    os.close(staging._lock)
    again = Staging(tmp_path / "out.csv")
    again.acquire()
    again.remove()
    forked.kill()
    other.communicate(b"\n")
    forked.join()


def test_released_staging_is_free_though_a_forked_process_has_its_lock(tmp_path):
    staging = Staging(tmp_path / "out.csv")
    staging.acquire()
    # A descriptor that was copied in the moment between its opening and its being known.
    copied = os.dup(staging._lock)
    staging.release()
    again = Staging(tmp_path / "out.csv")
    again.acquire()
    again.remove()
    os.close(copied)


def test_one_of_many_at_once_gets_it(tmp_path):
    taken = []
    for _ in range(20):
        staging = Staging(tmp_path / "out.csv")
        try:
            staging.acquire()
        except OutputError:
            continue
        taken.append(staging)
    assert len(taken) == 1
    taken[0].remove()


def test_staging_is_made_again_when_its_last_holder_removes_it_meanwhile(tmp_path, monkeypatch):
    first, second = Staging(tmp_path / "out.csv"), Staging(tmp_path / "out.csv")
    first.acquire()
    opened, real = [], os.open

    def remove_and_open(path, *given, **options):
        if str(path).endswith("/lock") and not opened:
            descriptor = real(path, *given, **options)
            opened.append(path)
            first.remove()
            return descriptor
        return real(path, *given, **options)

    monkeypatch.setattr(os, "open", remove_and_open)
    second.acquire()
    assert (second.folder / "lock").exists()
    with pytest.raises(OutputError, match="another run"):
        Staging(tmp_path / "out.csv").acquire()
    second.remove()


# What is found in it.


def test_only_what_is_kept_stays_when_it_is_cleared(held):
    for name in ("a", "b"):
        (held.folder / name).touch()
    held.clear(keep={held.file("b")})
    assert sorted(os.listdir(held.folder)) == ["b", "lock"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b"])
def test_names_that_lead_out_of_it_are_refused(held, name):
    for ask in (held.file, held.beside):
        with pytest.raises(ValueError, match="leads out"):
            ask(name)


def test_folder_stays_when_it_was_not_used_but_by_one_before(tmp_path):
    staging = Staging(tmp_path / "out.csv")
    staging.acquire()
    staging.leave_unused()
    assert os.listdir(tmp_path) == []
    staging.acquire()
    Path(staging.part(0, 1)).touch()
    staging.leave_unused()
    assert os.listdir(tmp_path) == [".out.csv.zoopipe"]


def test_attempt_that_begins_late_finds_no_folder(held):
    held.remove()
    with pytest.raises(FileNotFoundError):
        Path(held.part(0, 2)).touch()


def test_folder_that_was_being_removed_is_removed_by_the_next(tmp_path):
    trash = tmp_path / ".out.csv.zoopipe-0123456789ab"
    for name in (trash.name, ".out.csvx.zoopipe-0123456789ab", ".out.csv.zoopipe-mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part").touch()
    staging = Staging(tmp_path / "out.csv")
    assert staging_folders(tmp_path / "out.csv") == [staging.folder]
    staging.acquire()
    staging.remove()
    assert sorted(os.listdir(tmp_path)) == [
        ".out.csv.zoopipe-mine",
        ".out.csvx.zoopipe-0123456789ab",
    ]


def test_staging_folders_are_those_that_runs_have_made(tmp_path, held):
    (tmp_path / ".mine.zoopipe").mkdir()
    (tmp_path / ".file.zoopipe").touch()
    (tmp_path / "out.csv.zoopipe").mkdir()
    assert staging_folders(tmp_path) == staging_folders(tmp_path / "out.csv") == [held.folder]
    assert staging_folders(tmp_path / "other.csv") == []
    with pytest.raises(OutputError, match="No such file"):
        staging_folders(tmp_path / "gone" / "out.csv")
