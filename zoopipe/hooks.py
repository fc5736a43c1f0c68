"""Python code in a pipe: hooks that see entries, hooks that see columns, and plain functions.

Hooks run by `priority` (lower first), then in the order given, before or after validation:

- a plain function `dict -> dict | None` gets a row and gives the row that goes on; None drops it.
  An exception rejects that row. `FunctionHook` wraps one, to name the columns it needs.
- `BaseHook.execute(entries, store)` gets a batch of entries and gives those that go on.
- `ColumnHook.execute(batch)` gets a `pyarrow.RecordBatch` and gives one.

A hook that sees a whole batch fails the pipe when it raises: no row of it can be said to be good.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from zoopipe.errors import DeclarationError

if TYPE_CHECKING:
    import pyarrow as pa

#: The state that the hooks of one worker share, from `setup` to `teardown`.
HookStore = dict[str, Any]
Row = dict[str, Any]


class EntryStatus(enum.Enum):
    """Where an entry stands; a hook that sets FAILED has the row rejected."""

    PENDING = "pending"
    VALIDATED = "validated"
    FAILED = "failed"


class EntryTypedDict(TypedDict):
    """A row on its way through the hooks.

    Attributes:
        id: the same for a row in every hook; an entry with an unknown one counts as added.
        position: the number of the record in the whole input, from 0; None for an added entry.
        status: see `EntryStatus`.
        raw_data: the row as read.
        validated_data: `model_dump()` of the validated row (without a model a copy of `raw_data`);
            None before validation.
        errors: reasons to reject the row, `{"loc": [...], "type": ..., "msg": ...}`.
        metadata: the hooks' own.
    """

    id: Any
    position: int | None
    status: EntryStatus
    raw_data: Row
    validated_data: Row | None
    errors: list[dict[str, Any]]
    metadata: dict[str, Any]


class HookPriority:
    """Usual priorities; lower runs first."""

    VERY_HIGH = 0
    HIGH = 25
    NORMAL = 50
    LOW = 75
    VERY_LOW = 100


class BaseHook:
    """A hook over entries. `setup` and `teardown` run once in each worker.

    Entries come in batches of at most the executor's `batch_size`, in input order.
    """

    def __init__(self, priority: int = HookPriority.NORMAL) -> None:
        self.priority = priority

    def setup(self, store: HookStore) -> None:
        """Called before the worker's first batch; `store` is shared by all hooks of the worker."""

    def execute(self, entries: list[EntryTypedDict], store: HookStore) -> list[EntryTypedDict]:
        """The entries that go on: changed, fewer or more."""
        return entries

    def teardown(self, store: HookStore) -> None:
        """Called after the worker's last batch, and when the run fails."""


class ColumnHook:
    """A hook over columns, as fast as they are. `setup` and `teardown` run once in each worker.

    Before validation the columns are those of the input; after it those of the model, typed
    (`int64`, `double`, `bool`, `date32`, `timestamp[us]`, strings), except a column whose values
    Arrow cannot hold exactly, which stays JSON text. A key that a JSON record lacks is null in its
    column, and lacking again afterwards, unless the hook fills it or changes the number of rows.
    Rows stay in their order: one that is rejected later is reported by its place. Where the number
    of rows has changed the place is not known any more, and the row itself is reported, as JSON.
    With a `MultiThreadExecutor` several threads call `execute` at once.
    """

    def __init__(self, priority: int = HookPriority.NORMAL) -> None:
        self.priority = priority

    def setup(self, store: HookStore) -> None:
        """Called before the worker's first batch."""

    def execute(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch that goes on. Fewer rows count as dropped, more as added."""
        return batch

    def teardown(self, store: HookStore) -> None:
        """Called after the worker's last batch, and when the run fails."""


class FunctionHook:
    """A plain function `dict -> dict | None` with its options.

    Args:
        function: gets a row, gives the row that goes on, or None to drop it.
        columns: give the function just these, and let what it gives update the row.
        priority: lower runs first.
    """

    def __init__(
        self,
        function: Callable[[Row], Row | None],
        columns: Sequence[str] | None = None,
        priority: int = HookPriority.NORMAL,
    ) -> None:
        if not callable(function):
            raise DeclarationError(f"a hook must be callable, not {function!r}")
        if isinstance(columns, str):
            raise DeclarationError("columns must be a list of names, not one string")
        self.function = function
        self.columns = None if columns is None else tuple(columns)
        self.priority = priority

    @property
    def __name__(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


AnyHook = BaseHook | ColumnHook | FunctionHook
HookLike = AnyHook | Callable[[Row], Row | None]


def ordered_hooks(hooks: Sequence[HookLike] | None, option: str) -> tuple[AnyHook, ...]:
    """The hooks in the order they run.

    Raises:
        DeclarationError: one is neither a hook nor a function.
    """
    prepared: list[AnyHook] = []
    for hook in hooks or ():
        if isinstance(hook, BaseHook | ColumnHook | FunctionHook):
            prepared.append(hook)
        elif isinstance(hook, type) or not callable(hook):
            raise DeclarationError(
                f"{option} takes BaseHook or ColumnHook objects and functions, not {hook!r}"
            )
        else:
            prepared.append(FunctionHook(hook))
    # A subclass that does not call super().__init__() has no priority of its own.
    return tuple(sorted(prepared, key=lambda hook: getattr(hook, "priority", HookPriority.NORMAL)))


def hook_name(hook: AnyHook) -> str:
    """How messages name a hook."""
    return hook.__name__ if isinstance(hook, FunctionHook) else type(hook).__name__
