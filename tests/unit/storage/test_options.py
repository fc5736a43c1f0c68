"""`storage_options=`: what is refused, and where secrets are never seen."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from zoopipe import CSVInputAdapter, DeclarationError, InputError, JSONInputAdapter
from zoopipe.storage.options import resolved

SECRET = "do-not-show-me"


@pytest.mark.parametrize("adapter", [CSVInputAdapter, JSONInputAdapter])
@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        ("s3://b/k", {"secret_key": SECRET}, "must not hold secret_key in clear"),
        ("s3://b/k", {"session_token": SECRET}, "must not hold session_token in clear"),
        ("s3://b/k", {"secret_key": f"${{A}}{SECRET}"}, "must not hold secret_key in clear"),
        ("az://b/k", {"account_key": SECRET}, "must not hold account_key in clear"),
        ("az://b/k", {"sas_token": SECRET}, "must not hold sas_token in clear"),
        ("sftp://h/k", {"password": SECRET}, "must not hold password in clear"),
        (
            "x://h/k",
            {"client_kwargs": {"aws_secret_access_key": SECRET}},
            "must not hold aws_secret",
        ),
        ("s3://b/k", {"endpoint": SECRET}, "have no 'endpoint'; there are: access_key, "),
        ("s3://b/k", [("region", "x")], "must be a mapping"),
        ("s3://b/k", {1: "x"}, "must be a mapping"),
        ("file:///k", {"region": "x"}, "have no 'region'; there are: none"),
        ("k.csv", {"region": "x"}, "storage_options are for URLs"),
        (f"sftp://me:{SECRET}@host/k", None, "must not hold a password"),
        ("file://host/k", None, "three slashes"),
        (Path("s3://b/k"), None, "give it as a string"),
    ],
)
def test_declaration_is_refused_when_options_are_wrong(
    adapter: Any, url: str, options: Any, sentence: str
) -> None:
    with pytest.raises(DeclarationError, match=sentence) as raised:
        adapter(url, storage_options=options)
    assert SECRET not in str(raised.value)


def test_reference_stays_one_when_an_adapter_is_shown_or_pickled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KEY", SECRET)
    adapter = CSVInputAdapter("s3://b/k", storage_options={"secret_key": "${KEY}"})
    assert repr(adapter) == "CSVInputAdapter(s3://b/k)"
    assert repr(adapter._storage) == "Storage()"
    assert SECRET.encode() not in pickle.dumps(adapter)
    assert b"${KEY}" in pickle.dumps(adapter)


def test_references_are_replaced_when_options_are_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "one")
    monkeypatch.setenv("B_2", "two")
    given = {"x": "${A}-${B_2}", "y": 3, "z": {"deep": "$A ${A}"}, "w": "$${"}
    assert resolved(given) == {"x": "one-two", "y": 3, "z": {"deep": "$A one"}, "w": "$${"}


def test_variable_is_named_when_it_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MISSING", raising=False)
    with pytest.raises(InputError, match="the environment variable MISSING, and it is not set on"):
        resolved({"secret_key": "${MISSING}"})
