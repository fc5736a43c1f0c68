"""One block's path through all stages."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic_core import PydanticSerializationError, to_json

from zoopipe.adapters.base import Block, Encoded, PartWriter
from zoopipe.arrays import utf8_array
from zoopipe.columns import NonFinite, record_batch
from zoopipe.conform import conform_rows
from zoopipe.counts import Counts
from zoopipe.errors import HookError
from zoopipe.hooks import (
    AnyHook,
    BaseHook,
    ColumnHook,
    EntryStatus,
    FunctionHook,
    HookStore,
    hook_name,
)
from zoopipe.reasons import Reason
from zoopipe.rows import columns_of
from zoopipe.stages.flow import Flow
from zoopipe.stages.rejects import RejectedRow, first_rejects, reject_batch, summarize
from zoopipe.stages.transform import Transform, make_entries
from zoopipe.validation import compile_plan
from zoopipe.validation.arrow_schema import json_says_all
from zoopipe.validation.sets import sets_as_lists
from zoopipe.values import from_columns

if TYPE_CHECKING:
    from zoopipe.pipe import Pipe


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one block.

    Attributes:
        block: the block; its batch is not needed any more.
        encoded: what is to be written.
        rejects: the rejected rows, or None.
        counts: what became of its rows.
        deferred_to: how many it was given of each field, or as whole rows.
        summary: how often each (field, error type) was a reason.
        first_rejects: the first rejected rows of the block, where no error output shows them.
    """

    block: Block
    encoded: Encoded
    rejects: pa.RecordBatch | None
    counts: Counts
    deferred_to: Counter[str]
    summary: Counter[tuple[str, str]]
    first_rejects: list[RejectedRow]


class Chain:
    """The stages of a pipe, compiled once in each worker.

    `process` may be called from several threads, unless `ordered`.
    """

    def __init__(self, pipe: Pipe, writer: PartWriter, schema: pa.Schema | None = None) -> None:
        batch_rows = pipe.executor.get_batch_size()
        output = pipe.output_adapter
        self._takes_columns = output.needs_columns
        self._types = schema if output.typed else None
        # In text that is not yet typed `null` would be None, and not what it was.
        self._nonfinite: NonFinite = "constants" if output.typed else output.nonfinite
        model = pipe.schema_model
        self._plan = None if model is None else compile_plan(model, self._nonfinite)
        self._before = Transform(pipe.pre_validation_hooks, "raw_data", batch_rows)
        self._after = Transform(pipe.post_validation_hooks, "validated_data", batch_rows)
        self._hooked_after = bool(pipe.post_validation_hooks)
        # Types are those of Python's values, which JSON does not always tell.
        self._rows_after = any(
            not isinstance(hook, ColumnHook) for hook in pipe.post_validation_hooks
        ) or (self._types is not None and model is not None and not json_says_all(model))
        whole_rows = self._plan is not None and not self._plan.columnar
        self._makes_rows = whole_rows or not pipe.is_columnar
        self._wants_entries = pipe.has_entries
        self._wants_rejects = pipe.error_output_adapter is not None
        # Records of JSON that go straight to validation are parsed there, where they need it.
        rows_wanted = pipe.pre_validation_hooks or self._wants_entries or self._rows_after
        self._plan_reads = self._plan is not None and not rows_wanted
        self._writer = writer
        # A hook that is given twice still is one hook: it is set up and torn down once.
        unique = {id(hook): hook for hook in pipe.hooks}.values()
        self._hooks = [hook for hook in unique if not isinstance(hook, FunctionHook)]
        self._store: HookStore = {}

    @property
    def ordered(self) -> bool:
        """Whether batches must be processed one after the other: `BaseHook`s may keep state."""
        return self._wants_entries

    def setup(self) -> None:
        """Sets the hooks up; those that were set up are torn down where one raises.

        Raises:
            HookError: a hook's `setup` raised.
        """
        hooks, self._hooks = self._hooks, []
        for hook in hooks:
            try:
                hook.setup(self._store)
            except BaseException as error:
                with contextlib.suppress(HookError):
                    self.teardown()
                raise _hook_error(hook, "setup", error) from error
            self._hooks.append(hook)

    def teardown(self) -> None:
        """Tears the hooks down, in reverse order, each of them whatever the others raise.

        Raises:
            HookError: the last that a hook's `teardown` raised.
        """
        with contextlib.ExitStack() as stack:
            for hook in self._hooks:
                stack.callback(self._tear_down, hook)

    def _tear_down(self, hook: BaseHook | ColumnHook) -> None:
        try:
            hook.teardown(self._store)
        except Exception as error:
            raise _hook_error(hook, "teardown", error) from error

    def process(self, block: Block, shard_record: int, input_record: int) -> Outcome:
        """Takes a block through validation and hooks, to what is written of it.

        Args:
            block: the block.
            shard_record: the number of its first record in the shard, from 0.
            input_record: the number of its first record in the whole input, from 0.
        """
        with _collector_held(self._makes_rows):
            return self._process(block, shard_record, input_record)

    def reject(self, block: Block, shard_record: int, reason: Reason) -> Outcome:
        """Rejects a block's records without a look at them; arguments as for `process`."""
        flow = Flow(block, None)
        for row in range(block.batch.num_rows):
            flow.refuse_origin(row, "worker", [reason])
        return self._outcome(flow, shard_record, Encoded((), 0))

    def _process(self, block: Block, shard_record: int, input_record: int) -> Outcome:
        objects_only = self._plan is None
        flow = Flow(block, block.batch) if self._plan_reads else Flow.of(block, objects_only)
        if self._wants_entries:
            make_entries(flow, input_record)
        self._before(flow, self._store)
        self._validate(flow)
        self._after(flow, self._store)
        return self._outcome(flow, shard_record, self._encode(flow))

    def _outcome(self, flow: Flow, shard_record: int, encoded: Encoded) -> Outcome:
        block = flow.block
        rejected = len(flow.refused) + len(block.unparsed)
        rejects, first = None, []
        if rejected and self._wants_rejects:
            rejects = reject_batch(block, flow.refused, shard_record)
        elif rejected:
            first = first_rejects(block, flow.refused, shard_record)
        return Outcome(
            block=block,
            encoded=encoded,
            rejects=rejects,
            counts=Counts(
                records=block.records,
                written=encoded.rows,
                rejected=rejected,
                dropped=flow.dropped,
                added=flow.added,
                deferred=flow.deferred,
                bytes_read=block.bytes_read,
            ),
            deferred_to=flow.deferred_to,
            summary=summarize(block, flow.refused),
            first_rejects=first,
        )

    def _validate(self, flow: Flow) -> None:
        if self._plan is None:
            for entry in flow.entries or ():
                entry["validated_data"] = dict(entry["raw_data"])
                entry["status"] = EntryStatus.VALIDATED
            if flow.entries is not None:
                flow.values = [entry["validated_data"] for entry in flow.entries]
                flow.batch = None
            return
        if not len(flow):
            return
        as_rows = flow.entries is not None or self._rows_after
        if as_rows:
            accepted = self._plan.rows(flow.rows(), flow.batch)
        elif flow.batch is not None:
            accepted = self._plan.columns(flow.batch)
        else:
            accepted = self._plan.whole.lines(flow.rows())
        for position, reasons in accepted.unparsed:
            flow.refuse(position, "parse", reasons)
        for position, reasons in accepted.refused:
            flow.refuse(position, "validate", reasons)
        kept = accepted.kept
        flow.keep(kept)
        for position, instance in enumerate(accepted.instances):
            flow.instances[flow.origin_of(position)] = instance
        flow.deferred += accepted.deferred
        flow.deferred_to += accepted.deferred_to
        if self._hooked_after:
            flow.batch = accepted.batch
        else:
            flow.batch, flow.selection = accepted.checked, accepted.selection
        flow.values = accepted.values if as_rows else None
        if flow.entries is not None:
            if kept is not None:
                flow.entries = [flow.entries[position] for position in kept]
            for entry, values in zip(flow.entries, accepted.values, strict=True):
                entry["validated_data"], entry["status"] = values, EntryStatus.VALIDATED

    def _encode(self, flow: Flow) -> Encoded:
        """The bytes of the rows; rows that the output cannot hold are refused."""
        batch = flow.batch
        if batch is None and self._types is not None:
            batch = self._conformed(flow, self._types)
        elif batch is None:
            if self._plan is not None and self._plan.whole.holds_sets and not flow.instances:
                flow.values = list(map(sets_as_lists, flow.rows()))
            batch = self._as_columns(flow) or self._serialized(flow)
        encoded = self._writer.encode(batch, flow.selection)
        for position, reason in encoded.refused:
            flow.refuse(position, "write", [reason])
        return encoded

    def _conformed(self, flow: Flow, types: pa.Schema) -> pa.RecordBatch:
        """Rows of Python values in the types of the output; those that do not fit are refused."""
        conformed = conform_rows(flow.rows(), types)
        for position, reason in conformed.refused:
            flow.refuse(position, "write", [reason])
        if conformed.refused:
            refused = {position for position, _ in conformed.refused}
            self._leave_out(flow, refused)
        return conformed.batch

    def _leave_out(self, flow: Flow, refused: AbstractSet[int]) -> None:
        """Leaves out the rows at some positions."""
        kept = [position for position in range(len(flow)) if position not in refused]
        flow.keep(kept)
        flow.values = [flow.values[position] for position in kept] if flow.values else None

    def _as_columns(self, flow: Flow) -> pa.RecordBatch | None:
        """Rows of Python values as columns, for an output of columns; None where they are not alike,
        or where one of them cannot be written."""
        if not self._takes_columns or flow.instances:
            return None
        with contextlib.suppress(Exception):
            columns = columns_of(flow.rows())
            return from_columns(columns, self._nonfinite) if columns else None
        return None

    def _serialized(self, flow: Flow) -> pa.RecordBatch:
        """Rows of Python values as JSON text."""
        if not flow.instances:
            # Where a row cannot be written, all are written again, to find and refuse it.
            with contextlib.suppress(Exception):
                nonfinite = self._nonfinite
                rows = flow.rows()
                return record_batch(
                    utf8_array([to_json(row, inf_nan_mode=nonfinite) for row in rows])
                )
        texts: list[bytes] = []
        refused: list[int] = []
        for position, row in enumerate(flow.rows()):
            try:
                texts.append(self._row_text(flow, position, row))
            except Exception as error:
                # A serializer of the model may raise anything.
                flow.refuse(position, "write", [_unserializable(error)])
                refused.append(position)
        if refused:
            self._leave_out(flow, set(refused))
        return record_batch(utf8_array(texts))

    def _row_text(self, flow: Flow, position: int, row: Any) -> bytes:
        instance = flow.instances.get(flow.origin_of(position)) if flow.instances else None
        if instance is None or self._plan is None:
            return to_json(row, inf_nan_mode=self._nonfinite)
        return self._plan.whole.hooked_text(row, instance).encode()


@contextlib.contextmanager
def _collector_held(held: bool) -> Iterator[None]:
    """Holds the cyclic collector off while a batch's rows are Python objects: it would look at all of
    them again and again, and they go when the batch goes."""
    if not held or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _hook_error(hook: AnyHook, method: str, error: BaseException) -> BaseException:
    """The error for a hook whose `setup` or `teardown` raised; a stop stays what it is."""
    if not isinstance(error, Exception):
        return error
    return HookError(f"{hook_name(hook)}.{method} raised {type(error).__name__}: {error}")


def _unserializable(error: Exception) -> Reason:
    if isinstance(error, PydanticSerializationError):
        message = str(error)
    else:
        message = f"{type(error).__name__} while the row was written as JSON"
    return {"loc": [], "type": "not_serializable", "msg": message}
