"""Fields that need Python, one by one: pydantic runs over their column alone.

A field with a validator of its own, or of a type that no kernel knows, does not cost the other fields
their columns: pydantic's validator of that one field is given its cells. Each validator sees each value
exactly as often, and in the same order, as a loop over rows would show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator

from zoopipe.reasons import Reason, raised_reason, reasons_of

# Types whose validators and serializers look at nothing but the value.
_LONELY_TYPES = {
    "any",
    "bool",
    "bytes",
    "date",
    "datetime",
    "decimal",
    "default",
    "dict",
    "enum",
    "float",
    "function-after",
    "function-before",
    "function-plain",
    "function-wrap",
    "int",
    "list",
    "literal",
    "none",
    "nullable",
    "set",
    "str",
    "time",
    "timedelta",
    "tuple",
    "union",
    "url",
    "uuid",
}


#: Stands where a field has no value of its own yet: the row went to pydantic whole.
NO_VALUE = object()


class FieldValidator:
    """pydantic's validator and serializer of one field.

    Args:
        schema: the core schema of the field's value.
        config: the settings of its model.
        loc: what the model puts before the place of an error in the field.
    """

    def __init__(self, schema: Mapping[str, Any], config: Mapping[str, Any], loc: str) -> None:
        settings: Any = dict(config)
        self._validate = SchemaValidator(dict(schema), settings).validate_python
        items: Any = {"type": "list", "items_schema": dict(schema)}
        self._serialize = SchemaSerializer(items, settings).to_python
        self._loc = loc

    def check(
        self,
        cells: Sequence[Any],
        values: list[Any],
        rows: range,
        refused: dict[int, Refused],
    ) -> None:
        """Validates the cells of some rows, in order.

        Args:
            cells: the whole column.
            values: where the values are put, by row.
            rows: which rows.
            refused: the rows that this or an earlier field refused; one that was stopped, because a
                validator raised what is no validation error, is not looked at again.
        """
        validate = self._validate
        for row in rows:
            if refused and row in refused and refused[row].stopped:
                continue
            try:
                values[row] = validate(cells[row])
            except ValidationError as error:
                refused.setdefault(row, Refused()).reasons += [
                    {**reason, "loc": [self._loc, *reason["loc"]]} for reason in reasons_of(error)
                ]
            except Exception as error:
                refused[row] = Refused([raised_reason(error, "validator_error")], stopped=True)

    def dump(self, values: list[Any], refused: dict[int, Refused]) -> list[Any]:
        """What the values are in JSON mode; those of refused rows, and of no row, are left out.

        A value that pydantic cannot dump has its row refused, as a loop over rows would.
        """
        rows = [
            row for row, value in enumerate(values) if value is not NO_VALUE and row not in refused
        ]
        dumped: list[Any] = [None] * len(values)
        try:
            # Warnings would say, for each row, that a validator gave another type than declared.
            some = self._serialize([values[row] for row in rows], mode="json", warnings=False)
        except Exception:
            for row in rows:
                try:
                    (dumped[row],) = self._serialize([values[row]], mode="json", warnings=False)
                except Exception as error:
                    refused[row] = Refused([raised_reason(error, "validator_error")])
            return dumped
        for row, value in zip(rows, some, strict=True):
            dumped[row] = value
        return dumped


class Refused:
    """Why a row is refused so far, and whether a row loop would have given up on it already."""

    def __init__(self, reasons: list[Reason] | None = None, stopped: bool = False) -> None:
        self.reasons = [] if reasons is None else reasons
        self.stopped = stopped


def obstacle(schema: Any) -> str | None:
    """Why a field cannot be validated without the rest of its row; None where it can."""
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        if kind in ("with-info", "no-info"):
            return "a validator that may look at other fields" if kind == "with-info" else None
        if "serialization" in schema:
            return "a serializer of its own"
        if kind is not None and kind not in _LONELY_TYPES:
            return f"type {kind}"
        inner = [value for key, value in schema.items() if key not in ("metadata", "default")]
        return next(filter(None, map(obstacle, inner)), None)
    if isinstance(schema, list | tuple):
        return next(filter(None, map(obstacle, schema)), None)
    return None
