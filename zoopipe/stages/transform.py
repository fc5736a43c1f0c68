"""Hooks, run over the rows of a block."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any, Literal

import pyarrow as pa

from zoopipe.adapters.base import Reason
from zoopipe.columns import from_rows, typed
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
from zoopipe.stages.flow import Flow
from zoopipe.validation.plan import raised_reason

DataKey = Literal["raw_data", "validated_data"]


class Transform:
    """The hooks of one side of validation.

    Args:
        hooks: in the order they run.
        data: which of an entry's dicts they work on.
        batch_rows: the most entries that a `BaseHook` is given at once.
    """

    def __init__(self, hooks: Sequence[AnyHook], data: DataKey, batch_rows: int) -> None:
        self._hooks = hooks
        self._data = data
        self._batch_rows = batch_rows

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
        function, columns = hook.function, hook.columns
        results, kept = [], []
        for position, row in enumerate(flow.rows()):
            try:
                if columns is None:
                    result = function(row)
                else:
                    result = function({name: row[name] for name in columns if name in row})
            except Exception as error:
                flow.refuse(position, "hook", [raised_reason(error, "hook_error")])
                continue
            if result is None:
                flow.dropped += 1
            elif not isinstance(result, dict):
                message = f"{hook_name(hook)} gave {type(result).__name__}, not a dict or None"
                flow.refuse(position, "hook", [{"loc": [], "type": "hook_result", "msg": message}])
            else:
                results.append(result if columns is None else {**row, **result})
                kept.append(position)
        self._set_rows(flow, results, None if len(kept) == len(flow) else kept)

    def _set_rows(self, flow: Flow, rows: list[Any], kept: list[int] | None) -> None:
        flow.keep(kept)
        if flow.entries is not None:
            entries = flow.entries
            flow.entries = entries if kept is None else [entries[position] for position in kept]
            for entry, row in zip(flow.entries, rows, strict=True):
                entry[self._data] = row
        flow.values, flow.batch = rows, None

    def _run_columns(self, hook: ColumnHook, flow: Flow) -> None:
        batch = from_rows(flow.rows()) if flow.batch is None else typed(flow.batch)
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
            flow.origin = [None] * result.num_rows
            flow.added += max(change, 0)
            flow.dropped += max(-change, 0)
        flow.batch, flow.values = result, None
        if flow.entries is not None:
            self._set_rows(flow, flow.rows(), None)

    def _run_entries(self, hook: BaseHook, flow: Flow, store: HookStore) -> None:
        assert flow.entries is not None, "pipes with a BaseHook make entries of every row"
        results: list[EntryTypedDict] = []
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
        self._take_entries(hook, flow, results)

    def _take_entries(self, hook: BaseHook, flow: Flow, results: list[EntryTypedDict]) -> None:
        """Says of each entry that a hook gave back whether it is an old one, a new or a failed one."""
        assert flow.entries is not None
        unseen = {entry["id"]: flow.origin_of(i) for i, entry in enumerate(flow.entries)}
        entries: list[EntryTypedDict] = []
        origin: list[int | None] = []
        for entry in results:
            row = None
            if entry.get("id") in unseen:
                row = unseen.pop(entry["id"])
            else:
                flow.added += 1
                _complete(entry, self._data)
            if entry["status"] is EntryStatus.FAILED:
                flow.refuse_origin(row, "hook", _entry_reasons(entry, hook))
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
        frames = traceback.extract_tb(error.__traceback__)
        place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        positions = [entry["position"] for entry in chunk if entry["position"] is not None]
        if positions:
            rows = f"rows {positions[0] + 1} to {positions[-1] + 1}"
        else:
            rows = f"rows of the block at byte {flow.block.start}"
        return HookError(
            f"{hook_name(hook)} raised {type(error).__name__}{place} on {rows} of {flow.block.source}"
        )


def make_entries(flow: Flow, first_position: int) -> None:
    """Puts every row of a block into an envelope.

    Args:
        first_position: the number of the block's first record in the whole input, from 0.
    """
    records = flow.block.row_records
    entries: list[EntryTypedDict] = []
    for i, row in enumerate(flow.rows()):
        origin = flow.origin_of(i)
        assert origin is not None
        position = first_position + (origin if records is None else records[origin])
        entries.append(
            {
                "id": position,
                "position": position,
                "status": EntryStatus.PENDING,
                "raw_data": row,
                "validated_data": None,
                "errors": [],
                "metadata": {},
            }
        )
    flow.entries = entries


def _complete(entry: EntryTypedDict, data: DataKey) -> None:
    """Gives an entry that a hook made up the keys that it lacks."""
    entry.setdefault("id", None)
    entry.setdefault("position", None)
    entry.setdefault("status", EntryStatus.PENDING)
    entry.setdefault("raw_data", {})
    entry.setdefault("validated_data", None)
    entry.setdefault("errors", [])
    entry.setdefault("metadata", {})
    if data == "validated_data" and entry["validated_data"] is None:
        entry["validated_data"] = dict(entry["raw_data"])


def _entry_reasons(entry: EntryTypedDict, hook: BaseHook) -> list[Reason]:
    """The errors that a hook put into an entry, in the shape of all reasons."""
    reasons = []
    for error in entry["errors"]:
        if isinstance(error, dict):
            loc = error.get("loc", [])
            reasons.append(
                {
                    "loc": list(loc) if isinstance(loc, list | tuple) else [loc],
                    "type": str(error.get("type", "hook_failed")),
                    "msg": str(error.get("msg", error.get("message", ""))),
                }
            )
        else:
            reasons.append({"loc": [], "type": "hook_failed", "msg": str(error)})
    message = f"{hook_name(hook)} marked the row FAILED"
    return reasons or [{"loc": [], "type": "hook_failed", "msg": message}]
