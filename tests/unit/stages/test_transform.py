"""What hooks of each kind do to rows, and what becomes of the rows that they refuse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from piping import csv_pipe, json_pipe, ran
from pydantic import BaseModel, RootModel
from pydantic_core import to_json

from zoopipe import (
    BaseHook,
    ColumnHook,
    EntryStatus,
    FunctionHook,
    MultiThreadExecutor,
    Pipe,
    SingleThreadExecutor,
)
from zoopipe.errors import RunFailed


class User(BaseModel):
    id: int
    name: str
    born: date | None = None


CSV = "id,name,city\n1,ann,Oslo\n2,bob,Rome\nx,cid,Bern\n4,dan,Kiel\n"


class Entries(BaseHook):
    """A hook made of a function over entries."""

    def __init__(self, function: Callable[..., Any], priority: int = 50) -> None:
        super().__init__(priority)
        self.function = function

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        return self.function(entries, store)


class Columns(ColumnHook):
    """A hook made of a function over a batch."""

    def __init__(self, function: Callable[[Any], Any], priority: int = 50) -> None:
        super().__init__(priority)
        self.function = function

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return self.function(batch)


def failing(**changes: Any) -> Callable[..., Any]:
    """Marks the first entry of a batch."""

    def mark(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        entries[0].update(changes)
        return entries

    return mark


# Plain functions.


def test_function_changes_and_drops_rows_after_validation(tmp_path: Path) -> None:
    def keep_adults(row: dict[str, Any]) -> dict[str, Any] | None:
        return None if row["id"] == 2 else {**row, "id": row["id"] * 10}

    out = ran(
        tmp_path, csv_pipe(tmp_path, CSV, schema_model=User, post_validation_hooks=[keep_adults])
    )
    assert [row["id"] for row in out.rows] == [10, 40]
    assert (out.report.total_processed, out.report.success_count, out.report.error_count) == (
        4,
        2,
        1,
    )


def test_function_rejects_only_its_row_when_it_raises(tmp_path: Path) -> None:
    def picky(row: dict[str, Any]) -> dict[str, Any]:
        if row["name"] == "bob":
            raise KeyError("no bob")
        return row

    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[picky]))
    assert [row["name"] for row in out.rows] == ["ann", "cid", "dan"]
    (reject,) = out.rejects
    assert {name: reject[name] for name in ("id", "name", "city", "_row", "_stage")} == {
        "id": "2",
        "name": "bob",
        "city": "Rome",
        "_row": 2,
        "_stage": "hook",
    }
    assert reject["_errors"] == [{"loc": [], "type": "hook_error", "msg": "KeyError: 'no bob'"}]
    assert reject["_offset"] == CSV.index("2,bob")


@pytest.mark.parametrize("result", [1, "row", [], True])
def test_function_rejects_the_row_when_it_gives_no_dict(tmp_path: Path, result: Any) -> None:
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[lambda row: result]))
    assert out.rows == []
    assert {reject["_errors"][0]["type"] for reject in out.rejects} == {"hook_result"}
    assert type(result).__name__ in out.rejects[0]["_errors"][0]["msg"]


def test_function_sees_all_columns_when_the_model_has_fewer(tmp_path: Path) -> None:
    seen: list[Any] = []
    hook = lambda row: seen.append(dict(row)) or row  # noqa: E731
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, schema_model=User, pre_validation_hooks=[hook]))
    assert seen[0] == {"id": "1", "name": "ann", "city": "Oslo"}
    assert out.rows[0] == {"id": 1, "name": "ann", "born": None}


def test_function_gets_just_its_columns_and_updates_the_row(tmp_path: Path) -> None:
    seen: list[Any] = []

    def upper(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(row)
        return {"name": row["name"].upper(), "new": 1}

    hook = FunctionHook(upper, columns=["name", "nowhere"])
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[hook]))
    assert seen[0] == {"name": "ann"}
    assert out.rows[0] == {"id": "1", "name": "ANN", "city": "Oslo", "new": 1}


ASKING = {
    "alike": lambda row: {"new": len(row), "name": row["name"].upper()},
    "ragged": lambda row: {"name": "x"} if row["name"] == "bob" else {"city": 1.5},
    "nothing": lambda row: {},
    "of many types": lambda row: {"new": 1 if row["name"] == "bob" else "one"},
    "of no Arrow type": lambda row: {"name": [row["name"], Decimal("1.50")]},
    "dropping": lambda row: None if row["name"] == "bob" else {"new": True},
    "dropping all": lambda row: None,
    "no dict": lambda row: row["name"] if row["name"] == "bob" else {"name": None},
    "raising": lambda row: {"city": date(2024, 2, len(row["name"]) // (row["name"] != "bob"))},
    "what JSON cannot hold": lambda row: {"new": "\ud800" if row["name"] == "bob" else "é"},
    "no text as key": lambda row: {1: row["name"]},
    "changing what it is given": lambda row: row.clear() or {"new": 2**70},
}


@pytest.mark.parametrize("name", sorted(ASKING))
@pytest.mark.parametrize("columns", [["name"], ["name", "city", "name"], ["name", "nowhere"]])
@pytest.mark.parametrize("later", [[], [lambda row: {**row, "seen": repr(row)}]])
def test_rows_are_updated_as_dicts_are_when_a_function_asks_for_columns(
    tmp_path: Path, name: str, columns: list[str], later: list[Any]
) -> None:
    hook = FunctionHook(ASKING[name], columns=columns)
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[hook, *later]))
    expected, refused, dropped = [], [], 0
    for number, row in enumerate(csv.DictReader(io.StringIO(CSV)), 1):
        try:
            result = ASKING[name]({key: row[key] for key in columns if key in row})
            if result is None:
                dropped += 1
                continue
            row = {**row, **result}
            for function in later:
                row = function(row)
            expected.append(to_json(row).decode())
        except Exception:
            refused.append(number)
    assert out.lines == expected
    assert [reject["_row"] for reject in out.rejects] == refused
    assert out.report.dropped_count == dropped


def test_rows_differ_when_a_function_gives_one_dict_again_and_again(tmp_path: Path) -> None:
    answer: dict[str, Any] = {}

    def upper(row: dict[str, Any]) -> dict[str, Any]:
        answer["name"] = row["name"].upper()
        return answer

    hook = FunctionHook(upper, columns=["name"])
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[hook]))
    assert [row["name"] for row in out.rows] == ["ANN", "BOB", "CID", "DAN"]


def test_columns_are_proved_or_refused_when_a_function_changed_some(tmp_path: Path) -> None:
    seen: list[Any] = []
    first = FunctionHook(lambda row: {"id": row["id"] + "0"}, columns=["id"])
    last = FunctionHook(lambda row: seen.append(row) or {"name": None}, columns=["id", "born"])
    hooks = {"pre_validation_hooks": [first], "post_validation_hooks": [last]}
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, schema_model=User, **hooks))
    assert [row["id"] for row in out.rows] == [10, 20, 40]
    assert seen == [{"id": 10, "born": None}, {"id": 20, "born": None}, {"id": 40, "born": None}]
    assert [(reject["id"], reject["_stage"]) for reject in out.rejects] == [("x", "validate")]


def test_function_refuses_row_when_columns_are_asked_of_no_object(tmp_path: Path) -> None:
    class Numbers(RootModel[int]):
        pass

    hook = FunctionHook(lambda row: row, columns=["a"])
    pipe = json_pipe(tmp_path, "1\n2\n", schema_model=Numbers, post_validation_hooks=[hook])
    out = ran(tmp_path, pipe)
    assert out.rows == []
    assert [reject["_stage"] for reject in out.rejects] == ["hook", "hook"]


def test_function_sees_python_values_after_validation(tmp_path: Path) -> None:
    kinds: list[Any] = []
    hook = lambda row: kinds.append([type(value) for value in row.values()]) or row  # noqa: E731
    text = "id,name,born\n1,a,2024-02-29\n2,b,20240229\n"
    ran(tmp_path, csv_pipe(tmp_path, text, schema_model=User, post_validation_hooks=[hook]))
    # The second row's date is epoch seconds to pydantic; it is refused, and no hook sees it.
    assert kinds == [[int, str, date]]


def test_function_message_is_kept_as_utf8_when_it_holds_a_surrogate(tmp_path: Path) -> None:
    def raises(row: dict[str, Any]) -> dict[str, Any]:
        raise ValueError(row["a"])

    out = ran(tmp_path, json_pipe(tmp_path, '{"a": "\\ud800"}\n', pre_validation_hooks=[raises]))
    assert out.rejects[0]["_errors"][0]["msg"] == "ValueError: \\ud800"


# Hooks over entries.


def test_entry_has_all_keys_before_and_after_validation(tmp_path: Path) -> None:
    before: list[Any] = []
    after: list[Any] = []
    pipe = csv_pipe(
        tmp_path,
        CSV,
        schema_model=User,
        pre_validation_hooks=[Entries(lambda e, s: before.extend(map(dict, e)) or e)],
        post_validation_hooks=[Entries(lambda e, s: after.extend(map(dict, e)) or e)],
    )
    ran(tmp_path, pipe)
    assert before[1] == {
        "id": before[1]["id"],
        "position": 1,
        "status": EntryStatus.PENDING,
        "raw_data": {"id": "2", "name": "bob", "city": "Rome"},
        "validated_data": None,
        "errors": [],
        "metadata": {},
    }
    assert [entry["position"] for entry in before] == [0, 1, 2, 3]
    assert [entry["position"] for entry in after] == [0, 1, 3]
    assert after[1]["raw_data"] == {"id": "2", "name": "bob", "city": "Rome"}
    assert after[1]["validated_data"] == {"id": 2, "name": "bob", "born": None}
    assert after[1]["status"] is EntryStatus.VALIDATED


def test_entry_metadata_and_store_reach_later_hooks(tmp_path: Path) -> None:
    def note(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        store["total"] = store.get("total", 0) + len(entries)
        for entry in entries:
            entry["metadata"]["tag"] = entry["raw_data"]["name"]
        return entries

    def use(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        for entry in entries:
            entry["validated_data"]["name"] = f"{entry['metadata']['tag']}/{store['total']}"
        return entries

    pipe = csv_pipe(
        tmp_path,
        CSV,
        schema_model=User,
        pre_validation_hooks=[Entries(note)],
        post_validation_hooks=[Entries(use)],
    )
    assert [row["name"] for row in ran(tmp_path, pipe).rows] == ["ann/4", "bob/4", "dan/4"]


def test_entries_come_in_batches_of_the_executors_size(tmp_path: Path) -> None:
    sizes: list[int] = []
    hook = Entries(lambda e, s: sizes.append(len(e)) or e)
    text = "a\n" + "".join(f"{number}\n" for number in range(2500))
    pipe = csv_pipe(
        tmp_path, text, pre_validation_hooks=[hook], executor=SingleThreadExecutor(batch_size=1000)
    )
    assert len(ran(tmp_path, pipe).rows) == 2500
    assert sizes == [1000, 1000, 500]


@pytest.mark.parametrize("status", [EntryStatus.FAILED, "failed"])
@pytest.mark.parametrize("when", ["pre_validation_hooks", "post_validation_hooks"])
def test_failed_entry_is_rejected_and_seen_by_no_later_stage(
    tmp_path: Path, when: str, status: Any
) -> None:
    validated: list[str] = []
    seen: list[int] = []

    class Watching(BaseModel):
        id: str

        def model_post_init(self, context: Any) -> None:
            validated.append(self.id)

    errors = [{"loc": ["id"], "type": "mine", "msg": "no"}]
    hooks = [
        Entries(failing(status=status, errors=errors)),
        Entries(lambda e, s: seen.extend(entry["position"] for entry in e) or e),
        lambda row: row if row["id"] != "1" else 1 / 0,
    ]
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, schema_model=Watching, **{when: hooks}))
    assert [row["id"] for row in out.rows] == ["2", "x", "4"]
    assert seen == [1, 2, 3]
    assert ("1" in validated) is (when == "post_validation_hooks")
    (reject,) = out.rejects
    assert (reject["_row"], reject["_stage"], reject["_errors"]) == (1, "hook", errors)
    assert reject["city"] == "Oslo"


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], [{"loc": [], "type": "hook_failed", "msg": "Entries marked the row FAILED"}]),
        (None, [{"loc": [], "type": "hook_failed", "msg": "Entries marked the row FAILED"}]),
        (["too old"], [{"loc": [], "type": "hook_failed", "msg": "too old"}]),
        ("too old", [{"loc": [], "type": "hook_failed", "msg": "too old"}]),
        (ValueError("odd"), [{"loc": [], "type": "hook_failed", "msg": "odd"}]),
        ({"msg": "one"}, [{"loc": [], "type": "hook_failed", "msg": "one"}]),
        ([{"loc": "id", "message": "m"}], [{"loc": ["id"], "type": "hook_failed", "msg": "m"}]),
        (
            [{"loc": ("a", 0, None), "type": 7, "msg": 8}],
            [{"loc": ["a", 0, "None"], "type": "7", "msg": "8"}],
        ),
        (["\ud800"], [{"loc": [], "type": "hook_failed", "msg": "\\ud800"}]),
    ],
)
def test_failed_entry_has_normal_reasons_when_the_hook_gave_others(
    tmp_path: Path, errors: Any, expected: Any
) -> None:
    hook = Entries(failing(status=EntryStatus.FAILED, errors=errors))
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, pre_validation_hooks=[hook]))
    assert out.rejects[0]["_errors"] == expected


@pytest.mark.parametrize("when", ["pre_validation_hooks", "post_validation_hooks"])
def test_books_balance_when_entries_are_added_copied_and_dropped(tmp_path: Path, when: str) -> None:
    def change(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        made = [
            {"raw_data": {"id": "8"}},
            {"raw_data": {"id": "9"}},
            {"id": "me", "raw_data": {"id": "7"}},
        ]
        copies = [dict(entries[0]), dict(entries[0])]
        return [*entries[:1], *copies, *made, *entries[2:]]

    seen: list[Any] = []
    watch = Entries(lambda e, s: seen.extend(entry["id"] for entry in e) or e)
    hooks = [Entries(change), watch, Entries(lambda e, s: e[::-1])]
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, **{when: hooks}))
    assert [row["id"] for row in out.rows] == ["4", "x", "7", "9", "8", "1", "1", "1"]
    assert len(set(seen)) == len(seen) == 8
    assert "me" in seen
    assert out.report.total_processed == 4
    assert out.report.success_count == 8


def test_entries_keep_their_place_when_a_hook_gives_them_other_ids(tmp_path: Path) -> None:
    def same_id(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        for entry in entries:
            entry["id"] = "same"
        return entries

    copies = Entries(lambda e, s: [dict(entry) for entry in e])
    for hooks in ([Entries(same_id)], [copies, Entries(same_id), Entries(lambda e, s: e[::-1])]):
        pipe = csv_pipe(tmp_path, CSV, schema_model=User, pre_validation_hooks=hooks)
        out = ran(tmp_path, pipe)
        assert sorted(row["id"] for row in out.rows) == [1, 2, 4]
        assert [(reject["_row"], reject["city"]) for reject in out.rejects] == [(3, "Bern")]


def test_added_entry_is_rejected_without_row_when_it_is_invalid(tmp_path: Path) -> None:
    hook = Entries(lambda e, s: [*e, {"raw_data": {"id": "bad", "name": "n"}}])
    pipe = csv_pipe(tmp_path, CSV, schema_model=User, pre_validation_hooks=[hook])
    out = ran(tmp_path, pipe)
    assert [(reject["_row"], reject["_stage"]) for reject in out.rejects] == [
        (3, "validate"),
        (None, "validate"),
    ]


@pytest.mark.parametrize(
    "returned",
    [
        None,
        (1, 2),
        [1],
        [None],
        [{"id": [], "raw_data": {}}],
        [{"status": "unheard of"}],
    ],
)
def test_pipe_fails_naming_the_hook_when_no_entries_come_back(
    tmp_path: Path, returned: Any
) -> None:
    pipe = csv_pipe(tmp_path, CSV, pre_validation_hooks=[Entries(lambda e, s: returned)])
    with pytest.raises(RunFailed, match=r"Entries\.execute gave"):
        pipe.run()
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": []}, "TypeError on rows 1 to 4"),
        ({"status": "unheard of"}, "ValueError on rows 1 to 4"),
        ({"raw_data": None}, "left NoneType as raw_data"),
        ({"raw_data": [("a", 1)]}, "left list as raw_data"),
        ("id", "KeyError on rows 1 to 4"),
        ("status", "KeyError on rows 1 to 4"),
        ("raw_data", "KeyError on rows 1 to 4"),
    ],
)
def test_pipe_fails_naming_the_hook_when_its_own_entries_come_back_damaged(
    tmp_path: Path, changes: Any, message: str
) -> None:
    def damage(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        if isinstance(changes, str):
            del entries[2][changes]
        else:
            entries[2].update(changes)
        return entries

    pipe = csv_pipe(tmp_path, CSV, pre_validation_hooks=[Entries(damage)])
    with pytest.raises(RunFailed, match=rf"Entries.*{message}"):
        pipe.run()
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("executor", [SingleThreadExecutor(2), MultiThreadExecutor(2, 2)])
def test_pipe_fails_naming_hook_and_rows_when_an_entry_hook_raises(
    tmp_path: Path, executor: Any
) -> None:
    def explode(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        if entries[0]["position"] == 2:
            raise ValueError(f"secret {entries[0]['raw_data']}")
        return entries

    pipe = csv_pipe(tmp_path, CSV, pre_validation_hooks=[Entries(explode)], executor=executor)
    with pytest.raises(
        RunFailed, match=r"Entries raised ValueError .* rows 3 to 4 of .*in\.csv"
    ) as info:
        pipe.run()
    assert "secret" not in str(info.value)
    assert "Bern" not in str(info.value)
    assert not (tmp_path / "out.jsonl").exists()


# Hooks over columns.


class Typed(BaseModel):
    i: int
    f: float
    b: bool
    d: date
    t: datetime
    z: datetime
    s: str
    o: int | None = None


TYPED_CSV = (
    "i,f,b,d,t,z,s\n"
    "1,1.5,yes,2024-02-29,2024-02-29 10:00:00,2024-02-29T10:00:00Z,a\n"
    '-2,1e-7,0,0001-01-01,2024-02-29T10:00:00.5,2024-02-29T10:00:00+00:00,"b\nc"\n'
)


def test_columns_are_typed_after_validation_and_written_the_same(tmp_path: Path) -> None:
    schemas: list[Any] = []
    hook = Columns(lambda batch: schemas.append(batch.schema) or batch)
    pipe = csv_pipe(tmp_path, TYPED_CSV, schema_model=Typed, post_validation_hooks=[hook])
    out = ran(tmp_path, pipe)
    types = {field.name: field.type for field in schemas[0]}
    assert types == {
        "i": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "d": pa.date32(),
        "t": pa.timestamp("us"),
        "z": pa.timestamp("us", "UTC"),
        "s": pa.string(),
        "o": types["o"],
    }
    rows = [
        {"i": "1", "f": "1.5", "b": "yes", "d": "2024-02-29", "t": "2024-02-29 10:00:00"},
        {"i": "-2", "f": "1e-7", "b": "0", "d": "0001-01-01", "t": "2024-02-29T10:00:00.5"},
    ]
    zoned = [{"z": "2024-02-29T10:00:00Z", "s": "a"}, {"z": "2024-02-29T10:00:00Z", "s": "b\nc"}]
    expected = [
        Typed.model_validate({**row, **rest}).model_dump_json()
        for row, rest in zip(rows, zoned, strict=True)
    ]
    assert out.lines == expected


def test_columns_before_validation_are_text_and_all_there(tmp_path: Path) -> None:
    schemas: list[Any] = []
    hook = Columns(lambda batch: schemas.append(batch.schema) or batch)
    ran(tmp_path, csv_pipe(tmp_path, CSV, schema_model=User, pre_validation_hooks=[hook]))
    assert schemas[0] == pa.schema([(name, pa.string()) for name in ("id", "name", "city")])


def test_columns_can_be_changed_added_and_validated(tmp_path: Path) -> None:
    def change(batch: pa.RecordBatch) -> pa.RecordBatch:
        names = pc.utf8_upper(batch.column("name"))
        return pa.RecordBatch.from_pydict({"id": pa.array([5, 6, 7, 8]), "name": names})

    pipe = csv_pipe(tmp_path, CSV, schema_model=User, pre_validation_hooks=[Columns(change)])
    assert [(row["id"], row["name"]) for row in ran(tmp_path, pipe).rows] == [
        (5, "ANN"),
        (6, "BOB"),
        (7, "CID"),
        (8, "DAN"),
    ]


@pytest.mark.parametrize("when", ["pre_validation_hooks", "post_validation_hooks"])
@pytest.mark.parametrize(
    ("change", "ids"),
    [
        (lambda batch: batch.slice(1), ["2", "x", "4"]),
        (lambda batch: batch.slice(0, 0), []),
        (lambda batch: batch.take(pa.array([0, 0, 1, 2, 3, 3])), ["1", "1", "2", "x", "4", "4"]),
    ],
)
def test_books_balance_when_a_column_hook_changes_the_row_count(
    tmp_path: Path, when: str, change: Any, ids: list[str]
) -> None:
    out = ran(tmp_path, csv_pipe(tmp_path, CSV, **{when: [Columns(change)]}))
    assert [row["id"] for row in out.rows] == ids
    assert (out.report.total_processed, out.report.success_count) == (4, len(ids))


def test_pipe_fails_when_a_column_hook_changes_rows_beside_a_base_hook(tmp_path: Path) -> None:
    hooks = [Entries(lambda e, s: e), Columns(lambda batch: batch.slice(1))]
    with pytest.raises(RunFailed, match="Columns changed the number of rows"):
        csv_pipe(tmp_path, CSV, pre_validation_hooks=hooks).run()


def test_pipe_fails_naming_the_hook_when_a_column_hook_raises(tmp_path: Path) -> None:
    def explode(batch: pa.RecordBatch) -> pa.RecordBatch:
        raise ValueError(f"secret {batch.to_pylist()}")

    pipe = csv_pipe(tmp_path, CSV, pre_validation_hooks=[Columns(explode)])
    with pytest.raises(RunFailed, match=r"Columns raised ValueError .* of .*in\.csv") as info:
        pipe.run()
    assert "secret" not in str(info.value)


@pytest.mark.parametrize("result", [None, [], pa.table({"a": [1]})])
def test_pipe_fails_when_a_column_hook_gives_no_batch(tmp_path: Path, result: Any) -> None:
    pipe = csv_pipe(tmp_path, CSV, pre_validation_hooks=[Columns(lambda batch: result)])
    with pytest.raises(RunFailed, match=r"not a pyarrow\.RecordBatch"):
        pipe.run()


def test_column_hook_leaves_ragged_records_as_they_were(tmp_path: Path) -> None:
    text = '{"a": 1}\n{"b": null}\n{}\n{"a": 2, "b": [1, {"c": null}]}\n{"a": null}\n'
    hook = Columns(lambda batch: batch)
    out = ran(tmp_path, json_pipe(tmp_path, text, pre_validation_hooks=[hook]))
    assert out.rows == [json.loads(line) for line in text.splitlines()]


def test_column_hook_leaves_defaults_to_the_model_when_a_key_is_missing(tmp_path: Path) -> None:
    class Defaulted(BaseModel):
        a: int = 5

    hook = Columns(lambda batch: batch)
    pipe = json_pipe(
        tmp_path, '{"a": 1}\n{}\n{"a": null}\n', schema_model=Defaulted, pre_validation_hooks=[hook]
    )
    out = ran(tmp_path, pipe)
    assert out.rows == [{"a": 1}, {"a": 5}]
    assert [reject["_row"] for reject in out.rejects] == [3]


def test_column_hook_never_sees_records_that_are_no_objects(tmp_path: Path) -> None:
    class Numbers(BaseModel):
        a: int

    hook = Columns(lambda batch: batch)
    pipe = json_pipe(
        tmp_path, '{"a": 1}\n7\n[2]\n{"a": 2}\n', schema_model=Numbers, pre_validation_hooks=[hook]
    )
    out = ran(tmp_path, pipe)
    assert out.rows == [{"a": 1}, {"a": 2}]
    assert [(reject["_row"], reject["_stage"], reject["_text"]) for reject in out.rejects] == [
        (2, "hook", "7"),
        (3, "hook", "[2]"),
    ]


def test_column_hook_takes_values_that_arrow_has_no_type_for(tmp_path: Path) -> None:
    class Money(BaseModel):
        amount: Decimal
        tags: list[int] = [1]

    pipe = csv_pipe(
        tmp_path,
        "amount\n1.50\n1e400\n",
        schema_model=Money,
        post_validation_hooks=[Columns(lambda batch: batch)],
    )
    assert ran(tmp_path, pipe).lines == [
        Money(amount=Decimal(text)).model_dump_json() for text in ("1.50", "1e400")
    ]


# All kinds together.


def build(tmp_path: Path, executor: Any, kind: str) -> Pipe:
    def tag(batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch.append_column("tag", pc.utf8_length(batch.column("name")))

    def every_seventh_fails(entries: list[Any], store: dict[str, Any]) -> list[Any]:
        for entry in entries:
            if entry["position"] % 7 == 0:
                entry["status"] = EntryStatus.FAILED
            entry["raw_data"]["name"] += f" at {entry['position']}"
        return entries

    hooks: dict[str, list[Any]] = {
        "functions": [lambda row: None if row["id"].endswith("3") else {**row, "n": 1}],
        "entries": [Entries(every_seventh_fails)],
        "columns": [Columns(tag)],
        "all": [Entries(every_seventh_fails), lambda row: row, Columns(tag)],
    }
    text = "id,name\n" + "".join(
        f"{'bad' if number % 11 == 0 else number},user {number}{'x' * 60}\n"
        for number in range(40000)
    )
    return csv_pipe(
        tmp_path,
        text,
        schema_model=User,
        pre_validation_hooks=hooks[kind],
        post_validation_hooks=[lambda row: {**row, "seen": True}],
        executor=executor,
    )


@pytest.mark.parametrize("kind", ["functions", "entries", "columns", "all"])
def test_output_is_the_same_bytes_when_executors_and_workers_differ(
    tmp_path: Path, kind: str
) -> None:
    outputs = set()
    for number, (executor, workers) in enumerate(
        [
            (SingleThreadExecutor(), 0),
            (MultiThreadExecutor(3, 100), 0),
            (SingleThreadExecutor(7), 3),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        out = ran(folder, build(folder, executor, kind), workers)
        # `_source` names the folder.
        rejects = [{**reject, "_source": ""} for reject in out.rejects]
        outputs.add(json.dumps([out.lines, rejects]))
        assert len(out.lines) + len(rejects) > 30000
    assert len(outputs) == 1
