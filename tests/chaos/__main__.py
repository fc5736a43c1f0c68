"""Disturbs runs, one fault each: `make chaos`, or `PYTHONPATH=tests python -m chaos --faults 100`."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from dask_clusters import dask_cluster
from ray_clusters import ray_cluster

from chaos.faults import Fault, every_call, kill, parse
from chaos.trial import Bench, Broken, Mode, no_workers_left

Trial = tuple[Mode, Fault]


def faults_of(bench: Bench, engine: str, address: str | None, seed: int) -> Iterator[Trial]:
    """Faults without end, in an order that a seed decides: kills at random moments, and on this machine's
    engine, in turn with them, each call of an undisturbed run."""
    random_ = random.Random(seed)
    modes = [
        Mode(engine, address, merge, keeps)
        for merge, keeps in itertools.product((True, False), (True, False))
    ]
    calls: list[Trial] = []
    if engine == "multiprocess":
        for mode in modes[::2]:
            folder = bench.new_folder(f"calls-{mode.merge}")
            for call in every_call(mode.command(folder, resume=False), folder):
                keeps = random_.random() < 0.5
                calls.append((Mode(engine, address, mode.merge, keeps), call))
            shutil.rmtree(folder)
    print(f"an undisturbed run gives {len(calls)} faults of calls", flush=True)
    random_.shuffle(calls)
    for mode in modes:
        bench.reference(mode)
    while True:
        for _ in range(2):
            if calls:
                yield calls.pop()
        mode = random_.choice(modes)
        yield mode, kill(random_, bench.reference(mode).duration_s)


def disturb(
    bench: Bench, trials: Iterator[Trial], at_once: int
) -> Iterator[tuple[Trial, str | Broken]]:
    """Runs trials, so many at once; yields each as it ends, with how the disturbed run ended."""

    def attempt(trial: Trial, number: int) -> str | Broken:
        try:
            return bench.attempt(f"trial-{number}", *trial)
        except Broken as error:
            return error

    with ThreadPoolExecutor(at_once) as pool:
        running: dict[Future[str | Broken], Trial] = {}
        numbers = itertools.count()
        while True:
            while len(running) < at_once:
                trial = next(trials)
                running[pool.submit(attempt, trial, next(numbers))] = trial
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()


@contextlib.contextmanager
def address_of(engine: str, folder: Path) -> Iterator[str | None]:
    """A cluster for the engine, where it needs one."""
    if engine == "ray":
        with ray_cluster(cpus=4) as ray:
            yield ray.address
    elif engine == "dask":
        with dask_cluster(folder / "dask", workers=3) as dask:
            yield dask.address
    else:
        yield None


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--engine", choices=["multiprocess", "ray", "dask"], default="multiprocess")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", help="this fault again and again, as a failure names it")
    parser.add_argument("--no-merge", dest="merge", action="store_false")
    parser.add_argument("--keeps", action="store_true", help="the disturbed run keeps what is done")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="zoopipe-chaos-"))
    print(f"{given.engine}, seed {given.seed}, in {folder}", flush=True)
    broken = in_vain = 0
    ends: Counter[str] = Counter()
    since = time.monotonic()
    with address_of(given.engine, folder) as address, no_workers_left(folder):
        bench = Bench(folder / "bench")
        trials = faults_of(bench, given.engine, address, given.seed)
        if given.only:
            mode = Mode(given.engine, address, given.merge, given.keeps)
            trials = itertools.repeat((mode, parse(given.only)))
        for (mode, fault), end in disturb(bench, trials, given.at_once):
            if isinstance(end, Broken):
                broken += 1
                print(
                    f"BROKEN by --engine {given.engine} {mode.options} --only {fault}: {end}",
                    flush=True,
                )
            elif end:
                ends[end] += 1
            else:
                in_vain += 1
            done = broken + ends.total()
            if end and done % 50 == 0:
                print(
                    f"{done} faults, {broken} broken, {time.monotonic() - since:.0f} s", flush=True
                )
            if done >= given.faults or in_vain > 2 * given.faults:
                break
    print(f"disturbed runs: {', '.join(f'{n} {end}' for end, n in ends.most_common())}")
    print(f"faults that came too late to strike, not counted: {in_vain}")
    print(
        f"survived {ends.total()} of {broken + ends.total()} faults on {given.engine}, with nothing lost, "
        f"doubled or partly visible; {time.monotonic() - since:.0f} s"
    )
    if not broken:
        shutil.rmtree(folder)
    return 1 if broken or ends.total() < given.faults else 0


if __name__ == "__main__":
    sys.exit(main())
