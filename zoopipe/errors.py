"""The errors that ZooPipe raises, one tree that branches by who must act.

```
ZooPipeError
├── DeclarationError      the code that declares the pipe: an option, a model, a hook's type
│   └── MissingExtraError an optional package is not installed
├── InputError            the data: a file that is missing, damaged or has no usable header
├── OutputError           the place results go to: not writable, full, taken by another pipe or run
│   └── ResumeError       what an earlier run left there is of another plan
├── HookError             user code that sees whole batches raised
├── EngineError           the cluster: not there, not ours to use, no room, other versions
│   └── WorkerLostError   a worker died: killed, out of memory, gone
├── LedgerError           the books of a run do not balance, or a staged part was changed
├── RunStopped            the run was stopped before its end
└── RunFailed             what `run()` raises: the sentences of every pipe that failed
```

Every error pickles (arguments are positional), and none carries the values of a row or a password.
"""

from __future__ import annotations

from zoopipe.redact import redact


class ZooPipeError(Exception):
    """The root of the tree. `retryable` says whether another attempt could succeed."""

    retryable = False

    def __init__(self, *args: object) -> None:
        super().__init__(*(redact(arg) if isinstance(arg, str) else arg for arg in args))


class DeclarationError(ZooPipeError, ValueError):
    """An option, model or hook is unknown, contradictory or of the wrong type."""


class MissingExtraError(DeclarationError, ImportError):
    """An optional package is needed; the message says which extra to install."""


class InputError(ZooPipeError):
    """An input cannot be read: missing, not permitted, damaged, or without a usable header."""


class OutputError(ZooPipeError):
    """An output cannot be written or published."""


class ResumeError(OutputError):
    """A run cannot go on where an earlier one was cut off; the message says what differs."""


class HookError(ZooPipeError):
    """A hook that sees a whole batch raised; the message names hook and rows."""


class EngineError(ZooPipeError):
    """A cluster cannot be used: wrong address, refused, no free worker, versions that differ."""


class WorkerLostError(EngineError):
    """A worker died before its shard was done; the message names shard and signal or exit code."""

    retryable = True


class LedgerError(ZooPipeError):
    """Ranges do not tile the input, `read + added != written + rejected + dropped`, or a staged part is not
    what its worker wrote."""


class RunStopped(ZooPipeError):
    """The run was stopped (`shutdown()`, a signal) before the pipe was done.

    Attributes:
        summary: (field, error type) and how many rows an attempt had rejected for it when it stopped.
    """

    def __init__(
        self, message: str = "", summary: tuple[tuple[tuple[str, str], int], ...] = ()
    ) -> None:
        super().__init__(message, summary)
        self.summary = summary

    def __str__(self) -> str:
        return str(self.args[0])


class RunFailed(ZooPipeError):
    """At least one pipe of a run failed; nothing of a failed pipe was published."""


def in_tree(error: ZooPipeError) -> type[ZooPipeError]:
    """The class of this module that an error is of: a subclass defined elsewhere may be made of other
    arguments than a sentence, or be unknown where the error is read."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ == __name__)
