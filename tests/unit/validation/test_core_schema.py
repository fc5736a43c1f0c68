"""What a schema is read as: fields alone, or else nothing is proved of it."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from proofs import kernel_of
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    computed_field,
    create_model,
    field_validator,
    model_serializer,
    model_validator,
)

from zoopipe.validation.core_schema import Unprovable


def provable(annotation: Any, config: ConfigDict | None = None) -> bool:
    try:
        kernel_of(annotation, config)
    except Unprovable:
        return False
    return True


def model(fields: dict[str, Any], config: ConfigDict | None = None, **more: Any) -> Any:
    return create_model("Inner", __config__=config, __validators__=more, **fields)


class Serialized(BaseModel):
    x: int

    @model_serializer
    def _plain(self) -> int:
        return self.x


class Computed(BaseModel):
    x: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def y(self) -> int:
        return 1


class Checked(BaseModel):
    x: int

    @field_validator("x")
    @classmethod
    def _doubled(cls, value: int) -> int:
        return value * 2


class CheckedWhole(BaseModel):
    x: int

    @model_validator(mode="before")
    @classmethod
    def _emptied(cls, value: Any) -> Any:
        return {"x": 0}


class Made(BaseModel):
    x: int

    def __init__(self, x: int) -> None:
        super().__init__(x=x + 1)


class Prepared(BaseModel):
    x: int

    def model_post_init(self, context: Any) -> None:
        self.x += 1


class Tree(BaseModel):
    children: list[Tree]


@pytest.mark.parametrize(
    "annotation",
    [
        *(dict[str, int], set[int], tuple[int, ...], frozenset[int], list, list[Any]),
        *(RootModel[int], Serialized, Computed, Checked, CheckedWhole, Made, Prepared, Tree),
        *(list[Checked], model({"a": (Checked, ...)})),
        model({}),
        model({"x": (int, Field(exclude=True))}),
        model({"x": (Annotated[int, PlainSerializer(str)], ...)}),
        model({"x": (Annotated[list[int], PlainSerializer(len)], ...)}),
        model(
            {"x": (int, Field(validation_alias="a", alias_priority=2))},
            ConfigDict(validate_by_name=True),
        ),
        *(
            model({"x": (int, Field(alias="y"))}, config)
            for config in (
                ConfigDict(extra="allow"),
                ConfigDict(serialize_by_alias=True),
                ConfigDict(ser_json_inf_nan="strings"),
                ConfigDict(revalidate_instances="always"),
            )
        ),
        Annotated[list[int], Field(fail_fast=True)],
    ],
    ids=str,
)
def test_there_is_no_kernel_when_more_than_fields_is_to_do(annotation: Any) -> None:
    assert not provable(annotation)


class Point(BaseModel):
    x: int = Field(alias="y", frozen=True)


@pytest.mark.parametrize(
    "config",
    [
        ConfigDict(serialize_by_alias=True),
        ConfigDict(ser_json_timedelta="float"),
        ConfigDict(ser_json_bytes="base64"),
        ConfigDict(ser_json_temporal="seconds"),
    ],
    ids=str,
)
def test_there_is_no_kernel_when_the_outer_model_may_say_how_the_inner_is_written(
    config: ConfigDict,
) -> None:
    assert provable(Point)
    assert not provable(Point, config)
    assert not provable(list[Point], config)
