"""A block's whole path: law 1 with hooks on, set-up and tear-down, positions, books."""

from __future__ import annotations

import csv
import io
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from oracle import csv_dicts, validated
from piping import Ran, csv_pipe, json_pipe, ran
from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    RootModel,
    SerializationInfo,
    field_serializer,
    field_validator,
    model_serializer,
)
from row_models import ROW_MODELS

from zoopipe import (
    BaseHook,
    ColumnHook,
    CSVOutputAdapter,
    EntryStatus,
    MultiThreadExecutor,
    SingleThreadExecutor,
)
from zoopipe.errors import RunFailed

ROWS = "a,b\n1,abc\n2,\n-3,zz\nx,abc\n007,ab c\n1e3,1\n"


def identity(row: dict[str, Any]) -> dict[str, Any]:
    return row


class Lawful(BaseModel):
    """Writes its values in its own way, in JSON mode only."""

    day: Annotated[date, PlainSerializer(lambda d: f"{d:%d/%m/%Y}", when_used="json")]
    price: Decimal
    tags: list[int] = [1, 2]
    flag: bool = True

    @field_serializer("price", when_used="json")
    def _price(self, value: Decimal) -> str:
        return f"EUR {value}"

    @field_serializer("tags", when_used="json")
    def _tags(self, value: list[int]) -> str:
        return "+".join(map(str, value))


LAWFUL = "day,price\n2024-02-29,1.50\n2023-02-29,1\n2024-12-31,2\n"


# A model of which rows are proved by columns, and all those that need whole rows.
class Plain(BaseModel):
    a: int
    b: str | None


MODELS = {"Plain": Plain, **{name: model for name, (model, _) in ROW_MODELS.items()}}
# The oracle's loop stops at what its validator raises.
del MODELS["RaisesAnything"]


@pytest.mark.parametrize("hooks", [[identity], [BaseHook()], [identity, BaseHook()]])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_output_is_pydantics_when_a_hook_changes_nothing(
    tmp_path: Path, name: str, hooks: list[Any]
) -> None:
    model = MODELS[name]
    lines, refused = validated(csv_dicts(ROWS.encode()), model)
    out = ran(tmp_path, csv_pipe(tmp_path, ROWS, schema_model=model, post_validation_hooks=hooks))
    assert out.lines == lines
    assert [(reject["_row"], reject["_errors"]) for reject in out.rejects] == refused


def test_output_keeps_serializers_of_values_that_no_hook_changed(tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> dict[str, Any]:
        row["tags"].append(3)
        return {"flag": 1, **row, "new": date(2024, 1, 1)} if row["price"] == 2 else row

    out = ran(
        tmp_path, csv_pipe(tmp_path, LAWFUL, schema_model=Lawful, post_validation_hooks=[change])
    )
    assert out.rows == [
        {"day": "29/02/2024", "price": "EUR 1.50", "tags": [1, 2, 3], "flag": True},
        {
            "flag": True,
            "day": "31/12/2024",
            "price": "EUR 2",
            "tags": [1, 2, 3],
            "new": "2024-01-01",
        },
    ]


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (1, "1"), (1.0, "1.0"), ("1", '"1"')])
def test_output_takes_the_hooks_value_when_it_is_equal_and_of_another_type(
    tmp_path: Path, value: Any, text: str
) -> None:
    class Hex(BaseModel):
        a: int

        @field_serializer("a")
        def _hex(self, value: int, info: SerializationInfo) -> Any:
            return hex(value) if info.mode == "json" else value

    hook = lambda row: {"a": value}  # noqa: E731
    out = ran(
        tmp_path, csv_pipe(tmp_path, "a\n1\n", schema_model=Hex, post_validation_hooks=[hook])
    )
    assert out.lines == ['{"a":"0x1"}' if type(value) is int else f'{{"a":{text}}}']


def test_output_is_the_models_when_hooks_leave_a_row_that_is_no_dict(tmp_path: Path) -> None:
    class Days(RootModel[date]):
        @model_serializer(when_used="json")
        def _text(self) -> str:
            return f"{self.root:%d.%m.%Y}"

    pipe = json_pipe(
        tmp_path, '"2024-02-29"\n"x"\n', schema_model=Days, post_validation_hooks=[BaseHook()]
    )
    assert ran(tmp_path, pipe).lines == ['"29.02.2024"']


def test_serializers_hold_for_the_right_row_when_hooks_move_rows(tmp_path: Path) -> None:
    class Reverse(BaseHook):
        def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
            return [*reversed(entries), {"raw_data": {}, "validated_data": {"price": Decimal(9)}}]

    drop = lambda row: None if row["price"] == 3 else row  # noqa: E731
    text = "day,price\n" + "".join(f"2024-01-0{number},{number}\n" for number in range(1, 6))
    pipe = csv_pipe(tmp_path, text, schema_model=Lawful, post_validation_hooks=[drop, Reverse()])
    assert [row["price"] for row in ran(tmp_path, pipe).rows] == [
        "EUR 5",
        "EUR 4",
        "EUR 2",
        "EUR 1",
        "9",
    ]


def test_csv_cells_are_the_json_modes_when_hooks_run(tmp_path: Path) -> None:
    class Cells(BaseModel):
        model_config = ConfigDict(ser_json_timedelta="float")
        f: float
        t: datetime
        b: bool
        n: int | None
        items: list[Any] = [1, None]

    text = "f,t,b,n\n1e16,2024-01-01 10:00:00,yes,\nnan,2024-01-01T10:00:00+02:00,0,5\n"
    text = text.replace("yes,\n", "yes,0\n")
    pipe = csv_pipe(
        tmp_path,
        text,
        schema_model=Cells,
        post_validation_hooks=[lambda row: {**row, "n": row["n"] or None}],
        output_adapter=CSVOutputAdapter(tmp_path / "out.csv"),
    )
    pipe.run()
    rows = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text(), newline="")))
    assert rows == [
        ["f", "t", "b", "n", "items"],
        ["1e+16", "2024-01-01T10:00:00", "true", "", "[1,null]"],
        ["NaN", "2024-01-01T10:00:00+02:00", "false", "5", "[1,null]"],
    ]


@pytest.mark.parametrize("ragged", [False, True])
def test_csv_cells_are_those_of_csv_and_json_when_a_hook_gives_any_value(
    tmp_path: Path, ragged: bool
) -> None:
    days = [date(1, 1, 1), None, date.max, date(2024, 2, 29)]
    rows: list[dict[str, Any]] = [
        {"s": 'a "b", c\n', "f": 1e16, "d": days[0], "x": [1, "é"], "t": datetime(2024, 1, 1, 1)},
        {"s": None, "f": float("nan"), "d": days[1], "x": "text", "t": None},
        {"s": "null", "f": -0.0, "d": days[2], "x": Decimal("1.50"), "t": datetime.max},
        {"s": '"', "f": None, "d": days[3], "x": {"a": None}, "t": datetime.min},
    ]
    if ragged:
        del rows[1]["t"]
    values = iter(rows)
    pipe = csv_pipe(
        tmp_path,
        "a\n1\n2\n3\n4\n",
        pre_validation_hooks=[lambda row: next(values)],
        output_adapter=CSVOutputAdapter(tmp_path / "out.csv", fieldnames=list("sfdxtn")),
    )
    pipe.run()
    found = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text(), newline="")))
    assert found == [
        list("sfdxtn"),
        ['a "b", c\n', "1e+16", "0001-01-01", '[1,"é"]', "2024-01-01T01:00:00", ""],
        ["", "NaN", "", "text", "", ""],
        ["null", "-0.0", "9999-12-31", "1.50", "9999-12-31T23:59:59.999999", ""],
        ['"', "", "2024-02-29", '{"a":null}', "0001-01-01T00:00:00", ""],
    ]


def test_csv_rows_are_refused_alone_when_they_have_an_unknown_column_or_no_text(
    tmp_path: Path,
) -> None:
    changes = iter([{}, {"b": 1}, {"a": object()}, {"a": "\ud800"}, {}])
    out = tmp_path / "out.csv"
    pipe = csv_pipe(
        tmp_path,
        "a\n1\n2\n3\n4\n5\n",
        pre_validation_hooks=[lambda row: {**row, **next(changes)}],
        output_adapter=CSVOutputAdapter(out),
    )
    pipe.run()
    rejects = [json.loads(line) for line in (tmp_path / "rejected.jsonl").read_text().splitlines()]
    assert out.read_text() == "a\n1\n5\n"
    assert [(reject["a"], reject["_errors"][0]["type"]) for reject in rejects] == [
        ("2", "unknown_column"),
        ("3", "not_serializable"),
        ("4", "not_serializable"),
    ]


def test_row_is_rejected_alone_when_a_validator_raises_no_value_error(tmp_path: Path) -> None:
    class Inverse(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def _inverse(cls, value: int) -> int:
            return 12 // value

    for hooks in ([], [identity]):
        pipe = csv_pipe(tmp_path, "a\n3\n0\n4\n", schema_model=Inverse, post_validation_hooks=hooks)
        out = ran(tmp_path, pipe)
        assert out.rows == [{"a": 4}, {"a": 3}]
        (reject,) = out.rejects
        assert (reject["a"], reject["_row"], reject["_stage"]) == ("0", 2, "validate")
        assert "ZeroDivisionError" in reject["_errors"][0]["msg"]


def test_one_invalid_row_leaves_the_others_validated(tmp_path: Path) -> None:
    class Defaulted(BaseModel):
        a: int
        b: float = 2.5

    out = ran(tmp_path, csv_pipe(tmp_path, "a\n1\nx\n3\n", schema_model=Defaulted))
    assert out.rows == [{"a": 1, "b": 2.5}, {"a": 3, "b": 2.5}]


def test_row_is_rejected_when_a_hook_gives_what_json_cannot_hold(tmp_path: Path) -> None:
    hook = lambda row: {**row, "a": object()} if row["a"] == "2" else row  # noqa: E731
    out = ran(tmp_path, csv_pipe(tmp_path, "a\n1\n2\n3\n", post_validation_hooks=[hook]))
    assert [row["a"] for row in out.rows] == ["1", "3"]
    assert [(reject["a"], reject["_stage"]) for reject in out.rejects] == [("2", "write")]


# Set-up and tear-down.


class Logged(BaseHook):
    """Notes what is called on it, and raises where it is told to."""

    def __init__(self, log: list[str], name: str, raises: str = "") -> None:
        super().__init__()
        self.log, self.name, self.raises = log, name, raises

    def _note(self, what: str) -> None:
        if what != "execute" or f"{what} {self.name}" not in self.log:
            self.log.append(f"{what} {self.name}")
        if self.raises == what:
            raise ValueError(f"{what} of {self.name}")

    def setup(self, store: dict[str, Any]) -> None:
        self._note("setup")

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        self._note("execute")
        return entries

    def teardown(self, store: dict[str, Any]) -> None:
        self._note("teardown")


class LoggedColumns(ColumnHook):
    """The same over columns."""

    def __init__(self, log: list[str], name: str) -> None:
        super().__init__()
        self.log, self.name = log, name

    def setup(self, store: dict[str, Any]) -> None:
        self.log.append(f"setup {self.name}")

    def teardown(self, store: dict[str, Any]) -> None:
        self.log.append(f"teardown {self.name}")


BIG = "a,b\n" + "".join(f"{number},{'x' * 90}\n" for number in range(30000))


@pytest.mark.parametrize("executor", [SingleThreadExecutor(), MultiThreadExecutor(3, 500)])
def test_hooks_are_set_up_and_torn_down_once_when_there_are_many_blocks(
    tmp_path: Path, executor: Any
) -> None:
    log: list[str] = []
    both = Logged(log, "both")
    pipe = csv_pipe(
        tmp_path,
        BIG,
        pre_validation_hooks=[Logged(log, "a"), both, identity],
        post_validation_hooks=[LoggedColumns(log, "c"), both],
        executor=executor,
    )
    assert len(ran(tmp_path, pipe).lines) == 30000
    assert log == [
        *("setup a", "setup both", "setup c"),
        *("execute a", "execute both"),
        *("teardown c", "teardown both", "teardown a"),
    ]


@pytest.mark.parametrize(
    ("raises", "expected"),
    [
        ("setup", ["setup a", "setup b", "teardown a"]),
        (
            "execute",
            [
                *("setup a", "setup b", "setup c", "execute a", "execute b"),
                *("teardown c", "teardown b", "teardown a"),
            ],
        ),
        (
            "teardown",
            [
                *("setup a", "setup b", "setup c", "execute a", "execute b", "execute c"),
                *("teardown c", "teardown b", "teardown a"),
            ],
        ),
    ],
)
@pytest.mark.parametrize("executor", [SingleThreadExecutor(), MultiThreadExecutor(2)])
def test_pipe_fails_and_tears_down_each_hook_once_when_one_raises(
    tmp_path: Path, raises: str, expected: list[str], executor: Any
) -> None:
    log: list[str] = []
    hooks = [Logged(log, "a"), Logged(log, "b", raises), Logged(log, "c")]
    pipe = csv_pipe(tmp_path, "a\n1\n", pre_validation_hooks=hooks, executor=executor)
    with pytest.raises(RunFailed, match=f"{raises} of|raised ValueError"):
        pipe.run()
    assert log == expected
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_hooks_are_torn_down_when_an_input_record_stops_the_run(tmp_path: Path) -> None:
    log: list[str] = []
    pipe = csv_pipe(
        tmp_path,
        "a\nx\n",
        schema_model=Plain,
        pre_validation_hooks=[Logged(log, "a")],
        max_errors=0,
    )
    with pytest.raises(RunFailed):
        pipe.run()
    assert log[0] == "setup a"
    assert log.count("teardown a") == 1


# Positions and books.


class Positions(BaseHook):
    """Writes each entry's position beside it, and drops, adds and fails some."""

    def execute(self, entries: list[Any], store: dict[str, Any]) -> list[Any]:
        kept = []
        for entry in entries:
            position = entry["position"]
            entry["raw_data"]["position"] = position
            if position % 5 == 1:
                continue
            if position % 5 == 2:
                entry["status"] = EntryStatus.FAILED
            kept.append(entry)
            if position % 5 == 3:
                kept.append({"raw_data": {"position": None, "a": "made"}})
        return kept


@pytest.mark.parametrize("workers", [0, 3])
def test_positions_are_global_and_books_balance_when_sharded(tmp_path: Path, workers: int) -> None:
    out: Ran = ran(tmp_path, csv_pipe(tmp_path, BIG, pre_validation_hooks=[Positions()]), workers)
    numbers = range(30000)
    expected: list[Any] = []
    for number in numbers:
        if number % 5 not in (1, 2):
            expected.append((number, str(number)))
        if number % 5 == 3:
            expected.append((None, "made"))
    assert [(row["position"], row["a"]) for row in out.rows] == expected
    assert [reject["_row"] - 1 for reject in out.rejects] == [n for n in numbers if n % 5 == 2]
    dropped, added = 6000, 6000
    assert out.report.total_processed == 30000
    assert 30000 + added == out.report.success_count + out.report.error_count + dropped


def test_ragged_json_records_pass_as_they_are_when_hooks_see_them(tmp_path: Path) -> None:
    text = '{"a":1}\n{"b":[1,{"c":null}]}\n{}\n{"a":null,"z":1.5}\n'
    for hooks in ([identity], [BaseHook()], [identity, BaseHook()], []):
        out = ran(tmp_path, json_pipe(tmp_path, text, pre_validation_hooks=hooks))
        assert out.lines == [
            json.dumps(json.loads(line), separators=(",", ":")) for line in text.split()
        ]
