"""Targets, and the rename that makes a staged file one."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from zoopipe.errors import OutputError
from zoopipe.storage.publish import part_name, parts_beyond, publish, resolve_target


def test_target_is_refused_when_its_name_is_not_text(tmp_path):
    with pytest.raises(OutputError, match="not UTF-8"):
        resolve_target(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))


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
        ("a.b.csv.gz", "a.b_part_00003.csv.gz"),
        ("out.zst", "out_part_00003.zst"),
    ],
)
def test_part_has_its_number_before_the_suffix(name, part):
    assert part_name(name, 3) == part


def test_only_parts_of_this_target_beyond_the_count_are_found():
    names = ["o.n_part_00002.csv", "o.n_part_00003.csv", "o.n_part_99999.csv"]
    others = ["oxn_part_00003.csv", "o.n_part_3.csv", "o.n_part_00003.csv.bak", "o.n.csv"]
    assert parts_beyond("o.n.csv", names + others, 2) == names[1:]
    assert parts_beyond("o.csv.gz", ["o_part_00003.csv.gz", "o_part_00004.gz"], 2) == [
        "o_part_00003.csv.gz"
    ]


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
