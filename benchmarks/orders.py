"""The input of the rich model's case: a CSV file of orders, the same for the same arguments."""

from __future__ import annotations

import csv
import random
import unicodedata
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from benchmarks.people import SEED, first_and_last

HEADER = (
    "orderId",
    "orderKey",
    "placedAt",
    "dueOn",
    "status",
    "carrier",
    "channel",
    "customerName",
    "customerEmail",
    "phone",
    "street",
    "city",
    "postcode",
    "country",
    "sku",
    "quantity",
    "unitPrice",
    "taxRate",
    "weightKg",
    "gift",
)
_HOSTS = ("example.com", "Example.org", "mail.example.net", "post.example-shop.com")
_STREETS = ("Hill Street", "Rue de l'Église", "Am Markt", "Church Lane, rear", "Calle Mayor")
_CITIES = ("Utrecht", "Lyon", "Graz", "Leeds", "Málaga", "Gdańsk")
_COUNTRIES = ("NL", "FR", "AT", "GB", "ES", "PL")
_FIRST = datetime(2021, 1, 1)
_MINUTES = 5 * 365 * 24 * 60
# Each makes a row that pydantic refuses; the field and a text that it cannot take.
_FAULTS = (
    ("orderId", "0"),
    ("orderKey", "none"),
    ("status", "lost"),
    ("channel", "fax"),
    ("customerEmail", "nobody at home"),
    ("phone", "00 31 6"),
    ("country", "nl"),
    ("quantity", "0"),
    ("unitPrice", "9.999"),
    ("weightKg", "-1"),
)


def write_orders(path: Path, rows: int, bad_share: float) -> None:
    """Writes a header and `rows` rows.

    Args:
        path: the file to write.
        rows: how many rows.
        bad_share: the share of rows, 0 to 1, with one value that the model refuses.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(_orders(rows, bad_share))


def orders(rows: int, bad_share: float = 0.0) -> partial[None]:
    """A maker of such a file, to be called with its path."""
    return partial(write_orders, rows=rows, bad_share=bad_share)


def _orders(rows: int, bad_share: float) -> Iterator[list[str]]:
    rng = random.Random(f"{SEED} orders {rows} {bad_share}")
    for number in range(1, rows + 1):
        row = _order(rng, number)
        if rng.random() < bad_share:
            name, text = rng.choice(_FAULTS)
            row[HEADER.index(name)] = text
        yield row


def _order(rng: random.Random, number: int) -> list[str]:
    first, last = first_and_last(rng)
    placed = _FIRST + timedelta(minutes=rng.randrange(_MINUTES))
    return [
        str(number),
        str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        placed.isoformat(),
        (placed.date() + timedelta(days=rng.randrange(1, 15))).isoformat(),
        rng.choice(("new", "paid", "sent", "returned")),
        rng.choice(("post", "courier", "pickup")),
        rng.choice(("web", "shop", "phone")),
        f"{first} {last}",
        f"{_plain(first)}.{_plain(last)}{rng.randrange(10_000)}@{rng.choice(_HOSTS)}".lower(),
        f"+{rng.randrange(10**9, 10**12)}",
        f"{rng.choice(_STREETS)} {rng.randrange(1, 200)}",
        rng.choice(_CITIES),
        f"{rng.randrange(100_000):05}",
        rng.choice(_COUNTRIES),
        f"SKU{rng.randrange(100_000):05}",
        str(rng.randrange(1, 100)),
        f"{rng.uniform(0.5, 900):.2f}",
        rng.choice(("0.21", "0.09", "0")),
        f"{rng.uniform(0.05, 30):.3f}",
        rng.choice(("true", "false")),
    ]


def _plain(name: str) -> str:
    """A name as it stands in an address, without accents; nearly all addresses are ASCII."""
    return unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
