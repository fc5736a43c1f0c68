"""Input and output in object stores, on a real S3 server, on three engines, with a worker killed."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dask_clusters import dask_cluster
from local_runs import Item, staged
from oracle import csv_dicts, json_lines, text_lines, validated
from ray_clusters import ray_cluster
from s3_server import BUCKET, ENVIRONMENT, SECRET, S3Server, s3_server

from zoopipe import (
    BaseEngine,
    CSVInputAdapter,
    DaskEngine,
    InputError,
    JSONInputAdapter,
    JSONOutputAdapter,
    MultiProcessEngine,
    Pipe,
    PipeManager,
    RayEngine,
    RetryPolicy,
)
from zoopipe.testing.faults import Faults, Kill

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
