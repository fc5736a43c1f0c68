"""Attempts on their way to a worker."""

from __future__ import annotations

import importlib
import os
import pickle
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from local_runs import items, items_pipe, write_items

from zoopipe import DeclarationError, EngineError, InputError, OutputError
from zoopipe.runtime import parcel as module
from zoopipe.runtime.engine import Done, Raised
from zoopipe.runtime.parcel import Packer, differing, local_modules, run_parcel, versions
from zoopipe.runtime.piperun import PipeRun
from zoopipe.runtime.plan import plan_pipes
from zoopipe.runtime.progress import Progress
from zoopipe.runtime.recovery import begin


@pytest.fixture
def task(tmp_path):
    """The first attempt at a pipe's one shard."""
    pipe = items_pipe(write_items(tmp_path / "in.csv", 30, {4}), tmp_path / "out.jsonl")
    (planned,) = begin(plan_pipes([pipe], 1, True), resume=False)
    return PipeRun(planned).next_task()


def test_parcel_runs_where_it_is_opened(task):
    sent = pickle.dumps(Packer().pack(task))
    progress = Progress()
    end = run_parcel(pickle.loads(sent), progress, "10.0.0.2")
    assert isinstance(end, Done)
    counts = end.result.counts
    assert (counts.records, counts.written, counts.rejected) == (30, 29, 1)
    assert progress.counts == counts
    lines = Path(end.result.part.path).read_text().splitlines()
    assert lines == [f'{{"id":{row["id"]},"name":"{row["name"]}"}}' for row in items(30, {4})]


def test_pipe_is_pickled_once_for_all_its_attempts(task):
    packer = Packer()
    assert packer.pack(task).pipe is packer.pack(replace(task, attempt=2)).pipe


def test_same_attempt_run_twice_writes_two_files(task):
    parcel = Packer().pack(task)
    ends = [run_parcel(parcel, Progress()) for _ in range(2)]
    first, second = (end.result.part for end in ends)
    assert first.path != second.path
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes()


def test_worker_refuses_when_its_versions_are_others(task):
    parcel = Packer().pack(task)
    theirs = {**parcel.versions, "pydantic": "2.9.9", "Python": "3.8"}
    end = run_parcel(replace(parcel, versions=theirs), Progress(), "10.0.0.2")
    assert isinstance(end, Raised)
    assert isinstance(end.error, EngineError)
    sentence = str(end.error)
    ours = versions()
    assert f"worker 10.0.0.2 has Python {ours['Python']} (the driver has 3.8)" in sentence
    assert f"pydantic {ours['pydantic']} (the driver has 2.9.9)" in sentence
    assert "pyarrow" not in sentence


def test_package_that_a_worker_lacks_differs():
    ours = versions()
    theirs = {name: number for name, number in ours.items() if name != "pyarrow"}
    assert differing(theirs, ours) == [
        f"pyarrow is not installed (the driver has {ours['pyarrow']})"
    ]
    assert differing(ours, ours) == []


def test_worker_says_so_when_it_cannot_unpickle(task):
    parcel = replace(Packer().pack(task), pipe=b"no pickle")
    end = run_parcel(parcel, Progress(), "10.0.0.2")
    assert isinstance(end.error, EngineError)
    assert "worker 10.0.0.2 cannot unpickle the pipe" in str(end.error)


def test_packer_says_so_when_a_pipe_does_not_pickle(tmp_path):
    lock = threading.Lock()

    def hook(row):
        with lock:
            return row

    source = write_items(tmp_path / "in.csv", 3)
    pipe = items_pipe(source, tmp_path / "out.jsonl", pre_validation_hooks=[hook])
    (planned,) = begin(plan_pipes([pipe], 1, True), resume=False)
    with pytest.raises(DeclarationError, match=r"pipe 0, shard 1 of 1.*does not pickle.*lock"):
        Packer().pack(PipeRun(planned).next_task())


@pytest.mark.parametrize("damage", ["missing", "shorter"])
def test_worker_says_so_when_it_does_not_see_the_input(task, tmp_path, damage):
    parcel = Packer().pack(replace(task, shard=_to_the_end(task.shard)))
    if damage == "missing":
        (tmp_path / "in.csv").unlink()
        says = f"worker 10.0.0.2 cannot read {tmp_path / 'in.csv'}"
    else:
        write_items(tmp_path / "in.csv", 2)
        says = r"worker 10.0.0.2 sees \d+ bytes of "
    end = run_parcel(parcel, Progress(), "10.0.0.2")
    assert isinstance(end.error, InputError)
    with pytest.raises(InputError, match=f"{says}.*: use storage that every worker reaches"):
        raise end.error


def _to_the_end(shard):
    """The shard with a known end, as one of several has."""
    (whole,) = shard.ranges
    size = os.path.getsize(shard.file_of(whole))
    return replace(shard, ranges=(replace(whole, end=size),))


def test_worker_says_so_when_it_does_not_see_the_staging_folder(task, tmp_path):
    parcel = Packer().pack(task)
    shutil.rmtree(os.path.dirname(task.part))
    end = run_parcel(parcel, Progress(), "10.0.0.2")
    assert isinstance(end.error, OutputError)
    assert f"worker 10.0.0.2 cannot write to {tmp_path}: use storage" in str(end.error)


def test_modules_beside_the_script_go_by_value(tmp_path):
    # Unpickled where neither the module nor the script can be found.
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "models_of_mine.py").write_text(
        "from pydantic import BaseModel\n"
        "class Mine(BaseModel):\n    id: int\n    name: str\n"
        "def upper(row):\n    return {**row, 'name': row['name'].upper()}\n"
    )
    (tmp_path / "here" / "script.py").write_text(
        "import os, pickle, sys\n"
        "from models_of_mine import Mine, upper\n"
        "from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe\n"
        "from zoopipe.runtime.parcel import Packer\n"
        "from zoopipe.runtime.piperun import PipeRun\n"
        "from zoopipe.runtime.plan import plan_pipes\n"
        "from zoopipe.runtime.recovery import begin\n"
        "os.chdir('/')\n"
        "source, output, parcel = sys.argv[1:]\n"
        "pipe = Pipe(CSVInputAdapter(source), JSONOutputAdapter(output), schema_model=Mine,\n"
        "            pre_validation_hooks=[upper])\n"
        "(planned,) = begin(plan_pipes([pipe], 1, True), resume=False)\n"
        "task = PipeRun(planned).next_task()\n"
        "open(parcel, 'wb').write(pickle.dumps(Packer().pack(task)))\n"
    )
    source = write_items(tmp_path / "in.csv", 2)
    script = tmp_path / "here" / "script.py"
    arguments = [source, tmp_path / "out.jsonl", tmp_path / "parcel"]
    subprocess.run([sys.executable, script, *arguments], check=True, timeout=60)
    end = run_parcel(pickle.loads((tmp_path / "parcel").read_bytes()), Progress())
    assert isinstance(end, Done)
    assert (
        Path(end.result.part.path).read_text()
        == '{"id":1,"name":"NAME 1"}\n{"id":2,"name":"NAME 2"}\n'
    )


def test_installed_modules_go_by_name(tmp_path, monkeypatch):
    # Whatever the working directory is: an environment is often in the project's folder.
    monkeypatch.chdir("/")
    importlib.import_module("pydantic")
    names = {found.__name__ for found in local_modules()}
    assert names.isdisjoint({"pydantic", "json", "zoopipe", "zoopipe.pipe", "pytest"})
    assert module.__name__ not in names
