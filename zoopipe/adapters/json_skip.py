"""JSON records that are too long to be held: where an element of an array ends, and what is kept of it."""

from __future__ import annotations

import re

#: What may stand around a record.
BLANK = b" \t\r\n"

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_TEXT = rb'[^"\[\]{}]++'
# What is passed over at once, outside of all brackets and within some: there, too, lists and objects that
# hold no others.
_OUTSIDE = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + b")*+", re.DOTALL)
_FLAT = rb"[\[{](?:" + _TEXT + b"|" + _STRING + rb")*+[\]}]"
_WITHIN = re.compile(b"(?:" + _TEXT + b"|" + _STRING + b"|" + _FLAT + b")*+", re.DOTALL)
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPENING = re.compile(rb"[\[{]++")


class Capped:
    """A record, held until it is known to be too long; the blanks around it do not count.

    Args:
        most_bytes: a record with more is too long.

    Attributes:
        kept: the record, with the blanks behind it; of one that is too long the beginning, with more than
            `most_bytes` bytes.
        is_long: whether it is too long.
    """

    def __init__(self, most_bytes: int) -> None:
        self.kept = b""
        self.is_long = False
        self._most_bytes = most_bytes

    def feed(self, chunk: bytes) -> None:
        """Takes what follows of the record."""
        if self.is_long:
            return
        if len(self.kept) <= self._most_bytes:
            self.kept = (self.kept + chunk).lstrip(BLANK)
            self.is_long = len(self.kept.rstrip(BLANK)) > self._most_bytes
        else:
            # Blanks, so far.
            self.is_long = bool(chunk.strip(BLANK))


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
        before = len(self._held)
        data, self._held = self._held + chunk, b""
        at = 0
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

    def _passed(self, data: bytes, at: int) -> int:
        """Where the next byte stands that changes something."""
        if self._in_string:
            return _end_of(_IN_STRING, data, at)
        return _end_of(_WITHIN if self._depth else _OUTSIDE, data, at)


def _end_of(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    match = pattern.match(data, at)
    assert match is not None, "it matches nothing, at least"
    return match.end()
