"""Compressed outputs: what the codecs' own libraries and tools read back, and the same bytes each time."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import random
from pathlib import Path
from typing import Any

import lz4.frame
import pyarrow as pa
import pytest
from sharded import run_sharded

from zoopipe import CSVOutputAdapter, JSONInputAdapter, JSONOutputAdapter, Pipe
from zoopipe.storage.compress import Compressor, compressed


def unzstd(data: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(data), "zstd").read())


def unlz4(data: bytes) -> bytes:
    # `decompress` ends with the first frame.
    return bytes(lz4.frame.LZ4FrameFile(io.BytesIO(data)).read())


UNPACK = {
    "gzip": gzip.decompress,
    "bz2": bz2.decompress,
    "lz4": unlz4,
    "zstd": unzstd,
}
SUFFIXES = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
BLOCK = 1 << 20


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def packed(codec: str, data: bytes, sizes: Any, threads: int = 3) -> bytes:
    """What a compressor makes of data that comes in pieces of such sizes."""
    found: list[bytes] = []
    compressor = Compressor(codec, found.append, threads)
    at = 0
    while at < len(data):
        size = next(sizes)
        compressor.write(memoryview(data)[at : at + size])
        at += size
    compressor.close()
    return b"".join(found)


@pytest.mark.parametrize("codec", UNPACK)
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_bytes_are_those_of_whole_blocks_when_they_come_in_pieces(codec: str, size: int) -> None:
    chance = random.Random(size)
    data = bytes(chance.choices(b"abcdefgh\n", k=size))
    blocks = [data[at : at + BLOCK] for at in range(0, size, BLOCK)] or [b""]
    expected = b"".join(compressed(codec, block) for block in blocks)
    pieces = iter(lambda: chance.randint(1, 300_000), None)
    assert packed(codec, data, pieces) == expected
    assert packed(codec, data, iter(lambda: size, None), threads=1) == expected
    assert b"".join(UNPACK[codec](compressed(codec, block)) for block in blocks) == data


def test_header_says_no_time_when_it_is_gzip() -> None:
    assert compressed("gzip", b"x")[:9] == b"\x1f\x8b\x08\0\0\0\0\0\0"


def rows(count: int) -> bytes:
    chance = random.Random(1)
    return b"".join(
        json.dumps({"id": n, "text": "é" * chance.randint(0, 400)}, ensure_ascii=False).encode()
        + b"\n"
        for n in range(count)
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("adapter", [JSONOutputAdapter, CSVOutputAdapter])
@pytest.mark.parametrize("extension", ["jsonl", "json"])
def test_bytes_are_the_same_for_any_number_of_shards_when_an_output_is_compressed(
    tmp_path: Path, suffix: str, adapter: Any, extension: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(rows(6000))
    results = {}
    for plain, shards in ((True, 1), (False, 1), (False, 2), (False, 7)):
        output = tmp_path / f"out.{extension}{'' if plain else suffix}"
        options = {"fieldnames": ["id", "text"]} if adapter is CSVOutputAdapter else {}
        pipe = Pipe(JSONInputAdapter(tmp_path / "in.jsonl"), adapter(output, **options))
        run_sharded(pipe, shards)
        results[plain, shards] = output.read_bytes()
    assert results[False, 1] == results[False, 2] == results[False, 7]
    assert UNPACK[SUFFIXES[suffix]](results[False, 1]) == results[True, 1]
    assert len(results[True, 1]) > BLOCK


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_part_is_whole_when_they_are_not_merged(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(rows(300))
    pipe = Pipe(
        JSONInputAdapter(tmp_path / "in.jsonl"), JSONOutputAdapter(tmp_path / f"o.json{suffix}")
    )
    run_sharded(pipe, 3, merge=False)
    parts = sorted(path for path in tmp_path.iterdir() if path.name.startswith("o"))
    assert [path.name for path in parts] == [f"o_part_0000{n}.json{suffix}" for n in (1, 2, 3)]
    found = [json.loads(UNPACK[SUFFIXES[suffix]](path.read_bytes())) for path in parts]
    assert [row["id"] for part in found for row in part] == list(range(300))


def test_name_says_nothing_when_the_option_says_it(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(rows(10))
    source = JSONInputAdapter(tmp_path / "in.jsonl")
    run_sharded(Pipe(source, JSONOutputAdapter(tmp_path / "a.jsonl", compression="gzip")), 1)
    run_sharded(Pipe(source, JSONOutputAdapter(tmp_path / "b.jsonl.gz", compression=None)), 1)
    assert (
        gzip.decompress((tmp_path / "a.jsonl").read_bytes())
        == (tmp_path / "b.jsonl.gz").read_bytes()
    )


def test_file_is_one_member_of_nothing_when_there_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b"")
    pipe = Pipe(
        JSONInputAdapter(tmp_path / "in.jsonl"), JSONOutputAdapter(tmp_path / "out.jsonl.gz")
    )
    run_sharded(pipe, 1)
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == b""


def test_rejects_are_compressed_when_their_name_says_so(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'{"a": 1}\n{"a"\n')
    pipe = Pipe(
        JSONInputAdapter(tmp_path / "in.jsonl"),
        JSONOutputAdapter(tmp_path / "out.jsonl"),
        error_output_adapter=JSONOutputAdapter(tmp_path / "bad.jsonl.bz2"),
    )
    run_sharded(pipe, 1)
    (rejected,) = bz2.decompress((tmp_path / "bad.jsonl.bz2").read_bytes()).splitlines()
    assert json.loads(rejected)["_row"] == 2
    assert sorted(os.listdir(tmp_path)) == ["bad.jsonl.bz2", "in.jsonl", "out.jsonl"]
