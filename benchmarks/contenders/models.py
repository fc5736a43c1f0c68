"""The models that jobs validate with."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, EmailStr, Field, field_validator


class Person(BaseModel):
    """Seven fields of six types."""

    id: int
    name: str
    email: str
    age: int
    score: float
    active: bool
    born: date


class CheckedPerson(Person):
    """The same with one validator in Python."""

    @field_validator("email")
    @classmethod
    def _has_a_host(cls, email: str) -> str:
        name, at, host = email.partition("@")
        if not (name and at and "." in host):
            raise ValueError("not an e-mail address")
        return email.lower()


class Status(StrEnum):
    """Where an order stands."""

    NEW = "new"
    PAID = "paid"
    SENT = "sent"
    RETURNED = "returned"


class Carrier(Enum):
    """Who brings it."""

    POST = "post"
    COURIER = "courier"
    PICKUP = "pickup"


Money = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]


class Order(BaseModel):
    """Twenty fields: aliases, enums, decimals, addresses, constraints."""

    id: int = Field(alias="orderId", gt=0)
    key: UUID = Field(alias="orderKey")
    placed: datetime = Field(alias="placedAt")
    due: date = Field(alias="dueOn")
    status: Status
    carrier: Carrier
    channel: Literal["web", "shop", "phone"]
    name: str = Field(alias="customerName", min_length=1, max_length=60)
    email: EmailStr = Field(alias="customerEmail")
    phone: str = Field(pattern=r"^\+[0-9]{8,15}$")
    street: str = Field(max_length=80)
    city: str = Field(min_length=2)
    postcode: str = Field(pattern=r"^[0-9]{5}$")
    country: str = Field(pattern=r"^[A-Z]{2}$")
    sku: str = Field(min_length=8, max_length=8)
    quantity: int = Field(ge=1, le=999)
    price: Money = Field(alias="unitPrice")
    tax: Decimal = Field(alias="taxRate", ge=0, le=1)
    weight_kg: float = Field(alias="weightKg", gt=0)
    gift: bool = False
