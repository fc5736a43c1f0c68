"""How values that Arrow has no exact type for travel in a `RecordBatch`.

Between stages everything is a RecordBatch. A column is either plainly typed (`int64`, `date32`, a
string that *is* a string), or it is a string column whose field metadata names an encoding:

| encoding | a cell is | null is |
|---|---|---|
| `json` | the JSON text of the value: `12`, `1.5`, `true`, `[1,2]` | null |
| `bare` | a JSON string's content that needs no escape: an ISO date | null |
| `record` | the JSON text of a whole row, an object | a row without columns |

So a cell of a CSV file that provably *is* the JSON text of its value goes from reader to writer
untouched, and a row with a shape of its own (JSON input, `extra="allow"`) still is one cell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import to_json

from zoopipe.arrays import (
    least_byte,
    map_parts,
    no_nulls,
    only_where,
    text_array,
    text_bytes,
    text_scalar,
    with_elements,
)
from zoopipe.arrow_text import (
    is_plain_time,
    is_plain_timestamp,
    plain_text,
    time_text,
    timestamp_text,
)

Encoding = Literal["plain", "json", "bare", "record"]
NonFinite = Literal["null", "constants"]

RECORD = "_record"
_ENCODING = b"zoopipe.encoding"
_LOGICAL = b"zoopipe.type"

#: Arrow types that an encoded column can be cast to, by the name of its Python type.
LOGICAL_TYPES: Mapping[str, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
}

# What JSON must escape, the same in serde (pydantic) and in Python's json.
_NEEDS_ESCAPE = r'["\\\x00-\x1f]'
_SPACE = 32
# Floats that Arrow writes otherwise than pydantic: with an exponent, not finite, or tiny.
_ODD_FLOAT = r"[en]|^-?0\.00000"
_QUOTE, _NULL, _POINT_ZERO = text_scalar('"'), text_scalar("null"), text_scalar(".0")
_SEPARATOR, _COMMA = text_scalar(""), text_scalar(",")
_OPEN, _CLOSE = text_scalar("["), text_scalar("]")
_OPEN_OBJECT, _CLOSE_OBJECT, _COLON = text_scalar("{"), text_scalar("}"), text_scalar(":")


def encoded_field(name: str, encoding: Encoding, logical: str | None = None) -> pa.Field:
    """A string field whose cells are in `encoding`; `logical` is the Python type they stand for."""
    if encoding == "plain":
        return pa.field(name, pa.string())
    metadata = {_ENCODING: encoding.encode()}
    if logical is not None:
        metadata[_LOGICAL] = logical.encode()
    return pa.field(name, pa.string(), metadata=metadata)


def encoding_of(field: pa.Field) -> Encoding:
    """The encoding of a field's cells; `plain` for any column that is simply typed."""
    metadata = field.metadata
    if not metadata:
        return "plain"
    name: Encoding = metadata.get(_ENCODING, b"plain").decode()
    return name


def logical_of(field: pa.Field) -> str | None:
    """The Python type that a field's encoded cells stand for, where one is known."""
    name = (field.metadata or {}).get(_LOGICAL)
    return None if name is None else str(name.decode())


def record_batch(records: pa.StringArray) -> pa.RecordBatch:
    """A batch of whole rows, each the JSON text of an object."""
    return pa.RecordBatch.from_arrays(
        [records], schema=pa.schema([encoded_field(RECORD, "record")])
    )


def is_record_batch(schema: pa.Schema) -> bool:
    """Whether a batch's rows ride whole, in one `record` column."""
    return len(schema) > 0 and encoding_of(schema.field(0)) == "record"


def concat(first: Any, *rest: Any) -> pa.StringArray:
    """Joins strings element by element; scalars repeat, a null makes the result null."""
    return pc.binary_join_element_wise(first, *rest, _SEPARATOR)


def text_form(
    column: pa.Array, field: pa.Field, nonfinite: NonFinite = "null"
) -> tuple[Encoding, pa.StringArray]:
    """A column as text: `plain`, `bare` or `json` cells, from any type.

    Numbers are written as pydantic writes them to JSON.
    """
    encoding = encoding_of(field)
    if encoding != "plain":
        return encoding, column
    text = plain_text(column)
    if text is not None:
        return "plain", text
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "json", column.cast(pa.string())
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return "json", float_text(column.cast(pa.float64()), nonfinite)
    if pa.types.is_date32(kind) or (pa.types.is_decimal(kind) and kind.scale >= 0):
        return "bare", column.cast(pa.string())
    if is_plain_timestamp(kind):
        return "bare", timestamp_text(column)
    if is_plain_time(kind):
        return "bare", time_text(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "json", _list_text(column, nonfinite)
    if pa.types.is_struct(kind) and 0 < len(kind) == len({part.name for part in kind}):
        return "json", _struct_text(column, nonfinite)
    if pa.types.is_map(kind):
        return "json", _map_text(column, nonfinite)
    return "json", json_texts(column.to_pylist(), nonfinite)


def json_texts(values: Sequence[Any], nonfinite: NonFinite = "null") -> pa.StringArray:
    """The JSON text of each value, None as null."""
    return text_array([None if value is None else json_text(value, nonfinite) for value in values])


def json_text(value: Any, nonfinite: NonFinite = "null") -> str:
    """The JSON text of a Python value, as pydantic writes it."""
    return to_json(value, inf_nan_mode=nonfinite).decode()


def float_text(column: pa.DoubleArray, nonfinite: NonFinite = "null") -> pa.StringArray:
    """Floats as pydantic writes them: `1.0`, `1e+16`; not finite ones as null or by their names.

    Arrow's text is the same where it is a plain decimal of a number that is not tiny, save that
    whole numbers lack the `.0`. Exponents, `nan` and numbers below 0.00001 take the slow way, value by
    value.
    """
    text = column.cast(pa.string())
    data = bytes(text_bytes(text))
    odd = None
    if b"e" in data or b"n" in data or b"0.00000" in data:
        odd = no_nulls(pc.match_substring_regex(text, pattern=_ODD_FLOAT))
    if data.count(b".") < len(text) - text.null_count:
        text = pc.if_else(pc.equal(pc.floor(column), column), concat(text, _POINT_ZERO), text)
    if odd is None or not odd.true_count:
        return text
    written = json_texts_or_null(column.filter(odd).to_pylist(), nonfinite)
    return pc.replace_with_mask(text, odd, written)


def json_texts_or_null(
    values: Sequence[float | None], nonfinite: NonFinite = "null"
) -> pa.StringArray:
    """JSON texts, with null cells for what JSON's null stands for."""
    texts = [None if value is None else json_text(value, nonfinite) for value in values]
    return text_array([None if text == "null" else text for text in texts])


def json_cells(
    column: pa.Array, field: pa.Field, nonfinite: NonFinite = "null"
) -> tuple[pa.StringArray, bool]:
    """A column as JSON text, with whether each cell still has to be put between quotes.

    Returns:
        The cells, escaped where they are strings, and True where the caller adds the quotes.
        A column that has nulls never leaves its quotes to the caller.
    """
    encoding, text = text_form(column, field, nonfinite)
    if encoding == "json":
        return (pc.fill_null(text, _NULL) if text.null_count else text), False
    if encoding == "plain":
        text = _escape(text)
    if text.null_count:
        return pc.fill_null(concat(_QUOTE, text, _QUOTE), _NULL), False
    return text, True


def json_objects(
    columns: Sequence[pa.Array], schema: pa.Schema, nonfinite: NonFinite = "null", after: str = ""
) -> pa.StringArray:
    """Columns, of which there is one, as objects with `after` behind them: literals and cells side by
    side, joined in one pass."""
    pieces: list[Any] = []
    literal = "{"
    for column, field in zip(columns, schema, strict=True):
        literal += json.dumps(field.name, ensure_ascii=False) + ":"
        text, quotes = json_cells(column, field, nonfinite)
        pieces += [text_scalar(literal + '"' if quotes else literal), text]
        literal = '",' if quotes else ","
    closing = literal.rstrip(",") + "}" if pieces else "{}"
    return concat(*pieces, text_scalar(closing + after))


def quoted(column: pa.Array, field: pa.Field, nonfinite: NonFinite = "null") -> pa.StringArray:
    """A column as whole JSON texts, quotes and all."""
    text, needs_quotes = json_cells(column, field, nonfinite)
    return concat(_QUOTE, text, _QUOTE) if needs_quotes else text


def json_lists(
    lists: pa.ListArray, elements: pa.Array, field: pa.Field, nonfinite: NonFinite = "null"
) -> pa.StringArray:
    """The JSON text of lists, null as null; the elements are cells of `field`, all lists' in a row."""
    text = quoted(elements, field, nonfinite)
    return concat(_OPEN, pc.binary_join(with_elements(lists, text), _COMMA), _CLOSE)


def _list_text(column: pa.ListArray, nonfinite: NonFinite) -> pa.StringArray:
    return json_lists(column, column.flatten(), column.type.value_field, nonfinite)


def _struct_text(column: pa.StructArray, nonfinite: NonFinite) -> pa.StringArray:
    text = json_objects(column.flatten(), pa.schema(list(column.type)), nonfinite)
    return only_where(text, column.is_valid())


def _map_text(column: pa.MapArray, nonfinite: NonFinite) -> pa.StringArray:
    """Maps as objects, whose keys JSON has as strings, whatever they are."""
    kind = column.type
    ends, keys, items = map_parts(column)
    encoding, names = text_form(keys, kind.key_field, nonfinite)
    if encoding == "json":
        names = concat(_QUOTE, names, _QUOTE)
    else:
        names = quoted(names, encoded_field("key", encoding))
    members = concat(names, _COLON, quoted(items, kind.item_field, nonfinite))
    lists = pa.ListArray.from_arrays(ends, members, mask=column.is_null())
    joined = pc.binary_join(lists, _COMMA)
    return concat(_OPEN_OBJECT, joined, _CLOSE_OBJECT)


def _escape(text: pa.StringArray) -> pa.StringArray:
    """JSON's escapes applied to the cells that need any."""
    # Looking for these three in all cells' bytes costs a tenth of asking cell by cell.
    if least_byte(text) >= _SPACE:
        data = bytes(text_bytes(text))
        if b'"' not in data and b"\\" not in data:
            return text
    needs = pc.match_substring_regex(text, pattern=_NEEDS_ESCAPE)
    cells = text.filter(needs, null_selection_behavior="drop").to_pylist()
    escaped = text_array([json.dumps(cell, ensure_ascii=False)[1:-1] for cell in cells])
    return pc.replace_with_mask(text, needs, escaped)


def cells(column: pa.Array, field: pa.Field) -> pa.StringArray:
    """A column as the text of CSV cells: strings bare, other values as JSON, null as null."""
    encoding, text = text_form(column, field, "constants")
    if encoding != "json":
        return text
    odd = pc.match_substring_regex(text, pattern=r'^(?:"|null$)')
    if not odd.true_count:
        return text
    values = text.filter(odd, null_selection_behavior="drop").to_pylist()
    return pc.replace_with_mask(text, odd, text_array([json.loads(value) for value in values]))


def cell_text(value: Any) -> str | None:
    """One Python value as the text of a CSV cell; None stays None."""
    if value is None or isinstance(value, str):
        return value
    try:
        text = json_text(value, "constants")
    except ValueError:
        # pydantic nests 255 levels deep; what a hook has made may go deeper.
        text = json.dumps(value)
    return cell_of_json(text)


def cell_of_json(text: str) -> str | None:
    """The CSV cell for a JSON text."""
    if text.startswith('"'):
        cell: str = json.loads(text)
        return cell
    return None if text == "null" else text
