"""Which Python runs a contender: this one, or one of the contender's own.

A contender with a list of pinned requirements beside it (`contenders/<name>.txt`) cannot share
this environment; it gets one in `benchmarks/.envs/`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_ENVIRONMENTS = HERE / ".envs"
_STAMP = "installed.txt"


def contenders() -> list[str]:
    """The names of all contenders: the files in `contenders/` that run jobs."""
    files = (HERE / "contenders").glob("*.py")
    return sorted(path.stem for path in files if path.stem != "models")


def python_of(contender: str) -> Path | None:
    """The Python that has the contender's libraries; None where it is yet to be installed."""
    requirements = _requirements(contender)
    if not requirements.exists():
        return Path(sys.executable)
    folder = _folder(contender)
    stamp = folder / _STAMP
    if not stamp.exists() or stamp.read_bytes() != requirements.read_bytes():
        return None
    return folder / "bin" / "python"


def install(contender: str) -> Path:
    """The Python that has the contender's libraries, after they are installed if need be.

    Raises:
        subprocess.CalledProcessError: venv or pip failed; the next call tries again.
    """
    if (ready := python_of(contender)) is not None:
        return ready
    folder, requirements = _folder(contender), _requirements(contender)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "-qq", "-r", str(requirements)],
        check=True,
        stdout=sys.stderr,
    )
    (folder / _STAMP).write_bytes(requirements.read_bytes())
    return python


def _requirements(contender: str) -> Path:
    return HERE / "contenders" / f"{contender}.txt"


def _folder(contender: str) -> Path:
    return _ENVIRONMENTS / contender.replace("_", "-")
