"""The order of hooks, and what is refused as a hook when the pipe is declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from piping import csv_pipe, ran

from zoopipe import BaseHook, ColumnHook, DeclarationError, EntryStatus, FunctionHook, HookPriority
from zoopipe.hooks import hook_name, ordered_hooks


class Noting(BaseHook):
    """Notes its name on each row."""

    def __init__(self, name: str, priority: int = HookPriority.NORMAL) -> None:
        super().__init__(priority)
        self.name = name

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        for entry in entries:
            entry["raw_data"]["a"] += self.name
        return entries


class NoPriority(BaseHook):
    """Does not call `super().__init__()`."""

    def __init__(self) -> None:
        pass


def noting(name: str) -> Any:
    def note(row: dict[str, Any]) -> dict[str, Any]:
        return {"a": row["a"] + name}

    return note


def test_hooks_run_in_given_order_when_priorities_are_equal(tmp_path: Path) -> None:
    hooks = [Noting("1"), noting("2"), Noting("3"), FunctionHook(noting("4"))]
    assert ran(tmp_path, csv_pipe(tmp_path, "a\nx\n", pre_validation_hooks=hooks)).rows == [
        {"a": "x1234"}
    ]


def test_hooks_run_by_priority_when_kinds_are_mixed(tmp_path: Path) -> None:
    hooks = [
        Noting("low", HookPriority.LOW),
        noting("-normal-"),
        FunctionHook(noting("-high-"), priority=HookPriority.HIGH),
        Noting("first", HookPriority.VERY_HIGH),
        FunctionHook(noting("-last"), priority=HookPriority.VERY_LOW),
    ]
    assert ran(tmp_path, csv_pipe(tmp_path, "a\nx\n", pre_validation_hooks=hooks)).rows == [
        {"a": "xfirst-high--normal-low-last"}
    ]


def test_priorities_never_move_a_hook_across_validation(tmp_path: Path) -> None:
    pipe = csv_pipe(
        tmp_path,
        "a\nx\n",
        pre_validation_hooks=[FunctionHook(noting("before"), priority=100)],
        post_validation_hooks=[FunctionHook(noting("after"), priority=0)],
    )
    assert ran(tmp_path, pipe).rows == [{"a": "xbeforeafter"}]


def test_hook_has_normal_priority_when_it_sets_none() -> None:
    class Late(ColumnHook):
        pass

    early, late = NoPriority(), Late(priority=60)
    assert ordered_hooks([late, early], "hooks") == (early, late)


@pytest.mark.parametrize("hook", [NoPriority, ColumnHook, dict, int, 3, "name", None, {"a": 1}])
def test_hook_is_refused_when_it_is_no_hook_and_no_function(tmp_path: Path, hook: Any) -> None:
    with pytest.raises(DeclarationError, match="pre_validation_hooks takes"):
        csv_pipe(tmp_path, "a\n1\n", pre_validation_hooks=[hook])


def test_function_hook_is_refused_when_its_options_are_wrong() -> None:
    with pytest.raises(DeclarationError, match="callable"):
        FunctionHook(3)  # type: ignore[arg-type]
    with pytest.raises(DeclarationError, match="list of names"):
        FunctionHook(noting(""), columns="abc")


def test_messages_name_functions_and_classes() -> None:
    class Callable:
        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            return row

    assert hook_name(FunctionHook(noting("x"))) == "note"
    assert hook_name(Noting("x")) == "Noting"
    assert "Callable" in hook_name(FunctionHook(Callable()))


def test_callable_object_is_a_function(tmp_path: Path) -> None:
    class Doubler:
        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"a": row["a"] * 2}

    pipe = csv_pipe(tmp_path, "a\nx\n", pre_validation_hooks=[Doubler()])
    assert ran(tmp_path, pipe).rows == [{"a": "xx"}]


def test_statuses_are_the_ones_of_the_contract() -> None:
    assert {status.name: status.value for status in EntryStatus} == {
        "PENDING": "pending",
        "VALIDATED": "validated",
        "FAILED": "failed",
    }


def test_base_hook_changes_nothing_when_it_overrides_nothing(tmp_path: Path) -> None:
    pipe = csv_pipe(
        tmp_path, "a\nx\n", pre_validation_hooks=[BaseHook()], post_validation_hooks=[ColumnHook()]
    )
    assert ran(tmp_path, pipe).rows == [{"a": "x"}]
