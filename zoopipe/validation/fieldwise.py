"""Values that need pydantic, field by field.

A cell that its kernel could not prove, a field with a validator of its own, or of a type that no
kernel knows, does not cost the rest of the row its columns: pydantic's validator of that one field is
given the cell. Each validator sees each value exactly as often, and in the same order, as a loop over
rows would show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import SchemaSerializer, SchemaValidator, to_json

from zoopipe.reasons import Reason, raised_reason, reasons_of
from zoopipe.validation.sets import holds_sets, with_sorted_sets

Schema = Mapping[str, Any]

#: Stands where a field has no value: its row is refused.
NO_VALUE = object()


class Findings:
    """The rows of a batch that are refused so far, and why.

    A row loop would have given up on a row whose validator raised what is no validation error; such
    a row is *stopped*, and no later field of it is looked at.
    """

    def __init__(self) -> None:
        self._reasons: dict[int, list[tuple[int, list[Reason]]]] = {}
        self._stopped: set[int] = set()

    def refuse(self, row: int, field: int, reasons: list[Reason]) -> None:
        """Adds the reasons of a field, by its place in the model."""
        self._reasons.setdefault(row, []).append((field, reasons))

    def stop(self, row: int, error: Exception) -> None:
        """Says that a row is refused for an error that is no validation error, and only for it."""
        self._reasons[row] = [(0, [raised_reason(error, "validator_error")])]
        self._stopped.add(row)

    def going_on(self, rows: Sequence[int]) -> Sequence[int]:
        """Those of `rows` that are not stopped."""
        stopped = self._stopped
        return [row for row in rows if row not in stopped] if stopped else rows

    def among(self, rows: Sequence[int]) -> list[int]:
        """The places in `rows`, which ascend, of those that are refused."""
        refused = self._reasons
        if not refused:
            return []
        if isinstance(rows, range) and rows == range(len(rows)):
            return sorted(row for row in refused if row < len(rows))
        return [at for at, row in enumerate(rows) if row in refused]

    def __contains__(self, row: int) -> bool:
        return row in self._reasons

    def __len__(self) -> int:
        return len(self._reasons)

    def refused(self) -> list[tuple[int, list[Reason]]]:
        """Each refused row with its reasons, rows in order, reasons in the order of the fields."""
        return [(row, _in_order(parts)) for row, parts in sorted(self._reasons.items())]


def _in_order(parts: list[tuple[int, list[Reason]]]) -> list[Reason]:
    """The reasons of some fields, by the fields' places."""
    if len(parts) == 1:
        return parts[0][1]
    return [reason for _, reasons in sorted(parts, key=itemgetter(0)) for reason in reasons]


class FieldValidator:
    """pydantic's validator of one field, for values that are there.

    Args:
        schema: the core schema of the field's value.
        config: the settings of its model.
        place: the field's place in its model.
    """

    def __init__(self, schema: Schema, config: Schema, place: int) -> None:
        settings: Any = dict(config)
        self._validate = SchemaValidator(dict(schema), settings).validate_python
        self._place = place

    def check(
        self, cells: Iterable[Any], rows: Sequence[int], loc: str, findings: Findings
    ) -> list[Any]:
        """The values of some cells, validated in order; `NO_VALUE` for those that are refused.

        Args:
            cells: what the field is given.
            rows: the row of each cell.
            loc: what the model puts before the place of an error in the field.
            findings: where refusals are noted.
        """
        validate = self._validate
        values: list[Any] = []
        append = values.append
        for row, cell in zip(rows, cells, strict=True):
            try:
                append(validate(cell))
            except ValidationError as error:
                append(NO_VALUE)
                findings.refuse(row, self._place, reasons_of(error, loc))
            except Exception as error:
                append(NO_VALUE)
                findings.stop(row, error)
        return values


class FieldsValidator:
    """pydantic's validator of some fields together, row by row: of fields whose validators look at
    each other, or share one, and of a field that a batch has no column for.

    Args:
        entries: the core schemas of the fields, by name, in their order.
        config: the settings of their model.
        places: the fields' places in the model.
        definitions: those that the schemas refer to.
    """

    def __init__(
        self, entries: Mapping[str, Schema], config: Schema, places: Mapping[str, int]
    ) -> None:
        schema: Any = {"type": "model-fields", "fields": dict(entries)}
        settings: Any = {
            key: value for key, value in config.items() if key != "extra_fields_behavior"
        }
        self._validate = SchemaValidator(schema, settings).validate_python
        self._names = tuple(entries)
        self._places = {
            loc: places[name] for name, entry in entries.items() for loc in _locs(name, entry)
        }

    def check(
        self, cells: Iterable[Mapping[str, Any]], rows: Sequence[int], findings: Findings
    ) -> dict[str, list[Any]]:
        """The values of each field; arguments as for `FieldValidator.check`, a cell is a row."""
        validate, names = self._validate, self._names
        values: list[Sequence[Any]] = []
        nothing = (NO_VALUE,) * len(names)
        for row, cell in zip(rows, cells, strict=True):
            try:
                found, _, _ = validate(cell)
            except ValidationError as error:
                values.append(nothing)
                for reason in reasons_of(error):
                    findings.refuse(row, self._places[reason["loc"][0]], [reason])
            except Exception as error:
                values.append(nothing)
                findings.stop(row, error)
            else:
                values.append([found[name] for name in names])
        columns = zip(*values, strict=True) if values else [()] * len(names)
        return {name: list(column) for name, column in zip(names, columns, strict=True)}


def _locs(name: str, entry: Schema) -> set[Any]:
    """What the place of an error in a field may begin with."""
    return {name, *(path[0] for path in alias_paths(entry))}


def alias_paths(entry: Schema) -> list[list[str | int]]:
    """The paths that a model looks a field up by, in order; without those by its name."""
    alias = entry.get("validation_alias")
    if alias is None:
        return []
    if isinstance(alias, str):
        return [[alias]]
    return [alias] if alias and not isinstance(alias[0], list) else list(alias)


class Dumper:
    """pydantic's serializer of one field's values."""

    def __init__(self, schema: Schema, config: Schema) -> None:
        items: Any = {"type": "list", "items_schema": dict(schema)}
        settings: Any = dict(config)
        self._dump = SchemaSerializer(items, settings).to_python
        self._holds_sets = holds_sets(schema)

    def dump(
        self,
        values: Sequence[Any],
        rows: Sequence[int],
        mode: Literal["json", "python"],
        findings: Findings,
    ) -> list[Any]:
        """What the values are in `mode`; for those of refused rows anything, of the others' types.

        A value that pydantic cannot dump has its row refused, as a loop over rows would.
        """
        refused = findings.among(rows)
        values = list(values)
        if refused:
            if len(refused) == len(rows):
                return [None] * len(rows)
            places = set(refused)
            some = values[next(at for at in range(len(rows)) if at not in places)]
            for at in refused:
                values[at] = some
        try:
            return self._dumped(values, mode)
        except Exception:
            places = set(refused)
            return [
                None if at in places else self._dump_one(value, row, mode, findings)
                for at, (row, value) in enumerate(zip(rows, values, strict=True))
            ]

    def _dump_one(self, value: Any, row: int, mode: str, findings: Findings) -> Any:
        try:
            (dumped,) = self._dumped([value], mode)
        except Exception as error:
            findings.stop(row, error)
            return None
        return dumped

    def _dumped(self, values: list[Any], mode: str) -> list[Any]:
        # Warnings would say, for each row, that a validator gave another type than declared.
        dumped: list[Any] = self._dump(values, mode=mode, warnings=False)
        if mode == "json" and self._holds_sets:
            return list(with_sorted_sets(dumped, self._dump(values, mode="python", warnings=False)))
        return dumped


def refuse_unwritable(values: Sequence[Any], rows: Sequence[int], findings: Findings) -> list[Any]:
    """Values of JSON mode that can be written, None for others: a lone surrogate is a str to Python,
    and no text to UTF-8. The rows of others are refused."""
    writable: list[Any] = []
    for row, value in zip(rows, values, strict=True):
        try:
            to_json(value)
        except Exception as error:
            if row not in findings:
                findings.stop(row, error)
            value = None
        writable.append(value)
    return writable
