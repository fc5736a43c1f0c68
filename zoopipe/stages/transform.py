"""Hooks, run over the rows of a block."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from zoopipe.arrays import int64_array
from zoopipe.errors import HookError
from zoopipe.hooks import (
    AnyHook,
    BaseHook,
    ColumnHook,
    EntryStatus,
    EntryTypedDict,
    FunctionHook,
    HookStore,
    hook_name,
)
from zoopipe.reasons import Reason, clean_text, raised_reason
from zoopipe.redact import place_of, redact
from zoopipe.rows import Row
from zoopipe.stages.flow import Flow, row_text
from zoopipe.stages.numbers import input_numbers
from zoopipe.values import from_rows, holds_values, rows_of, typed, updated

_GOING_ON = (EntryStatus.PENDING, EntryStatus.VALIDATED)

DataKey = Literal["raw_data", "validated_data"]


class Transform:
    """The hooks of one side of validation.

    Args:
        hooks: in the order they run.
        data: which of an entry's dicts they work on.
        batch_rows: the most entries that a `BaseHook` is given at once.
        shows_messages: whether errors say what a hook raised with, which may be values of rows.
    """

    def __init__(
        self,
        hooks: Sequence[AnyHook],
        data: DataKey,
        batch_rows: int,
        shows_messages: bool = False,
    ) -> None:
        self._hooks = hooks
        self._data = data
        self._batch_rows = batch_rows
        self._shows_messages = shows_messages

    def __call__(self, flow: Flow, store: HookStore) -> None:
        for hook in self._hooks:
            if not len(flow):
                return
            if isinstance(hook, FunctionHook):
                self._run_function(hook, flow)
            elif isinstance(hook, ColumnHook):
                self._run_columns(hook, flow)
            else:
                self._run_entries(hook, flow, store)

    def _run_function(self, hook: FunctionHook, flow: Flow) -> None:
        if hook.columns is not None and flow.values is None and holds_values(flow.batch):
            self._run_on_its_columns(hook, hook.columns, flow)
            return
        rows = flow.rows()
        results = _called(hook.function, rows) if hook.columns is None else _updated(hook, rows)
        kept = self._settle(hook, flow, results)
        self._set_rows(flow, results if kept is None else [results[at] for at in kept], kept)

    def _run_on_its_columns(self, hook: FunctionHook, columns: Sequence[str], flow: Flow) -> None:
        """Gives a function the columns that it asks for; the others stay columns."""
        assert flow.batch is not None
        batch, names = flow.batch, [name for name in columns if name in flow.batch.schema.names]
        asked = rows_of(batch.select(names)) if names else [{} for _ in range(batch.num_rows)]

        def call(row: Row) -> Any:
            result = hook.function(row)
            # A copy: the function may give one dict again and again.
            return {**result} if isinstance(result, dict) else result

        results = _called(call, asked)
        kept = self._settle(hook, flow, results)
        if kept is not None:
            flow.keep(kept)
            results = [results[at] for at in kept]
            batch = batch.take(int64_array(kept))
        flow.batch, flow.values = updated(batch, results), None
        if flow.batch is None:
            rows = zip(rows_of(batch), results, strict=True)
            flow.values = [{**row, **result} for row, result in rows]

    def _settle(self, hook: FunctionHook, flow: Flow, results: Sequence[Any]) -> list[int] | None:
        """Counts and refuses what is not a row; the positions of those that are, None for all."""
        if set(map(type, results)) <= {dict}:
            return None
        kept = []
        for position, result in enumerate(results):
            if isinstance(result, dict):
                kept.append(position)
            elif result is None:
                flow.dropped += 1
            elif isinstance(result, _Raised):
                flow.refuse(position, "hook", [result.reason])
            else:
                message = f"{hook_name(hook)} gave {type(result).__name__}, not a dict or None"
                flow.refuse(position, "hook", [{"loc": [], "type": "hook_result", "msg": message}])
        return kept

    def _set_rows(self, flow: Flow, rows: list[Any], kept: list[int] | None) -> None:
        flow.keep(kept)
        if flow.entries is not None:
            entries = flow.entries
            flow.entries = entries if kept is None else [entries[position] for position in kept]
            for entry, row in zip(flow.entries, rows, strict=True):
                entry[self._data] = row
        flow.values, flow.batch = rows, None

    def _run_columns(self, hook: ColumnHook, flow: Flow) -> None:
        rows = None if flow.batch is not None else self._objects(hook, flow)
        batch = typed(flow.batch) if rows is None else from_rows(rows)
        if not batch.num_rows and rows:
            return  # Objects without any key: there is no column to look at.
        try:
            result = hook.execute(batch)
        except Exception as error:
            raise self._failure(hook, flow, error) from error
        if not isinstance(result, pa.RecordBatch):
            raise HookError(
                f"{hook_name(hook)}.execute gave {type(result).__name__}, not a pyarrow.RecordBatch"
            )
        change = result.num_rows - batch.num_rows
        if change and flow.entries is not None:
            raise HookError(
                f"{hook_name(hook)} changed the number of rows of a pipe that has a BaseHook: "
                "add or drop rows in the BaseHook"
            )
        if change:
            # Which rows went is not known any more; the block they came from still is.
            flow.origin = [flow.unknown() for _ in range(result.num_rows)]
            flow.added += max(change, 0)
            flow.dropped += max(-change, 0)
        flow.batch, flow.values = result, None
        if rows is not None and not change:
            flow.values, flow.batch = _with_absent_keys(result, batch.schema.names, rows), None
        if flow.entries is not None:
            self._set_rows(flow, flow.rows(), None)

    def _objects(self, hook: ColumnHook, flow: Flow) -> list[dict[str, Any]]:
        """The rows that have columns: JSON's arrays and scalars have none, and are refused."""
        rows, kept = flow.rows(), []
        for position, row in enumerate(rows):
            if isinstance(row, dict):
                kept.append(position)
            else:
                message = f"{hook_name(hook)} sees columns, and the row is {type(row).__name__}"
                flow.refuse(position, "hook", [{"loc": [], "type": "hook_input", "msg": message}])
        if len(kept) != len(rows):
            self._set_rows(flow, [rows[position] for position in kept], kept)
        return flow.rows()

    def _run_entries(self, hook: BaseHook, flow: Flow, store: HookStore) -> None:
        assert flow.entries is not None, "pipes with a BaseHook make entries of every row"
        results: list[EntryTypedDict] = []
        # Taken now: a hook may put other ids into the entries.
        ids = [entry["id"] for entry in flow.entries]
        for start in range(0, len(flow.entries), self._batch_rows):
            chunk = flow.entries[start : start + self._batch_rows]
            try:
                returned = hook.execute(list(chunk), store)
            except Exception as error:
                raise self._failure(hook, flow, error, chunk) from error
            if not isinstance(returned, list):
                raise HookError(
                    f"{hook_name(hook)}.execute gave {type(returned).__name__}, not a list of entries"
                )
            results += returned
        try:
            if not self._takes_all(flow, results):
                places = {key: place for place, key in enumerate(ids)}
                self._take_entries(hook, flow, results, places)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # Not an entry, an entry without its keys, a status that there is not.
            raise HookError(
                f"{hook_name(hook)}.execute gave something else than entries: "
                f"{type(error).__name__} on {self._rows_named(flow, flow.entries)}"
            ) from error

    def _takes_all(self, flow: Flow, results: list[EntryTypedDict]) -> bool:
        """Takes what a hook gave back where that is all entries, in their order, and none failed."""
        given = flow.entries or []
        if len(results) != len(given) or not all(map(operator.is_, results, given)):
            return False
        values = [entry.get(self._data) for entry in given]
        if set(map(type, values)) != {dict} or not all(
            entry.get("status") in _GOING_ON for entry in given
        ):
            return False
        # An entry without an id, or with one that cannot be told from others, raises here as there.
        set(map(operator.itemgetter("id"), given))
        flow.values, flow.batch = values, None
        return True

    def _take_entries(
        self, hook: BaseHook, flow: Flow, results: list[EntryTypedDict], places: dict[Any, int]
    ) -> None:
        """Says of each entry that a hook gave back whether it is an old one, a new or a failed one.

        An old one is the object that the hook was given, or one with its id (`places` says where
        that stood), and the first of these.
        """
        assert flow.entries is not None
        objects = {id(entry): i for i, entry in enumerate(flow.entries)}
        unseen = set(range(len(flow.entries)))
        seen: set[Any] = set()
        entries: list[EntryTypedDict] = []
        origin: list[int] = []
        for entry in results:
            place = objects.get(id(entry), places.get(entry.get("id")))
            if place in unseen:
                unseen.remove(place)
                row = flow.origin_of(place)
            else:
                row = flow.unknown()
                flow.added += 1
                entry = _completed(entry, self._data)
                if entry["id"] is None or entry["id"] in seen:
                    entry["id"] = f"{flow.block.start}+{flow.added}"
            seen.add(entry["id"])
            was_dict = place is None or isinstance(flow.rows()[place], dict)
            if was_dict and not isinstance(entry[self._data], dict):
                raise HookError(
                    f"{hook_name(hook)} left {type(entry[self._data]).__name__} as {self._data} of an "
                    f"entry of {flow.block.source}, which has to be a dict"
                )
            if EntryStatus(entry["status"]) is EntryStatus.FAILED:
                text = None if row >= 0 else row_text(entry[self._data])
                flow.refuse_origin(row, "hook", _entry_reasons(entry, hook), text)
                continue
            entries.append(entry)
            origin.append(row)
        flow.dropped += len(unseen)
        flow.entries, flow.origin = entries, origin
        flow.values, flow.batch = [entry[self._data] for entry in entries], None

    def _failure(
        self,
        hook: AnyHook,
        flow: Flow,
        error: Exception,
        chunk: Sequence[EntryTypedDict] = (),
    ) -> HookError:
        """The error for a hook that raised on a whole batch: where, but no values of rows."""
        message = redact(f": {error}") if self._shows_messages else ""
        return HookError(
            f"{hook_name(hook)} raised {type(error).__name__}{place_of(error)} on "
            f"{self._rows_named(flow, chunk)}{message}"
        )

    def _rows_named(self, flow: Flow, chunk: Sequence[EntryTypedDict]) -> str:
        """Which rows a message is about, and of which input."""
        found = [entry.get("position") for entry in chunk]
        positions = [position for position in found if position is not None]
        if positions:
            return f"rows {positions[0] + 1} to {positions[-1] + 1} of {flow.block.source}"
        return f"rows of the block at byte {flow.block.start} of {flow.block.source}"


@dataclass(frozen=True, slots=True)
class _Raised:
    """Stands for the row that a function raised on."""

    reason: Reason


def _called(function: Callable[[Any], Any], rows: Iterable[Any]) -> list[Any]:
    """What a function gives for each row, or `_Raised`."""
    results: list[Any] = []
    for row in rows:
        try:
            results.append(function(row))
        except Exception as error:
            results.append(_Raised(raised_reason(error, "hook_error")))
    return results


def _updated(hook: FunctionHook, rows: Sequence[Any]) -> list[Any]:
    """The rows, updated by what a function gives for the columns that it asks for."""
    names, function = hook.columns or (), hook.function

    def update(row: Any) -> Any:
        result = function({name: row[name] for name in names if name in row})
        return {**row, **result} if isinstance(result, dict) else result

    return _called(update, rows)


def _with_absent_keys(
    batch: pa.RecordBatch, names: Sequence[str], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Rows that were columns for a while, without the nulls that stood for keys they do not have."""
    values = rows_of(batch)
    for value, row in zip(values, rows, strict=True):
        for name in names:
            if name not in row and name in value and value[name] is None:
                del value[name]
    return values


def make_entries(flow: Flow, first_position: int) -> None:
    """Puts every row of a block into an envelope.

    Args:
        first_position: the number of the block's first record in the whole input, from 0.
    """
    rows, numbers = flow.rows(), input_numbers(flow.block, first_position)
    positions = numbers if flow.origin is None else [numbers[row] for row in flow.origin]
    flow.entries = [
        {
            "id": position,
            "position": position,
            "status": EntryStatus.PENDING,
            "raw_data": row,
            "validated_data": None,
            "errors": [],
            "metadata": {},
        }
        for position, row in zip(positions, rows, strict=True)
    ]


def _completed(made: EntryTypedDict, data: DataKey) -> EntryTypedDict:
    """A copy of an entry that a hook made up, with the keys that it lacks."""
    entry: EntryTypedDict = {
        "id": None,
        "position": None,
        "status": EntryStatus.PENDING,
        "raw_data": {},
        "validated_data": None,
        "errors": [],
        "metadata": {},
        **made,
    }
    if data == "validated_data" and entry["validated_data"] is None:
        entry["validated_data"] = dict(entry["raw_data"])
    return entry


def _entry_reasons(entry: EntryTypedDict, hook: BaseHook) -> list[Reason]:
    """The errors that a hook put into an entry, in the shape of all reasons."""
    errors: Any = entry.get("errors")
    if not isinstance(errors, list | tuple):
        errors = [errors] if errors else []
    message = f"{hook_name(hook)} marked the row FAILED"
    return [_entry_reason(error) for error in errors] or [_hook_failed(message)]


def _entry_reason(error: Any) -> Reason:
    if not isinstance(error, dict):
        return _hook_failed(clean_text(str(error)))
    loc = error.get("loc", ())
    parts = loc if isinstance(loc, list | tuple) else [loc]
    return {
        "loc": [part if type(part) is int else clean_text(str(part)) for part in parts],
        "type": clean_text(str(error.get("type", "hook_failed"))),
        "msg": clean_text(str(error.get("msg", error.get("message", "")))),
    }


def _hook_failed(message: str) -> Reason:
    return {"loc": [], "type": "hook_failed", "msg": message}
