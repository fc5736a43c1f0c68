"""Passwords that are in no text, and exceptions that say nothing of rows."""

from __future__ import annotations

import pickle

import pytest

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Ledger
from zoopipe.adapters.base import FileRange
from zoopipe.counts import Counts
from zoopipe.errors import InputError, RunStopped
from zoopipe.ledger import PipeLedger, ShardEntry
from zoopipe.redact import frames_of, named, redact

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:hunter2@host:5432/db", "postgresql://ann:***@host:5432/db"),
        ("s3://KEY:hun/ter2@x@host/bucket", "s3://KEY:***@host/bucket"),
        ("cannot read redis://:hunter2@host: no", "cannot read redis://:***@host: no"),
        ("https://host/a?password=hunter2&b=1", "https://host/a?password=***&b=1"),
        ("https://host/a?sv=1&sig=hunter2%3D", "https://host/a?sv=1&sig=***"),
        ("x?X-Amz-Signature=hunter2&X-Amz-Date=1", "x?X-Amz-Signature=***&X-Amz-Date=1"),
        ("AWS_SECRET_ACCESS_KEY=hunter2/+ go", "AWS_SECRET_ACCESS_KEY=*** go"),
        ("host=h password=hunter2 dbname=d", "host=h password=*** dbname=d"),
        ("connect(password='hunter2 x', user='u')", "connect(password='***', user='u')"),
        ("{'secret_key': 'hunter2', 'a': 1}", "{'secret_key': '***', 'a': 1}"),
        ('{"token": "hunter2"}', '{"token": "***"}'),
        ("AccountName=a;AccountKey=hunter2==;x=1", "AccountName=a;AccountKey=***;x=1"),
    ],
)
def test_password_is_hidden_wherever_it_stands(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "tcp://10.0.0.1:8786",
        "http://host:8080/a@b?c=d",
        "ssh://git@host/repo.git",
        "password: missing (3)",
        "the design=1 assignment=2",
        "give encoding=, or the pipe a model",
        "s3://bucket/folder/file.csv",
    ],
)
def test_text_without_a_password_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_no_sentence_of_ours_has_a_password() -> None:
    error = InputError("cannot read s3://k:hunter2@host/x")
    for found in (error, pickle.loads(pickle.dumps(error))):
        assert str(found) == "cannot read s3://k:***@host/x"
        assert SECRET not in repr(found)
    stopped = RunStopped("password=hunter2", ((("id", "x"), 1),))
    assert str(stopped) == "password=***"
    assert stopped.summary == ((("id", "x"), 1),)


def test_no_repr_or_ledger_has_a_password() -> None:
    query = "http://host/in.csv?password=hunter2"
    assert repr(CSVInputAdapter(query)) == "CSVInputAdapter(http://host/in.csv?password=***)"
    assert SECRET not in repr(JSONOutputAdapter("http://host/out.jsonl?password=hunter2"))
    url = "s3://k:hunter2@host/in.csv"
    entry = ShardEntry(0, 1, (FileRange(url, 0, 1),), Counts(), None, None)
    text = Ledger((PipeLedger(0, (entry,)),)).to_json()
    assert SECRET not in text and "s3://k:***@host/in.csv" in text


def test_exception_is_named_by_type_and_place_and_not_by_its_message() -> None:
    try:
        raise ValueError("hunter2")
    except ValueError as error:
        found = error
    line = found.__traceback__.tb_lineno  # type: ignore[union-attr]
    assert named(found) == f"ValueError at {__file__}:{line}"
    assert named(found, shows_message=True) == "ValueError: hunter2"
    assert __file__ in frames_of(found)


def test_exception_of_the_system_says_what_is_wrong() -> None:
    assert (
        named(OSError(28, "x", "/full/disk")) == "OSError: No space left on device ('/full/disk')"
    )
    assert named(MemoryError("1 GB")) == "MemoryError: 1 GB"
    # What a hook says with an OSError of its own is a message like any other.
    assert named(OSError("hunter2")) == "OSError"
