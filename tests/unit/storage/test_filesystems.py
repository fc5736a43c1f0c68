"""Paths and URLs behind one door: what is found, read and told apart."""

from __future__ import annotations

import glob
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import pytest

from zoopipe import CSVInputAdapter, DeclarationError, InputError, MissingExtraError
from zoopipe.storage import connections, filesystems
from zoopipe.storage.files import ByteSource, find_files
from zoopipe.storage.filesystems import LOCAL, Storage
from zoopipe.storage.urls import is_local, is_url, local_path, scheme_of

NAMES = (
    *("a.csv", "b.csv", "b.txt", ".hidden.csv", "sub/a.csv", "sub/deep/a.csv", "sub/.h/a.csv"),
    *("other/x1.csv", "other/x2.csv", "[1].csv", "c d.csv"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


@pytest.mark.parametrize(
    ("path", "scheme"),
    [
        ("s3://b/k", "s3"),
        ("S3A://b/k", "s3"),
        ("gcs://b/k", "gs"),
        ("abfss://c@a.dfs.core.windows.net/k", "az"),
        ("zip://x.csv::file:///a.zip", "zip"),
        ("simplecache::s3://b/k", "simplecache::s3"),
        ("file:///a b", "file"),
    ],
)
def test_scheme_is_known_when_a_path_is_a_url(path: str, scheme: str) -> None:
    assert is_url(path)
    assert scheme_of(path) == scheme
    assert is_local(path) == (scheme == "file")


@pytest.mark.parametrize("path", ["a.csv", "/a://b", "s3:/b/k", "://x", "1s://x", "a b://c"])
def test_path_is_local_when_it_begins_with_no_scheme(path: str) -> None:
    assert not is_url(path)
    assert (is_local(path), local_path(path)) == (True, path)


def test_file_url_is_a_local_path_when_it_is_opened(tree: Path) -> None:
    url = f"file://{tree}/c%20d.csv"
    assert local_path(url) == f"{tree}/c d.csv"
    with ByteSource(url, None) as source:
        assert source.read(100) == b"c d.csv"
    assert LOCAL.size(url) == 7
    assert LOCAL.identity(url) == f"7 bytes, mtime {(tree / 'c d.csv').stat().st_mtime_ns} ns"


PATTERNS = ("*.csv", "sub/*", "s*/*.csv", "**/*.csv", "**/a.csv", "sub/**", "**/deep/*", "[ab].csv")


@pytest.mark.parametrize("pattern", [*PATTERNS, "?.csv", "*/x[2-9].csv", ".h*", "*/**/*.csv"])
def test_files_are_those_that_glob_finds_when_a_url_has_a_pattern(tree: Path, pattern: str) -> None:
    expected = sorted(
        path for path in glob.glob(f"{tree}/{pattern}", recursive=True) if os.path.isfile(path)
    )
    # A file system of fsspec's whose paths we know.
    found = find_files(
        [f"dir://{pattern}"], Storage({"target_protocol": "file", "path": str(tree)})
    )
    assert [f"{tree}/{url.removeprefix('dir://')}" for url in found] == expected
    assert list(find_files([f"file://{tree}/{pattern}"])) == expected


def test_name_is_taken_as_it_stands_when_a_file_is_called_so(tree: Path) -> None:
    storage = Storage({"target_protocol": "file", "path": str(tree)})
    assert find_files(["dir://[1].csv"], storage) == ("dir://[1].csv",)
    assert find_files([f"file://{tree}/[1].csv"]) == (f"file://{tree}/[1].csv",)


@pytest.mark.parametrize("start", ["", "file://"])
def test_files_below_are_found_when_a_folder_is_listed(tree: Path, start: str) -> None:
    expected = sorted(
        f"{start}{tree}/{name}"
        for name in NAMES
        if not any(step.startswith(".") for step in name.split("/"))
    )
    assert sorted(LOCAL.files_in(f"{start}{tree}")) == expected


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("{tree}/nothing.csv", "cannot read .*nothing.csv: No such file or directory"),
        ("{tree}", "it is a folder"),
        ("{tree}/no*.csv", "no file matches"),
    ],
)
def test_input_error_is_one_sentence_when_a_url_leads_nowhere(
    tree: Path, path: str, sentence: str
) -> None:
    for start in ("", "file://", "local://"):
        with pytest.raises(InputError, match=sentence):
            find_files([start + path.format(tree=tree)])


def test_member_is_read_when_a_url_leads_into_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/x.csv", "a,b\n1,2\n")
    url = f"zip://in/x.csv::file://{tmp_path}/a.zip"
    plan = CSVInputAdapter(url).plan(1)
    assert plan.columns == ("a", "b")


def test_sentence_says_what_is_missing_when_a_scheme_has_no_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DeclarationError, match="there is no file system for nosuch://"):
        CSVInputAdapter("nosuch://x/y.csv").plan(1)
    with pytest.raises(MissingExtraError, match=r"sftp:// needs a package of fsspec: .*paramiko"):
        CSVInputAdapter("sftp://x/y.csv").plan(1)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'zoopipe\[fsspec\]'"):
        CSVInputAdapter("memory://x/y.csv").plan(1)


def test_value_is_not_shown_when_options_do_not_fit() -> None:
    options = {"endpoint_override": "x", "request_timeout": "do-not-show-me"}
    with pytest.raises(
        DeclarationError, match=r"are not what pyarrow takes: .* request_timeout"
    ) as e:
        Storage(options).open("s3://bucket/key")
    assert "do-not-show-me" not in str(e.value)


class Requests:
    """A file that counts how it is read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.sizes, self.closed = data, [], False

    def read_at(self, size: int, offset: int) -> bytes:
        self.sizes.append(size)
        return self.data[offset : offset + size]

    def close(self) -> None:
        self.closed = True


def test_requests_grow_when_a_remote_file_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(40 << 20)
    raw = Requests(data)
    file: Any = filesystems._RemoteFile(raw, None)
    read = b"".join(iter(lambda: file.read(1 << 16), b""))
    assert read == data
    assert raw.sizes == [1 << shift for shift in (18, 19, 20, 21, 22, *[23] * 6)]
    assert file.tell() == len(data)
    file.seek(len(data) - 5)
    assert file.read() == data[-5:]
    assert file.read() == b""
    file.seek(7)
    assert (file.read(3), file.tell(), raw.sizes[-1]) == (data[7:10], 10, 1 << 18)


def test_connections_are_made_anew_when_a_process_forks() -> None:
    kept = connections._pyarrows("s3", "", (("region", "us-east-1"), ("anonymous", True)))
    assert connections._pyarrows("s3", "", (("region", "us-east-1"), ("anonymous", True))) is kept
    child = os.fork()
    if child == 0:
        os._exit(connections._pyarrows.cache_info().currsize)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_of_a_cloud_is_imported_when_no_url_is_opened() -> None:
    script = (
        "import sys, zoopipe; zoopipe.CSVInputAdapter('s3://b/k', storage_options={'region': 'x'});"
        "assert not {'pyarrow.fs', 'fsspec', 'boto3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_storage_works_in_another_process_when_it_was_pickled(tree: Path) -> None:
    storage = pickle.loads(pickle.dumps(Storage({"target_protocol": "file", "path": str(tree)})))
    assert storage.size("dir://a.csv") == 5
    assert fsspec.filesystem("file").size(f"{tree}/a.csv") == 5
