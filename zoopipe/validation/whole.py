"""Whole rows by pydantic, one by one: for models that cannot be checked field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from zoopipe.arrays import text_array
from zoopipe.columns import NonFinite, json_text, record_batch
from zoopipe.reasons import raised_reason, reasons_of
from zoopipe.validation.accepted import WHOLE_ROWS, Accepted
from zoopipe.validation.schema import has_own_text, is_overridden
from zoopipe.validation.sets import holds_sets, sets_as_lists, with_sorted_sets


class WholeRows:
    """A model, run over rows.

    Attributes:
        has_own_text: whether the model may write a value otherwise than pydantic writes any value of
            its type.
        holds_sets: whether a value may be a set, or hold one.
    """

    def __init__(self, model: type[BaseModel], nonfinite: NonFinite) -> None:
        self.has_own_text = has_own_text(model)
        self._model = model
        self._nonfinite: NonFinite = nonfinite
        own_dump = any(is_overridden(model, name) for name in ("model_dump", "model_dump_json"))
        self.holds_sets = holds_sets(model.__pydantic_core_schema__)
        self._plain_dump = nonfinite == "null" and not own_dump and not self.holds_sets

    def lines(self, rows: Sequence[Any]) -> Accepted:
        """The accepted rows as one JSON text each."""
        accepted = self._each(rows, self._text)
        accepted.checked = record_batch(text_array(accepted.values))  # type: ignore[arg-type]
        return _all_or_kept(accepted)

    def json_values(self, rows: Sequence[Any]) -> Accepted:
        """The accepted rows as what they are in JSON; `kept` says which they are."""

        def dump(instance: BaseModel) -> Any:
            # What cannot be written, a lone surrogate for one, refuses its row.
            self._text(instance)
            return self._json_dump(instance)

        return self._each(rows, dump)

    def hooked_text(self, row: Any, instance: BaseModel) -> str:
        """The JSON text of a row that hooks have had, made of what `rows` gave for `instance`.

        A value that no hook changed is written as the model writes it, serializers and all; any
        other one as pydantic writes a value of its type.
        """
        dumped = instance.model_dump()
        if _same(row, dumped):
            return self._text(instance)
        as_json = self._json_dump(instance)
        if all(isinstance(part, dict) for part in (row, dumped, as_json)):
            unchanged = [
                name
                for name in row
                if name in dumped and name in as_json and _same(row[name], dumped[name])
            ]
            row = {**row, **{name: as_json[name] for name in unchanged}}
        return json_text(sets_as_lists(row) if self.holds_sets else row, self._nonfinite)

    def _text(self, instance: BaseModel) -> str:
        """An instance as one line of JSON."""
        if self._plain_dump:
            return instance.model_dump_json()
        return json_text(self._json_dump(instance), self._nonfinite)

    def _json_dump(self, instance: BaseModel) -> Any:
        """An instance as what JSON holds."""
        dumped = instance.model_dump(mode="json")
        return with_sorted_sets(dumped, instance.model_dump()) if self.holds_sets else dumped

    def values(self, rows: Sequence[Any]) -> Accepted:
        """The accepted rows as `model_dump()`, beside the instance that it is a dump of where the
        model has its own ways to write it."""
        if not self.has_own_text:
            return _all_or_kept(self._each(rows, _python_dump))
        accepted = self._each(rows, lambda instance: (instance.model_dump(), instance))
        pairs: list[Any] = accepted.values
        accepted.values = [value for value, _ in pairs]
        accepted.instances = [instance for _, instance in pairs]
        return _all_or_kept(accepted)

    def _each(self, rows: Sequence[Any], dump: Callable[[Any], Any]) -> Accepted:
        """The accepted rows, each as `dump` gives it; `kept` says which they are."""
        accepted = Accepted(deferred=len(rows), deferred_to=Counter({WHOLE_ROWS: len(rows)}))
        validate, kept = self._model.model_validate, []
        for position, row in enumerate(rows):
            try:
                value = dump(validate(row))
            except ValidationError as error:
                accepted.refused.append((position, reasons_of(error)))
            except Exception as error:
                # A validator may raise anything; the row is refused, the run goes on.
                accepted.refused.append((position, [raised_reason(error, "validator_error")]))
            else:
                accepted.values.append(value)
                kept.append(position)
        accepted.kept = kept
        return accepted


def _python_dump(instance: BaseModel) -> dict[str, Any]:
    return instance.model_dump()


def _same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of equal types all the way down: 1 is not True here."""
    if value is other:
        return True
    if type(value) is not type(other):
        return False
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other)


def _all_or_kept(accepted: Accepted) -> Accepted:
    if not accepted.refused:
        accepted.kept = None
    return accepted
