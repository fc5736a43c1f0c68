"""Tables of one database change all at once, and once: whatever dies in between."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from local_runs import Item, items, staged, wait_until, write_items
from oracle import json_lines
from table_stores import duckdb_store, postgres_store, sqlite_store

from zoopipe import (
    CSVInputAdapter,
    DeclarationError,
    JSONOutputAdapter,
    OutputError,
    Pipe,
    PipeManager,
    PipeStatus,
    RetryPolicy,
    RunFailed,
)
from zoopipe.adapters.sql_database import PostgreSQLDatabase
from zoopipe.adapters.tables import COMMITS
from zoopipe.runtime.inline import InlineEngine
from zoopipe.runtime.plan import PlannedPipe
from zoopipe.runtime.recovery import clean
from zoopipe.runtime.state import StateFile
from zoopipe.testing.faults import Faults, Gate, Kill, Raise

BAD = range(1, 301, 40)


@pytest.fixture(params=["duckdb", "sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "postgresql":
        return postgres_store(request.getfixturevalue("postgres_server"), tmp_path)
    return (duckdb_store if request.param == "duckdb" else sqlite_store)(tmp_path)


@pytest.fixture(autouse=True)
def sources(tmp_path):
    for name in ("a", "b"):
        write_items(tmp_path / f"{name}.csv", 300, bad=BAD)


def pipe_of(folder, store, name, *hooks, table=None, rejects=None, **options):
    return Pipe(
        CSVInputAdapter(folder / f"{name}.csv"),
        store.adapter(table or name, **options),
        rejects or JSONOutputAdapter(folder / f"{name}.bad.jsonl"),
        Item,
        pre_validation_hooks=hooks,
    )


def rejected(path: Path) -> list[int]:
    return [json.loads(line)["_row"] for line in path.read_text().splitlines()]


def run(*pipes, **options):
    return PipeManager(pipes, InlineEngine(), **options).run()


# A driver that dies.

HOMES = {"StateFile": StateFile, "PlannedPipe": PlannedPipe}


def dies(patch, home, name, when, call):
    """Makes the process end at a call of a method, before or after it."""
    do, calls = getattr(home, name), []

    def dying(*args, **options):
        calls.append(name)
        if when == "before" and len(calls) == call:
            os._exit(9)
        found = do(*args, **options)
        if when == "after" and len(calls) == call:
            os._exit(9)
        return found

    patch.setattr(home, name, dying)


#: Every step of the commit, and whether the rows are there afterwards.
DEATHS = {
    "StateFile add after 2": False,
    "Database begin before 1": False,
    "Database add_marks before 1": False,
    "Database create after 1": False,
    "Database insert after 1": False,
    "Database insert after 2": False,
    "StateFile announce before 1": False,
    "StateFile _put_on_record after 1": False,
    "StateFile announce after 1": False,
    "StateFile announce after 2": False,
    "Database commit before 1": False,
    "Database commit after 1": True,
    "StateFile note before 1": True,
    "StateFile note after 1": True,
    "StateFile note after 2": True,
    "Database remove_marks before 1": True,
    "Database remove_marks after 1": True,
    "StateFile finish before 1": True,
    "PlannedPipe leave before 1": True,
}


#: Those after which only the database knows whether they are.
UNSURE = {
    "StateFile _put_on_record after 1",
    "StateFile announce after 1",
    "StateFile announce after 2",
    "Database commit before 1",
    "Database commit after 1",
    "StateFile note before 1",
    "StateFile note after 1",
}


def both(folder, store):
    return [pipe_of(folder, store, name) for name in "ab"]


def killed_at(folder, store, death):
    """Runs two pipes in a driver that dies."""
    place, name, when, call = death.split()
    pid = os.fork()
    if pid == 0:
        try:
            home = HOMES.get(place) or store.kind
            dies(pytest.MonkeyPatch(), home, name, when, int(call))
            run(*both(folder, store))
        finally:
            os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("death", DEATHS)
def test_rows_are_there_once_when_a_driver_died_and_is_started_again(
    tmp_path, store, death, resume
):
    for name in "ab":
        (tmp_path / f"{name}.bad.jsonl").write_text("old")
    killed_at(tmp_path, store, death)
    found = {name: store.rows(name) for name in "ab" if name in store.tables()}
    assert found == ({name: items(300, BAD) for name in "ab"} if DEATHS[death] else {})
    run(*both(tmp_path, store), resume=resume)
    for name in "ab":
        assert store.rows(name) == items(300, BAD)
        assert rejected(tmp_path / f"{name}.bad.jsonl") == list(BAD)
    assert store.tables() == ["a", "b"]
    assert staged(store.staging) == []


@pytest.mark.parametrize("death", DEATHS)
def test_clean_tells_what_happened_and_leaves_nothing(tmp_path, store, death):
    for name in "ab":
        (tmp_path / f"{name}.bad.jsonl").write_text("old")
    killed_at(tmp_path, store, death)
    cleaned = clean([store.path])
    if death in UNSURE and store.kind is PostgreSQLDatabase:
        # It has no way into the server.
        unsure = [each for each in cleaned if not each.is_gone]
        assert unsure and all("repeat that run" in each.sentence for each in unsure)
        assert len(staged(store.staging)) >= len(unsure)
        return
    assert all(each.is_gone for each in cleaned)
    assert staged(store.staging) == []
    tables = [
        name for name in store.tables() if store.kind is not PostgreSQLDatabase or name != COMMITS
    ]
    assert tables == (["a", "b"] if DEATHS[death] else [])
    for name in "ab":
        path = tmp_path / f"{name}.bad.jsonl"
        # Who sees an output sees its rejects, and who does not sees those of before.
        assert path.read_text() == "old" if not DEATHS[death] else rejected(path) == list(BAD)


def test_run_of_another_plan_adds_its_rows_when_an_earlier_one_died_after_its_commit(
    tmp_path, store
):
    killed_at(tmp_path, store, "Database commit after 1")
    write_items(tmp_path / "a.csv", 5, first=1000)
    run(pipe_of(tmp_path, store, "a"))
    assert store.rows("a") == items(300, BAD) + [
        {"id": n, "name": f"name {n}"} for n in range(1000, 1005)
    ]


# Pipes of one database.


def test_several_pipes_may_write_to_one_table(tmp_path, store):
    run(
        pipe_of(tmp_path, store, "a", table="shared"),
        pipe_of(tmp_path, store, "b", table="shared"),
    )
    assert store.rows("shared") == items(300, BAD) * 2
    assert staged(store.staging) == []


@pytest.mark.parametrize("which", [0, 1])
def test_nothing_is_loaded_when_a_pipe_of_the_database_fails(tmp_path, store, which):
    store.execute("CREATE TABLE a (id BIGINT, name VARCHAR(100))")
    hooks = [[], []]
    hooks[which] = [Faults({(0, None): Raise()})]
    pipes = [pipe_of(tmp_path, store, name, *hooks[at]) for at, name in enumerate("ab")]
    write_items(tmp_path / "c.csv", 300)
    alone = Pipe(CSVInputAdapter(tmp_path / "c.csv"), JSONOutputAdapter(tmp_path / "c.jsonl"))
    manager = PipeManager([*pipes, alone], InlineEngine())
    with pytest.raises(RunFailed, match="Faults raised"):
        manager.run()
    reports = manager.pipe_reports
    assert [each.status for each in reports[:2]] == [PipeStatus.FAILED] * 2
    assert (
        f"for pipe {which}, which goes into the same database, failed" in reports[1 - which].error
    )
    assert store.tables() == ["a"]
    assert store.rows("a") == []
    assert not list(tmp_path.glob("*.bad.jsonl"))
    # Another pipe has nothing to do with it.
    assert reports[2].status is PipeStatus.COMPLETED
    assert (tmp_path / "c.jsonl").exists()
    assert staged(tmp_path) == []


def test_nothing_is_loaded_when_the_run_is_stopped(tmp_path, store):
    gate = Gate(tmp_path / "gate")
    manager = PipeManager(
        [pipe_of(tmp_path, store, "a"), pipe_of(tmp_path, store, "b", Faults({(0, 1): gate}))],
        InlineEngine(),
    )
    manager.start()
    wait_until(lambda: manager.get_pipe_report(0).shards_done == 1)
    gate.wait_for(0)
    manager.shutdown(0)
    assert [each.status for each in manager.pipe_reports] == [PipeStatus.ABORTED] * 2
    assert store.tables() == []
    assert staged(tmp_path) == []


def test_workers_that_are_killed_load_no_row_twice(tmp_path, store):
    pipe = pipe_of(tmp_path, store, "a", Faults({(1, 1): Kill(), (1, 2): Kill()}, at=50))
    policy = RetryPolicy(max_attempts=3, backoff_s=0)
    report = PipeManager.parallelize_pipe(pipe, 2, shards=3, retries=policy).run()
    assert report.pipes[0].lost_count == 2
    assert store.rows("a") == items(300, BAD)


def test_rejects_may_be_tables_and_change_with_the_output(tmp_path, store):
    run(
        pipe_of(tmp_path, store, "a", rejects=store.adapter("bad")),
        pipe_of(tmp_path, store, "b", rejects=store.adapter("bad")),
    )
    found = store.rows("bad")
    assert [row["_row"] for row in found] == list(BAD) * 2
    errors = [row["_errors"] for row in found]
    # psql gives JSON as what it stands for.
    reasons = [json.loads(each) if isinstance(each, str) else each for each in errors]
    assert {each[0]["type"] for each in reasons} == {"int_parsing"}
    assert {row["id"] for row in found} == {"x"}


def test_file_follows_the_table_of_its_rejects(tmp_path, store):
    pipe = Pipe(
        CSVInputAdapter(tmp_path / "a.csv"),
        JSONOutputAdapter(tmp_path / "a.jsonl"),
        store.adapter("bad"),
        Item,
    )
    run(pipe)
    assert [row["_row"] for row in store.rows("bad")] == list(BAD)
    assert json_lines(tmp_path / "a.jsonl") == items(300, BAD)


def test_two_managers_load_at_once_into_one_database(tmp_path, store):
    gate = Gate(tmp_path / "gate")
    managers = [
        PipeManager.parallelize_pipe(
            pipe_of(tmp_path, store, name, Faults({(0, 1): gate})), 1, shards=2
        )
        for name in "ab"
    ]
    for manager in managers:
        manager.start()
    gate.wait_for(0)
    gate.open()
    for manager in managers:
        assert manager.wait(60)
        assert manager.report.status is PipeStatus.COMPLETED, manager.report.error
    for name in "ab":
        assert store.rows(name) == items(300, BAD)


def test_second_run_on_a_table_is_refused_while_the_first_goes_on(tmp_path, store):
    gate = Gate(tmp_path / "gate")
    first = PipeManager([pipe_of(tmp_path, store, "a", Faults({(0, 1): gate}))], InlineEngine())
    with first:
        gate.wait_for(0)
        with pytest.raises(OutputError, match="another run is writing it"):
            PipeManager([pipe_of(tmp_path, store, "b", table="a")], InlineEngine()).start()
        gate.open()
    assert store.rows("a") == items(300, BAD)


# Modes, and tables that are there.


def test_append_adds_and_replace_takes_the_place(tmp_path, store):
    run(pipe_of(tmp_path, store, "a"))
    run(pipe_of(tmp_path, store, "b", table="a"))
    assert store.rows("a") == items(300, BAD) * 2
    run(pipe_of(tmp_path, store, "a", mode="replace"))
    assert store.rows("a") == items(300, BAD)


def test_replace_makes_other_columns(tmp_path, store):
    store.execute("CREATE TABLE a (other INTEGER)")
    run(pipe_of(tmp_path, store, "a", mode="replace"))
    assert store.rows("a") == items(300, BAD)


def test_fail_refuses_a_table_that_is_there_before_a_row_is_read(tmp_path, store):
    pipe = pipe_of(tmp_path, store, "a", mode="fail")
    run(pipe)
    with pytest.raises(OutputError, match="is there already"):
        PipeManager([pipe], InlineEngine()).start()
    assert store.rows("a") == items(300, BAD)
    assert staged(tmp_path) == []


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("id BIGINT", "no column name"),
        ("id BIGINT, name VARCHAR(100), more INTEGER NOT NULL", "more needs a value"),
        ("id VARCHAR(100), name VARCHAR(100)", "id is int64, and the table's column takes string"),
    ],
)
def test_table_that_does_not_fit_is_refused_before_a_row_is_read(tmp_path, store, columns, why):
    store.execute(f"CREATE TABLE a ({columns})")
    with pytest.raises(OutputError, match=why):
        PipeManager([pipe_of(tmp_path, store, "a")], InlineEngine()).start()
    assert store.rows("a") == []
    assert staged(tmp_path) == []


def test_columns_that_a_table_has_beside_ours_are_left_alone(tmp_path, store):
    store.execute("CREATE TABLE a (name VARCHAR(100), more INTEGER DEFAULT 7, id BIGINT NOT NULL)")
    run(pipe_of(tmp_path, store, "a"))
    assert store.rows("a") == [
        {"name": r["name"], "more": 7, "id": r["id"]} for r in items(300, BAD)
    ]


def test_nothing_changes_when_the_database_refuses_a_row(tmp_path, store):
    (tmp_path / "a.bad.jsonl").write_text("old")
    store.execute("CREATE TABLE a (id BIGINT CHECK (id < 250), name VARCHAR(100))")
    manager = PipeManager([pipe_of(tmp_path, store, n) for n in "ab"], InlineEngine())
    with pytest.raises(RunFailed, match=r"(?i)constraint") as failure:
        manager.run()
    assert "name 2" not in str(failure.value)
    assert store.tables() == ["a"]
    assert store.rows("a") == []
    assert (tmp_path / "a.bad.jsonl").read_text() == "old"
    assert staged(tmp_path) == []


def test_values_of_rows_are_not_in_the_sentence_when_a_key_is_there_twice(tmp_path, store):
    store.execute("CREATE TABLE a (id BIGINT, name VARCHAR(100) UNIQUE)")
    pipe = pipe_of(tmp_path, store, "a")
    run(pipe)
    with pytest.raises(RunFailed) as failure:
        run(pipe)
    assert "name 2" not in str(failure.value)
    assert store.rows("a") == items(300, BAD)


def test_commit_that_is_refused_leaves_all_as_it_was(tmp_path, store, monkeypatch):
    (tmp_path / "a.bad.jsonl").write_text("old")

    def refuse(self):
        raise OutputError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(store.kind, "commit", refuse)
        with pytest.raises(RunFailed, match="refused"):
            run(*(pipe_of(tmp_path, store, name) for name in "ab"))
    assert store.tables() == []
    assert (tmp_path / "a.bad.jsonl").read_text() == "old"
    assert not (tmp_path / "b.bad.jsonl").exists()
    assert staged(tmp_path) == []


def test_commit_whose_answer_is_lost_has_happened(tmp_path, store, monkeypatch):
    kind = store.kind
    commit, calls = kind.commit, []

    def lose(self):
        commit(self)
        calls.append(self)
        if len(calls) == 1:
            raise OutputError("the connection was lost")

    monkeypatch.setattr(kind, "commit", lose)
    run(pipe_of(tmp_path, store, "a"))
    assert store.rows("a") == items(300, BAD)
    assert store.tables() == ["a"]
    assert rejected(tmp_path / "a.bad.jsonl") == list(BAD)


# Declarations.


def test_tables_that_cannot_be_loaded_together_are_refused(tmp_path, store):
    other = duckdb_store(tmp_path / "other")
    with pytest.raises(DeclarationError, match="two databases"):
        PipeManager([pipe_of(tmp_path, store, "a", rejects=other.adapter("bad"))])
    with pytest.raises(DeclarationError, match="two modes"):
        PipeManager(
            [
                pipe_of(tmp_path, store, "a"),
                pipe_of(tmp_path, store, "b", table="a", mode="replace"),
            ]
        )
    with pytest.raises(DeclarationError, match="the same table"):
        PipeManager([pipe_of(tmp_path, store, "a", rejects=store.adapter("a"))])


def test_two_pipes_that_would_make_one_table_of_different_columns_are_refused(tmp_path, store):
    bare = Pipe(CSVInputAdapter(tmp_path / "b.csv"), store.adapter("a"))
    with pytest.raises(DeclarationError, match="different columns"):
        PipeManager([pipe_of(tmp_path, store, "a"), bare], InlineEngine()).start()
    assert staged(tmp_path) == []
