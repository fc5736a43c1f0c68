"""What goes wrong in a run: a process is killed at some moment, or a system call fails."""

from __future__ import annotations

import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: Calls that change what is on the disk, or that say whether it was changed.
CALLS = (
    "openat",
    "write",
    "fsync",
    "close",
    "ftruncate",
    "flock",
    "chmod",
    "fchmod",
    "rename",
    "mkdir",
    "unlink",
    "unlinkat",
    "rmdir",
)
# A full disk shows where something is made or grows.
_GROWING = {"openat", "write", "fsync", "mkdir", "rename", "close"}

Effect = Literal["SIGKILL", "EIO", "ENOSPC"]


@dataclass(frozen=True)
class Kill:
    """`kill -9`, so many seconds after the run has begun to stage.

    Attributes:
        whom: a worker, the driver, or all of them.
        after_s: when.
    """

    whom: Literal["worker", "driver", "all"]
    after_s: float

    def __str__(self) -> str:
        return f"kill:{self.whom}:{self.after_s:.4f}"


@dataclass(frozen=True)
class Call:
    """The n-th call of a process on a file ends it, or fails.

    Attributes:
        path: relative to the run's folder.
        name: of the system call.
        number: from 1.
        effect: a signal or an error.
    """

    path: str
    name: str
    number: int
    effect: Effect

    def __str__(self) -> str:
        return f"call:{self.path}:{self.name}:{self.number}:{self.effect}"

    def strace(self, folder: Path, log: Path) -> list[str]:
        """The command that a run is put behind; the process that is started becomes the run."""
        is_signal = self.effect == "SIGKILL"
        effect = f"{'signal' if is_signal else 'error'}={self.effect}:when={self.number}"
        return [
            *("strace", "-D", "-f", "-qq", "-e", "signal=none", "-o", str(log)),
            # With it a run is twice as fast, but strace 6.1 injects no signals.
            *([] if is_signal else ["--seccomp-bpf"]),
            *("-P", str(folder / self.path), "-e", f"trace={self.name}"),
            *("-e", f"inject={self.name}:{effect}"),
        ]

    def has_struck(self, log: Path) -> bool:
        """Whether there was such a call."""
        text = log.read_text()
        return "INJECTED" in text or text.rstrip().endswith(("= ?", "<unfinished ...>"))


Fault = Kill | Call


def parse(text: str) -> Fault:
    """The fault that `str` gave."""
    kind, *fields = text.split(":")
    if kind == "kill":
        return Kill(fields[0], float(fields[1]))  # type: ignore[arg-type]
    path, name, number, effect = fields
    return Call(path, name, int(number), effect)  # type: ignore[arg-type]


def every_call(command: Sequence[str], folder: Path) -> list[Call]:
    """A fault for each call that an undisturbed run makes on its files, and for each thing that may
    happen to it."""
    log = folder.with_name(f"{folder.name}.calls")
    strace = ["strace", "-f", "-y", "-qq", "--seccomp-bpf", "-e", "signal=none", "-o", str(log)]
    done = subprocess.run(
        [*strace, "-e", f"trace={','.join(CALLS)}", *command],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    counted: Counter[tuple[str, str, str]] = Counter()
    for line in log.read_text().splitlines():
        if found := _call_on(line, folder):
            counted[found] += 1
    log.unlink()
    most: Counter[tuple[str, str]] = Counter()
    for (_, path, name), count in counted.items():
        most[path, name] = max(most[path, name], count)
    return [
        Call(path, name, number, effect)
        for (path, name), count in sorted(most.items())
        for number in range(1, count + 1)
        for effect in _effects(name)
    ]


_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


def _call_on(line: str, folder: Path) -> tuple[str, str, str] | None:
    """Process, file and call of a line of strace, where it is about a file below `folder`."""
    match = _LINE.match(line)
    if match is None:
        return None
    process, name, arguments = match.groups()
    arguments = re.sub(r"AT_FDCWD<[^>]*>", "", arguments)
    path = re.search(rf"[<\"]{re.escape(str(folder))}/([^>\"]+)[>\"]", arguments)
    return None if path is None else (process, path[1], name)


def _effects(name: str) -> Iterator[Effect]:
    yield "SIGKILL"
    yield "EIO"
    if name in _GROWING:
        yield "ENOSPC"


def kill(random_: random.Random, duration_s: float) -> Kill:
    """A kill at a random moment of a run that stages for so many seconds."""
    return Kill(random_.choice(["worker", "driver", "all"]), random_.uniform(0, duration_s))
