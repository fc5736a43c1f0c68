"""The error tree: whole, and able to cross processes."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest

import zoopipe
from zoopipe import errors
from zoopipe.errors import RunStopped, ZooPipeError


def tree(root: type[ZooPipeError]) -> list[type[ZooPipeError]]:
    return [root, *(error for child in root.__subclasses__() for error in tree(child))]


OURS = [error for error in tree(ZooPipeError) if error.__module__ == "zoopipe.errors"]


@pytest.mark.parametrize("error", OURS)
@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_error_is_the_same_when_pickled(error, pickler):
    copy = pickle.loads(pickler.dumps(error("shard 2 of 7: disk full")))
    assert type(copy) is error
    assert str(copy) == "shard 2 of 7: disk full"
    assert copy.retryable == error.retryable


@pytest.mark.parametrize("error", OURS)
def test_error_is_public(error):
    assert getattr(zoopipe, error.__name__) is error


@pytest.mark.parametrize("error", OURS)
def test_error_stands_in_the_drawn_tree(error):
    assert error.__name__ in (errors.__doc__ or "")


def test_run_stopped_keeps_its_reasons_when_pickled():
    copy = pickle.loads(pickle.dumps(RunStopped("stopped", ((("id", "int_parsing"), 3),))))
    assert (str(copy), copy.summary) == ("stopped", ((("id", "int_parsing"), 3),))


def test_only_a_lost_worker_is_worth_another_attempt():
    assert [error.__name__ for error in OURS if error.retryable] == ["WorkerLostError"]


@pytest.mark.parametrize(
    ("error", "builtin"), [("DeclarationError", ValueError), ("MissingExtraError", ImportError)]
)
def test_declaration_errors_are_what_python_calls_them(error, builtin):
    assert issubclass(getattr(errors, error), builtin)
