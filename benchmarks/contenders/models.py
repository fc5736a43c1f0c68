"""The models that jobs validate with."""

from datetime import date

from pydantic import BaseModel


class Person(BaseModel):
    """Seven fields of six types."""

    id: int
    name: str
    email: str
    age: int
    score: float
    active: bool
    born: date
