"""JSON records that are too long to be held: where an element of an array ends, and what is kept of it."""

from __future__ import annotations

import re

from zoopipe.adapters.limits import KEPT_BYTES, head_of

#: What may stand around a record.
BLANK = b" \t\r\n"

_CONTENT = rb'[^"\\]*+(?:\\.[^"\\]*+)*+'
#: A JSON string, as a pattern: three times as fast as one that goes by the character.
STRING = b'"' + _CONTENT + b'"'
_TEXT = rb'[^"\[\]{}]++'
# What is passed over at once, outside of all brackets and within some: there, too, lists and objects that
# hold no others.
_OUTSIDE = re.compile(rb'(?:[^"\[\]{},]++|' + STRING + b")*+", re.DOTALL)
_FLAT = rb"[\[{](?:" + _TEXT + b"|" + STRING + rb")*+[\]}]"
_WITHIN = re.compile(b"(?:" + _TEXT + b"|" + STRING + b"|" + _FLAT + b")*+", re.DOTALL)
_IN_STRING = re.compile(_CONTENT, re.DOTALL)
_TOKENS = (b'"', b"[", b"]", b"{", b"}")
_OPENING = re.compile(rb"[\[{]++")


class Capped:
    """A record, held until it is known to be too long; the blanks around it do not count.

    Args:
        most_bytes: a record with more is too long.

    Attributes:
        is_long: whether it is too long.
    """

    def __init__(self, most_bytes: int) -> None:
        self.is_long = False
        self._most_bytes = most_bytes
        self._held_bytes = max(most_bytes, KEPT_BYTES)
        # Once it is more than that, nothing is added.
        self._held = b""

    def feed(self, chunk: bytes) -> None:
        """Takes what follows of the record."""
        if len(self._held) <= self._held_bytes:
            self._held = (self._held + chunk).lstrip(BLANK)
            self.is_long = self.is_long or len(self.record) > self._most_bytes
        elif not self.is_long:
            # All that is held and too much is blank, so far.
            self.is_long = bool(chunk.strip(BLANK))

    @property
    def record(self) -> bytes:
        """The whole record, where it is not too long."""
        return self._held.rstrip(BLANK)

    @property
    def head(self) -> str:
        """The first characters of the record."""
        is_whole = len(self._held) <= self._held_bytes
        return head_of_bytes(self.record if is_whole else self._held)


def head_of_bytes(record: bytes) -> str:
    """What is kept of a record that is too long, bytes that are no UTF-8 as `\\xff`."""
    return head_of(record[:KEPT_BYTES].decode("utf-8", "backslashreplace"))


class ElementEnd:
    """Follows an element of an array through chunks of bytes, by brackets and strings alone."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._held = b""

    def feed(self, chunk: bytes) -> int | None:
        """Follows the element into the next chunk.

        Returns:
            Where in `chunk` the comma or bracket after the element stands; None where it goes on.
        """
        before, at = len(self._held), 0
        data, self._held = self._held + chunk, b""
        if self._is_dull(data):
            return None
        while (at := self._passed(data, at)) < len(data):
            token = data[at : at + 1]
            if self._in_string and token == b"\\":
                # The character that it escapes is in the next chunk.
                self._held = token
                return None
            if token == b'"':
                self._in_string = not self._in_string
            elif token in b"[{":
                opening = _end_of(_OPENING, data, at)
                self._depth += opening - at
                at = opening - 1
            elif self._depth == 0 and token in b",]":
                return at - before
            else:
                # A bracket too many breaks its own element, not those that follow.
                self._depth = max(self._depth - 1, 0)
            at += 1
        return None

    def _is_dull(self, data: bytes) -> bool:
        """Whether nothing in some data matters; to look for bytes costs a twentieth of a pattern."""
        if self._in_string:
            return b'"' not in data and b"\\" not in data
        return self._depth > 0 and not any(token in data for token in _TOKENS)

    def _passed(self, data: bytes, at: int) -> int:
        """Where the next byte stands that changes something."""
        if self._in_string:
            return _end_of(_IN_STRING, data, at)
        return _end_of(_WITHIN if self._depth else _OUTSIDE, data, at)


def _end_of(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    assert match is not None, "it matches nothing, at least"
    return match.end()
