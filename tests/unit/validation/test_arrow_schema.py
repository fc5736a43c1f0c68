"""The Arrow schema of a model's dump, held against types written by hand and against the dump itself."""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar
from uuid import UUID

import pyarrow as pa
import pytest
from proofs import model_of
from pydantic import (
    AfterValidator,
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    Json,
    NaiveDatetime,
    PlainSerializer,
    PlainValidator,
    RootModel,
    SecretStr,
    SerializeAsAny,
    WrapSerializer,
    computed_field,
    field_serializer,
    model_serializer,
    model_validator,
)
from row_models import ROW_MODELS
from typing_extensions import TypedDict

from zoopipe.arrays import text_array
from zoopipe.columns import encoded_field, encoding_of, record_batch
from zoopipe.conform import conform_rows
from zoopipe.errors import DeclarationError
from zoopipe.validation import compile_plan
from zoopipe.validation.arrow_schema import arrow_schema, json_says_all
from zoopipe.values import from_rows

JSON = "json"
UTC_STAMP, STAMP = pa.timestamp("us", "UTC"), pa.timestamp("us")


class Words(enum.StrEnum):
    A = "a"


class Numbers(enum.IntEnum):
    ONE = 1


class Mixed(enum.Enum):
    A = "a"
    ONE = 1


class Days(enum.Enum):
    FIRST = date(2024, 1, 1)


class Point(BaseModel):
    x: int
    when: date | None = None


@dataclass
class Pair:
    a: float
    b: list[str]


class Keyed(TypedDict):
    a: int


class Loose(TypedDict):
    a: NotRequired[int]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class Empty(BaseModel):
    pass


class Numbered(RootModel[list[int]]):
    pass


class Node(BaseModel):
    value: int
    next: Node | None = None


class Tagged(BaseModel):
    kind: Literal["tagged"]


class Other(BaseModel):
    kind: Literal["other"]
    x: int


class Triple(NamedTuple):
    a: int


class Written(BaseModel):
    x: int

    @model_serializer
    def _text(self) -> str:
        return f"<{self.x}>"


Item = TypeVar("Item")


class Box(BaseModel, Generic[Item]):
    item: Item


def listed(kind: pa.DataType, nullable: bool = False) -> pa.DataType:
    return pa.list_(pa.field("item", kind, nullable))


def mapped(kind: pa.DataType) -> pa.DataType:
    return pa.map_(pa.string(), pa.field("value", kind, False))


POINT = pa.struct([pa.field("x", pa.int64(), False), pa.field("when", pa.date32())])

# Each row: a field's type, the Arrow type of its values or JSON, and whether they may be null.
TYPES: list[tuple[Any, Any, bool]] = [
    (str, pa.string(), False),
    (int, pa.int64(), False),
    (float, pa.float64(), False),
    (bool, pa.bool_(), False),
    (bytes, pa.binary(), False),
    (date, pa.date32(), False),
    (datetime, STAMP, False),
    (AwareDatetime, UTC_STAMP, False),
    (NaiveDatetime, STAMP, False),
    (time, pa.time64("us"), False),
    (timedelta, pa.duration("us"), False),
    (UUID, pa.uuid(), False),
    (Decimal, pa.decimal128(38, 18), False),
    (Annotated[Decimal, Field(max_digits=10, decimal_places=2)], pa.decimal128(10, 2), False),
    (Annotated[Decimal, Field(max_digits=50, decimal_places=2)], pa.decimal256(50, 2), False),
    (Annotated[Decimal, Field(max_digits=5)], pa.decimal128(10, 5), False),
    (Annotated[Decimal, Field(max_digits=30)], pa.decimal256(60, 30), False),
    (Annotated[Decimal, Field(max_digits=40)], JSON, False),
    (Annotated[Decimal, Field(decimal_places=2)], pa.decimal128(38, 2), False),
    (Annotated[Decimal, Field(max_digits=2, decimal_places=4)], pa.decimal128(4, 4), False),
    (Annotated[Decimal, Field(max_digits=90, decimal_places=2)], JSON, False),
    (Annotated[int, Field(gt=0)], pa.int64(), False),
    (int | None, pa.int64(), True),
    (Words, pa.string(), False),
    (Numbers, pa.int64(), False),
    (Days, pa.date32(), False),
    (Mixed, JSON, False),
    (Literal["a", "b"], pa.string(), False),
    (Literal[1, 2], pa.int64(), False),
    (Literal[True], pa.bool_(), False),
    (Literal["a", None], pa.string(), True),
    (Literal["a", 1], JSON, False),
    (Literal["a", Words.A], pa.string(), False),
    (EmailStr, pa.string(), False),
    (HttpUrl, pa.string(), False),
    (HttpUrl | None, pa.string(), True),
    (str | HttpUrl, pa.string(), False),
    (Path, pa.string(), False),
    (IPv4Address, pa.string(), False),
    (re.Pattern, pa.string(), False),
    (SecretStr, pa.string(), False),
    (Base64Bytes, pa.binary(), False),
    (list[int], listed(pa.int64()), False),
    (list[int | None], listed(pa.int64(), True), False),
    (list[list[date]], listed(listed(pa.date32())), False),
    (list[int] | None, listed(pa.int64()), True),
    (set[str], listed(pa.string()), False),
    (frozenset[int], listed(pa.int64()), False),
    (deque[int], listed(pa.int64()), False),
    (Sequence[date], listed(pa.date32()), False),
    (tuple[str, ...], listed(pa.string()), False),
    (tuple[int, int], listed(pa.int64()), False),
    (tuple[int, str], JSON, False),
    (dict[str, int], mapped(pa.int64()), False),
    (Mapping[str, list[int]], mapped(listed(pa.int64())), False),
    (dict[Words, int], mapped(pa.int64()), False),
    (dict[int, int], JSON, False),
    (dict, JSON, False),
    (Point, POINT, False),
    (Point | None, POINT, True),
    (list[Point], listed(POINT), False),
    (Box[Point], pa.struct([pa.field("item", POINT, False)]), False),
    (
        Pair,
        pa.struct([pa.field("a", pa.float64(), False), pa.field("b", listed(pa.string()), False)]),
        False,
    ),
    (Keyed, pa.struct([pa.field("a", pa.int64(), False)]), False),
    (Numbered, listed(pa.int64()), False),
    (Loose, JSON, False),
    (Open, JSON, False),
    (Empty, JSON, False),
    (Written, pa.string(), False),
    (Triple, JSON, True),
    (Any, JSON, True),
    (object, JSON, True),
    (None, JSON, True),
    (int | str, JSON, False),
    (int | float | None, JSON, True),
    (Tagged | Other, JSON, False),
    (Annotated[Tagged | Other, Field(discriminator="kind")], JSON, False),
    (Json[list[int]], listed(pa.int64()), False),
    (Json, JSON, True),
    (SerializeAsAny[Point], JSON, True),
    (Annotated[int, AfterValidator(abs)], pa.int64(), False),
    (Annotated[int, BeforeValidator(abs)], pa.int64(), False),
    (Annotated[int, PlainValidator(int)], pa.int64(), False),
    (Annotated[int, PlainSerializer(hex, return_type=str)], pa.string(), False),
    (Annotated[int, PlainSerializer(lambda value: value)], JSON, True),
    (Annotated[int, PlainSerializer(hex, return_type=str, when_used="json")], pa.int64(), False),
    (
        Annotated[int | None, PlainSerializer(hex, return_type=str, when_used="unless-none")],
        pa.string(),
        True,
    ),
    (
        Annotated[int, WrapSerializer(lambda value, _: [value], return_type=list[int])],
        listed(pa.int64()),
        False,
    ),
]


@pytest.mark.parametrize(("annotation", "kind", "nullable"), TYPES, ids=str)
def test_field_has_the_arrow_type_of_its_dump(annotation: Any, kind: Any, nullable: bool) -> None:
    (field,) = arrow_schema(model_of(annotation))
    if kind == JSON:
        assert field.equals(encoded_field("value", "json").with_nullable(nullable), True)
    else:
        assert field.equals(pa.field("value", kind, nullable), check_metadata=True)


def test_nested_json_text_is_marked_as_such() -> None:
    (field,) = arrow_schema(model_of(list[Any]))
    assert encoding_of(field.type.value_field) == "json"
    (field,) = arrow_schema(model_of(dict[str, int | str]))
    assert encoding_of(field.type.item_field) == "json"


def test_recursive_model_is_json_text_where_it_recurs() -> None:
    schema = arrow_schema(Node)
    assert schema.field("value").type == pa.int64()
    assert encoding_of(schema.field("next")) == "json"
    (field,) = arrow_schema(model_of(Node))
    assert encoding_of(field.type.field("next")) == "json"


def test_names_are_the_keys_of_the_dump_when_aliased_excluded_and_computed() -> None:
    class Inner(BaseModel):
        y: int = Field(2, alias="Y")

    class Model(BaseModel):
        model_config = ConfigDict(serialize_by_alias=True)
        x: int = Field(1, alias="X")
        left_out: int = Field(3, exclude=True)
        inner: Inner = Inner()
        keyed: Annotated[Keyed, Field(alias="K")] = Field({"a": 1}, alias="K")

        @computed_field(alias="D")  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return self.x * 2

        @computed_field  # type: ignore[prop-decorator]
        @property
        def anything(self) -> Any:
            return [self.x]

    schema = arrow_schema(Model)
    dump = Model().model_dump()
    assert schema.names == list(dump) == ["X", "inner", "K", "D", "anything"]
    assert [part.name for part in schema.field("inner").type] == list(dump["inner"]) == ["y"]
    assert schema.field("D").type == pa.int64()
    assert encoding_of(schema.field("anything")) == "json"


def test_field_is_nullable_when_its_default_is_none_and_not_validated() -> None:
    class Model(BaseModel):
        a: int = None  # type: ignore[assignment]
        b: int = 1

    assert [field.nullable for field in arrow_schema(Model)] == [True, False]


def test_field_serializer_counts_when_it_acts_on_python_values() -> None:
    class Model(BaseModel):
        a: int
        b: int
        c: int

        @field_serializer("a")
        def _hex(self, value: int) -> str:
            return hex(value)

        @field_serializer("b", when_used="json")
        def _other(self, value: int) -> str:
            return hex(value)

        @field_serializer("c")
        def _anything(self, value: int):  # type: ignore[no-untyped-def]
            return value

    schema = arrow_schema(Model)
    assert schema.field("a").type == pa.string()
    assert schema.field("b").type == pa.int64()
    assert encoding_of(schema.field("c")) == "json"


def test_model_validators_leave_the_fields_as_they_are() -> None:
    class Model(BaseModel):
        a: int

        @model_validator(mode="before")
        @classmethod
        def _before(cls, data: Any) -> Any:
            return data

        @model_validator(mode="after")
        def _after(self) -> Model:
            return self

        @model_validator(mode="wrap")
        @classmethod
        def _wrap(cls, data: Any, handler: Any) -> Any:
            return handler(data)

    assert arrow_schema(Model) == pa.schema([pa.field("a", pa.int64(), False)])


@pytest.mark.parametrize("model", [Numbered, Written, Empty], ids=lambda model: model.__name__)
def test_model_is_refused_when_its_dump_has_no_columns(model: type[BaseModel]) -> None:
    with pytest.raises(DeclarationError, match=f"{model.__name__} is not written as fields"):
        arrow_schema(model)


def test_extra_columns_follow_as_json_text_when_the_model_lets_them_through() -> None:
    schema = arrow_schema(Open, extra=("a", "b"))
    assert schema.names == ["a", "b"]
    assert encoding_of(schema.field("b")) == "json"


ZONED, PLAIN = "2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00"
IN_UTC = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "aware"),
    [
        (ZONED, True),
        ("2024-01-01T00:00:00Z", True),
        (PLAIN, False),
        ("2024-01-01", False),
        (None, False),
        (IN_UTC, True),
        (datetime(2024, 1, 1), False),
    ],
)
@pytest.mark.parametrize("as_record", [False, True])
def test_zone_of_a_plain_datetime_is_that_of_the_first_value(
    value: Any, aware: bool, as_record: bool
) -> None:
    class Model(BaseModel):
        at: datetime | None
        many: list[datetime | None] = []
        point: dict[str, datetime] = {}
        sure: NaiveDatetime | None = None

    row = {"at": value}
    if value is not None:
        row |= {"many": [None, value], "point": {"k": value}}
    accepted = compile_plan(Model).columns(from_rows([{"at": None}, row]))
    sample = accepted.batch
    if as_record:
        lines = [Model.model_validate(one).model_dump_json() for one in ({"at": None}, row)]
        sample = record_batch(text_array(lines))
    schema = arrow_schema(Model, sample)
    stamp = UTC_STAMP if aware else STAMP
    assert schema.field("at").type == stamp
    assert schema.field("many").type == listed(stamp, True)
    assert schema.field("point").type == mapped(stamp)
    assert schema.field("sure").type == STAMP


@pytest.mark.parametrize("name", sorted(set(ROW_MODELS) - {"ModelSerializer", "Root", "OwnDump"}))
def test_schema_holds_the_dump_of_every_kind_of_model(name: str) -> None:
    model, kinds = ROW_MODELS[name]
    cells = {"int": "1", "float": "1.5", "str": "abc", "datetime": "2024-01-01T00:00:00"}
    rows = [{column: cells.get(kind, "2024-01-01") for column, kind in kinds.items()}]
    rows.append({column: {"b": "abcd"}.get(column, "0") for column in kinds})
    # Strict ones take no text for a number, others no column that is no field.
    typed_rows: list[dict[str, Any]] = [{"a": 1, "b": "abc"}, {"a": 1}]
    dumps = []
    for row in [*rows, *typed_rows]:
        try:
            dumps.append(model.model_validate(row).model_dump())
        except (ValueError, KeyError, AttributeError):
            continue
    extra = list(kinds) if model.model_config.get("extra") == "allow" else []
    schema = arrow_schema(model, extra=extra)
    conformed = conform_rows(dumps, schema)
    assert conformed.refused == []
    assert dumps and conformed.batch.schema.names == list(dumps[0])


class Secretive(BaseModel):
    a: Annotated[int, PlainSerializer(hex, when_used="json")]


class AsBase64(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    a: timedelta


@pytest.mark.parametrize(
    ("model", "says_all"),
    [
        (model_of(dict[str, list[datetime | HttpUrl]]), True),
        (Node, True),
        (model_of(Path | SecretStr), True),
        (Secretive, False),
        (AsBase64, False),
        (model_of(bytes), False),
        (model_of(list[set[str]]), False),
        (Written, False),
        (ROW_MODELS["OwnDump"][0], False),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_json_says_all_when_values_of_the_dump_can_be_read_off_it(
    model: type[BaseModel], says_all: bool
) -> None:
    assert json_says_all(model) is says_all
