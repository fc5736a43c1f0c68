"""Records of JSON through a plan, against json.loads and pydantic row by row."""

from __future__ import annotations

import contextlib
import enum
import json
import random
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pytest
from json_suites import JSON_CHECKER, TEST_PARSING
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.columns import record_batch
from zoopipe.validation import Accepted, compile_plan


class Person(BaseModel):
    id: int
    name: str
    score: float
    active: bool
    born: date
    seen: datetime | None = None
    price: Decimal | None = None
    kind: Literal["a", "b"] = "a"


class Nested(BaseModel):
    x: int
    y: str = "none"


class Rich(BaseModel):
    id: int = Field(alias="Id", ge=0)
    tags: list[str] = []
    sizes: list[int] | None = None
    inner: Nested | None = None
    either: int | str = 0


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(BaseModel):
    level: Level
    price: Decimal
    either: int | str
    at: time | None = None


class Forbids(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    id: int
    name: str
    score: float


class Keeps(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int


CALLS: list[Any] = []


class Calls(BaseModel):
    id: int
    name: str

    @field_validator("name", mode="before")
    @classmethod
    def _noted(cls, value: Any) -> Any:
        CALLS.append(value)
        return value


def depth_of(value: Any) -> int:
    """How many lists and dicts are within each other."""
    inner = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0) if isinstance(value, dict | list) else 0


def parsed(text: str) -> Any:
    """What a record is, by `json.loads`; it takes constants that are no JSON, and nests deeper than we do."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    row = json.loads(text, parse_constant=refuse)
    if depth_of(row) > 200:
        raise ValueError("nested too deeply")
    return row


def check_records(model: type[BaseModel], texts: Sequence[str]) -> Accepted:
    """Fails where a plan's answers for records are not those of a loop over `parsed`."""
    kept, lines, refused, unparsed = [], [], [], []
    for position, text in enumerate(texts):
        try:
            row = parsed(text)
        except (ValueError, RecursionError):
            unparsed.append(position)
            continue
        try:
            lines.append(model.model_validate(row).model_dump_json())
            kept.append(position)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            reasons = [{"loc": list(e["loc"]), "type": e["type"], "msg": e["msg"]} for e in found]
            refused.append((position, reasons))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            refused.append((position, [{"loc": [], "type": "validator_error", "msg": message}]))
    accepted = compile_plan(model).columns(record_batch(pa.array(texts, pa.string())))
    assert accepted.refused == refused
    assert [position for position, _ in accepted.unparsed] == unparsed
    positions = list(range(len(texts))) if accepted.kept is None else list(accepted.kept)
    assert positions == kept
    encode = JSONOutputAdapter("unused.jsonl").encoder(None)
    assert accepted.checked is not None
    encoded = encode(accepted.checked, accepted.selection)
    assert b"".join(map(bytes, encoded.payload)).decode() == "".join(f"{line}\n" for line in lines)
    assert encoded.rows == len(lines)
    return accepted


def people(count: int, seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [
        {
            "id": number,
            "name": chance.choice(("Ana", "Ω", "a b", "")),
            "score": chance.choice((1, 0.5, -3.25, 1e20)),
            "active": chance.random() < 0.5,
            "born": f"19{chance.randrange(10, 99)}-0{chance.randrange(1, 9)}-1{chance.randrange(9)}",
            "seen": chance.choice((None, "2024-02-29T10:00:00", "2024-02-29 10:00:00.5Z")),
            "price": chance.choice((None, "1.50", "0.000001")),
            "kind": chance.choice("ab"),
        }
        for number in range(count)
    ]


ODD_PEOPLE: list[Any] = [
    *("{", "[]", "3", "null", '"text"', "NaN", "", "{}", "[" * 5000, '{"id": 1,}', "{'id': 1}"),
    {"id": "7", "name": "as text", "score": "1.5", "active": "yes", "born": "2024-02-29"},
    {"id": 1.0, "name": "as float", "score": True, "active": 1, "born": "2024-02-29T00:00:00"},
    {"id": 2**70, "name": "huge", "score": 10**400, "active": True, "born": 0},
    {"id": None, "name": None, "score": None, "active": None, "born": None},
    {"id": 1, "name": 5, "score": 1.0, "active": True, "born": "1999-02-29"},
    '{"id": 1, "id": 2, "name": "twice", "score": 1, "active": true, "born": "2000-01-01"}',
    '{"id": -0, "name": "\\ud83d\\ude00 \\u00e9", "score": -0.0, "active": true, "born": "2000-01-01"}',
    '{"id": 1, "name": "\\ud800", "score": 1e400, "active": true, "born": "2000-01-01"}',
    '{"id": 1, "name": "a", "score": NaN, "active": true, "born": "2000-01-01"}',
    '{"id": 1, "name": "a", "score": 1, "active": true, "born": "2000-01-01", "more": -Infinity}',
    *(
        f'{{"id": {depth}, "name": "deep", "score": 1, "active": true, "born": "2000-01-01", '
        f'"more": {"[" * depth}"]["{"]" * depth}}}'
        for depth in (1, 199, 200, 254, 600)
    ),
    '{"born": "2000-01-01", "active": false, "score": 2, "name": "other order", "id": 9}',
    '{"id": 1, "name": "extra", "score": 1, "active": true, "born": "2000-01-01", "more": [1, {}]}',
    {
        "id": 1,
        "name": "one\ntwo\u2028",
        "score": 1,
        "active": True,
        "born": "2000-01-01",
        "kind": "c",
    },
]


def texts_of(rows: Sequence[Any], compact: bool) -> list[str]:
    separators = (",", ":") if compact else (", ", ": ")
    return [
        row if isinstance(row, str) else json.dumps(row, ensure_ascii=False, separators=separators)
        for row in rows
    ]


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize("odd_every", [0, 1, 2, 5, 50])
@pytest.mark.parametrize("count", [1, 30, 400])
def test_records_give_what_a_row_loop_gives(count: int, odd_every: int, compact: bool) -> None:
    rows: list[Any] = list(people(count, count + odd_every))
    if odd_every:
        for at in range(0, count, odd_every):
            rows[at] = ODD_PEOPLE[at // odd_every % len(ODD_PEOPLE)]
    check_records(Person, texts_of(rows, compact))


def test_odd_records_give_what_a_row_loop_gives_when_they_are_alone() -> None:
    for text in texts_of(ODD_PEOPLE, compact=False):
        check_records(Person, [text])


@pytest.mark.parametrize("kind", [int, float, str, bool, Any, list[int], dict[str, Any]])
@pytest.mark.parametrize("value", ["1", "1.5", '"text"', "[1]", "true", "null"])
def test_records_of_the_parsing_suites_give_what_a_row_loop_gives(kind: Any, value: str) -> None:
    model = create_model("Suite", a=(int, ...), x=(kind | None, None))
    texts = []
    for case in (TEST_PARSING | JSON_CHECKER).values():
        with contextlib.suppress(UnicodeDecodeError):
            texts += [f'{{"a":1,"x":{case.decode()}}}', f'{{"a":2,"x":{value}}}']
    check_records(model, texts)


def test_no_record_goes_to_pydantic_whole_when_all_are_of_one_shape() -> None:
    accepted = check_records(Person, texts_of(people(300, 1), compact=True))
    assert accepted.deferred_to["whole rows"] == 0
    assert accepted.deferred == 0


def test_keys_that_come_and_go_give_several_shapes() -> None:
    rows = people(300, 2)
    for at, row in enumerate(rows):
        if at % 3:
            del row["seen"]
    accepted = check_records(Person, texts_of(rows, compact=True))
    assert accepted.deferred_to["whole rows"] == 0


@pytest.mark.parametrize("model", [Rich, Forbids, Strict, Keeps, Calls])
def test_records_give_what_a_row_loop_gives_when_the_model_is(model: type[BaseModel]) -> None:
    chance = random.Random(model.__name__)
    rows = [
        {
            "id": chance.choice((1, 2, 2, "3", 4.0)),
            "Id": chance.choice((1, 2, -1, 3)),
            "name": chance.choice(("a", "b", "b", 5)),
            "score": chance.choice((1, 2.5)),
            "tags": chance.choice(([], ["a"], ["a", "é\n"], [1])),
            "sizes": chance.choice((None, [], [1, 2], [1.5])),
            "inner": chance.choice((None, {"x": 1}, {"x": 1, "y": "z"}, {"x": "q"}, {})),
            "either": chance.choice((1, "a", True, 1.5)),
        }
        for _ in range(200)
    ]
    check_records(model, texts_of(rows, compact=True))
    own = {name for field in model.model_fields.items() for name in (field[0], field[1].alias)}
    rows = [{name: row[name] for name in row if name in own} for row in rows]
    check_records(model, texts_of(rows, compact=True))


def test_validators_see_records_in_their_order_when_some_are_of_no_shape() -> None:
    rows: list[Any] = [{"id": at, "name": f"n{at}"} for at in range(50)]
    rows[7] = {"name": "n7", "id": "7"}
    rows[20] = '{"id": 1, "name": "n20", "id": 2}'
    texts = texts_of(rows, compact=True)
    compile_plan(Calls)
    CALLS.clear()
    compile_plan(Calls).columns(record_batch(pa.array(texts, pa.string())))
    assert [f"n{at}" for at in range(50)] == CALLS


@pytest.mark.parametrize("levels", [[1, 2], [1, 3, "2"], [True]])
@pytest.mark.parametrize("prices", [["1.50", "x"], [1, 2], [1.0, 2, 2.50], [None, "1"]])
@pytest.mark.parametrize("either", [[1, 2], ["a", "1"], [1, "1", True], [None]])
def test_values_come_as_they_stand_when_their_type_is_open(
    levels: list[Any], prices: list[Any], either: list[Any]
) -> None:
    rows = [
        {
            "level": levels[at % len(levels)],
            "price": prices[at % len(prices)],
            "either": either[at % len(either)],
            "at": "10:20:30",
        }
        for at in range(24)
    ]
    check_records(Mixed, texts_of(rows, compact=True))
