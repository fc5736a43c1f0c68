"""The engine conformance suite: what every engine has to do, whatever carries its attempts.

| file | what it asks |
|---|---|
| binding.py | nothing: what a binder supplies, and how tests run a manager |
| lifecycle.py | start, wait, end, start again |
| reports.py | what is said while a run goes on, and at its end |
| results.py | order, merge, rejects, many pipes, books |
| hooks.py | hooks of each kind, their setup and their mistakes; what pickles |
| losses.py | workers that die, once, always, or for one record |
| stops.py | shutdown in the middle, drivers that die |
| privacy.py | no values of rows in logs, reports and errors; live limits; replay |
| scripts.py | models and hooks of a user's script |
| logs.py | what of a worker's log arrives, and stalls |
| clusters.py | no room, and files that a worker cannot see |
"""

from __future__ import annotations

from zoopipe.testing.engines.clusters import ClusterTests
from zoopipe.testing.engines.hooks import HookTests
from zoopipe.testing.engines.lifecycle import LifecycleTests
from zoopipe.testing.engines.logs import LogTests
from zoopipe.testing.engines.losses import LossTests
from zoopipe.testing.engines.privacy import PrivacyTests
from zoopipe.testing.engines.reports import ReportTests
from zoopipe.testing.engines.results import ResultTests
from zoopipe.testing.engines.scripts import ScriptTests
from zoopipe.testing.engines.stops import StopTests

__all__ = [
    "ClusterTests",
    "EngineConformance",
    "HookTests",
    "LifecycleTests",
    "LogTests",
    "LossTests",
    "PrivacyTests",
    "ReportTests",
    "ResultTests",
    "ScriptTests",
    "StopTests",
]


class EngineConformance(
    LifecycleTests,
    ReportTests,
    ResultTests,
    HookTests,
    LossTests,
    StopTests,
    ScriptTests,
    LogTests,
    PrivacyTests,
    ClusterTests,
):
    """The suite. Subclass it as `Test...`, and give it an engine by fixtures:

    - `engine`: an engine with two slots or so, for one test. It may join a cluster of a wider fixture.
    - `engine_source`: Python source that makes the same as `engine`, for scripts of their own.
    - `engine_without_room`: one whose cluster has no worker for it, where `has_cluster`.

    What an engine honestly cannot do is said by a class attribute; tests of it are then not collected.

    Attributes:
        isolates_processes: attempts run in processes other than the driver's, so that one can die.
        can_kill: an attempt that does not come back can be ended by force.
        pickles_tasks: a pipe is pickled on its way to a worker.
        has_cluster: workers are somebody else's, and may be elsewhere, or none.
    """
