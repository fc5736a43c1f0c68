"""A model with a field of every type, and rows of it: what any format has to bring through unharmed."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, HttpUrl, NaiveDatetime


class Colour(enum.Enum):
    """An enum of texts."""

    RED = "red"
    NAVY = "navy blue"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


class Place(BaseModel):
    """A model within a model."""

    city: str
    at: tuple[float, ...] | None = None


class Flat(BaseModel):
    """A field of each type that a cell of a sheet or of CSV can hold, and of each what may be missing."""

    id: int = Field(ge=0)
    name: str
    score: float
    active: bool
    born: date
    seen: AwareDatetime
    local: NaiveDatetime
    clock: time
    took: timedelta
    price: Annotated[Decimal, Field(max_digits=14, decimal_places=4)]
    key: UUID
    data: bytes
    colour: Colour
    level: Level
    site: HttpUrl
    maybe_id: int | None
    maybe_name: str | None
    maybe_born: date | None
    maybe_seen: AwareDatetime | None
    maybe_price: Annotated[Decimal, Field(max_digits=14, decimal_places=4)] | None


class Everything(Flat):
    """What is in `Flat`, and lists, dicts and models, within each other too."""

    tags: list[str]
    sizes: list[int | None]
    counts: dict[str, int]
    place: Place
    places: list[Place]
    maybe_place: Place | None


_NAMES = (
    "plain",
    "with, comma",
    'with "quotes"',
    "two\nlines",
    "Zoë \u2028 漢字 🦓",
    "=1+1",
    "007",
)
_SCORES = (0.0, -1.5, 1e-9, 123456.789, 2.0)
_ROWS = 60


def everything(count: int = _ROWS, bad: int = 7) -> list[dict[str, Any]]:
    """Rows of `Everything`, as Python's values.

    Args:
        count: how many.
        bad: of so many rows one is refused by the model, for its id is negative; 0 for none.
    """
    return [_row(number, bool(bad) and number % bad == bad - 1) for number in range(count)]


def _row(number: int, is_bad: bool) -> dict[str, Any]:
    day = date(1969, 12, 25) + timedelta(days=number * 211)
    moment = datetime(2024, 2, 28, 23, 59, 58, 123456) + timedelta(minutes=number * 977)
    price = Decimal(number * number * 37 - 5) / 100
    present = number % 3 != 1
    place = {"city": f"town {number}", "at": (number / 2, -1.25) if number % 2 else None}
    return {
        "id": -1 - number if is_bad else number,
        "name": f"{_NAMES[number % len(_NAMES)]} {number}",
        "score": _SCORES[number % len(_SCORES)],
        "active": number % 2 == 0,
        "born": day,
        "seen": moment.replace(tzinfo=UTC),
        "local": moment,
        "clock": moment.time(),
        "took": timedelta(days=number % 3, seconds=number, microseconds=number * 1001),
        "price": price,
        "key": UUID(int=number * 0x0123456789ABCDEF0123456789ABCD),
        "data": f"bytes {number}".encode(),
        "colour": list(Colour)[number % 2].value,
        "level": list(Level)[number % 2].value,
        "site": f"https://example.org/rows/{number}",
        "maybe_id": number * 10_000_000_019 if present else None,
        "maybe_name": f"name {number}" if present else None,
        "maybe_born": day if present else None,
        "maybe_seen": moment.replace(tzinfo=UTC) if present else None,
        "maybe_price": price if present else None,
        "tags": [f"tag {n}" for n in range(number % 4)],
        "sizes": [number, None, -number][: number % 4],
        "counts": {f"key {n}": n * number for n in range(number % 3)},
        "place": place,
        "places": [place] * (number % 3),
        "maybe_place": place if present else None,
    }


def flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The columns of `Flat` alone."""
    return [{name: row[name] for name in Flat.model_fields} for row in rows]
