"""The server that rows are loaded into, and what is in it afterwards."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from contenders.postgres_server import Server, running

TABLE = "people"
_KINDS = {"id": int, "age": int, "score": float, "active": lambda text: text in ("true", "t", "1")}


class Loading:
    """Starts the server before the clock runs, and writes what was loaded when it has stopped."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._server: Server | None = None
        self._output = Path()

    def prepare(self) -> None:
        """Starts the server."""
        self._server = self._stack.enter_context(running())

    def uri(self, output: Path) -> str:
        """The database; its table is written to `output` in the end."""
        assert self._server is not None
        self._output = output
        return self._server.uri(by_socket=False)

    def finish(self) -> None:
        """Writes the rows as JSON Lines, and stops the server."""
        assert self._server is not None
        columns = "id, name, email, age, score, active, born"
        # A contender may make columns of text; what counts is the value.
        found = self._server.lines(
            f"SELECT row_to_json(t) FROM (SELECT {columns} FROM {TABLE} ORDER BY id::bigint) AS t"
        )
        with self._output.open("w") as file:
            for line in found:
                row = {
                    name: _KINDS[name](value)
                    if isinstance(value, str) and name in _KINDS
                    else value
                    for name, value in json.loads(line).items()
                }
                file.write(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")
        self._stack.close()
