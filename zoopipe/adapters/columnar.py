"""What the inputs of typed columns share: types that the stages take, and batches as blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.adapters.base import Block, FileRange, Unparsed
from zoopipe.adapters.options import repeated
from zoopipe.arrays import int64_array, list_offsets
from zoopipe.columns import encoded_field, encoding_of
from zoopipe.errors import DeclarationError, InputError
from zoopipe.reasons import Reason, clean_text
from zoopipe.storage.files import encodes

#: The most rows of a block, and about the most bytes of one.
BLOCK_ROWS = 1 << 16
BLOCK_BYTES = 1 << 22

_types = pa.types


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns errors of Arrow and of the system into one sentence with the path."""
    try:
        yield
    except (OSError, pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        found = getattr(error, "strerror", None) or str(error).partition("\n")[0] or "it is damaged"
        raise InputError(f"cannot read {path}: {clean_text(found)}") from error


def guarded(path: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Batches that are read one by one.

    Raises:
        InputError: one cannot be read.
    """
    while True:
        with reading(path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def readable_schema(schema: pa.Schema, path: str) -> pa.Schema:
    """The columns of a file, in the types that the stages take.

    Raises:
        InputError: a name does not decode, or is there twice.
    """
    if not all(map(encodes, schema.names)):
        raise InputError(f"cannot read {path}: the name of a column does not decode")
    twice = repeated(schema.names)
    if twice:
        raise InputError(f"{path} has more than one column {', '.join(map(repr, twice))}")
    if not len(schema):
        raise InputError(f"{path} has no columns")
    return pa.schema([_readable_field(field) for field in schema])


def _readable_field(field: pa.Field) -> pa.Field:
    """A field of a type that the stages take; of its metadata stays that its cells are JSON texts."""
    kind = _readable(field.type)
    if encoding_of(field) == "json" and kind == pa.string():
        return encoded_field(field.name, "json").with_nullable(field.nullable)
    return pa.field(field.name, kind, field.nullable)


def _readable(kind: pa.DataType) -> pa.DataType:
    """Of the types of one content the one with the kernels: no dictionaries, views or 64-bit offsets."""
    if _types.is_dictionary(kind) or _types.is_run_end_encoded(kind):
        return _readable(kind.value_type)
    if _types.is_large_string(kind) or _types.is_string_view(kind):
        return pa.string()
    if _types.is_large_binary(kind) or _types.is_binary_view(kind):
        return pa.binary()
    if any(is_kind(kind) for is_kind in _LISTS):
        return pa.list_(_readable_field(kind.value_field))
    if _types.is_fixed_size_list(kind):
        return pa.list_(_readable_field(kind.value_field), kind.list_size)
    if _types.is_map(kind):
        key, item = _readable_field(kind.key_field), _readable_field(kind.item_field)
        return pa.map_(key, item, kind.keys_sorted)
    if _types.is_struct(kind):
        return pa.struct([_readable_field(field) for field in kind])
    if isinstance(kind, pa.BaseExtensionType) and kind.extension_name != "arrow.uuid":
        return _readable(kind.storage_type)
    return kind


_LISTS = (_types.is_list, _types.is_large_list, _types.is_list_view, _types.is_large_list_view)


def chosen_columns(names: Sequence[str], wanted: Sequence[str] | None, path: str) -> list[str]:
    """The columns that a user wants of those that there are, in the user's order.

    Raises:
        DeclarationError: one is not there.
    """
    if wanted is None:
        return list(names)
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DeclarationError(
            f"columns= names {', '.join(map(repr, missing))}, and {path} has only {', '.join(names)}"
        )
    return list(wanted)


def check_same_schema(path: str, schema: pa.Schema, first_path: str, first: pa.Schema) -> None:
    """Refuses a file whose columns are not those of the first one, in whatever order.

    Raises:
        InputError: naming the files and the first column that differs.
    """
    for name in dict.fromkeys([*first.names, *schema.names]):
        here, there = (_type_of(each, name) for each in (schema, first))
        if here != there:
            raise InputError(
                f"the files of an input have the same columns: {name!r} is {here} in {path} and "
                f"{there} in {first_path}"
            )


def _type_of(schema: pa.Schema, name: str) -> str:
    at = schema.get_field_index(name)
    return "missing" if at < 0 else f"{schema.field(at).type}"


def slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces of the size of a block, uncopied; one piece, though it be empty."""
    rows = batch.num_rows
    if not rows:
        yield batch
        return
    pieces = max(-(-rows // BLOCK_ROWS), min(-(-batch.nbytes // BLOCK_BYTES), rows))
    step = -(-rows // pieces)
    for start in range(0, rows, step):
        yield batch.slice(start, step)


def block_of(
    batch: pa.RecordBatch,
    place: FileRange,
    bytes_read: int,
    whole: Callable[[], pa.RecordBatch] | None = None,
) -> Block:
    """A batch as a block; a row with text that does not decode is a record that did not parse.

    Args:
        batch: rows, as they were read.
        place: where they stand.
        bytes_read: what they took of the file.
        whole: gives the same rows with all columns, where `batch` has only some.

    Raises:
        InputError: the batch is no valid one: the file is damaged.
    """
    unparsed = _unparsed(batch, place.path)
    kept = [row for row in range(batch.num_rows) if row not in unparsed] if unparsed else None

    def whole_rows() -> pa.RecordBatch:
        assert whole is not None, "asked only where columns were left out"
        rows = whole()
        unread = _unparsed(rows, place.path)
        if unread or kept is not None:
            # What does not decode in a column that nobody needed is not shown.
            wanted = range(rows.num_rows) if kept is None else kept
            rows = rows.take(int64_array([None if row in unread else row for row in wanted]))
        return _readable_rows(rows, place.path)

    rows = batch if kept is None else batch.take(int64_array(kept))
    return Block(
        batch=_readable_rows(rows, place.path),
        source=place.path,
        records=batch.num_rows,
        row_records=kept,
        unparsed=[unparsed[row] for row in sorted(unparsed)],
        offsets=None,
        start=place.start,
        end=place.end,
        bytes_read=bytes_read,
        unit=place.unit,
        whole=None if whole is None else whole_rows,
    )


def _readable_rows(batch: pa.RecordBatch, path: str) -> pa.RecordBatch:
    """A batch in the types of `readable_schema`."""
    schema = pa.schema([_readable_field(field) for field in batch.schema])
    with reading(path):
        columns = [
            _cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if _types.is_dictionary(column.type):
        return _cast(column.dictionary_decode(), kind)
    if _types.is_run_end_encoded(column.type):
        return _cast(pc.run_end_decode(column), kind)
    if isinstance(column.type, pa.BaseExtensionType):
        return _cast(column.storage, kind)
    mask = column.is_null() if column.null_count else None
    if _types.is_list(kind):
        # Arrow's own cast of views gives lists of other elements (pyarrow 26).
        elements = _cast(column.flatten(), kind.value_type)
        return pa.ListArray.from_arrays(list_offsets(column), elements, type=kind, mask=mask)
    if _types.is_struct(kind):
        parts = [_cast(column.field(at), field.type) for at, field in enumerate(kind)]
        return pa.StructArray.from_arrays(parts, fields=list(kind), mask=mask)
    return column.cast(kind)


def _unparsed(batch: pa.RecordBatch, path: str) -> dict[int, Unparsed]:
    """The rows with text that is no UTF-8, or no JSON where it has to be."""
    found: dict[int, Unparsed] = {}
    for column, field in zip(batch.columns, batch.schema, strict=True):
        for row in _undecodable(column, field.name, path):
            text = _escaped(column, row)
            found.setdefault(
                row, Unparsed(row, [_reason(field, "text_encoding", "not valid UTF-8")], text)
            )
        if encoding_of(field) == "json" and field.type == pa.string():
            for row, text in _no_json(column, found):
                found[row] = Unparsed(row, [_reason(field, "json_invalid", "not valid JSON")], text)
    return found


def _reason(field: pa.Field, kind: str, message: str) -> Reason:
    return {"loc": [field.name], "type": kind, "msg": message}


def _undecodable(column: pa.Array, name: str, path: str) -> list[int]:
    """The rows of a column with text that is no UTF-8.

    Raises:
        InputError: the column is damaged in another way.
    """
    try:
        column.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise InputError(
                f"cannot read {path}: its column {name!r} is damaged: {error}"
            ) from error
        rows = range(len(column))
        return list(_bad_rows(column, rows))
    return []


def _bad_rows(column: pa.Array, rows: range) -> Iterator[int]:
    """Of rows among which one is that does not decode, those that do not."""
    if len(rows) == 1:
        yield rows[0]
        return
    half = len(rows) // 2
    for part in (rows[:half], rows[half:]):
        try:
            # What is within structs is looked at whole, however they are sliced.
            column.take(int64_array(part)).validate(full=True)
        except pa.ArrowInvalid:
            yield from _bad_rows(column, part)


def _escaped(column: pa.Array, row: int) -> str:
    """Text that does not decode, as far as it can be shown; empty where it is within lists or structs."""
    if not (_types.is_string(column.type) or _types.is_large_string(column.type)):
        return ""
    data: bytes = column.cast(pa.large_binary())[row].as_py()
    return data.decode("utf-8", "backslashreplace")


def _no_json(column: pa.StringArray, undecodable: Container[int]) -> Iterator[tuple[int, str]]:
    """The cells that are no JSON texts."""
    rows = [row for row in range(len(column)) if row not in undecodable]
    texts = column.take(int64_array(rows)) if undecodable else column
    for row, text in zip(rows, texts.to_pylist(), strict=True):
        try:
            if text is not None:
                json.loads(text)
        except (ValueError, RecursionError):
            yield row, text
