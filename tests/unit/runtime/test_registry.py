"""Engines by name."""

from __future__ import annotations

import pytest

from zoopipe import BaseEngine, DeclarationError, MultiProcessEngine
from zoopipe.runtime.registry import default_engine, engine_class


def test_engine_is_found_by_name():
    assert engine_class("multiprocess") is MultiProcessEngine
    assert isinstance(default_engine(), MultiProcessEngine)
    assert issubclass(MultiProcessEngine, BaseEngine)


def test_unknown_engine_is_refused_with_those_that_are_there():
    with pytest.raises(DeclarationError, match=r"no engine 'slurm'; installed: .*multiprocess"):
        engine_class("slurm")
