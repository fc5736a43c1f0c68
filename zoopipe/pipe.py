"""`Pipe`: the declaration of one job, and the simplest way to run it."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zoopipe.adapters.base import InputAdapter, OutputAdapter
from zoopipe.adapters.options import check_texts
from zoopipe.checks import check_model
from zoopipe.errors import DeclarationError
from zoopipe.executors import BaseExecutor, SingleThreadExecutor
from zoopipe.hooks import AnyHook, BaseHook, ColumnHook, HookLike, ordered_hooks
from zoopipe.runtime.limits import parse_max_errors

if TYPE_CHECKING:
    from types import TracebackType

    from pydantic import BaseModel

    from zoopipe.manager import PipeManager
    from zoopipe.report import FlowReport, PipeReport


class Pipe:
    """Input, model, hooks, output: declared here, run by `run()` or by a `PipeManager`.

    Making one does no I/O, and it pickles. `run()`, `start()` and `with pipe:` run it in this
    process; `PipeManager.parallelize_pipe` cuts it into shards.

    Args:
        input_adapter: where rows come from.
        output_adapter: where accepted rows go.
        error_output_adapter: where rejected rows go, with the reason; without one they are counted,
            and the most frequent reasons are logged.
        schema_model: the pydantic model that rows are validated with; without one they pass as
            they are.
        pre_validation_hooks, post_validation_hooks: see `zoopipe.hooks`.
        executor: how batches run inside a worker; by default in one thread.
        max_errors: a count of rows, or a share of all records like `"0.1%"`; when more are
            rejected the run stops, and publishes nothing.
        row_numbers: the name of a column that each written row gets as its last: the number of its record in
            the whole input, from 1, as `_row` in the rejects; empty for a row that a hook added.
        secret_columns: columns of the input that are masked in the rejects, beside those of the model's fields
            of secret types (`SecretStr`, ...).
        show_secrets: write secrets to the rejects as they are.
        show_messages: let logs and reports say what user code raised with, which may be values of rows.

    Raises:
        DeclarationError: an argument is of the wrong type or contradicts another.
    """

    def __init__(
        self,
        input_adapter: InputAdapter,
        output_adapter: OutputAdapter,
        error_output_adapter: OutputAdapter | None = None,
        schema_model: type[BaseModel] | None = None,
        pre_validation_hooks: Sequence[HookLike] | None = None,
        post_validation_hooks: Sequence[HookLike] | None = None,
        executor: BaseExecutor | None = None,
        max_errors: int | str | None = None,
        row_numbers: str | None = None,
        secret_columns: Sequence[str] = (),
        show_secrets: bool = False,
        show_messages: bool = False,
    ) -> None:
        _check_type("input_adapter", input_adapter, InputAdapter)
        _check_type("output_adapter", output_adapter, OutputAdapter)
        if error_output_adapter is not None:
            _check_type("error_output_adapter", error_output_adapter, OutputAdapter)
        if executor is not None:
            _check_type("executor", executor, BaseExecutor)
        if schema_model is not None:
            check_model(schema_model)
        self.input_adapter = input_adapter
        self.output_adapter = output_adapter
        self.error_output_adapter = error_output_adapter
        self.schema_model = schema_model
        self.pre_validation_hooks = ordered_hooks(pre_validation_hooks, "pre_validation_hooks")
        self.post_validation_hooks = ordered_hooks(post_validation_hooks, "post_validation_hooks")
        self.executor: BaseExecutor = executor or SingleThreadExecutor()
        self.max_errors = max_errors
        self.max_rejected = parse_max_errors(max_errors)
        if row_numbers is not None:
            check_texts([row_numbers], "row_numbers")
        check_texts(secret_columns, "secret_columns")
        self.row_numbers = row_numbers
        self.secret_columns = tuple(secret_columns)
        self.show_secrets = show_secrets
        self.show_messages = show_messages
        self._manager: PipeManager | None = None

    @property
    def hooks(self) -> tuple[AnyHook, ...]:
        """All hooks, those before validation first."""
        return (*self.pre_validation_hooks, *self.post_validation_hooks)

    @property
    def is_columnar(self) -> bool:
        """Whether no hook asks for rows as Python objects."""
        return all(isinstance(hook, ColumnHook) for hook in self.hooks)

    @property
    def has_entries(self) -> bool:
        """Whether a hook asks for rows in envelopes."""
        return any(isinstance(hook, BaseHook) for hook in self.hooks)

    def explain(self) -> str:
        """A table of how each field of the model is checked, and why; empty without a model."""
        if self.schema_model is None:
            return ""
        from zoopipe.validation import explain

        return explain(self.schema_model)

    def with_executor(self, executor: BaseExecutor) -> Pipe:
        """The same declaration with another executor."""
        _check_type("executor", executor, BaseExecutor)
        made = copy.copy(self)
        made.executor = executor
        return made

    def replaying(
        self,
        rejected: str | os.PathLike[str] | InputAdapter,
        output_adapter: OutputAdapter,
        error_output_adapter: OutputAdapter | None = None,
        max_errors: int | str | None = None,
        row_numbers: str | None = None,
    ) -> Pipe:
        """A pipe that takes just the rejected rows of a run of this one through model and hooks again.

        They keep the source, the number and the offset that they had. See `zoopipe.replay` for what is read of
        them and what becomes of each stage's.

        Args:
            rejected: a file that an error output has written, repaired or not: CSV or JSON by its extension,
                else as this pipe's error output writes; or an input adapter that reads it.
            output_adapter: where the rows go that pass now.
            error_output_adapter: where those go that still do not; it may be the file that is read.
            max_errors: as for a pipe; this one's does not hold.
            row_numbers: as for a pipe; by default as here.

        Raises:
            DeclarationError: no format is known for the file.
        """
        from zoopipe.replay import replaying

        return replaying(
            self, rejected, output_adapter, error_output_adapter, max_errors, row_numbers
        )

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_manager": None}

    def __repr__(self) -> str:
        model = f", {self.schema_model.__name__}" if self.schema_model else ""
        return f"Pipe({self.input_adapter!r} -> {self.output_adapter!r}{model})"

    # Running it alone.

    def start(self) -> None:
        """Starts the pipe in a thread of this process.

        Raises:
            RuntimeError: it is already running.
            InputError, OutputError: input or output cannot be used; nothing was started.
        """
        self._own_manager().start()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the pipe has ended, at most `timeout` seconds; says whether it has."""
        return self._own_manager().wait(timeout)

    def shutdown(self, timeout: float = 5.0) -> None:
        """Stops the pipe before its next block; what it staged is removed."""
        self._own_manager().shutdown(timeout)

    def run(self) -> FlowReport:
        """Starts the pipe, waits for its end and returns the final report.

        Raises:
            RunFailed: the pipe failed; nothing was published.
        """
        return self._own_manager().run()

    @property
    def is_running(self) -> bool:
        """Whether the pipe is being run by `start` or `run`."""
        return self._own_manager().is_running

    @property
    def report(self) -> PipeReport:
        """A snapshot of what the pipe has done so far.

        Raises:
            RuntimeError: it has not been started.
        """
        return self._own_manager().get_pipe_report(0)

    def __enter__(self) -> Pipe:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._own_manager().__exit__(kind, error, trace)

    def _own_manager(self) -> PipeManager:
        from zoopipe.manager import PipeManager
        from zoopipe.runtime.inline import InlineEngine

        if self._manager is None:
            self._manager = PipeManager([self], engine=InlineEngine())
        return self._manager


def _check_type(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise DeclarationError(f"{name} must be {article} {kind.__name__}, not {value!r}")
