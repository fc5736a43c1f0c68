"""Input and output in object stores, on a real S3 server, on three engines, with a worker killed."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dask_clusters import dask_cluster
from local_runs import Item, While, staged
from oracle import csv_dicts, json_lines, text_lines, validated
from ray_clusters import ray_cluster
from s3_server import BUCKET, ENVIRONMENT, SECRET, S3Server, s3_server

from zoopipe import (
    BaseEngine,
    ColumnHook,
    CSVInputAdapter,
    DaskEngine,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    OutputError,
    Pipe,
    PipeManager,
    RayEngine,
    RetryPolicy,
    RunFailed,
)
from zoopipe.adapters.formats import adapter_for
from zoopipe.convert import convert_pipe
from zoopipe.runtime.recovery import clean
from zoopipe.storage.filesystems import Storage
from zoopipe.storage.objects import ObjectStaging
from zoopipe.storage.s3 import S3Store
from zoopipe.testing.faults import Faults, Journal, Kill, Raise

BAD = range(1, 3001, 40)
#: Every seventh name has a line break and a quote in it.
ROWS = "".join(
    f'{"x" if n in BAD else n},"name\n""{n}"""\n'
    if n % 7 == 0
    else f"{'x' if n in BAD else n},name {n}\n"
    for n in range(1, 3001)
)
CSV = f"id,name\n{ROWS}".encode()
LINES, REFUSED = validated(csv_dicts(CSV), Item)
SOON = RetryPolicy(max_attempts=3, backoff_s=0)


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """The secrets, for this process and for all that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.put("in/items.csv", CSV)
        server.put("in/items.csv.gz", gzip.compress(CSV[:20_000]) + gzip.compress(CSV[20_000:]))
        rows = csv_dicts(CSV)
        server.put("in/a.jsonl", "".join(json.dumps(row) + "\n" for row in rows[:1000]).encode())
        server.put("in/b.jsonl", "".join(json.dumps(row) + "\n" for row in rows[1000:]).encode())
        yield server


@pytest.fixture(scope="module", params=["multiprocess", "ray", "dask"])
def engine(
    request: pytest.FixtureRequest,
    environment: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Makes engines, of one cluster each kind."""
    if request.param == "multiprocess":
        yield MultiProcessEngine
    elif request.param == "ray":
        with ray_cluster(cpus=3) as cluster:
            yield lambda: RayEngine(cluster.address)
    else:
        with dask_cluster(tmp_path_factory.mktemp("dask")) as found:
            yield lambda: DaskEngine(found.address)


def run(pipe: Pipe, engine: BaseEngine, shards: int = 4, **options: Any) -> PipeManager:
    options.setdefault("retries", SOON)
    manager = PipeManager.parallelize_pipe(pipe, 2, shards=shards, engine=engine, **options)
    assert manager.run()
    return manager


def local_pipe(folder: Path, source: Any, *hooks: Any) -> Pipe:
    return Pipe(
        source,
        JSONOutputAdapter(folder / "out.jsonl"),
        schema_model=Item,
        error_output_adapter=JSONOutputAdapter(folder / "bad.jsonl"),
        pre_validation_hooks=hooks,
    )


def check_local(folder: Path) -> None:
    assert text_lines(folder / "out.jsonl") == LINES
    rejects = [(row["_row"], row["_errors"]) for row in json_lines(folder / "bad.jsonl")]
    assert rejects == REFUSED
    assert staged(folder) == []


# Inputs


def test_rows_are_those_of_the_row_loop_when_csv_is_read_from_s3_and_a_worker_is_killed(
    s3: S3Server, engine: Any, tmp_path: Path
) -> None:
    source = CSVInputAdapter(s3.url("in/items.csv"), storage_options=s3.options)
    manager = run(local_pipe(tmp_path, source, Faults({(1, 1): Kill()}, at=20)), engine())
    report = manager.get_pipe_report(0)
    assert (report.shard_count, report.lost_count) == (4, 1)
    check_local(tmp_path)
    assert json_lines(tmp_path / "bad.jsonl")[0]["_source"] == s3.url("in/items.csv")


def test_rows_are_those_of_the_row_loop_when_a_glob_in_s3_is_read(
    s3: S3Server, engine: Any, tmp_path: Path
) -> None:
    source = JSONInputAdapter(s3.url("in/*.jsonl"), storage_options=s3.options)
    run(local_pipe(tmp_path, source), engine())
    check_local(tmp_path)
    sources = {row["_source"] for row in json_lines(tmp_path / "bad.jsonl")}
    assert sources == {s3.url("in/a.jsonl"), s3.url("in/b.jsonl")}


def test_rows_are_those_of_the_row_loop_when_compressed_csv_is_read_from_s3(
    s3: S3Server, engine: Any, tmp_path: Path
) -> None:
    source = CSVInputAdapter(s3.url("in/items.csv.gz"), storage_options=s3.options)
    run(local_pipe(tmp_path, source), engine())
    check_local(tmp_path)


def test_input_is_known_by_its_etag_when_it_is_in_s3(s3: S3Server) -> None:
    source = CSVInputAdapter(s3.url("in/items.csv"), storage_options=s3.options)
    etag = s3.client.head_object(Bucket=BUCKET, Key="in/items.csv")["ETag"]
    (identity,) = source.plan(4).identity.values()
    assert identity == f"{len(CSV)} bytes, etag {etag}"


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("in/nothing.csv", "nothing.csv: No such file or directory"),
        ("in", "it is a folder"),
        ("in/x*.csv", "no file matches"),
    ],
)
def test_input_error_is_one_sentence_when_s3_has_no_such_object(
    s3: S3Server, key: str, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        CSVInputAdapter(s3.url(key), storage_options=s3.options).plan(1)


def test_endpoint_and_secrets_are_those_of_the_environment_when_no_options_are_given(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3.endpoint}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    run(local_pipe(tmp_path, CSVInputAdapter(s3.url("in/items.csv"))), MultiProcessEngine())
    check_local(tmp_path)


def test_secret_is_in_no_pickle_and_no_state_when_a_pipe_reads_s3(
    s3: S3Server, tmp_path: Path
) -> None:
    source = CSVInputAdapter(s3.url("in/items.csv"), storage_options=s3.options)
    pipe = local_pipe(tmp_path, source)
    source.plan(2)
    assert SECRET.encode() not in pickle.dumps(pipe)
    assert SECRET not in repr(vars(source))


# Outputs


@pytest.fixture(autouse=True)
def state_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the driver has the state of runs whose targets are URLs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "zoopipe"


def s3_pipe(
    s3: S3Server, prefix: str, *hooks: Any, name: str = "out.jsonl", **options: Any
) -> Pipe:
    options.setdefault(
        "error_output_adapter",
        JSONOutputAdapter(s3.url(f"{prefix}/bad.jsonl"), storage_options=s3.options),
    )
    return Pipe(
        CSVInputAdapter(s3.url("in/items.csv"), storage_options=s3.options),
        JSONOutputAdapter(s3.url(f"{prefix}/{name}"), storage_options=s3.options),
        schema_model=Item,
        pre_validation_hooks=hooks,
        **options,
    )


def check_s3(s3: S3Server, prefix: str, state_home: Path) -> None:
    """The row loop's results are there, and nothing else."""
    assert s3.get(f"{prefix}/out.jsonl").decode() == "".join(f"{line}\n" for line in LINES)
    rejects = [json.loads(line) for line in s3.get(f"{prefix}/bad.jsonl").splitlines()]
    assert [(row["_row"], row["_errors"]) for row in rejects] == REFUSED
    check_tidy(s3, prefix, state_home, ["bad.jsonl", "out.jsonl"])


def check_tidy(s3: S3Server, prefix: str, state_home: Path, names: list[str]) -> None:
    assert s3.keys(f"{prefix}/") == [f"{prefix}/{name}" for name in names]
    assert s3.uploads(f"{prefix}/") == []
    assert list(state_home.iterdir()) == []


def test_objects_are_those_of_the_row_loop_when_a_worker_is_killed(
    s3: S3Server, engine: Any, request: pytest.FixtureRequest, state_home: Path
) -> None:
    prefix = request.node.name
    manager = run(s3_pipe(s3, prefix, Faults({(1, 1): Kill()}, at=20)), engine())
    assert manager.get_pipe_report(0).lost_count == 1
    check_s3(s3, prefix, state_home)


def test_old_objects_stay_as_they_are_when_a_run_fails(s3: S3Server, state_home: Path) -> None:
    for name in ("out.jsonl", "bad.jsonl"):
        s3.put(f"fails/{name}", b"old")
    pipe = s3_pipe(s3, "fails", Faults({(2, None): Raise()}))
    manager = PipeManager.parallelize_pipe(pipe, 2, shards=4)
    with pytest.raises(RunFailed, match="raised RuntimeError"):
        manager.run()
    assert [s3.get(f"fails/{name}") for name in ("out.jsonl", "bad.jsonl")] == [b"old", b"old"]
    check_tidy(s3, "fails", state_home, ["bad.jsonl", "out.jsonl"])


def test_parts_are_objects_when_they_are_not_merged(s3: S3Server, state_home: Path) -> None:
    s3.put("parts/out_part_00007.jsonl", b"of a wider run")
    s3.put("parts/out_part_7.jsonl", b"of somebody else")
    pipe = s3_pipe(s3, "parts", error_output_adapter=None)
    run(pipe, MultiProcessEngine(), shards=3, should_merge=False)
    names = [f"out_part_0000{number}.jsonl" for number in (1, 2, 3)]
    lines = [line for name in names for line in s3.get(f"parts/{name}").decode().splitlines()]
    assert lines == LINES
    check_tidy(s3, "parts", state_home, [*names, "out_part_7.jsonl"])


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.parquet", "out.arrow"])
def test_other_formats_are_read_back_when_they_are_written_to_s3(
    s3: S3Server, state_home: Path, name: str, tmp_path: Path
) -> None:
    target = s3.url(f"formats/{name}")
    written = adapter_for(target, "output", options={"storage_options": s3.options})
    source = CSVInputAdapter(s3.url("in/items.csv"), storage_options=s3.options)
    run(Pipe(source, written, schema_model=Item), MultiProcessEngine())
    data = s3.get(f"formats/{name}")
    if name.endswith(".gz"):
        found = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    elif name.endswith(".parquet"):
        found = pq.read_table(pa.BufferReader(data)).to_pylist()
    else:
        found = pa.ipc.open_file(pa.BufferReader(data)).read_all().to_pylist()
    assert found == [json.loads(line) for line in LINES]
    again = adapter_for(target, "input", options={"storage_options": s3.options})
    run(
        Pipe(again, JSONOutputAdapter(tmp_path / "again.jsonl"), schema_model=Item),
        MultiProcessEngine(),
    )
    assert text_lines(tmp_path / "again.jsonl") == LINES
    s3.client.delete_object(Bucket=BUCKET, Key=f"formats/{name}")


def test_rejects_are_beside_the_object_when_a_url_is_converted(
    s3: S3Server, state_home: Path
) -> None:
    options = {"storage_options": s3.options}
    target = s3.url("convert/out.jsonl")
    convert_pipe(
        s3.url("in/items.csv"), target, Item, source_options=options, target_options=options
    ).run()
    assert s3.get("convert/out.jsonl").decode().splitlines() == LINES
    assert len(s3.get("convert/out.rejected.jsonl").splitlines()) == len(REFUSED)
    check_tidy(s3, "convert", state_home, ["out.jsonl", "out.rejected.jsonl"])


def test_object_is_copied_in_the_store_when_parts_are_large(
    s3: S3Server, state_home: Path, tmp_path: Path
) -> None:
    wide = tmp_path / "wide.jsonl"
    with wide.open("w") as file:
        for number in range(300):
            file.write(json.dumps({"id": number, "text": f"{number:09}" * 9000}) + "\n")
    client = s3.client
    target = JSONOutputAdapter(s3.url("large/out.json"), storage_options=s3.options)
    manager = run(Pipe(JSONInputAdapter(wide), target), MultiProcessEngine(), shards=3)
    with wide.open() as file:
        assert json.loads(s3.get("large/out.json")) == [json.loads(line) for line in file]
    (published,) = manager.report.ledger.pipes[0].published
    found = client.head_object(Bucket=BUCKET, Key="large/out.json")
    # What was joined in the store has no checksum of ours; its etag counts its pieces.
    assert (published.checksum, published.size_bytes) == ("", found["ContentLength"])
    assert int(found["ETag"].strip('"').rpartition("-")[2]) >= 4
    check_tidy(s3, "large", state_home, ["out.json"])


def test_loser_says_so_when_two_runs_write_one_object(
    s3: S3Server, state_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The other run is on another machine: it has another home for its state."""

    class Overtakes(ColumnHook):
        def setup(self, store: Any) -> None:
            s3.put("two/out.jsonl", b"theirs")

        def execute(self, batch: Any) -> Any:
            return batch

    manager = PipeManager([s3_pipe(s3, "two", Overtakes())])
    with pytest.raises(RunFailed, match="another run has written it since this one began"):
        manager.run()
    assert s3.get("two/out.jsonl") == b"theirs"
    check_tidy(s3, "two", state_home, ["out.jsonl"])


def test_completion_is_conditional_when_nothing_was_there(s3: S3Server, state_home: Path) -> None:
    store = S3Store(s3.url("cond/x"), Storage(s3.options))
    sinks = [store.final(s3.url("cond/x"), "", None, lambda upload: None) for _ in range(2)]
    for sink in sinks:
        sink.write(memoryview(b"data"))
    (_, first), (_, second) = (sink.close() for sink in sinks)
    store.publish("", s3.url("cond/x"), first)
    # To do it again changes nothing; the other one has lost.
    store.publish("", s3.url("cond/x"), first)
    with pytest.raises(OutputError, match="another run has written it"):
        store.publish("", s3.url("cond/x"), second)
    assert store.is_published("", s3.url("cond/x"), first)
    assert not store.is_published("", s3.url("cond/x"), second)


def test_etag_that_was_seen_is_the_condition_when_something_was_there(s3: S3Server) -> None:
    """What the request says; moto's server does not look at it."""
    s3.put("cond/y", b"old")
    store = S3Store(s3.url("cond/y"), Storage(s3.options))
    asked: list[dict[str, Any]] = []
    store._client.meta.events.register(
        "before-call.s3.CompleteMultipartUpload",
        lambda params, **_: asked.append(dict(params["headers"])),
    )
    seen = store.seen(s3.url("cond/y"))
    sink = store.final(s3.url("cond/y"), "", seen, lambda upload: None)
    sink.write(memoryview(b"new"))
    _, upload = sink.close()
    assert s3.get("cond/y") == b"old"
    store.publish("", s3.url("cond/y"), upload)
    assert s3.get("cond/y") == b"new"
    assert [headers["If-Match"] for headers in asked] == [seen]


def test_second_run_of_a_machine_is_refused_at_once(s3: S3Server, state_home: Path) -> None:
    staging = ObjectStaging(s3.url("held/out.jsonl"), Storage(s3.options))
    staging.acquire()
    with pytest.raises(OutputError, match="another run is writing it"):
        PipeManager([s3_pipe(s3, "held")]).start()
    staging.remove()
    run(s3_pipe(s3, "held"), MultiProcessEngine())
    check_s3(s3, "held", state_home)


def test_shards_that_are_done_are_not_run_again_when_a_run_is_resumed(
    s3: S3Server, state_home: Path, tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "trouble").touch()
    journal = Journal(tmp_path / "journal")

    def manager_of() -> PipeManager:
        fault = Faults({(2, None): While(tmp_path / "trouble", Raise())})
        pipe = s3_pipe(s3, "resume", journal, fault)
        return PipeManager.parallelize_pipe(pipe, 1, shards=4, resume=True)

    with pytest.raises(RunFailed, match="raised RuntimeError"):
        manager_of().run()
    assert "resume/out.jsonl" not in s3.keys("resume/")
    assert any(".out.jsonl.zoopipe/" in key for key in s3.keys("resume/"))
    done = {shard for (shard, _) in journal.times("teardown")}
    (tmp_path / "trouble").unlink()
    manager_of().run()
    check_s3(s3, "resume", state_home)
    begun = [shard for (shard, _), times in journal.times("setup").items() for _ in times]
    assert done - {2}
    assert sorted(set(begun)) == [0, 1, 2, 3]
    assert all(begun.count(shard) == 1 for shard in (0, 1, 3))


CUT_OFF = """
import os, signal
from pathlib import Path
from test_storage import S3Server, s3_pipe
from zoopipe import PipeManager
from zoopipe.storage import s3

published, publish = [], s3.S3Store.publish

def cut_off(self, staged, url, upload):
    if len(published) == {count}:
        os.kill(os.getpid(), signal.SIGKILL)
    publish(self, staged, url, upload)
    published.append(url)

s3.S3Store.publish = cut_off
PipeManager([s3_pipe(S3Server({endpoint!r}), {prefix!r})]).run()
"""


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("how", ["run", "clean"])
def test_commit_that_was_cut_off_is_finished_by_whoever_comes_next(
    s3: S3Server, state_home: Path, tmp_path: Path, count: int, how: str, caplog: Any
) -> None:
    prefix = f"cut-{how}-{count}"
    script = tmp_path / "job.py"
    script.write_text(CUT_OFF.format(count=count, endpoint=s3.endpoint, prefix=prefix))
    paths = os.pathsep.join(str(Path(__file__).parents[up]) for up in (0, 1))
    died = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert (f"{prefix}/bad.jsonl" in s3.keys(prefix)) == (count == 1)
    assert f"{prefix}/out.jsonl" not in s3.keys(prefix)
    assert s3.uploads(f"{prefix}/") != []
    if how == "run":
        run(s3_pipe(s3, prefix), MultiProcessEngine())
    else:
        cleaned = clean([s3.url(f"{prefix}/out.jsonl")])
        assert {each.place: each.sentence for each in cleaned} == {
            s3.url(f"{prefix}/out.jsonl"): "published and removed"
        }
    assert "was cut off while it published; that is done" in caplog.text
    check_s3(s3, prefix, state_home)


def test_leftovers_of_a_killed_driver_are_removed_by_clean(
    s3: S3Server, state_home: Path, tmp_path: Path
) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import os, signal\n"
        "from test_storage import S3Server, s3_pipe\n"
        "from zoopipe import PipeManager\n"
        "from zoopipe.runtime import commit\n"
        "def die(*given): os.kill(os.getpid(), signal.SIGKILL)\n"
        "commit._check_rows = die\n"
        f"PipeManager([s3_pipe(S3Server({s3.endpoint!r}), 'left')]).run()\n"
    )
    paths = os.pathsep.join(str(Path(__file__).parents[up]) for up in (0, 1))
    subprocess.run([sys.executable, str(script)], env={**os.environ, "PYTHONPATH": paths})
    assert s3.keys("left/") != []
    clean([s3.url("left/")])
    check_tidy(s3, "left", state_home, [])


def test_secret_is_in_no_file_when_a_run_writes_to_s3(s3: S3Server, state_home: Path) -> None:
    pipe = s3_pipe(s3, "secret", Faults({(1, None): Raise()}))
    manager = PipeManager.parallelize_pipe(pipe, 1, shards=2, resume=True)
    with pytest.raises(RunFailed) as failed:
        manager.run()
    files = [path for path in state_home.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"state.jsonl", "target.json"}
    assert not any(SECRET.encode() in path.read_bytes() for path in files)
    assert SECRET not in f"{failed.value}{manager!r}{pipe!r}{manager.report}"
    clean([s3.url("secret/")])
    check_tidy(s3, "secret", state_home, [])


@pytest.mark.parametrize("scheme", ["local", "dir"])
def test_any_file_system_of_fsspec_is_written_when_a_url_names_it(
    tmp_path: Path, state_home: Path, scheme: str
) -> None:
    (tmp_path / "in.csv").write_bytes(CSV)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "out.jsonl").write_text("old")
    start = f"local://{tmp_path}/files/" if scheme == "local" else "dir://"
    options = (
        None if scheme == "local" else {"path": str(tmp_path / "files"), "target_protocol": "file"}
    )
    pipe = Pipe(
        CSVInputAdapter(f"file://{tmp_path}/in.csv"),
        JSONOutputAdapter(f"{start}out.jsonl", storage_options=options),
        schema_model=Item,
        error_output_adapter=JSONOutputAdapter(f"{start}bad.jsonl", storage_options=options),
        pre_validation_hooks=[Faults({(1, 1): Kill()}, at=20)],
    )
    run(pipe, MultiProcessEngine())
    check_local(tmp_path / "files")
    assert sorted(os.listdir(tmp_path / "files")) == ["bad.jsonl", "out.jsonl"]
