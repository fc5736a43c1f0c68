"""One trial: a run, a fault, runs that resume until all is done, and what has to hold then."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from oracle import csv_dicts, json_lines, text_lines, validated

from chaos.faults import Call, Fault, Kill
from chaos.job import Order, write_input

OLD = b'{"old":true}\n'
# A run lasts about a second, and longer behind strace on a busy machine.
_LIMIT_S = 90.0
_MOST_RESUMES = 4
_ENDS = {0: "went on", 1: "failed", 2: "was refused", -signal.SIGKILL: "was killed"}


class Broken(AssertionError):
    """What had to hold does not."""


@dataclass(frozen=True)
class Mode:
    """How a job is run.

    Attributes:
        engine, address: where.
        merge: whether one file is published.
        keeps: whether the run that is disturbed is asked to keep what is done.
    """

    engine: str = "multiprocess"
    address: str | None = None
    merge: bool = True
    keeps: bool = True

    @property
    def options(self) -> str:
        """Of `python -m chaos`."""
        return f"{'' if self.merge else '--no-merge '}{'--keeps' if self.keeps else ''}"

    def command(self, folder: Path, resume: bool) -> list[str]:
        command = [sys.executable, "-m", "chaos.job", str(folder), "--engine", self.engine]
        command += ["--address", self.address] if self.address else []
        command += [] if self.merge else ["--no-merge"]
        return [*command, "--resume"] if resume else command


@dataclass(frozen=True)
class Reference:
    """What an undisturbed run publishes, by file name, and how long it stages."""

    files: dict[str, bytes]
    duration_s: float


@dataclass
class Bench:
    """The folder of trials: the input, and what has to come of it.

    Args:
        folder: a new one.
        rows: of the input.
    """

    folder: Path
    rows: int = 60_000
    _references: dict[bool, Reference] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_input(self.folder / "in.csv", self.rows)

    def reference(self, mode: Mode) -> Reference:
        """What a run has to publish: what the row loop gives, checked."""
        if mode.merge not in self._references:
            folder = self.new_folder(f"reference-{mode.merge}")
            driver = _Driver(mode.command(folder, resume=False), folder)
            begun = driver.wait_for_staging()
            if driver.wait() != 0:
                raise Broken(driver.said())
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
            self._check_by_row_loop(folder)
            self._references[mode.merge] = Reference(files, time.monotonic() - begun)
            shutil.rmtree(folder)
        return self._references[mode.merge]

    def new_folder(self, name: str) -> Path:
        """A folder as a trial finds it: outputs of an earlier run are there, and stale parts."""
        folder = self.folder / name
        folder.mkdir()
        (self.folder / f"pids-{name}").mkdir(exist_ok=True)
        return folder

    def _check_by_row_loop(self, folder: Path) -> None:
        lines, refused = validated(csv_dicts((self.folder / "in.csv").read_bytes()), Order)
        found = [line for path in sorted(folder.glob("out*")) for line in text_lines(path)]
        rejects = [row for path in sorted(folder.glob("bad*")) for row in json_lines(path)]
        if found != lines:
            raise Broken("the undisturbed run does not give what the row loop gives")
        if [(row["_row"], row["_errors"]) for row in rejects] != refused:
            raise Broken("the undisturbed run does not reject what the row loop rejects")

    def attempt(self, name: str, mode: Mode, fault: Fault) -> str:
        """One trial.

        Returns:
            How the disturbed run ended; empty where the fault did not strike.

        Raises:
            Broken: something was lost, doubled, seen too early or left behind, or a run hung.
        """
        wanted = self.reference(mode).files
        folder = self.new_folder(name)
        stale = ["out_part_00009.jsonl", "bad_part_00009.jsonl"]
        for file in [*wanted, *([] if mode.merge else stale)]:
            (folder / file).write_bytes(OLD)
        trace = self.folder / f"{name}.strace"
        with Reader(folder, wanted) as reader:
            command = mode.command(folder, mode.keeps)
            if isinstance(fault, Call):
                command = [*fault.strace(folder, trace), *command]
            first = _Driver(command, folder)
            if isinstance(fault, Kill):
                struck = _kill(fault, first, self.folder / f"pids-{name}")
            end = _ENDS.get(first.wait(), "ended otherwise")
            if isinstance(fault, Call):
                struck = fault.has_struck(trace)
            said = [first.said()]
            for _ in range(_MOST_RESUMES):
                again = _Driver(mode.command(folder, resume=True), folder)
                code = again.wait()
                said.append(again.said())
                if code == 0:
                    break
            else:
                raise Broken(f"it does not end well: {said}")
        first.kill_all()
        if reader.broken:
            raise Broken(f"{reader.broken}; {said}")
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        others = sorted(set(os.listdir(folder)) - set(wanted))
        if others:
            raise Broken(f"there is left behind: {others}; {said}")
        if found != wanted:
            differ = sorted(file for file in wanted if found.get(file) != wanted[file])
            raise Broken(f"other bytes than those of an undisturbed run: {differ}; {said}")
        shutil.rmtree(folder)
        shutil.rmtree(self.folder / f"pids-{name}", ignore_errors=True)
        trace.unlink(missing_ok=True)
        return end if struck else ""


class _Driver:
    """A driver, in a process group of its own."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._folder = folder
        self._log = folder.with_name(f"{folder.name}.log")
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for_staging(self) -> float:
        """When the run began to stage, on the monotonic clock."""
        staging = self._folder / ".out.jsonl.zoopipe"
        while not staging.exists() and self.process.poll() is None:
            time.sleep(0.001)
        return time.monotonic()

    def wait(self) -> int:
        try:
            return self.process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            said = self.said()
            self.kill_all()
            raise Broken(f"a run hangs: {said}") from None

    def said(self) -> str:
        return self._log.read_text()[-2000:]

    def kill_all(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.unlink(missing_ok=True)


def _kill(fault: Kill, driver: _Driver, pids: Path) -> bool:
    """Kills whom the fault names, at its moment, and says whether there was anybody."""
    moment = driver.wait_for_staging() + fault.after_s
    while time.monotonic() < moment and driver.process.poll() is None:
        time.sleep(0.0005)
    workers = [int(path.name) for path in pids.iterdir()]
    if fault.whom == "worker":
        # The one that began last is the likeliest to be at work.
        condemned = sorted(workers)[-1:]
    else:
        condemned = [driver.process.pid, *(workers if fault.whom == "all" else [])]
    if driver.process.poll() is not None:
        return False
    killed = [_kill_process(pid) for pid in condemned]
    return any(killed)


def _kill_process(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Reader:
    """Looks at the targets all the time, as a reader of them would.

    Attributes:
        broken: what it has seen that nobody may see; empty where all was well.
    """

    def __init__(self, folder: Path, wanted: dict[str, bytes]) -> None:
        self.broken = ""
        self._folder = folder
        self._wanted = wanted
        self._seen: dict[str, tuple[int, ...]] = {}
        self._is_new: dict[str, bool] = dict.fromkeys(wanted, False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def has_seen_all(self) -> bool:
        """Whether every target was seen new."""
        return all(self._is_new.values())

    def _look_again_and_again(self) -> None:
        while not self._ended.wait(0.002) and not self.broken:
            # Outputs first: whoever sees one sees its rejects.
            outputs = [self._look(name) for name in self._wanted if name.startswith("out")]
            rejects = [self._look(name) for name in self._wanted if name.startswith("bad")]
            if any(outputs) and not all(rejects):
                self.broken = "an output was there before its rejects"

    def _look(self, name: str) -> bool:
        """Whether a target is new."""
        try:
            found = (self._folder / name).stat()
            state = (found.st_ino, found.st_size, found.st_mtime_ns)
            if state != self._seen.get(name):
                data = (self._folder / name).read_bytes()
                if data not in (OLD, self._wanted[name]):
                    self.broken = f"a reader saw {len(data)} bytes of {name}"
                self._seen[name], self._is_new[name] = state, data == self._wanted[name]
        except FileNotFoundError:
            self.broken = f"a reader did not find {name}"
        return self._is_new[name]


@contextlib.contextmanager
def no_workers_left(folder: Path) -> Iterator[None]:
    """Kills what trials have left running, when all is over."""
    try:
        yield
    finally:
        for path in folder.glob("pids-*/*"):
            with contextlib.suppress(OSError):
                if b"chaos.job" in Path(f"/proc/{path.name}/cmdline").read_bytes():
                    _kill_process(int(path.name))
