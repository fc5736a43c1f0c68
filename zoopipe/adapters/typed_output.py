"""What the outputs with Arrow types share: batches brought to a schema, and a part that Arrow can write to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from zoopipe.adapters.base import Encoded, OutputAdapter
from zoopipe.conform import conform
from zoopipe.errors import DeclarationError
from zoopipe.storage.parts import PartFile


class TypedOutputAdapter(OutputAdapter):
    """A file of typed columns.

    Args:
        output: the path.
        schema: the columns and their types; by default those of the model, or else of the input.
    """

    typed = True
    needs_columns = True

    def __init__(self, output: str | os.PathLike[str], schema: pa.Schema | None = None) -> None:
        if not isinstance(output, str | os.PathLike) or not os.fspath(output):
            raise DeclarationError(f"output must be a path, not {output!r}")
        if schema is not None and not isinstance(schema, pa.Schema):
            raise DeclarationError(f"schema must be a pyarrow.Schema, not {schema!r}")
        if schema is not None and len(set(schema.names)) < len(schema.names):
            raise DeclarationError(f"schema names a column twice: {', '.join(schema.names)}")
        self._output = os.fspath(output)
        self.schema = schema

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._output})"

    @property
    def output(self) -> str:
        return self._output


def encode_typed(
    batch: pa.RecordBatch, selection: pa.BooleanArray | None, schema: pa.Schema
) -> Encoded:
    """The selected rows of a batch in exactly a schema, and why others do not fit it."""
    rows = batch if selection is None else batch.filter(selection)
    conformed = conform(rows, schema)
    return Encoded([conformed.batch], conformed.batch.num_rows, conformed.refused)


class PartSink:
    """A staged file as Arrow's writers take one.

    They write to it when they are dropped, too, as long as they were not closed: to a file that is
    discarded by then. So what they write is taken only within `open`.
    """

    def __init__(self, file: PartFile) -> None:
        self._file = file
        self._written = 0
        self._is_open = False
        self.closed = False

    @contextmanager
    def open(self) -> Iterator[None]:
        """Takes what is written meanwhile."""
        self._is_open = True
        try:
            yield
        finally:
            self._is_open = False

    def write(self, data: bytes) -> int:
        """Writes all of `data`."""
        if self._is_open:
            self._file.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        """How many bytes were written."""
        return self._written

    def flush(self) -> None:
        """Nothing: nothing is held back."""

    def close(self) -> None:
        """Leaves the file open: whoever wrote to it closes it."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False
