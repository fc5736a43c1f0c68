"""What is hostile in size, in a process of its own: the run goes on, and its memory stays where it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from zoopipe import JSONInputAdapter, JSONOutputAdapter, Pipe

GIB = 1 << 30
MOST_MIB = 300

# The peak of a process that reads, validates and writes; in MiB, beside what became of the rows.
RUN = """
import sys
from pydantic import BaseModel
from zoopipe import CSVInputAdapter, JSONInputAdapter, JSONOutputAdapter, Pipe, ZooPipeError

class Model(BaseModel):
    a: str

kind, source, output, rejected = sys.argv[1:]
adapter = {"csv": CSVInputAdapter, "json": JSONInputAdapter}[kind](source)
try:
    report = Pipe(adapter, JSONOutputAdapter(output), JSONOutputAdapter(rejected), Model).run()
    print(report.success_count, report.error_count)
except ZooPipeError as error:
    print(error)
# Not ru_maxrss, which begins with the peak of the process that started this one.
with open("/proc/self/status") as file:
    (peak,) = [line.split()[1] for line in file if line.startswith("VmHWM:")]
print(int(peak) >> 10)
"""


def run(folder: Path, kind: str, source: Path, script: str = RUN) -> tuple[str, int]:
    """What a run says, and its peak memory in MiB."""
    command = [
        sys.executable,
        "-c",
        script,
        kind,
        str(source),
        *(str(folder / name) for name in ("out", "err")),
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    *words, peak = said.splitlines()
    return "\n".join(words), int(peak)


def with_hole(path: Path, before: bytes, after: bytes) -> Path:
    """A file with a GiB of zero bytes in it, which take no room on the disk."""
    with path.open("wb") as file:
        file.write(before)
        file.seek(GIB, 1)
        file.write(after)
        file.truncate()
    return path


LONG = [
    ("json", b'{"a":"1"}\n{"a":"', b'"}\n{"a":"3"}\n', "2 1", "record_too_long"),
    ("json", b'{"a":"1"}\n{"a":"', b'"}', "1 1", "record_too_long"),
    ("json", b'[{"a":"1"},{"a":"', b'"},{"a":"3"}]', "2 1", "record_too_long"),
    ("json", b'[{"a":"1"},{"a":[', b']},{"a":"3"}]', "2 1", "record_too_long"),
    ("csv", b"a,b\n1,2\n2,", b"\n3,4\n", "2 1", "record_too_long"),
    ("csv", b'a,b\n1,2\n2,"', b'"\n3,4\n', "2 1", "record_too_long"),
    ("csv", b'a,b\n1,2\n2,"', b"\n3,4\n", "1 1", "csv_unclosed_quote"),
]


@pytest.mark.parametrize(("kind", "before", "after", "counts", "reason"), LONG)
def test_record_of_a_gibibyte_is_rejected_and_never_held(
    tmp_path: Path, kind: str, before: bytes, after: bytes, counts: str, reason: str
) -> None:
    source = with_hole(tmp_path / "in", before, after)
    said, peak = run(tmp_path, kind, source)
    (reject,) = [json.loads(line) for line in (tmp_path / "err").read_text().splitlines()]
    begins = before[max(before.rfind(b"\n", 0, -1), before.rfind(b",{")) + 1 :].decode()
    assert (said, reject["_errors"][0]["type"], reject["_row"]) == (counts, reason, 2)
    assert reject["_text"] == (begins + "\0" * 1024)[:1024]
    assert peak < MOST_MIB


BOMBS = [("json", b'{"a":"1"}\n'), ("json", b'[{"a":"1"}'), ("csv", b"a,b\n1,2\n")]


def bomb(path: Path, data: bytes, mebibytes: int) -> Path:
    """A small file of `data` and so many blanks."""
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
        stream.write(data)
        for _ in range(mebibytes):
            stream.write(b" " * (1 << 20))
    return path


@pytest.mark.parametrize(("kind", "data"), BOMBS)
def test_run_fails_clearly_when_a_file_is_decompressed_without_end(
    tmp_path: Path, kind: str, data: bytes
) -> None:
    source = bomb(tmp_path / "in.zst", data, 1024)
    assert source.stat().st_size < 1 << 17
    said, peak = run(tmp_path, kind, source)
    expected = (
        f"cannot read {source}: it is decompressed to more than 1,000 times its size; "
        "give max_decompression_ratio= if that is right"
    )
    assert expected in said
    assert not (tmp_path / "out").exists()
    assert peak < MOST_MIB


@pytest.mark.parametrize("data", [b'{"a":"1"}\n', b'[{"a":"1"}]'])
def test_file_is_read_when_so_much_is_said_to_be_right(tmp_path: Path, data: bytes) -> None:
    adapter = JSONInputAdapter(
        bomb(tmp_path / "in.zst", data, 100), max_decompression_ratio=1_000_000
    )
    assert Pipe(adapter, JSONOutputAdapter(tmp_path / "out")).run().success_count == 1


def test_blanks_are_no_record_and_never_held(tmp_path: Path) -> None:
    source = bomb(tmp_path / "in.zst", b" ", 300)
    script = RUN.replace("(source)", "(source, max_decompression_ratio=1_000_000)")
    said, peak = run(tmp_path, "json", source, script)
    assert said == "0 0"
    assert peak < MOST_MIB
