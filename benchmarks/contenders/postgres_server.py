"""A PostgreSQL server for a while: Debian's, with its data in a temporary folder; Python's own modules only."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

# Has signs that URIs escape, so that nothing passes by chance.
PASSWORD = "s3cr/et@"
_WAIT_S = 60


def binaries() -> Path | None:
    """Where the newest PostgreSQL is; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: each.parts[4])
    return found[-1].parent if found else None


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        home: the folder of its socket.
        port: on loopback.
    """

    home: Path
    port: int

    def uri(self, database: str = "postgres", by_socket: bool = True) -> str:
        """The URI of a database."""
        user = f"postgresql://tester:{quote(PASSWORD, safe='')}"
        if by_socket:
            return f"{user}@/{database}?host={self.home}&port={self.port}"
        return f"{user}@127.0.0.1:{self.port}/{database}"

    def query(self, statement: str, database: str = "postgres") -> str:
        """What `psql` prints of a statement, bare."""
        command = [*self._psql(database), "-c", statement]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=600
        ).stdout

    def lines(self, statement: str, database: str = "postgres") -> Iterator[str]:
        """The lines that `psql` prints of a SELECT, as they come."""
        command = [*self._psql(database), "-c", f"COPY ({statement}) TO STDOUT (FORMAT csv)"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for (line,) in csv.reader(process.stdout):
                yield line

    def _psql(self, database: str) -> list[str]:
        return ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.uri(database)]


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server that is gone afterwards; without fsync, for nobody pulls its plug."""
    folder = binaries()
    if folder is None:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    # A socket's path has at most 107 bytes.
    home = Path(tempfile.mkdtemp(prefix="zpg"))
    data, password = home / "data", home / "password"
    password.write_text(PASSWORD)
    as_user = {}
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
            **as_user,
        )

    port = _free_port()
    options = (
        f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off "
        "-c full_page_writes=off -c max_wal_size=4GB -c shared_buffers=256MB"
    )
    try:
        call(
            *(folder / "initdb", "-D", data, "-U", "tester", "--auth=scram-sha-256"),
            *("--pwfile", password, "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
        )
        call(
            *(folder / "pg_ctl", "-D", data, "-l", home / "log", "-w", "-t", _WAIT_S),
            *("-o", options, "start"),
        )
        try:
            yield Server(home, port)
        finally:
            call(folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
