"""Rows on their way from a run to whoever iterates them, in the driver's process.

A run of one shard in this process gives its rows as they are validated, and waits where nobody takes them. All
other attempts stage their rows, and each shard's are given when it is done and all before it are.
"""

from __future__ import annotations

import os
import pickle
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from zoopipe.adapters.base import Encoded, Taker
from zoopipe.errors import OutputError, RunFailed, RunStopped
from zoopipe.rows import Row
from zoopipe.storage.parts import Part, PartFile, check_part, writing
from zoopipe.values import rows_of

_LENGTH_BYTES = 8
_NOBODY = (
    "nobody iterates the rows: call start() in place of run(), or use it as a context manager, and iterate the "
    "output adapter"
)


class Feed(Taker):
    """A queue with two ends: a run's threads, and one iterator.

    Args:
        folder: where shards are staged; it goes when the run has ended.
        buffer_rows: how many rows may wait in memory.
        buffer_shards: how many shards may be ahead of the one whose rows are taken.
        patience_s: how long a run that has to wait waits for an iteration to begin.
    """

    #: What the fingerprint of a plan shows of it.
    __wrapped__ = "rows are iterated"

    def __init__(
        self, folder: Path, buffer_rows: int, buffer_shards: int, patience_s: float
    ) -> None:
        self._folder = folder
        self._buffer_rows = buffer_rows
        self._buffer_shards = buffer_shards
        self._patience_s = patience_s
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._shards = 0
        self._forget()

    def _forget(self) -> None:
        self._queue: deque[Sequence[Row] | IO[bytes]] = deque()
        self._waiting_rows = self._streamed_rows = self._shards_taken = 0
        self._is_iterated = self._is_closed = self._is_over = self._is_streamed = False
        self._waits_since: float | None = None
        self._error: str | None = None

    # The run's end.

    def begin(self, shards: int) -> None:
        with self._changed:
            self._drop_queue()
            self._forget()
            self._shards = shards

    def has_room(self, shard: int) -> bool:
        has_room = shard < self._shards_taken + self._buffer_shards
        with self._changed:
            self._wait_for_iteration(has_room)
        return has_room

    def _wait_for_iteration(self, has_room: bool) -> None:
        if has_room or self._is_iterated:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()

    def check(self) -> None:
        if self._is_closed:
            raise RunStopped("nobody takes the rows any more")
        since, now = self._waits_since, time.monotonic()
        if since is not None and not self._is_iterated and now - since > self._patience_s:
            raise OutputError(_NOBODY)

    def take(self, part: Part) -> None:
        if self._is_streamed:
            return
        check_part(part)
        with writing(part.path):
            file = open(part.path, "rb")  # noqa: SIM115 (closed when its rows are taken)
        self._put(file)

    def ended(self, error: str | None) -> None:
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that iterates, and a run of one shard."""
        return self._shards == 1 and self._process == os.getpid()

    def stream(self) -> int:
        """Says that the attempt gives its rows itself; how many one before it has given."""
        self._is_streamed = True
        return self._streamed_rows

    def give(self, rows: Sequence[Row]) -> None:
        """Gives rows, and waits while many are there.

        Raises:
            RunStopped: they are not wanted any more.
            OutputError: nobody has come for them.
        """
        with self._changed:
            while self._waiting_rows >= self._buffer_rows:
                self._wait_for_iteration(has_room=False)
                if self._is_closed or self._is_over:
                    raise RunStopped("nobody takes the rows any more")
                self.check()
                self._changed.wait(None if self._is_iterated else 0.1)
            self._wait_for_iteration(has_room=True)
            self._streamed_rows += len(rows)
            self._waiting_rows += len(rows)
        self._put(rows)

    def _put(self, item: Sequence[Row] | IO[bytes]) -> None:
        with self._changed:
            self._queue.append(item)
            if self._is_closed:
                self._drop_queue()
            self._changed.notify_all()

    # The iterator's end.

    def rows(self) -> Iterator[Row]:
        """The rows of the run, in order, as they come.

        Raises:
            RunFailed: it failed, or was stopped.
            OutputError: none has begun, or its rows were iterated before.
        """
        with self._changed:
            if not self._shards:
                raise OutputError(
                    "no run has begun whose rows could be iterated: call start() first"
                )
            if self._is_iterated:
                raise OutputError("the rows of a run can be iterated once")
            self._is_iterated = True
            self._changed.notify_all()
        return self._given()

    def _given(self) -> Iterator[Row]:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, Sequence):
                    yield from item
                else:
                    with item:
                        yield from _staged_rows(item)
                    self._shards_taken += 1
        finally:
            self._close()

    def _next(self) -> Sequence[Row] | IO[bytes] | None:
        with self._changed:
            while not self._queue:
                if self._is_over:
                    if self._error is not None:
                        raise RunFailed(self._error)
                    return None
                self._changed.wait()
            item = self._queue.popleft()
            if isinstance(item, Sequence):
                self._waiting_rows -= len(item)
                self._changed.notify_all()
            return item

    def _close(self) -> None:
        """Ends the iteration; a run that goes on is stopped."""
        with self._changed:
            self._is_closed = True
            self._drop_queue()
            self._changed.notify_all()

    def _drop_queue(self) -> None:
        for item in self._queue:
            if not isinstance(item, Sequence):
                item.close()
        self._queue.clear()


def _staged_rows(file: IO[bytes]) -> Iterator[Row]:
    while head := file.read(_LENGTH_BYTES):
        yield from pickle.loads(file.read(int.from_bytes(head, "little")))


class StreamPart:
    """A part whose rows go to a feed as they come; what was given by an attempt before is left out."""

    def __init__(self, file: PartFile, feed: Feed) -> None:
        self._file, self._feed = file, feed
        self._given_before = feed.stream()
        self._rows = 0

    def encode(self, batch: Any, selection: pa.BooleanArray | None = None) -> Encoded:
        rows = _rows(batch, selection)
        return Encoded([rows], len(rows))

    def write(self, encoded: Encoded) -> None:
        (rows,) = encoded.payload
        start = max(self._given_before - self._rows, 0)
        self._rows += len(rows)
        if start < len(rows):
            self._feed.give(rows[start:])

    def close(self) -> Part:
        return self._file.close(self._rows)


class RowsPart:
    """A staged part: pickled lists of rows, each behind its length."""

    def __init__(self, file: PartFile) -> None:
        self._file = file
        self._rows = 0

    def encode(self, batch: Any, selection: pa.BooleanArray | None = None) -> Encoded:
        rows = _rows(batch, selection)
        try:
            data = pickle.dumps(rows, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise OutputError(
                f"a value of a row cannot be sent to the driver, for it does not pickle: {type(error).__name__}"
            ) from error
        return Encoded([len(data).to_bytes(_LENGTH_BYTES, "little"), data], len(rows))

    def write(self, encoded: Encoded) -> None:
        if encoded.rows:
            for piece in encoded.payload:
                self._file.write(piece)
            self._rows += encoded.rows

    def close(self) -> Part:
        return self._file.close(self._rows)


def _rows(batch: Any, selection: pa.BooleanArray | None) -> list[Row]:
    if isinstance(batch, list):
        return batch
    return rows_of(batch if selection is None else batch.filter(selection))
