"""Which tests of the suite a binding has."""

from __future__ import annotations

from zoopipe.testing import EngineConformance

KILLED = "test_only_the_lost_shard_is_run_again_when_a_worker_is_killed"
NO_ROOM = "test_run_fails_in_time_when_there_is_no_room_for_a_worker"


def shown(binding: type) -> set[str]:
    return {name for name in dir(binding) if name.startswith("test_") and getattr(binding, name)}


def test_binding_has_all_tests_when_its_engine_can_do_all():
    class Cluster(EngineConformance):
        has_cluster = True

    assert shown(Cluster) == {name for name in dir(EngineConformance) if name[:5] == "test_"}
    assert {KILLED, NO_ROOM} < shown(Cluster)


def test_binding_lacks_shown_what_its_engine_cannot_do():
    class Threads(EngineConformance):
        isolates_processes = False
        can_kill = False

    lacking = shown(EngineConformance) - shown(Threads)
    assert {KILLED, "test_attempts_end_when_their_driver_is_killed"} < lacking
    assert len(lacking) == 8
    assert NO_ROOM not in shown(Threads)


def test_binding_has_tests_again_when_its_base_could_do_less():
    class Threads(EngineConformance):
        isolates_processes = False

    class Processes(Threads):
        isolates_processes = True
        has_cluster = True

    assert {KILLED, NO_ROOM} <= shown(Processes)


def test_binding_may_replace_a_test():
    class Own(EngineConformance):
        has_cluster = True
        test_run_fails_in_time_when_there_is_no_room_for_a_worker = None

    assert NO_ROOM not in shown(Own)
