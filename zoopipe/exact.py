"""Python values as Arrow arrays of exactly one type, made of buffers: `pa.array` imports pandas where it is
installed."""

from __future__ import annotations

import dataclasses
import json
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from zoopipe.arrays import (
    int64_array,
    list_offsets,
    map_parts,
    mask_of,
    only_where,
    positions_of,
    text_array,
    typed_array,
    utf8_array,
    within,
)
from zoopipe.columns import encoding_of, json_text
from zoopipe.takers import (
    Misfit,
    Taker,
    is_text,
    is_uuid,
    nothing,
    taker,
)

#: Why some values, by position, cannot be held.
Misfits = dict[int, str]

NULL = "null, which the column does not take"
#: Python types of which all values, or none but those that `typed_array` refuses, are of the Arrow type.
_PYTHON_TYPES: Mapping[pa.DataType, type] = {
    pa.string(): str,
    pa.int64(): int,
    pa.float64(): float,
    pa.bool_(): bool,
    pa.date32(): date,
    pa.timestamp("us"): datetime,
}


def exact_array(values: Sequence[Any], field: pa.Field) -> tuple[pa.Array, Misfits]:
    """An array of exactly a field's type.

    Args:
        values: Python values, None as null; models, dataclasses and dicts for structs.
        field: the type, whether it takes nulls, and whether its cells are JSON text.

    Returns:
        The array, and the misfits, whose cells mean nothing; it has nulls only where the field takes them.
    """
    made, misfits = _typed(values, field)
    if not field.nullable:
        for at, value in enumerate(values):
            if value is None:
                misfits[at] = NULL
        made = dense(made)
    return made, misfits


def _typed(values: Sequence[Any], field: pa.Field) -> tuple[pa.Array, Misfits]:
    kind = field.type
    if encoding_of(field) == "json":
        taken, misfits = _taken(values, _json)
        return array_of(taken, kind), misfits
    if is_list(kind):
        return _lists(values, kind)
    if pa.types.is_map(kind):
        return _maps(values, kind)
    if pa.types.is_struct(kind):
        return _structs(values, kind)
    if pa.types.is_dictionary(kind):
        return _encoded(values, kind)
    python = _PYTHON_TYPES.get(kind)
    if python is not None and set(map(type, values)) <= {python, type(None)}:
        known = _known(values, python)
        if known is not None:
            return known, {}
    taken, misfits = _taken(values, taker(kind))
    return array_of(taken, kind), misfits


def nulls_of(rows: int, kind: pa.DataType) -> pa.Array:
    """Nulls of a type, with nothing null in them that takes no null."""
    if not pa.types.is_nested(kind):
        return pa.nulls(rows, kind)
    return exact_array([None] * rows, pa.field("", kind))[0]


def dense(made: pa.Array) -> pa.Array:
    """An array without nulls, with anything in their place.

    Where a struct is null, its members that take no null have to be something: Parquet is strict there.
    """
    kind = made.type
    if not made.null_count or pa.types.is_null(kind):
        return made
    if is_uuid(kind):
        return pa.ExtensionArray.from_storage(kind, dense(made.storage))
    if pa.types.is_struct(kind):
        members = [made.field(at) for at in range(kind.num_fields)]
        return pa.StructArray.from_arrays(members, fields=list(kind))
    if pa.types.is_map(kind):
        ends, keys, items = map_parts(made)
        return pa.MapArray.from_arrays(ends, keys, items, type=kind)
    if is_list(kind):
        if pa.types.is_fixed_size_list(kind):
            elements = made.values.slice(made.offset * kind.list_size, len(made) * kind.list_size)
            return pa.FixedSizeListArray.from_arrays(elements, type=kind)
        return lists_of(kind, list_offsets(made), made.flatten(), None)
    _, *buffers = made.buffers()
    if pa.types.is_dictionary(kind):
        indices = dense(made.indices)
        return (
            pa.DictionaryArray.from_arrays(indices, made.dictionary)
            if len(made.dictionary)
            else made
        )
    return pa.Array.from_buffers(kind, len(made), [None, *buffers], 0, made.offset)


def _encoded(values: Sequence[Any], kind: pa.DictionaryType) -> tuple[pa.Array, Misfits]:
    made, misfits = _typed(values, pa.field("", kind.value_type))
    made = made.dictionary_encode()
    indices, most = made.indices, (1 << kind.index_type.bit_width - 1) - 1
    if len(made.dictionary) > most:
        indices = within(indices, 0, most)
        for at in positions_of(pc.and_(indices.is_null(), made.is_valid())):
            misfits[at] = "more different values than its indices count"
    indices, known = indices.cast(kind.index_type), made.dictionary.slice(0, most + 1)
    return pa.DictionaryArray.from_arrays(indices, known, ordered=kind.ordered), misfits


def _known(values: Sequence[Any], python: type) -> pa.Array | None:
    """An array of values that all are of one Python type, None where some cannot be held."""
    if python is str:
        try:
            return text_array(values)
        except UnicodeEncodeError:
            return None
    return typed_array(values, python)


def _taken(values: Sequence[Any], take: Taker) -> tuple[list[Any], Misfits]:
    """What an array is to be made of, None for misfits."""
    taken: list[Any] = []
    misfits: Misfits = {}
    for at, value in enumerate(values):
        try:
            taken.append(None if value is None else take(value))
        except Misfit as misfit:
            taken.append(None)
            misfits[at] = str(misfit)
    return taken, misfits


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is of lists of any kind."""
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    )


def _lists(values: Sequence[Any], kind: pa.DataType) -> tuple[pa.Array, Misfits]:
    lists, misfits = _taken(values, _list)
    size = kind.list_size if pa.types.is_fixed_size_list(kind) else None
    if size is not None:
        for at, items in enumerate(lists):
            if items is not None and len(items) != size:
                misfits[at], lists[at] = f"no list of {size}", None
    blank = [None] * (size or 0)
    flat = [item for items in lists for item in (blank if items is None else items)]
    ends = list(accumulate((len(blank if items is None else items) for items in lists), initial=0))
    elements, inner = exact_array(flat, kind.value_field)
    _add_inner(misfits, inner, ends, lists)
    mask = _mask([items is None for items in lists])
    if size is not None:
        return pa.FixedSizeListArray.from_arrays(elements, type=kind, mask=mask), misfits
    return lists_of(kind, _int32(ends), elements, mask), misfits


def lists_of(
    kind: pa.DataType, ends: pa.Int32Array, elements: pa.Array, mask: pa.BooleanArray | None
) -> pa.Array:
    """Lists of a type, of which each ends where the next one begins; null where `mask` is true."""
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(ends.cast(pa.int64()), elements, type=kind, mask=mask)
    return pa.ListArray.from_arrays(ends, elements, type=kind, mask=mask)


def _maps(values: Sequence[Any], kind: pa.MapType) -> tuple[pa.Array, Misfits]:
    maps, misfits = _taken(values, _members)
    ends = list(accumulate((len(members or ()) for members in maps), initial=0))
    keys, bad_keys = exact_array([key for members in maps for key in members or ()], kind.key_field)
    flat = [item for members in maps for item in (members or {}).values()]
    items, bad_items = exact_array(flat, kind.item_field)
    for inner in (bad_keys, bad_items):
        _add_inner(misfits, inner, ends, maps)
    mask = _mask([members is None for members in maps])
    return pa.MapArray.from_arrays(_int32(ends), keys, items, type=kind, mask=mask), misfits


def _structs(values: Sequence[Any], kind: pa.StructType) -> tuple[pa.Array, Misfits]:
    structs, misfits = _taken(values, _members)
    names = {field.name for field in kind}
    for at, members in enumerate(structs):
        if members is not None and not names.issuperset(members):
            unknown = [str(name) for name in members if name not in names]
            if any(members[name] is not None for name in members if name not in names):
                misfits[at], structs[at] = f"it has {', '.join(unknown)} too", None
    present = [at for at, members in enumerate(structs) if members is not None]
    columns = []
    for field in kind:
        column, inner = exact_array(
            [None if members is None else members.get(field.name) for members in structs], field
        )
        columns.append(column)
        for at in set(inner).intersection(present):
            misfits.setdefault(at, f"{field.name}: {inner[at]}")
    mask = _mask([members is None for members in structs])
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=mask), misfits


def _add_inner(misfits: Misfits, inner: Misfits, ends: Sequence[int], lists: Sequence[Any]) -> None:
    """Adds the misfits among the elements of lists to those of the lists."""
    for at, why in inner.items():
        row = bisect_right(ends, at) - 1
        if lists[row] is not None:
            misfits.setdefault(row, f"within: {why}")


def _int32(values: Sequence[int]) -> pa.Int32Array:
    return int64_array(values).cast(pa.int32())


def _mask(absent: Sequence[bool]) -> pa.BooleanArray | None:
    if not any(absent):
        return None
    return mask_of(len(absent), (at for at, flag in enumerate(absent) if flag))


def _list(value: Any) -> list[Any]:
    """What is in a list, a tuple or a set; a set in order, which it does not keep itself."""
    if isinstance(value, list | tuple | deque):
        return list(value)
    if isinstance(value, Set):
        return _in_order(value)
    if isinstance(value, str):
        found = _loaded(value)
        if isinstance(found, list):
            return found
    raise Misfit("no list")


def _in_order(values: Iterable[Any]) -> list[Any]:
    """The members of a set, sorted: the same in every process, where a set's own order is not."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=_json)


def _members(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
    if isinstance(value, str):
        found = _loaded(value)
        if isinstance(found, dict):
            return found
    raise Misfit("no object")


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _json(value: Any) -> str:
    try:
        return json_text(_settled(value), "constants")
    except PydanticSerializationError:
        raise Misfit("it cannot be written as JSON") from None
    except ValueError:
        # pydantic nests 255 levels deep; a record that was read may go deeper.
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError):
            raise Misfit("it cannot be written as JSON") from None


def _settled(value: Any) -> Any:
    """A value whose sets have an order."""
    if isinstance(value, Set) and not isinstance(value, Mapping):
        return _in_order(value)
    if type(value) in (list, tuple):
        return [_settled(item) for item in value]
    if type(value) is dict:
        return {key: _settled(item) for key, item in value.items()}
    return value


def array_of(taken: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array of what a type's taker gave, None as null."""
    types = pa.types
    if is_uuid(kind):
        return pa.ExtensionArray.from_storage(kind, array_of(taken, kind.storage_type))
    if is_text(kind):
        text = text_array(taken)
        return text if kind == text.type else text.cast(kind)
    if types.is_boolean(kind):
        return typed_array(taken, bool)
    if types.is_floating(kind):
        floats = typed_array(taken, float)
        return floats if kind == pa.float64() else pc.cast(floats, kind, safe=False)
    if types.is_decimal(kind):
        return _fixed_width([_little(value, kind) for value in taken], kind)
    if types.is_fixed_size_binary(kind):
        return _fixed_width(taken, kind)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        data = utf8_array([value or b"" for value in taken]).view(pa.binary()).cast(kind)
        return _with_nulls(data, taken)
    if kind == pa.uint64():
        data = pa.py_buffer(array("Q", [value or 0 for value in taken]).tobytes())
        return _with_nulls(pa.Array.from_buffers(kind, len(taken), [None, data]), taken)
    if types.is_null(kind) or taker(kind) is nothing:
        return pa.nulls(len(taken), kind)
    numbers = int64_array(taken)
    if types.is_integer(kind):
        return numbers.cast(kind)
    return (numbers.cast(pa.int32()) if kind.bit_width == 32 else numbers).view(kind)


def _little(value: int | None, kind: pa.DataType) -> bytes | None:
    return None if value is None else value.to_bytes(kind.byte_width, "little", signed=True)


def _fixed_width(values: Sequence[bytes | None], kind: pa.DataType) -> pa.Array:
    """An array of values that all have as many bytes as the type says."""
    blank = bytes(kind.byte_width)
    data = pa.py_buffer(b"".join([blank if value is None else value for value in values]))
    return _with_nulls(pa.Array.from_buffers(kind, len(values), [None, data]), values)


def _with_nulls(made: pa.Array, values: Sequence[Any]) -> pa.Array:
    """An array with nulls where `values` have None."""
    valid = [at for at, value in enumerate(values) if value is not None]
    return made if len(valid) == len(values) else only_where(made, mask_of(len(values), valid))
