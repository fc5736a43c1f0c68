"""The sample job of this folder: orders, read, checked and written as JSON Lines.

Run it with any engine: `zoopipe run job.py:pipe --engine ray --workers 2`. Two environment variables say
the rest:

ZOOPIPE_JOB_FOLDER: where `orders.csv` is and the outputs go; every worker has to reach it. By default
    `zoopipe-job` in the working directory.
ZOOPIPE_JOB_ROWS: how many orders to make up where there is no `orders.csv`; by default 100,000.
"""

from __future__ import annotations

import csv
import os
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from zoopipe import CSVInputAdapter, JSONOutputAdapter, Pipe


class Order(BaseModel):
    """A line of the shop's books."""

    id: int
    customer: str
    country: Literal["DE", "FR", "IT", "ES"]
    ordered: date
    quantity: int = Field(ge=1)
    price: Decimal = Field(ge=0, decimal_places=2)
    paid: bool


def pipe(folder: Path | None = None) -> Pipe:
    """The job's pipe; its input is made where there is none."""
    folder = (folder or Path(os.environ.get("ZOOPIPE_JOB_FOLDER", "zoopipe-job"))).resolve()
    orders = folder / "orders.csv"
    if not orders.exists():
        write_orders(orders, int(os.environ.get("ZOOPIPE_JOB_ROWS", "100000")))
    return Pipe(
        input_adapter=CSVInputAdapter(orders),
        output_adapter=JSONOutputAdapter(folder / "orders.jsonl"),
        error_output_adapter=JSONOutputAdapter(folder / "rejected.jsonl"),
        schema_model=Order,
    )


def write_orders(path: Path, count: int) -> None:
    """Makes up `count` orders, the same each time. Of 100, one has no quantity, and one no price.

    Effect: the file is complete when it appears under its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.{os.getpid()}")
    with making.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(Order.model_fields)
        writer.writerows(_order(number) for number in range(1, count + 1))
    making.replace(path)


def _order(number: int) -> tuple[object, ...]:
    return (
        number,
        # Quotes and newlines inside a cell: a shard must not begin there.
        f'Customer "{number % 977}"\nof the shop'
        if number % 10 == 0
        else f"Customer {number % 977}",
        ("DE", "FR", "IT", "ES")[number % 4],
        date(2024, 1, 1) + timedelta(days=number % 366),
        0 if number % 100 == 17 else number % 9 + 1,
        "free" if number % 100 == 59 else f"{number % 10007 / 100:.2f}",
        ("yes", "no", "true", "false")[number % 4],
    )
