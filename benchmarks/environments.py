"""Which Python runs a contender: this one, or that of an environment made for it.

`environments.toml` says who needs another environment, and what is pinned there. Each is a folder
in `benchmarks/.envs/`.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
# Files in contenders/ that contenders import; they run no jobs.
_SHARED = ("functions", "loading", "models", "postgres_server", "running")
_ENVIRONMENTS = HERE / ".envs"
_STAMP = "installed.txt"


@dataclass(frozen=True, slots=True)
class _Environment:
    """An environment of `environments.toml`."""

    folder: Path
    requirements: tuple[str, ...]

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def is_installed(self) -> bool:
        stamp = self.folder / _STAMP
        return stamp.exists() and stamp.read_text() == "\n".join(self.requirements)


def contenders() -> list[str]:
    """The names of all contenders: the files in `contenders/` that run jobs."""
    files = (HERE / "contenders").glob("*.py")
    return sorted(path.stem for path in files if path.stem not in _SHARED)


def python_of(contender: str) -> Path | None:
    """The Python that has the contender's libraries; None where it is yet to be installed."""
    environment = _environments().get(contender)
    if environment is None:
        return Path(sys.executable)
    return environment.python if environment.is_installed else None


def install(contender: str) -> Path:
    """The Python that has the contender's libraries, after they are installed if need be.

    Raises:
        subprocess.CalledProcessError: venv or pip failed; the next call tries again.
    """
    if (ready := python_of(contender)) is not None:
        return ready
    environment = _environments()[contender]
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment.folder)], check=True)
    pip = [str(environment.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    # From the root, which a requirement may name.
    subprocess.run(
        [*pip, *environment.requirements], check=True, stdout=sys.stderr, cwd=HERE.parent
    )
    (environment.folder / _STAMP).write_text("\n".join(environment.requirements))
    return environment.python


@cache
def _environments() -> dict[str, _Environment]:
    """The environment of each contender that does not share this one."""
    with (HERE / "environments.toml").open("rb") as file:
        tables = tomllib.load(file)
    return {
        contender: _Environment(_ENVIRONMENTS / name, tuple(table["requirements"]))
        for name, table in tables.items()
        for contender in table["contenders"]
    }
