"""Finding files, and reading their bytes as `gzip`, `bz2` and `codecs` read them."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path
from typing import Any

import lz4.frame
import pytest

from zoopipe import DeclarationError, InputError
from zoopipe.storage.files import (
    ByteSource,
    bom_length,
    check_encoding,
    compression_of,
    encodes,
    find_files,
    is_ascii_transparent,
    source_patterns,
)

TEXT = "".join(f"line {number}: é, ß, 日本\r\n" for number in range(3000))


@pytest.mark.parametrize(
    ("source", "patterns"),
    [
        ("a.csv", ("a.csv",)),
        (Path("x") / "a.csv", ("x/a.csv",)),
        (["a", Path("b")], ("a", "b")),
        (("a*",), ("a*",)),
    ],
)
def test_patterns_are_texts_when_a_source_names_paths(source: Any, patterns: Any) -> None:
    assert source_patterns(source) == patterns


@pytest.mark.parametrize("source", ["", [], (), None, 3, b"a", {"a"}, [None], [""]])
def test_source_is_refused_when_it_names_no_path(source: Any) -> None:
    with pytest.raises(DeclarationError, match="source"):
        source_patterns(source)


def test_files_are_sorted_and_folders_left_out_when_a_glob_matches(tmp_path: Path) -> None:
    for name in ("10.csv", "9.csv", "deep/1.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.csv").mkdir()
    found = find_files([str(tmp_path / "**" / "*.csv")])
    assert [str(Path(path).relative_to(tmp_path)) for path in found] == [
        "10.csv",
        "9.csv",
        "deep/1.csv",
    ]


def test_input_error_says_what_to_do_when_a_source_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name its files, or use a glob"):
        find_files([str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.gz", "gzip"), ("a.csv.GZ", "gzip"), ("a.bz2", "bz2"), ("a.zst", "zstd"), ("a.csv", None)],
)
def test_codec_is_that_of_the_extension_when_it_is_inferred(name: str, codec: str | None) -> None:
    assert compression_of(name, "infer") == codec
    assert compression_of(name, "bz2") == "bz2"
    assert compression_of(name, None) is None


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "latin-1", "cp1252", "utf-16", "gbk"])
def test_encoding_is_accepted_when_python_decodes_text_with_it(encoding: str) -> None:
    check_encoding(encoding)


@pytest.mark.parametrize("encoding", ["nope", "", "hex", "rot13", "undefined", "a\0", 8, None])
def test_encoding_is_refused_when_it_is_none_of_text(encoding: Any) -> None:
    with pytest.raises(DeclarationError, match="is not a text encoding"):
        check_encoding(encoding)


@pytest.mark.parametrize(
    ("encoding", "transparent"),
    [
        *[(name, True) for name in ("utf-8", "ascii", "latin-1", "cp1252", "cp437", "koi8-r")],
        *[(name, False) for name in ("utf-16", "utf-7", "shift_jis", "gbk", "big5", "cp037")],
        *[(name, False) for name in ("iso2022_jp", "hz", "gb18030", "utf-32")],
    ],
)
def test_encoding_is_transparent_when_its_low_bytes_are_always_ascii(
    encoding: str, transparent: bool
) -> None:
    assert is_ascii_transparent(encoding) is transparent


@pytest.mark.parametrize("size", [1, 3, 1000, 1 << 20])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "shift_jis", "gbk", "utf-32"])
@pytest.mark.parametrize("codec", [None, "gzip", "bz2", "lz4"])
def test_bytes_are_utf8_in_reads_of_the_size_asked_for_when_text_is_transcoded(
    tmp_path: Path, size: int, encoding: str, codec: str | None
) -> None:
    text = TEXT.replace("é", "").replace("ß", "")[: 300 if size == 1 else None]
    pack = {None: bytes, "gzip": gzip.compress, "bz2": bz2.compress, "lz4": lz4.frame.compress}[
        codec
    ]
    path = tmp_path / "in"
    path.write_bytes(pack(text.encode(encoding)))
    with ByteSource(str(path), codec, None if encoding == "utf-8" else encoding) as source:
        reads = list(iter(lambda: source.read(size), b""))
        assert source.read(size) == b""
        assert source.consumed == path.stat().st_size
    assert b"".join(reads).decode() == text
    assert {len(read) for read in reads[:-1]} <= {size}
    assert len(reads[-1]) <= size


def test_reading_starts_in_the_middle_when_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(b"0123456789")
    with ByteSource(str(path), None) as source:
        source.seek(4)
        assert (source.read(3), source.consumed) == (b"456", 7)


def test_undecodable_bytes_are_no_utf8_when_text_is_transcoded(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes("ab".encode("utf-16-le") + b"\x00\xd8" + "c".encode("utf-16-le") + b"x")
    with ByteSource(str(path), None, "utf-16-le") as source:
        data = source.read(100)
    assert data[:2] == b"ab"
    with pytest.raises(UnicodeDecodeError):
        data[2:].decode()
    assert b"c" in data


@pytest.mark.parametrize("damage", ["cut", "flip"])
@pytest.mark.parametrize("codec", ["gzip", "bz2"])
def test_input_error_names_the_file_when_compressed_data_is_damaged(
    tmp_path: Path, codec: str, damage: str
) -> None:
    data = bytearray({"gzip": gzip.compress, "bz2": bz2.compress}[codec](TEXT.encode()))
    if damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 0xFF
    path = tmp_path / "in.packed"
    path.write_bytes(data)
    with (
        ByteSource(str(path), codec) as source,
        pytest.raises(InputError, match=f"in.packed: {codec} data is damaged or cut short"),
    ):
        while source.read(1 << 16):
            pass


@pytest.mark.parametrize(
    ("head", "length"),
    [(b"\xef\xbb\xbfa", 3), (b"a\xef\xbb\xbf", 0), (b"", 0), (b"\xef\xbb", 0)],
)
def test_bom_is_three_bytes_when_it_comes_first(head: bytes, length: int) -> None:
    assert bom_length(head) == length


@pytest.mark.parametrize(("text", "holds"), [("é\0\U0001f600", True), ("\ud800", False)])
def test_utf8_holds_a_text_when_it_has_no_lone_surrogate(text: str, holds: bool) -> None:
    assert encodes(text) is holds
