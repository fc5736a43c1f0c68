"""What a binder supplies, and how the tests run a manager: never without a limit."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from zoopipe.manager import PipeManager
from zoopipe.report import FlowReport, PipeStatus
from zoopipe.runtime.engine import BaseEngine
from zoopipe.testing.items import staged

#: How long any run of the suite may take, in seconds; a run that hangs fails by then.
LIMIT_S = 60.0
#: How much longer than its timeout a shutdown may take: the driver's books, and workers to leave.
MORE_S = 5.0

_Test = TypeVar("_Test", bound=Callable[..., None])


def needs(*capabilities: str) -> Callable[[_Test], _Test]:
    """Marks a test of what only engines with these capabilities can do."""

    def mark(test: _Test) -> _Test:
        test.__dict__["needs"] = capabilities
        return test

    return mark


class EngineBinding:
    """What a binder says of an engine; see `EngineConformance`."""

    isolates_processes: ClassVar[bool] = True
    can_kill: ClassVar[bool] = True
    pickles_tasks: ClassVar[bool] = True
    has_cluster: ClassVar[bool] = False

    @pytest.fixture
    def engine(self) -> BaseEngine:
        """An engine for one test."""
        raise NotImplementedError("the fixture 'engine' is the binder's to define")

    @pytest.fixture
    def engine_source(self) -> str:
        """Source that makes an `engine`."""
        raise NotImplementedError("the fixture 'engine_source' is the binder's to define")

    @pytest.fixture
    def engine_without_room(self) -> BaseEngine:
        """An engine whose `start_timeout_s` is a second or two, and that finds no worker."""
        raise NotImplementedError("the fixture 'engine_without_room' is the binder's to define")

    def __init_subclass__(cls, **options: Any) -> None:
        """Shows pytest the tests of what the engine can do, and hides the others."""
        super().__init_subclass__(**options)
        tests: dict[str, Any] = {}
        for base in reversed(cls.__mro__[1:]):
            # None is what a base, which could do less, has hidden.
            tests.update({name: test for name, test in vars(base).items() if test is not None})
        for name, test in tests.items():
            if hasattr(test, "needs") and name not in vars(cls):
                can = all(getattr(cls, capability) for capability in test.needs)
                setattr(cls, name, test if can else None)


@contextmanager
def running(manager: PipeManager) -> Iterator[PipeManager]:
    """A manager that has been started; stopped when the block ends, however it ends."""
    manager.start()
    try:
        yield manager
    finally:
        shut_down(manager, timeout_s=2.0)


def shut_down(manager: PipeManager, timeout_s: float) -> None:
    """Stops a manager; fails where that takes much longer than its timeout, and does not wait on."""
    stopping = threading.Thread(target=manager.shutdown, args=(timeout_s,), daemon=True)
    stopping.start()
    stopping.join(timeout_s + MORE_S)
    assert not stopping.is_alive(), f"shutdown({timeout_s}) goes on after {timeout_s + MORE_S} s"


def waited(manager: PipeManager) -> FlowReport:
    """The final report of a manager that runs."""
    assert manager.wait(LIMIT_S), f"the run has not ended after {LIMIT_S} s: {manager.report}"
    return manager.report


def completed(manager: PipeManager) -> FlowReport:
    """Runs a manager, sees to it that everything is published, and gives the final report."""
    with running(manager):
        report = waited(manager)
    assert report.status is PipeStatus.COMPLETED, report.error
    return report


def failed(manager: PipeManager, folder: Path) -> str:
    """Runs a manager that has to fail, sees to it that nothing stays staged below `folder`, and
    gives the sentence."""
    with running(manager):
        report = waited(manager)
    assert report.status is PipeStatus.FAILED, f"the run should have failed: {report}"
    assert staged(folder) == []
    assert report.error
    return report.error


def write_script(text: str, engine_source: str, folder: Path) -> Path:
    """A user's script in `folder`, with a function `make_engine`."""
    body = textwrap.indent(engine_source + "\nreturn engine", "    ")
    script = folder / "script.py"
    script.write_text(textwrap.dedent(text) + f"\ndef make_engine():\n{body}\n\n" + _MAIN)
    return script


_MAIN = 'if __name__ == "__main__":\n    main()\n'


def run_script(script: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script in its folder, to its end."""
    return subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
