"""Models with a feature that columns cannot prove: every row of theirs goes to pydantic."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    StrictInt,
    StringConstraints,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)


class Constrained(BaseModel):
    a: Annotated[int, Field(ge=0, lt=10**6)]
    b: Annotated[str, StringConstraints(min_length=2, pattern=r"^\w+$")]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    a: int
    b: str


class StrictField(BaseModel):
    a: StrictInt
    b: str


class FieldValidator(BaseModel):
    a: int
    b: str

    @field_validator("a")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


class RaisesAnything(BaseModel):
    a: int
    b: str

    @field_validator("b")
    @classmethod
    def _key(cls, value: str) -> str:
        return {"abc": "known", "": "empty"}[value]


class BeforeAndAfter(BaseModel):
    a: Annotated[int, BeforeValidator(lambda value: (value or "").strip())]
    b: Annotated[str, AfterValidator(str.upper)]


class ModelBefore(BaseModel):
    a: int
    b: str

    @model_validator(mode="before")
    @classmethod
    def _swap(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"a": data["a"] or "0", "b": data["b"] or "none"}


class ModelAfter(BaseModel):
    a: int
    b: str

    @model_validator(mode="after")
    def _check(self) -> ModelAfter:
        if str(self.a) == self.b:
            raise ValueError("equal")
        return self


class Computed(BaseModel):
    a: int
    b: str

    @computed_field
    def double(self) -> int:
        return self.a * 2


class FieldSerializer(BaseModel):
    a: int
    b: str

    @field_serializer("a")
    def _hex(self, value: int) -> str:
        return hex(value)


class PlainSerialized(BaseModel):
    a: Annotated[float, PlainSerializer(lambda value: f"<{value}>", when_used="json")]
    b: str


class ModelSerializer(BaseModel):
    a: int
    b: str

    @model_serializer
    def _pair(self) -> dict[str, Any]:
        return {"pair": [self.a, self.b]}


class ExtraForbid(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int


class ExtraAllow(BaseModel):
    model_config = ConfigDict(extra="allow")
    a: int


class OwnDump(BaseModel):
    a: int
    b: str

    def model_dump(self, **options: Any) -> dict[str, Any]:
        return {"a": self.a, "dumped": True}

    def model_dump_json(self, **options: Any) -> str:
        return json.dumps({"a": self.a, "dumped": True}, separators=(",", ":"))


class OwnInit(BaseModel):
    a: int
    b: str

    def __init__(self, **data: Any) -> None:
        super().__init__(**{**data, "b": "made"})


class OwnValidate(BaseModel):
    a: int
    b: str

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> OwnValidate:
        return super().model_validate({**obj, "b": "own"}, **options)


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_to_lower=True)
    a: int
    b: str


class NoInfinity(BaseModel):
    a: Annotated[float, Field(allow_inf_nan=False)]
    b: str


class InfinityAsConstants(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    a: float
    b: str


class InfinityAsStrings(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    a: float
    b: str


class SecondsAsFloat(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float")
    a: timedelta
    b: str


class ValidateDefault(BaseModel):
    model_config = ConfigDict(validate_default=True)
    a: int
    missing: date = "2024-02-29"  # type: ignore[assignment]


class DefaultFactory(BaseModel):
    a: int
    missing: list[int] = Field(default_factory=lambda: [1, 2])


class Point(BaseModel):
    x: int = 3


class Nested(BaseModel):
    a: int
    point: Point = Point()
    b: Point | str


class WithDecimal(BaseModel):
    a: Decimal
    b: str


class Colour(enum.Enum):
    RED = "abc"
    NONE = ""


class WithEnum(BaseModel):
    a: int
    b: Colour


class EnumValues(BaseModel):
    model_config = ConfigDict(use_enum_values=True)
    b: Colour


class WithLiteral(BaseModel):
    a: Literal["0", "1", "-1"]
    b: str


class PopulateByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first: int = Field(alias="a")
    b: str = Field(alias="other")


class SerializeByAlias(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    first: int = Field(alias="a")
    b: str


class Choices(BaseModel):
    first: int = Field(validation_alias=AliasChoices("missing", "a"))
    b: str


class PostInit(BaseModel):
    a: int
    b: str

    def model_post_init(self, context: Any) -> None:
        self.b = self.b * 2


class Private(BaseModel):
    a: int
    b: str
    _count: int = PrivateAttr(default=0)


class FrozenField(BaseModel):
    a: int = Field(frozen=True)
    b: str


class Excluded(BaseModel):
    a: int
    b: str = Field(exclude=True)


class Root(RootModel[dict[str, str | None]]):
    pass


class Unions(BaseModel):
    a: int | float | None
    b: bool | datetime | str


class Anything(BaseModel):
    a: Any
    b: object


class Bytes(BaseModel):
    a: int
    b: bytes


class Seconds(BaseModel):
    model_config = ConfigDict(val_temporal_unit="seconds")
    a: datetime
    b: date


_INT = {"a": "int", "b": "str"}
_FLOAT = {"a": "float", "b": "str"}

#: The models by name, each with the type of the cells in each input column.
ROW_MODELS: dict[str, tuple[type[BaseModel], dict[str, str]]] = {
    model.__name__: (model, kinds)
    for kinds, models in (
        (
            _INT,
            (
                *(Constrained, Strict, StrictField, FieldValidator, RaisesAnything, BeforeAndAfter),
                *(ModelBefore, ModelAfter, Computed, FieldSerializer, ModelSerializer),
                *(ExtraForbid, ExtraAllow, OwnDump, OwnInit, OwnValidate, Stripped, SecondsAsFloat),
                *(ValidateDefault, DefaultFactory, Nested, WithEnum, EnumValues, WithLiteral),
                *(PopulateByName, SerializeByAlias, Choices, PostInit, Private, FrozenField),
                *(Excluded, Root, Unions, Anything, Bytes),
            ),
        ),
        (
            _FLOAT,
            (PlainSerialized, NoInfinity, InfinityAsConstants, InfinityAsStrings, WithDecimal),
        ),
        ({"a": "datetime", "b": "date"}, (Seconds,)),
    )
    for model in models
}
