"""A PostgreSQL of the tests' own: Debian's, on a Unix socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Has a sign that URIs escape, so that no test passes by chance.
PASSWORD = "s3cr/et@"
_WAIT_S = 60


def _binaries() -> Path | None:
    """The newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: each.parts[4])
    return found[-1].parent if found else None


@contextmanager
def postgres() -> Iterator[str]:
    """The URI of a server that is gone afterwards; without durability, for nobody pulls its plug."""
    binaries = _binaries()
    if binaries is None:
        why = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    # Not below pytest's folder: a socket's path has at most 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="zpg"))
    data, password = home / "data", home / "password"
    password.write_text(PASSWORD)
    as_user: dict[str, str] = {}
    if os.geteuid() == 0:
        # It refuses to run as root.
        as_user = {"user": "postgres"}
        for path in (home, password):
            shutil.chown(path, "postgres")

    def call(*command: object) -> None:
        subprocess.run(
            [str(each) for each in command],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=home,
            timeout=_WAIT_S,
            **as_user,  # type: ignore[call-overload]
        )

    options = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off -c full_page_writes=off"
    try:
        call(
            *(binaries / "initdb", "-D", data, "-U", "tester", "--auth=scram-sha-256"),
            *("--pwfile", password, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
        )
        call(
            *(binaries / "pg_ctl", "-D", data, "-l", home / "log", "-w", "-t", _WAIT_S),
            *("-o", options, "start"),
        )
        try:
            yield f"postgresql://tester:{PASSWORD.replace('/', '%2F').replace('@', '%40')}@/postgres?host={home}"
        finally:
            call(binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
