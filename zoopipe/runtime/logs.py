"""What a worker logs, on its way to the driver's log: warnings and worse, and not without end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from zoopipe.redact import redact

#: How many lines of one attempt reach the driver, and how many characters of each.
MOST_LINES, MOST_CHARACTERS = 100, 1000


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log: its level, who logged it, and the text."""

    level: int
    name: str
    text: str


class LogRelay:
    """The lines of one attempt, between the one who logs and the one who reads."""

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque()
        self._accepted = 0

    def accept(self, record: logging.LogRecord) -> None:
        """Takes what the worker logs; of lines beyond `MOST_LINES` only that there were more."""
        self._accepted += 1
        if self._accepted <= MOST_LINES:
            text = redact(record.getMessage())
            if len(text) > MOST_CHARACTERS:
                text = text[:MOST_CHARACTERS] + "…"
            self._lines.append(LogLine(record.levelno, record.name, text))
        elif self._accepted == MOST_LINES + 1:
            text = f"more than {MOST_LINES} lines were logged; the others are not shown"
            self._lines.append(LogLine(logging.WARNING, __name__, text))

    def put(self, lines: Iterable[LogLine]) -> None:
        """Takes lines as they are."""
        self._lines.extend(lines)

    def drain(self) -> tuple[LogLine, ...]:
        """The lines that came since the last call."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        return tuple(lines)


class _Handler(logging.Handler):
    """Gives what is logged to the attempt whose thread logs it.

    What a thread of an executor logs goes to the attempt that began last. Other threads are those of
    Ray or Dask themselves, whose logs are on their nodes.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.relays: dict[int, LogRelay] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            relay = self.relays.get(record.thread or 0)
            if relay is None and (record.threadName or "").startswith("zoopipe-"):
                relay = next(reversed([*self.relays.values()]), None)
            if relay is not None:
                relay.accept(record)
        except Exception:
            self.handleError(record)


_handler = _Handler()
_lock = threading.Lock()


@contextmanager
def relaying(relay: LogRelay) -> Iterator[None]:
    """While it is open, what this thread and its helpers log goes to `relay` as well."""
    thread = threading.get_ident()
    with _lock:
        if not _handler.relays:
            logging.getLogger().addHandler(_handler)
        _handler.relays[thread] = relay
    try:
        yield
    finally:
        with _lock:
            del _handler.relays[thread]
            if not _handler.relays:
                logging.getLogger().removeHandler(_handler)


def silence_handlers() -> None:
    """Takes away the handlers that a forked worker has from its driver, which logs for both."""
    known = logging.getLogger().manager.loggerDict.values()
    for logger in (logging.getLogger(), *known):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
