"""Column kernels: each proves, for a column, what pydantic would return.

A kernel is given a column and says for which cells pydantic's answer is known, and what that answer
is. It never says that a cell is invalid: whatever it cannot prove goes to pydantic. So a kernel may be
as timid as it likes, and must never be wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from zoopipe.arrays import int64_scalar, no_nulls, nulls
from zoopipe.arrow_text import plain_text
from zoopipe.columns import LOGICAL_TYPES, Encoding, encoded_field


@dataclass(frozen=True, slots=True)
class Proof:
    """What a kernel found out of a column.

    Attributes:
        cells: the proved values, in the encoding; a typed column where the encoding is plain.
        proved: where the cells are pydantic's answer; None where all are. A null is proved only by
            a kernel that takes nulls.
        encoding: see `zoopipe.columns`.
        logical: the Python type that encoded cells stand for, where Arrow has one for it.
    """

    cells: pa.Array
    proved: pa.BooleanArray | None
    encoding: Encoding = "plain"
    logical: str | None = None

    def field(self, name: str) -> pa.Field:
        """The field of a column of these cells."""
        if self.encoding == "plain":
            return pa.field(name, self.cells.type)
        return encoded_field(name, self.encoding, self.logical)

    def where(self, condition: pa.BooleanArray) -> Proof:
        """The same, proved only where `condition` holds too."""
        if condition.true_count == len(condition):
            return self
        both = condition if self.proved is None else pc.and_(self.proved, condition)
        return replace(self, proved=both)


def typed_proof(cells: pa.Array) -> Proof:
    """Typed cells, of which all that are not null are proved."""
    return Proof(cells, cells.is_valid() if cells.null_count else None)


class Kernel(ABC):
    """Proves the values of one field type.

    Attributes:
        encoding: how text that was proved is encoded.
        logical: the Python type that it stands for.
        json_type: the Arrow type that values of JSON are read as for it: `null` where that is what
            they are; None where none could hold them.
    """

    encoding: Encoding = "plain"
    logical: str | None = None
    json_type: pa.DataType | None = pa.string()

    def prove(self, column: pa.Array) -> Proof | None:
        """What pydantic's answer is known to be; None where nothing is known of such a column.

        Args:
            column: text as it was read, or values of any Arrow type; what pydantic would be given
                is the column's `to_pylist()`.
        """
        text = plain_text(column)
        return self.prove_typed(column) if text is None else self.prove_text(text)

    @abstractmethod
    def prove_text(self, column: pa.StringArray) -> Proof | None:
        """The answers for text."""

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """The answers for values of another Arrow type."""
        return None

    def is_exact(self, kind: pa.DataType) -> bool:
        """Whether strict models too take what is proved of values of this Arrow type."""
        return False

    def proof(self, cells: pa.Array, proved: pa.BooleanArray | None) -> Proof:
        """A proof in this kernel's encoding, which says None where every cell is proved."""
        if proved is not None and proved.true_count == len(proved):
            proved = None
        return Proof(cells, proved, self.encoding, self.logical)

    def as_it_is(self, column: pa.StringArray) -> Proof:
        """Every cell that is not null is already the text of its value."""
        return self.proof(column, column.is_valid() if column.null_count else None)

    def matching(self, column: pa.StringArray, pattern: str) -> Proof:
        """Text that matches `pattern` is already the text of its value."""
        return self.proof(column, pc.match_substring_regex(column, pattern=pattern))

    def sure_or_matching(
        self, column: pa.StringArray, sure: pa.BooleanArray, pattern: str
    ) -> Proof:
        """Text that is `sure`, or else matches `pattern`, is already the text of its value.

        What is sure is found for a tenth of what matching a pattern costs, which is left to the rest.
        """
        return self.proof(column, sure_or_matching(column, sure, pattern))


def sure_or_matching(
    column: pa.StringArray, sure: pa.BooleanArray, pattern: str
) -> pa.BooleanArray:
    """Where text is `sure`, or else matches `pattern`."""
    sure = no_nulls(sure)
    unsure = len(sure) - sure.true_count
    if not unsure:
        return sure
    if unsure > len(sure) // 3:
        return pc.match_substring_regex(column, pattern=pattern)
    rest = pc.invert(sure)
    matched = no_nulls(pc.match_substring_regex(column.filter(rest), pattern=pattern))
    return pc.replace_with_mask(sure, rest, matched) if matched.true_count else sure


def cast_or_none(column: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The column cast by Arrow, or None where some cell is not of the type."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return None


class StrKernel(Kernel):
    """`str` without constraints: text is what it is."""

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.as_it_is(column)


class BytesKernel(Kernel):
    """`bytes`, of some length: text is taken for its UTF-8, and written as it was read."""

    def __init__(self, min_length: int = 0, max_length: int | None = None) -> None:
        self._min_length, self._max_length = min_length, max_length

    def prove_text(self, column: pa.StringArray) -> Proof:
        proof = self.as_it_is(column)
        lengths = pc.binary_length(column).cast(pa.int64())
        if self._min_length:
            proof = proof.where(pc.greater_equal(lengths, int64_scalar(self._min_length)))
        if self._max_length is not None:
            proof = proof.where(pc.less_equal(lengths, int64_scalar(self._max_length)))
        return proof

    def prove_typed(self, column: pa.Array) -> Proof | None:
        """Bytes, where all of a column are UTF-8."""
        text = cast_or_none(column, pa.string()) if self.is_exact(column.type) else None
        return None if text is None else self.prove_text(text)

    def is_exact(self, kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


class UUIDKernel(Kernel):
    """The form with hyphens, in lower case: it is the text that a UUID is written as."""

    encoding: Encoding = "bare"
    _PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

    def prove_text(self, column: pa.StringArray) -> Proof:
        return self.matching(column, self._PATTERN)


class NullableKernel(Kernel):
    """`Optional[...]`: a null is proved to be None, all else is the inner kernel's."""

    def __init__(self, inner: Kernel) -> None:
        self.encoding = inner.encoding
        self.logical = inner.logical
        self.json_type = inner.json_type
        self._inner = inner

    def prove(self, column: pa.Array) -> Proof | None:
        if pa.types.is_null(column.type):
            return self._all_none(len(column))
        proof = self._inner.prove(column)
        if proof is None or proof.proved is None or not column.null_count:
            return proof
        proved = pc.or_kleene(column.is_null(), proof.proved)
        return replace(proof, proved=None if proved.true_count == len(proved) else proved)

    def prove_text(self, column: pa.StringArray) -> Proof | None:
        return self.prove(column)

    def _all_none(self, rows: int) -> Proof:
        """Nulls of a column without a type, in the type that other columns' values are proved in."""
        kind = LOGICAL_TYPES.get(self.logical or "")
        if kind is None and self.encoding != "json":
            return self.proof(nulls(rows), None)
        return Proof(pa.nulls(rows, kind), None)

    def is_exact(self, kind: pa.DataType) -> bool:
        return self._inner.is_exact(kind)


class TypedKernel(Kernel):
    """`strict`: no value is taken for one of another type, so that only columns of the type are asked."""

    def __init__(self, inner: Kernel) -> None:
        self.json_type = inner.json_type
        self.encoding = inner.encoding
        self.logical = inner.logical
        self._inner = inner

    def prove_text(self, column: pa.StringArray) -> Proof | None:
        return None

    def prove_typed(self, column: pa.Array) -> Proof | None:
        return self._inner.prove_typed(column) if self.is_exact(column.type) else None

    def is_exact(self, kind: pa.DataType) -> bool:
        return self._inner.is_exact(kind)
