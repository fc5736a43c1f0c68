"""Staging folders, parts, and the step that publishes them."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from zoopipe.errors import OutputError
from zoopipe.storage.staging import (
    PartFile,
    Staging,
    part_target,
    publish,
    remove_parts_beyond,
    reopen,
    resolve_target,
)


def test_target_is_absolute_and_follows_links(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("real.csv")
    assert resolve_target("link") == tmp_path / "real.csv"


@pytest.mark.parametrize(
    ("output", "cause"),
    [("/dev/null", "device"), ("/tmp", "folder"), ("/tmp/" + "x" * 300, "too long")],
)
def test_target_is_refused_when_it_cannot_be_a_file(output, cause):
    with pytest.raises(OutputError, match=cause):
        resolve_target(output)


def test_target_is_refused_when_it_is_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OutputError, match="not a regular file"):
        resolve_target(str(tmp_path / "fifo"))


def test_staging_is_beside_the_target_and_for_its_owner_only(tmp_path):
    staging = Staging(tmp_path / "a" / "out.csv", "run")
    staging.create()
    assert staging.folder.parent == tmp_path / "a"
    assert stat.S_IMODE(staging.folder.stat().st_mode) == 0o700
    assert list(staging.folder.iterdir()) == []
    staging.part(0, 1).touch()
    staging.remove()
    staging.remove()
    assert os.listdir(tmp_path / "a") == []


def test_staging_is_refused_when_a_parent_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory"):
        Staging(tmp_path / "file" / "out.csv", "run").create()


def test_attempts_have_parts_of_their_own(tmp_path):
    staging = Staging(tmp_path / "out.csv", "run")
    assert len({staging.part(shard, attempt) for shard in (0, 1) for attempt in (1, 2)}) == 4


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_staging_is_made_when_the_name_is_as_long_as_names_may_be(tmp_path, name):
    one, other = (Staging(tmp_path / f"{name[:-1]}{end}", "run") for end in "ab")
    one.create()
    other.create()


@pytest.mark.parametrize("sizes", [(), (0,), (1, 0, 5), (10_000_000, 3)])
def test_appended_files_stand_one_after_the_other(tmp_path, sizes):
    expected = b"head"
    part = PartFile(tmp_path / "part")
    part.write(b"head")
    part.close()
    part = reopen(tmp_path / "part")
    for number, size in enumerate(sizes):
        data = bytes([65 + number]) * size
        (tmp_path / str(number)).write_bytes(data)
        part.append_file(tmp_path / str(number))
        expected += data
    part.write(memoryview(b"tail"))
    part.close()
    assert (tmp_path / "part").read_bytes() == expected + b"tail"
    assert part.bytes_written == len(expected) + 4


def test_append_says_so_when_a_part_shrinks_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "other").write_bytes(b"data")
    part = PartFile(tmp_path / "part")
    size = os.stat_result((0o100600, 1, 1, 1, 0, 0, 5, 0, 0, 0))
    monkeypatch.setattr(os, "fstat", lambda descriptor: size)
    with pytest.raises(OutputError, match="shrank"):
        part.append_file(tmp_path / "other")
    part.discard()


def test_part_is_on_the_disk_when_it_is_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    for name, durable in (("published", True), ("copied", False)):
        part = PartFile(tmp_path / name, durable=durable)
        part.write(b"data")
        part.close()
        part.close()
    assert synced == [4]


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no posix_fadvise")
def test_disk_is_given_each_byte_once_before_the_end(tmp_path, monkeypatch):
    advised = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *advice: advised.append(advice[1:3]))
    for name, durable in (("published", True), ("copied", False)):
        part = PartFile(tmp_path / name, durable=durable)
        for _ in range(5):
            part.write(bytes(5 << 20))
        part.close()
    assert advised == [(0, 10 << 20), (10 << 20, 10 << 20)]


def test_part_is_written_when_the_system_takes_no_advice(tmp_path, monkeypatch):
    def refuse(*advice):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    part = PartFile(tmp_path / "part")
    part.write(bytes(9 << 20))
    part.close()
    assert (tmp_path / "part").stat().st_size == 9 << 20


def test_part_is_refused_when_it_is_there_already(tmp_path):
    (tmp_path / "part").touch()
    with pytest.raises(OutputError, match="File exists"):
        PartFile(tmp_path / "part")


def test_writing_names_path_and_cause_when_the_disk_is_full():
    part = PartFile.__new__(PartFile)
    part.path, part.bytes_written = "/dev/full", 0
    with open("/dev/full", "wb", buffering=0) as part._file:
        with pytest.raises(OutputError, match=r"/dev/full: No space left"):
            part.write(b"data")


def test_discard_leaves_nothing(tmp_path):
    part = PartFile(tmp_path / "part")
    part.write(b"data")
    part.discard()
    assert os.listdir(tmp_path) == []


def test_publish_replaces_and_keeps_permissions(tmp_path):
    (tmp_path / "out").write_text("old")
    (tmp_path / "out").chmod(0o640)
    (tmp_path / "staged").write_text("new")
    publish(tmp_path / "staged", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out"]


def test_publish_says_why_when_the_folder_is_gone(tmp_path):
    (tmp_path / "staged").touch()
    with pytest.raises(OutputError, match=r"gone/out: No such file"):
        publish(tmp_path / "staged", tmp_path / "gone" / "out")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("out.csv", "out_part_00003.csv"),
        ("out", "out_part_00003"),
        ("a.b.csv", "a.b_part_00003.csv"),
    ],
)
def test_part_target_has_its_number_before_the_suffix(tmp_path, name, part):
    assert part_target(tmp_path / name, 3) == tmp_path / part


def test_only_parts_of_this_target_beyond_the_count_are_removed(tmp_path):
    names = ["o.n_part_00002.csv", "o.n_part_00003.csv", "o.n_part_99999.csv"]
    others = ["oxn_part_00003.csv", "o.n_part_3.csv", "o.n_part_00003.csv.bak", "o.n.csv"]
    for name in names + others:
        (tmp_path / name).touch()
    remove_parts_beyond(tmp_path / "o.n.csv", 2)
    assert sorted(os.listdir(tmp_path)) == sorted([names[0], *others])


def test_rename_counts_when_it_was_done_though_the_answer_was_lost(tmp_path, monkeypatch):
    replace = os.replace

    def rename_and_lose_the_answer(staged, target):
        replace(staged, target)
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "target").write_text("old")
    (tmp_path / "staged").write_text("new")
    monkeypatch.setattr(os, "replace", rename_and_lose_the_answer)
    publish(tmp_path / "staged", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "new"


def test_rename_that_failed_is_not_taken_for_done(tmp_path, monkeypatch):
    def refuse(staged, target):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "target").write_text("old")
    (tmp_path / "staged").write_text("new")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="Input/output error"):
        publish(tmp_path / "staged", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "old"


def test_staging_is_gone_when_a_file_is_begun_while_it_is_removed(tmp_path, monkeypatch):
    staging = Staging(tmp_path / "out.csv", "run")
    staging.create()
    staging.part(0, 1).touch()
    rmdir, late = os.rmdir, []

    def begin_and_rmdir(*given, **options):
        if not late:
            late.append(staging.part(1, 1))
            late[0].touch()
        rmdir(*given, **options)

    monkeypatch.setattr(os, "rmdir", begin_and_rmdir)
    staging.remove()
    assert late
    assert not staging.folder.exists()
