"""Reading record batches of Arrow IPC files and streams, where they lie."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pyarrow as pa

from zoopipe.adapters.columnar import guarded, reading
from zoopipe.errors import InputError

_FILE_MAGIC, _FEATHER_1_MAGIC = b"ARROW1", b"FEA1"

#: A batch with some columns, and what gives it with all of them.
Whole = Callable[[], pa.RecordBatch]


class ArrowSource:
    """A file of record batches, mapped into memory for as long as anything of it is in use.

    Args:
        path: the file.
        name: how messages name it.

    Raises:
        InputError: it is missing, or is neither an Arrow file nor a stream.
    """

    def __init__(self, path: str, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        with reading(name):
            self._map = pa.memory_map(path)
            self.size: int = self._map.size()
            head = self._map.read(len(_FILE_MAGIC))
        self._is_file = head == _FILE_MAGIC
        if head.startswith(_FEATHER_1_MAGIC):
            raise InputError(
                f"cannot read {name}: it is a Feather file of version 1; write it again as version 2"
            )
        if not head:
            raise InputError(f"cannot read {name}: it is empty, and even without rows has a schema")
        self._reader = self._open_file() if self._is_file else None
        with reading(name):
            self.schema: pa.Schema = (self._reader or self._open_stream()).schema

    def _open_file(self, fields: Sequence[int] | None = None) -> pa.ipc.RecordBatchFileReader:
        options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
        with reading(self.name):
            return pa.ipc.open_file(self._map, options=options)

    def _open_stream(self) -> pa.ipc.RecordBatchStreamReader:
        self._map.seek(0)
        return pa.ipc.open_stream(self._map, options=pa.ipc.IpcReadOptions(use_threads=False))

    def count(self) -> int:
        """How many batches there are; of a stream, whose messages are looked at for it.

        Raises:
            InputError: the stream is damaged or cut short.
        """
        if self._reader is not None:
            return int(self._reader.num_record_batches)
        with reading(self.name):
            self._map.seek(0)
            messages = pa.ipc.MessageReader.open_stream(self._map)
            return sum(message.type == "record batch" for message in messages)

    def rows(self) -> list[int] | None:
        """The rows of each batch; None of a stream, where they would have to be read.

        Raises:
            InputError: the file is damaged.
        """
        if not self._is_file:
            return None
        # One column says it, and of a compressed file only that is decompressed.
        reader = self._open_file([0])
        with reading(self.name):
            return [reader.get_batch(at).num_rows for at in range(reader.num_record_batches)]

    def batches(
        self, start: int, end: int, names: Sequence[str], everything: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch, Whole]]:
        """The batches from `start` to `end`.

        Args:
            start, end: numbers of batches, from 0.
            names: the columns that are wanted.
            everything: all columns that may be.

        Yields:
            The batch's number, its columns, and what gives all of them.

        Raises:
            InputError: the file is damaged.
        """
        if not self._is_file:
            for at, batch in enumerate(guarded(self.name, iter(self._open_stream()))):
                if at >= end:
                    return
                if at >= start:
                    yield at, self._select(batch, names), partial(self._select, batch, everything)
            return
        missing = [name for name in names if name not in self.schema.names]
        if missing:
            raise InputError(f"{self.name} has no column {missing[0]!r} any more: did it change?")
        fields = None
        if len(names) < len(self.schema):
            fields = sorted(self.schema.get_field_index(name) for name in names)
        reader = self._open_file(fields)
        for at in range(start, end):
            with reading(self.name):
                batch = reader.get_batch(at)
            yield at, self._select(batch, names), partial(self._whole, at, everything)

    def _whole(self, at: int, names: Sequence[str]) -> pa.RecordBatch:
        assert self._reader is not None, "it is a file"
        with self._lock, reading(self.name):
            batch = self._reader.get_batch(at)
        return self._select(batch, names)

    def _select(self, batch: pa.RecordBatch, names: Sequence[str]) -> pa.RecordBatch:
        with reading(self.name):
            return batch.select(list(names))

    def all_batches(self) -> Iterator[pa.RecordBatch]:
        """All batches, with all columns."""
        for _, batch, _ in self.batches(0, self.count(), self.schema.names, self.schema.names):
            yield batch
