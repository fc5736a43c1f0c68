"""Batches and rows, brought to exactly the schema of a typed output.

A value that its column's type cannot hold exactly refuses its row: it is never null in place of what it
was, and never rounded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import (
    int64_array,
    list_offsets,
    map_parts,
    mask_of,
    no_nulls,
    only_where,
    positions_of,
)
from zoopipe.arrow_text import plain_text
from zoopipe.columns import encoding_of, is_record_batch, logical_of, quoted
from zoopipe.exact import NULL, Misfits, dense, exact_array, is_list, lists_of, nulls_of
from zoopipe.reasons import Reason, clean_text
from zoopipe.rows import columns_of
from zoopipe.takers import is_text
from zoopipe.typed_text import in_unit, parsed
from zoopipe.values import python_values, rows_of


@dataclass(frozen=True, slots=True)
class Conformed:
    """What was made of some rows.

    Attributes:
        batch: the rows that the schema holds, in their order, of exactly the schema.
        refused: the others, ascending, by their positions among the rows that were given, each once.
    """

    batch: pa.RecordBatch
    refused: list[tuple[int, Reason]]


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> Conformed:
    """A batch's rows in a schema.

    A column that the batch lacks is null; a value in a column that the schema lacks refuses its row.

    Args:
        batch: columns in any of the encodings of `zoopipe.columns`, or of any Arrow type.
        schema: what is wanted; a field that `encoded_field` marked as `json` gets JSON text.
    """
    if is_record_batch(batch.schema):
        rows = rows_of(batch.select([0]))
        beside = {
            name: python_values(batch.column(at), batch.schema.field(at))
            for at, name in enumerate(batch.schema.names)
            if at
        }
        for name, values in beside.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = value
        return conform_rows(rows, schema)
    refused: dict[int, Reason] = {}
    places = {name: at for at, name in enumerate(batch.schema.names)}
    columns = []
    for field in schema:
        if field.name in places:
            at = places[field.name]
            column, misfits = _column(batch.column(at), batch.schema.field(at), field)
        else:
            column, misfits = _missing(batch.num_rows, field)
        columns.append(column)
        _refuse(refused, field, misfits)
    for at, name in enumerate(batch.schema.names):
        if name not in schema.names:
            for position in positions_of(batch.column(at).is_valid()):
                refused[position] = _unknown([name])
    return _conformed(columns, schema, batch.num_rows, refused)


def conform_rows(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> Conformed:
    """Rows of Python values, such as `model_dump()` gives, in a schema.

    Args:
        rows: what each column's value is; a key that is missing counts as None.
        schema: as for `conform`.
    """
    refused: dict[int, Reason] = {}
    known = set(schema.names)
    given = columns_of(rows)
    if given is None or not known.issuperset(given):
        for at, row in enumerate(rows):
            if not known.issuperset(row):
                names = [str(name) for name in row if name not in known and row[name] is not None]
                if names:
                    refused[at] = _unknown(names)
    columns = []
    for field in schema:
        name = field.name
        values = given.get(name) if given is not None else [row.get(name) for row in rows]
        if values is None:
            column, misfits = _missing(len(rows), field)
        else:
            column, misfits = exact_array(values, field)
        columns.append(column)
        _refuse(refused, field, misfits)
    return _conformed(columns, schema, len(rows), refused)


def _conformed(
    columns: list[pa.Array], schema: pa.Schema, rows: int, refused: Mapping[int, Reason]
) -> Conformed:
    if not columns:
        return Conformed(
            _no_columns(rows - len(refused), schema), sorted(refused.items(), key=_row)
        )
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    if refused:
        batch = batch.filter(pc.invert(mask_of(rows, refused)))
    return Conformed(batch, sorted(refused.items(), key=_row))


def _no_columns(rows: int, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_struct_array(
        pa.Array.from_buffers(pa.struct([]), rows, [None], children=[])
    ).replace_schema_metadata(schema.metadata)


def _row(item: tuple[int, Reason]) -> int:
    return item[0]


def _refuse(refused: dict[int, Reason], field: pa.Field, misfits: Misfits) -> None:
    """Notes why rows are refused, for the first column that refuses each."""
    for at, why in misfits.items():
        refused.setdefault(
            at,
            {
                "loc": [field.name],
                "type": "not_in_schema",
                "msg": clean_text(f"the output's {field.type} does not hold the value: {why}"),
            },
        )


def _unknown(names: Sequence[str]) -> Reason:
    return {
        "loc": [clean_text(name) for name in names],
        "type": "unknown_column",
        "msg": clean_text(
            f"not among the columns of the output: {', '.join(names)}; name them in schema="
        ),
    }


def _missing(rows: int, field: pa.Field) -> tuple[pa.Array, Misfits]:
    misfits = {} if field.nullable else dict.fromkeys(range(rows), NULL)
    return nulls_of(rows, field.type), misfits


def _column(column: pa.Array, given: pa.Field, wanted: pa.Field) -> tuple[pa.Array, Misfits]:
    """A column in the type of a field, null where it has misfits."""
    found = _whole(column, given, wanted)
    if found is None:
        made, misfits = exact_array(_python(column, given), wanted.with_nullable(True))
    else:
        made, unsure = found
        misfits = {}
        if unsure is not None and unsure.true_count:
            rows = positions_of(no_nulls(unsure))
            cells = _python(column.take(int64_array(rows)), given)
            patches, inner = exact_array(cells, wanted.with_nullable(True))
            made = _patched(made, rows, patches)
            misfits = {rows[at]: why for at, why in inner.items()}
    if not wanted.nullable and column.null_count:
        misfits.update(dict.fromkeys(positions_of(column.is_null()), NULL))
    return made, misfits


def _patched(made: pa.Array, rows: Sequence[int], patches: pa.Array) -> pa.Array:
    """An array with others of its type at some rows."""
    if len(rows) == len(made):
        return patches
    places = list(range(len(made)))
    for at, row in enumerate(rows):
        places[row] = len(made) + at
    return pa.concat_arrays([made, patches]).take(int64_array(places))


def _python(column: pa.Array, given: pa.Field) -> list[Any]:
    return python_values(column, given)


def _whole(
    column: pa.Array, given: pa.Field, wanted: pa.Field
) -> tuple[pa.Array, pa.BooleanArray | None] | None:
    """A column in the type of a field by Arrow's kernels, and where that is not to be relied on; None
    where they do not help."""
    kind, encoding = wanted.type, encoding_of(given)
    if encoding_of(wanted) == "json":
        text = column if encoding == "json" else quoted(column, given, "constants")
        text = text if text.type == kind else text.cast(kind)
        return only_where(text, column.is_valid()) if column.null_count else text, None
    if encoding == "plain":
        if column.type.equals(kind, check_metadata=True):
            return column, None
        text = plain_text(column)
        if text is None:
            cast = _cast(column, kind)
            return None if cast is None else (cast, None)
        column = text
    if is_text(kind):
        if encoding == "json":
            return None
        return column if column.type == kind else column.cast(kind), None
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return None if encoding == "json" else (column.view(pa.binary()).cast(kind), None)
    return parsed(column, kind, logical_of(given))


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """A typed column in another type; None where that is not exact for all of it, or not known to be."""
    types, own = pa.types, column.type
    if types.is_null(own):
        return nulls_of(len(column), kind)
    if types.is_dictionary(own):
        decoded = column.dictionary_decode()
        return decoded if decoded.type == kind else _cast(decoded, kind)
    if is_list(own) and (types.is_list(kind) or types.is_large_list(kind)):
        return _cast_lists(column, kind)
    if types.is_map(own) and types.is_map(kind):
        return _cast_maps(column, kind)
    if types.is_struct(own) and types.is_struct(kind):
        return _cast_structs(column, kind)
    try:
        if types.is_timestamp(own) and types.is_timestamp(kind):
            if (own.tz is None) != (kind.tz is None):
                return None
            return in_unit(column.view(pa.int64()), own.unit, kind.unit).view(kind)
        if types.is_duration(own) and types.is_duration(kind):
            return in_unit(column.view(pa.int64()), own.unit, kind.unit).view(kind)
        if any(one(own) and other(kind) for one, other in _EXACT_CASTS):
            return column.cast(kind)
    except ValueError:
        return None
    return None


def _cast_lists(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    elements = _cast_inner(column.flatten(), column.type.value_field, kind.value_field)
    if elements is None:
        return None
    mask = column.is_null() if column.null_count else None
    return lists_of(kind, list_offsets(column), elements, mask)


def _cast_maps(column: pa.MapArray, kind: pa.MapType) -> pa.Array | None:
    ends, keys, items = map_parts(column)
    keys = _cast_inner(keys, column.type.key_field, kind.key_field)
    items = _cast_inner(items, column.type.item_field, kind.item_field)
    if keys is None or items is None:
        return None
    mask = column.is_null() if column.null_count else None
    return pa.MapArray.from_arrays(ends, keys, items, type=kind, mask=mask)


def _cast_structs(column: pa.StructArray, kind: pa.StructType) -> pa.Array | None:
    own = [field.name for field in column.type]
    names = [field.name for field in kind]
    if sorted(own) != sorted(names) or len(set(own)) < len(own):
        return None
    columns = []
    present = column.is_valid() if column.null_count else None
    for field in kind:
        at = own.index(field.name)
        cast = _cast_inner(column.field(at), column.type.field(at), field, present)
        if cast is None:
            return None
        columns.append(cast)
    mask = None if present is None else pc.invert(present)
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask)


def _cast_inner(
    column: pa.Array, given: pa.Field, wanted: pa.Field, present: pa.BooleanArray | None = None
) -> pa.Array | None:
    """What is within lists and structs in the type of a field; None where that is not exact for all of
    it, or not known to be.

    Args:
        present: where the structs are that it is within; None for everywhere.
    """
    if column.null_count and not wanted.nullable:
        missing = column.is_null() if present is None else pc.and_(column.is_null(), present)
        if missing.true_count:
            return None
    if encoding_of(given) != encoding_of(wanted):
        return None
    if not column.type.equals(wanted.type, check_metadata=True):
        text = plain_text(column)
        if text is None:
            column = _cast(column, wanted.type)
        else:
            column = text.cast(wanted.type) if is_text(wanted.type) else None
    return column if wanted.nullable or column is None else dense(column)


_types = pa.types
#: Casts of which Arrow says itself when they would not be exact.
_EXACT_CASTS = (
    (_types.is_integer, _types.is_integer),
    (_types.is_integer, _types.is_float64),
    (_types.is_integer, _types.is_decimal),
    (_types.is_float16, _types.is_float32),
    (_types.is_float16, _types.is_float64),
    (_types.is_float32, _types.is_float64),
    (_types.is_float64, _types.is_integer),
    (_types.is_float32, _types.is_integer),
    (_types.is_decimal, _types.is_decimal),
    (_types.is_decimal, _types.is_integer),
    (_types.is_date, _types.is_date),
    (_types.is_time, _types.is_time),
    (_types.is_binary, _types.is_large_binary),
    (_types.is_large_binary, _types.is_binary),
    (_types.is_fixed_size_binary, _types.is_binary),
)
