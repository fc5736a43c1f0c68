"""Where a CSV record ends that is too long to be held: the automaton of `csv.reader`, without the cells."""

from __future__ import annotations

import re
from enum import Enum, auto

from zoopipe.adapters.csv_records import Dialect


class _State(Enum):
    """Where the reader stands, named as in CPython's `Modules/_csv.c`."""

    START_FIELD = auto()
    IN_FIELD = auto()
    IN_QUOTED_FIELD = auto()
    QUOTE_IN_QUOTED_FIELD = auto()
    AFTER_CR = auto()
    END = auto()


class RecordEnd:
    """Follows a record through chunks of bytes.

    It steps from one place that matters to the next: outside of quotes a newline, or a delimiter with a
    quote behind it; inside, a quote that is not doubled.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._quote = dialect.quote
        self._delimiter = dialect.delimiter.encode(dialect.encoding)
        quote, delimiter = re.escape(self._quote), re.escape(self._delimiter)
        other = b"[^" + quote + b"]" if len(self._quote) == 1 else b"(?!" + quote + rb")[\s\S]"
        self._outside = re.compile(rb"[\r\n]|" + delimiter + b"(?=" + quote + b")")
        self._inside = re.compile(b"(?:" + other + b"|" + quote + quote + b")*+")
        # What has to be seen at once: a delimiter or quote, which may be of several bytes, and a quote.
        self._span = len(self._quote) + max(len(self._quote), len(self._delimiter))
        self._state = _State.START_FIELD
        self._held = b""

    @property
    def is_quoted(self) -> bool:
        """Whether the record, as far as it was followed, ends inside of quotes."""
        return self._state is _State.IN_QUOTED_FIELD

    def feed(self, chunk: bytes, at_end: bool = False) -> int | None:
        """Follows the record into the next chunk.

        Args:
            chunk: what follows.
            at_end: nothing follows `chunk`.

        Returns:
            Where in `chunk` the record has ended, its newline included; None where it goes on.
        """
        before, at = len(self._held), 0
        data, self._held = self._held + chunk, b""
        if not at_end and self._is_dull(data):
            return None
        while self._state is not _State.END:
            if self._lacks(data[at : at + self._span], at_end):
                self._held = data[at:]
                return None
            at = self._step(data, at, at_end)
        return at - before

    def _lacks(self, ahead: bytes, at_end: bool) -> bool:
        """Whether more has to be seen before the next step."""
        if self._state is _State.AFTER_CR:
            return not ahead and not at_end
        if at_end or len(ahead) == self._span:
            return not ahead
        # A newline that ends the record is not held back: it would be of the chunk before.
        may_end = self._state is not _State.IN_QUOTED_FIELD and (b"\n" in ahead or b"\r" in ahead)
        return not may_end

    def _is_dull(self, data: bytes) -> bool:
        """Whether nothing in some data matters; to look for bytes costs a twentieth of a pattern."""
        if len(data) < self._span or self._span > 2:
            return False
        if self._state is _State.IN_QUOTED_FIELD:
            return self._quote not in data
        is_plain = self._quote not in data and b"\n" not in data and b"\r" not in data
        # A delimiter at its end may have a quote behind it.
        return self._state is _State.IN_FIELD and is_plain and not data.endswith(self._delimiter)

    def _step(self, data: bytes, at: int, at_end: bool) -> int:
        """One transition, which may run over many bytes; where the next one begins."""
        state, quote = self._state, self._quote
        if state is _State.AFTER_CR:
            self._state = _State.END
            return at + data.startswith(b"\n", at)
        if state is _State.IN_FIELD:
            return self._through_fields(data, at, at_end)
        is_quote = data.startswith(quote, at)
        if state is _State.IN_QUOTED_FIELD and not is_quote:
            return self._through_quotes(data, at, at_end)
        if state is _State.IN_QUOTED_FIELD:
            # The next quote, if there is one, makes it a doubled one.
            self._state = _State.QUOTE_IN_QUOTED_FIELD
        else:
            self._state = _State.IN_QUOTED_FIELD if is_quote else _State.IN_FIELD
        return at + len(quote) if is_quote else at

    def _through_fields(self, data: bytes, at: int, at_end: bool) -> int:
        """Goes to the end of the record, or to the next field that begins with a quote."""
        match = self._outside.search(data, at)
        if match is None:
            return len(data) if at_end else max(at, len(data) - self._span + 1)
        ends = {b"\r": _State.AFTER_CR, b"\n": _State.END}
        self._state = ends.get(match[0], _State.START_FIELD)
        return match.end()

    def _through_quotes(self, data: bytes, at: int, at_end: bool) -> int:
        """Goes to the next quote that may close the field."""
        match = self._inside.match(data, at)
        assert match is not None, "it matches nothing, at least"
        if match.end() < len(data) or at_end:
            return match.end()
        # The beginning of a quote may stand at the end.
        return max(at, len(data) - len(self._quote) + 1)
