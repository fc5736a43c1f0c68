"""Compressing what is published: by blocks of fixed size, on all cores, to the same bytes everywhere.

A block is 1 MiB of the file's text, counted from its start, and becomes a member (gzip, bz2) or frame (zstd,
lz4) of its own; every tool reads many of them as one file. So the bytes depend on the text alone, not on how
many workers there were: attempts stage plain text, and the driver compresses while it merges.
"""

from __future__ import annotations

import bz2
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

# 36 MB of JSON Lines, one core: gzip 54 MB/s, bz2 9, zstd 290, lz4 560. Blocks of 4 MiB are as fast, and no
# smaller by more than 0.2 %.
_BLOCK_BYTES = 1 << 20
# What the tools themselves take where nothing is said.
_LEVELS = {"gzip": 6, "zstd": 3, "lz4": None}


def compressed(codec: str, data: Any) -> bytes:
    """One member or frame; with no time of day and no name in it."""
    if codec == "bz2":
        # pyarrow's has no call for a whole block.
        return bz2.compress(data)
    return bytes(pa.Codec(codec, _LEVELS[codec]).compress(data, asbytes=True))


class Compressor:
    """Compresses a stream.

    Args:
        codec: `gzip`, `bz2`, `zstd` or `lz4`.
        take: is given the compressed bytes, in order, from the thread that writes.
        threads: how many blocks are compressed at once.
    """

    def __init__(self, codec: str, take: Callable[[bytes], None], threads: int) -> None:
        self._codec = codec
        self._take = take
        self._most = 2 * threads
        self._pool = ThreadPoolExecutor(threads, "zoopipe-compress")
        self._blocks: deque[Future[bytes]] = deque()
        self._held = bytearray()
        self._is_empty = True

    def write(self, data: memoryview) -> None:
        """Takes all of `data`; its buffer may change afterwards."""
        while data.nbytes:
            size = min(data.nbytes, _BLOCK_BYTES - len(self._held))
            self._held += data[:size]
            data = data[size:]
            if len(self._held) == _BLOCK_BYTES:
                self._submit()

    def _submit(self) -> None:
        self._is_empty = False
        self._blocks.append(self._pool.submit(compressed, self._codec, self._held))
        self._held = bytearray()
        self._drain(self._most)

    def _drain(self, most: int) -> None:
        while len(self._blocks) > most:
            self._take(self._blocks.popleft().result())

    def close(self) -> None:
        """Compresses what is left; a file of nothing is one member of nothing."""
        if self._held or self._is_empty:
            self._submit()
        self._drain(0)
        self._pool.shutdown()

    def abandon(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(cancel_futures=True)
