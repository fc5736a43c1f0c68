"""`make fuzz`: millions of hostile rows through random models, until one is answered otherwise than pydantic
answers it.

Rows come in blocks. What a block does depends on the seed and on its number alone, so that a difference is
found again by the command that is printed with it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import cpu_count, get_context
from typing import Any

import hypothesis
from cells import Row, hard_rows, random_rows, uniform_rows
from differential import check_plan
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_models import Made, columnar_models, constrained_models, row_models

MODELS_A_BLOCK = 40
MODELS = st.one_of(columnar_models(), constrained_models(), constrained_models(), row_models())


@dataclass(frozen=True)
class Ran:
    """How many rows were compared, and the first difference, with what is needed to repeat it."""

    rows: int
    difference: str | None = None


def run(rows: int, seed: int, workers: int, first_block: int = 0) -> Ran:
    """Blocks of rows, on several processes, until there were enough or there is a difference."""
    done, started = 0, time.monotonic()
    for ran in _blocks(seed, workers, first_block, most_rows=rows):
        done += ran.rows
        if ran.difference is not None:
            return Ran(done, ran.difference)
        if workers > 1:
            print(f"{done:,} rows, {done / (time.monotonic() - started):,.0f} a second", flush=True)
        if done >= rows:
            break
    return Ran(done)


def _blocks(seed: int, workers: int, number: int, most_rows: int) -> Iterator[Ran]:
    """What came of block after block."""
    if workers == 1:
        while True:
            yield run_block(seed, number, most_rows)
            number += 1
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting: set[Future[Ran]] = set()
        try:
            while True:
                while len(waiting) < 2 * workers:
                    waiting.add(pool.submit(run_block, seed, number, most_rows))
                    number += 1
                ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in ended)
        finally:
            pool.shutdown(cancel_futures=True)


def run_block(seed: int, number: int, most_rows: int) -> Ran:
    """One block: some models, each with up to 5,000 rows."""
    rows, difference = 0, None

    # What fails is narrowed here, so that hypothesis need not try thousands of rows again and again.
    @hypothesis.seed(seed * 1_000_003 + number)
    @settings(
        max_examples=MODELS_A_BLOCK,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(MODELS, st.integers(0, 2**32))
    def compare(made: Made, row_seed: int) -> None:
        nonlocal rows, difference
        if difference is not None or rows >= most_rows:
            return
        chance = random.Random(row_seed)
        kinds = {name: made.kinds[name] for name in made.names}
        some = _rows(kinds, min(chance.choice((5, 500, 5000, 5000)), most_rows), chance)
        rows += len(some)
        # The JSON lines and the errors are compared always, the rest in one of eight.
        difference = _difference(made, some, full=chance.randrange(8) == 0)

    with warnings.catch_warnings():
        # A default that is no value of its type is written all the same, and pydantic warns.
        warnings.filterwarnings("ignore", "Pydantic serializer warnings")
        compare()
    if difference is not None:
        difference += f"\nrepeat it with: make fuzz SEED={seed} BLOCK={number}\n"
    return Ran(rows, difference)


def _rows(kinds: Mapping[str, str], count: int, chance: random.Random) -> list[Row]:
    seed = chance.randrange(2**32)
    kind = chance.randrange(4)
    if kind == 0:
        return hard_rows(kinds, count, seed)
    if kind == 1:
        return uniform_rows(kinds, count, seed)
    return random_rows(
        kinds, count, chance.choice((0.0, 0.01, 0.1, 1.0)), chance.choice((0.0, 0.02, 0.3)), seed
    )


def _difference(made: Made, rows: list[Row], full: bool) -> str | None:
    """Why a plan's answers are not pydantic's, with few rows that show it; None where they are."""
    try:
        check_plan(made.model, rows, made.names, full)
        return None
    except Exception:
        rows = _narrowed(made, rows, full)
    try:
        check_plan(made.model, rows, made.names, full)
    except Exception:
        fields = "\n".join(f"  {name}: {field!r}" for name, field in _fields(made))
        return f"{traceback.format_exc()}\nmodel {made.model.__name__}\n{fields}\nrows {rows!r}"
    return None


def _narrowed(made: Made, rows: list[Row], full: bool) -> list[Row]:
    """The rows, less those without which there still is a difference: parts of them, ever smaller."""
    size = len(rows) // 2
    while size:
        at = 0
        while at < len(rows):
            fewer = rows[:at] + rows[at + size :]
            if fewer and _fails(made, fewer, full):
                rows = fewer
            else:
                at += size
        size //= 2
    return rows


def _fails(made: Made, rows: list[Row], full: bool) -> bool:
    try:
        check_plan(made.model, rows, made.names, full)
    except Exception:
        return True
    return False


def _fields(made: Made) -> list[tuple[str, Any]]:
    return [("settings", made.model.model_config), *made.model.model_fields.items()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--block", type=int, default=None, help="this block alone")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    if options.block is not None:
        ran = run_block(seed, options.block, options.rows)
    else:
        ran = run(options.rows, seed, cpu_count())
    print(ran.difference or f"{ran.rows:,} rows, no difference")
    return 1 if ran.difference else 0


if __name__ == "__main__":
    sys.exit(main())
