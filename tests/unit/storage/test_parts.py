"""Staged files: what is in them, and whether they are still what was written."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash

from zoopipe.errors import LedgerError, OutputError
from zoopipe.storage.parts import Part, PartFile, check_part, sync_folder


def written(path, data, rows=1, durable=True):
    """A part that holds `data`."""
    file = PartFile(path, durable)
    file.write(data)
    return file.close(rows)


@pytest.mark.parametrize("data", [b"", b"data", bytes(range(256)) * 20_000])
def test_part_says_what_it_holds(tmp_path, data):
    part = written(tmp_path / "part", data, rows=7)
    assert part == Part(str(tmp_path / "part"), 7, len(data), xxhash.xxh64(data).hexdigest())
    check_part(part)


@pytest.mark.parametrize("sizes", [(), (0,), (1, 0, 5), (10_000_000, 3)])
def test_appended_parts_stand_one_after_the_other(tmp_path, sizes):
    expected = b"head"
    file = PartFile.reopened(written(tmp_path / "part", b"head"))
    for number, size in enumerate(sizes):
        data = bytes([65 + number]) * size
        file.append(written(tmp_path / str(number), data, durable=False))
        expected += data
    file.write(memoryview(b"tail"))
    whole = file.close(3)
    assert (tmp_path / "part").read_bytes() == expected + b"tail"
    assert whole.size_bytes == len(expected) + 4
    assert whole.checksum == xxhash.xxh64(expected + b"tail").hexdigest()


def test_what_a_merge_that_was_cut_short_has_added_is_taken_off(tmp_path):
    part = written(tmp_path / "part", b"head")
    with open(tmp_path / "part", "ab") as file:
        file.write(b"what was added")
    check_part(part)
    file = PartFile.reopened(part)
    file.write(b"+")
    file.close(1)
    assert (tmp_path / "part").read_bytes() == b"head+"


DAMAGES = {
    "one bit is another": lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:],
    "it is shorter": lambda data: data[:-1],
    "it is empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_part_that_was_changed_is_refused(tmp_path, damage):
    data = bytes(range(100))
    part, other = written(tmp_path / "part", data), written(tmp_path / "other", b"")
    Path(part.path).write_bytes(damage(data))
    file = PartFile.reopened(other)
    for read in (check_part, PartFile.reopened, file.append):
        with pytest.raises(LedgerError, match=r"part is not what was written: .* instead of 100"):
            read(part)
    file.discard()


def test_part_that_is_gone_is_refused(tmp_path):
    part = replace(written(tmp_path / "part", b"data"), path=str(tmp_path / "gone"))
    for read in (check_part, PartFile.reopened):
        with pytest.raises(OutputError, match="gone: No such file"):
            read(part)


@pytest.mark.parametrize("call", ["fsync", "write", "close"])
def test_part_fails_when_the_disk_does(tmp_path, monkeypatch, call):
    file = PartFile(tmp_path / "part")

    class Failing:
        closed = False

        def __getattr__(self, name):
            return getattr(real, name)

        def write(self, data):
            return fail() if call == "write" else real.write(data)

        def close(self):
            return fail() if call == "close" else real.close()

    def fail(*given):
        raise OSError(5, "Input/output error")

    real, file._sink._file = file._sink._file, Failing()
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="part: Input/output error"):
        file.write(b"data")
        file.close(1)
    real.close()


def test_file_is_gone_when_nobody_knows_what_of_it_is_on_the_disk(tmp_path, monkeypatch):
    """A second fsync says that all is well, and what is read comes from memory."""
    part = written(tmp_path / "part", b"data")
    file = PartFile.reopened(part)

    def fail(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match="Input/output error"):
        file.close(1)
    monkeypatch.undo()
    with pytest.raises(OutputError, match="No such file"):
        check_part(part)
    file.abandon()


def test_write_names_path_and_cause_when_the_disk_is_full(tmp_path):
    file = PartFile(tmp_path / "part")
    file._sink._path = "/dev/full"
    file._sink._file.close()
    with open("/dev/full", "wb", buffering=0) as file._sink._file:
        with pytest.raises(OutputError, match=r"/dev/full: No space left"):
            file.write(b"data")


def test_folder_that_fails_to_be_durable_is_an_error(tmp_path, monkeypatch):
    sync_folder(tmp_path)

    def fail(number):
        def raises(descriptor):
            raise OSError(number, os.strerror(number))

        return raises

    # What knows no fsync of folders is no failure.
    monkeypatch.setattr(os, "fsync", fail(22))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail(5))
    with pytest.raises(OutputError, match="Input/output error"):
        sync_folder(tmp_path)


def test_part_is_on_the_disk_when_it_is_durable(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
    for name, durable in (("published", True), ("copied", False)):
        part = PartFile(tmp_path / name, durable=durable)
        part.write(b"data")
        part.close(1)
        part.close(1)
    assert synced == [4]


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system has no posix_fadvise")
def test_disk_is_given_each_byte_once_before_the_end(tmp_path, monkeypatch):
    advised = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *advice: advised.append(advice[1:3]))
    for name, durable in (("published", True), ("copied", False)):
        part = PartFile(tmp_path / name, durable=durable)
        for _ in range(5):
            part.write(bytes(5 << 20))
        part.close(1)
    assert advised == [(0, 10 << 20), (10 << 20, 10 << 20)]


def test_part_is_written_when_the_system_takes_no_advice(tmp_path, monkeypatch):
    def refuse(*advice):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "posix_fadvise", refuse, raising=False)
    part = PartFile(tmp_path / "part")
    part.write(bytes(9 << 20))
    part.close(1)
    assert (tmp_path / "part").stat().st_size == 9 << 20


def test_part_is_refused_when_it_is_there_already(tmp_path):
    (tmp_path / "part").touch()
    with pytest.raises(OutputError, match="File exists"):
        PartFile(tmp_path / "part")


def test_discard_leaves_nothing(tmp_path):
    part = PartFile(tmp_path / "part")
    part.write(b"data")
    part.discard()
    assert os.listdir(tmp_path) == []
