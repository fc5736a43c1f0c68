"""What a cluster's nodes say of themselves."""

from __future__ import annotations

import shutil

import pytest
from local_runs import items_pipe, staged, write_items

from zoopipe import BaseEngine, DeclarationError, InputError
from zoopipe.runtime.doctor import diagnose
from zoopipe.runtime.parcel import versions
from zoopipe.runtime.registry import make_engine


class Cluster(BaseEngine):
    """An engine whose nodes answer as they are told to."""

    def __init__(self, **nodes):
        self.nodes = nodes

    def slots(self):
        return 1

    def launch(self, task):
        raise NotImplementedError

    def ended(self, timeout_s):
        return []

    def survey(self, question):
        return [(name, answer(question)) for name, answer in self.nodes.items()]


def healthy(question):
    return question()


def outdated(question):
    theirs, problems = question()
    return {**theirs, "pydantic": "2.9.9"}, problems


@pytest.fixture
def pipe(tmp_path):
    return items_pipe(write_items(tmp_path / "in.csv", 3), tmp_path / "out.jsonl")


def test_nodes_are_healthy_when_they_can_do_all(tmp_path, pipe):
    diagnosis = diagnose(Cluster(one=healthy, two=healthy), [pipe])
    assert diagnosis.is_healthy
    assert [node.address for node in diagnosis.nodes] == ["one", "two"]
    lines = str(diagnosis).splitlines()
    assert lines[1].split() == ["driver", *versions().values()]
    assert lines[-1] == "all nodes can run it"
    assert staged(tmp_path) == []
    assert not (tmp_path / "out.jsonl").exists()


def test_what_differs_is_named(pipe):
    diagnosis = diagnose(Cluster(one=healthy, two=outdated), [pipe])
    assert not diagnosis.is_healthy
    last = f"two: pydantic 2.9.9 (the driver has {versions()['pydantic']})"
    assert str(diagnosis).splitlines()[-1] == last


def test_node_that_cannot_answer_is_named():
    diagnosis = diagnose(Cluster(one=lambda question: "zoopipe is not installed"))
    assert not diagnosis.is_healthy
    assert "one: zoopipe is not installed" in str(diagnosis)


def test_cluster_without_nodes_is_not_healthy():
    diagnosis = diagnose(Cluster())
    assert not diagnosis.is_healthy
    assert "has no nodes" in str(diagnosis)


def test_files_that_a_node_does_not_see_are_named(tmp_path, pipe):
    def blind(question):
        (tmp_path / "in.csv").unlink()
        return question()

    def without_folder(question):
        write_items(tmp_path / "in.csv", 3)
        for folder in staged(tmp_path):
            shutil.rmtree(folder)
        return question()

    diagnosis = diagnose(Cluster(one=blind, two=without_folder), [pipe])
    one, two = (node.problems for node in diagnosis.nodes)
    assert "pipe 0: this node cannot read" in one[0]
    assert "pipe 0: this node cannot write to" in two[0]
    assert "use storage that every worker reaches" in one[0]


def test_driver_that_cannot_read_the_input_says_so_itself(tmp_path, pipe):
    (tmp_path / "in.csv").unlink()
    with pytest.raises(InputError, match="cannot read"):
        diagnose(Cluster(one=healthy), [pipe])


def test_engine_of_this_machine_has_no_address():
    with pytest.raises(DeclarationError, match="has no address"):
        make_engine("multiprocess", "10.0.0.1:6379")
