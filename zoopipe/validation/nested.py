"""Kernels of values in values: lists, and models within models.

What is inside of them is proved by kernels over the child columns. The answer is a list or struct of
typed cells where these prove typed cells, and JSON text where one of them proves text of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import int64_scalar, list_offsets, no_nulls, only_where, with_elements, zeros
from zoopipe.columns import Encoding, encoding_of, json_lists, json_objects
from zoopipe.validation.core_schema import (
    DEFAULT_KEYS,
    HARMLESS_SETTINGS,
    Schema,
    Unprovable,
    check_keys,
    fields_of,
)
from zoopipe.validation.kernels import Kernel, Proof
from zoopipe.values import from_values

_LARGEST = (1 << 63) - 1
_LENGTHS = {"min_length": pc.greater_equal, "max_length": pc.less_equal}
_LIST_KEYS = {"type", "items_schema", "metadata", "ref", "strict", *_LENGTHS}
_FIELD_KEYS = {"type", "schema", "metadata", "validation_alias", "serialization_alias", "frozen"}
_DEFAULT_TYPES = (str, int, float, bool, date, datetime, type(None))


class _NestedKernel(Kernel):
    """Kernels that know nothing of text."""

    encoding: Encoding = "json"

    def prove_text(self, column: pa.StringArray) -> Proof | None:
        return None


def _plain(cells: pa.Array, proved: pa.BooleanArray | None) -> Proof:
    everywhere = proved is not None and proved.true_count == len(proved)
    return Proof(cells, None if everywhere else proved)


class ListKernel(_NestedKernel):
    """Lists whose elements another kernel proves, each of them.

    Args:
        inner: what proves an element.
        lengths: `min_length` and `max_length`, where the list has them.
    """

    def __init__(self, inner: Kernel, lengths: Mapping[str, int]) -> None:
        self.json_type = None if inner.json_type is None else pa.list_(inner.json_type)
        self._inner = inner
        self._lengths = [
            # No list is as long as what 64 bits do not hold.
            (_LENGTHS[name], int64_scalar(min(length, _LARGEST)))
            for name, length in lengths.items()
        ]

    def prove_typed(self, column: pa.Array) -> Proof | None:
        if not self.is_exact(column.type):
            return None
        elements = column.flatten()
        proof = self._inner.prove(elements) or _nothing_of(elements)
        proved = _and(self._fitting(column), _all_proved(column, proof.proved))
        if proof.encoding == "plain":
            return _plain(with_elements(column, proof.cells), proved)
        return self.proof(json_lists(column, proof.cells, proof.field("item")), proved)

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))

    def _fitting(self, column: pa.ListArray) -> pa.BooleanArray | None:
        """Where there is a list, of a length that is allowed; None where there is everywhere."""
        fitting = column.is_valid() if column.null_count else None
        lengths = pc.list_value_length(column).cast(pa.int64())
        for compare, length in self._lengths:
            fitting = _and(fitting, compare(lengths, length))
        return fitting


def _nothing_of(elements: pa.Array) -> Proof:
    """The proof of no element, which empty lists are content with."""
    return Proof(pa.nulls(len(elements)), pa.nulls(len(elements), pa.bool_()))


def _all_proved(lists: pa.ListArray, proved: pa.BooleanArray | None) -> pa.BooleanArray | None:
    """The lists of which all elements are `proved`."""
    if proved is None:
        return None
    unproved = pc.cumulative_sum(pc.invert(no_nulls(proved)).cast(pa.int64()))
    before = pa.concat_arrays([zeros(1), unproved]).take(list_offsets(lists))
    return pc.equal(before.slice(1), before.slice(0, len(lists)))


def _and(first: pa.BooleanArray | None, second: pa.BooleanArray | None) -> pa.BooleanArray | None:
    if first is None or second is None:
        return second if first is None else first
    return pc.and_(no_nulls(first), no_nulls(second))


@dataclass(frozen=True, slots=True)
class Member:
    """A field of a model within a model.

    Attributes:
        name: under which its value is written.
        source: the key that it is read from.
        kernel: what proves its values.
        default: a column of one cell, its value where the key is missing; None where pydantic has to say.
    """

    name: str
    source: str
    kernel: Kernel
    default: pa.Array | None

    def prove(self, columns: Mapping[str, pa.Array], rows: int) -> Proof | None:
        """The values of the field, in a struct of `rows` rows that has these columns."""
        if self.source in columns:
            return self.kernel.prove(columns[self.source])
        return None if self.default is None else Proof(self.default.take(zeros(rows)), None)


class StructKernel(_NestedKernel):
    """Models within models, in columns of structs.

    Args:
        members: the model's fields, of which there is one.
        forbids_extra: whether a key that is no field's refuses the value.
    """

    def __init__(self, members: Sequence[Member], forbids_extra: bool) -> None:
        self._members = tuple(members)
        kinds = {member.source: member.kernel.json_type for member in members}
        known = all(kind is not None for kind in kinds.values())
        self.json_type = pa.struct(list(kinds.items())) if known else None
        self._sources = {member.source for member in members}
        self._forbids_extra = forbids_extra

    def prove_typed(self, column: pa.Array) -> Proof | None:
        if not self.is_exact(column.type):
            return None
        names = [field.name for field in column.type]
        if len(set(names)) < len(names) or (self._forbids_extra and set(names) - self._sources):
            return None
        columns = dict(zip(names, column.flatten(), strict=True))
        proofs = []
        proved = column.is_valid() if column.null_count else None
        for member in self._members:
            proof = member.prove(columns, len(column))
            if proof is None:
                return None
            proofs.append(proof)
            proved = _and(proved, proof.proved)
        return self._assembled(column, proofs, proved)

    def _assembled(
        self, column: pa.StructArray, proofs: Sequence[Proof], proved: pa.BooleanArray | None
    ) -> Proof:
        """The members' cells as structs, null where `column` is."""
        cells = [proof.cells for proof in proofs]
        pairs = zip(self._members, proofs, strict=True)
        fields = [proof.field(member.name) for member, proof in pairs]
        if all(encoding_of(field) == "plain" for field in fields):
            mask = column.is_null() if column.null_count else None
            return _plain(pa.StructArray.from_arrays(cells, fields=fields, mask=mask), proved)
        text = json_objects(cells, pa.schema(fields))
        return self.proof(only_where(text, column.is_valid()), proved)

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_struct(kind))


KernelMaker = Callable[[Schema, Schema], Kernel]


def list_kernel(schema: Schema, config: Schema, kernel_for: KernelMaker) -> ListKernel:
    """The kernel of a `list`, whose elements' kernel is what `kernel_for` says.

    Raises:
        Unprovable: there is none.
    """
    check_keys(schema, _LIST_KEYS)
    if "items_schema" not in schema:
        raise Unprovable("a list of anything")
    lengths = {name: schema[name] for name in _LENGTHS if schema.get(name) is not None}
    return ListKernel(kernel_for(schema["items_schema"], config), lengths)


def model_kernel(schema: Schema, around: Schema, kernel_for: KernelMaker) -> StructKernel:
    """The kernel of a model within a model, whose fields' kernels are what `kernel_for` says.

    Args:
        schema: the core schema of the inner model.
        around: the settings of the outer one, of which those about serialization hold in both.
        kernel_for: the kernel of a core schema, under some settings.

    Raises:
        Unprovable: there is none.
    """
    for key in around:
        if key.startswith("ser"):
            raise Unprovable(f"a model, with the setting {key}")
    inner = fields_of(schema, HARMLESS_SETTINGS)
    fields, config = inner
    if inner.extra == "allow":
        raise Unprovable("extra='allow'")
    if not fields:
        raise Unprovable("a model without fields")
    members = [_member(name, entry, config, kernel_for) for name, entry in fields.items()]
    return StructKernel(members, inner.extra == "forbid")


def _member(name: str, entry: Schema, config: Schema, kernel_for: KernelMaker) -> Member:
    check_keys(entry, _FIELD_KEYS)
    source = entry.get("validation_alias", name)
    if not isinstance(source, str):
        raise Unprovable("an alias with choices or a path")
    schema: Schema = entry["schema"]
    if schema["type"] != "default":
        return Member(name, source, kernel_for(schema, config), None)
    check_keys(schema, DEFAULT_KEYS)
    kernel = kernel_for(schema["schema"], config)
    known = "default" in schema and not schema.get("validate_default")
    default = _default_cell(schema["default"], kernel) if known else None
    return Member(name, source, kernel, default)


def _default_cell(value: Any, kernel: Kernel) -> pa.Array | None:
    """A column of a default, or None: defaults are not validated, so that only what its field's kernel
    would leave as it is is sure to be written like any other value."""
    if type(value) not in _DEFAULT_TYPES:
        return None
    try:
        column, field = from_values("default", [value])
    except UnicodeEncodeError:
        return None
    if value is None:
        return column
    proof = kernel.prove(column)
    if proof is None or proof.proved is not None or encoding_of(field) != "plain":
        return None
    return column if proof.encoding == "plain" and proof.cells.equals(column) else None
