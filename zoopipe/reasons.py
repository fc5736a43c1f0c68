"""Why a row was refused, in pydantic's own shape, and without the values that caused it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

#: Where a row was refused.
Stage = Literal["parse", "validate", "hook", "write", "worker"]
#: One reason: `{"loc": [...], "type": ..., "msg": ...}`.
Reason = dict[str, Any]


def reasons_of(error: ValidationError, within: str | None = None) -> list[Reason]:
    """pydantic's own errors, without the values that caused them.

    Args:
        error: what pydantic raised.
        within: what the place of each error begins with; None where `error` has it whole.
    """
    found = error.errors(include_url=False, include_context=False, include_input=False)
    before = [] if within is None else [clean_text(within)]
    return [
        {
            "loc": before
            + [clean_text(part) if isinstance(part, str) else part for part in item["loc"]],
            "type": item["type"],
            "msg": clean_text(item["msg"]),
        }
        for item in found
    ]


def raised_reason(error: BaseException, kind: str) -> Reason:
    """A reason for an exception that user code raised on a row."""
    return {"loc": [], "type": kind, "msg": clean_text(f"{type(error).__name__}: {error}")}


def clean_text(text: str) -> str:
    """Text that UTF-8 holds: a lone surrogate, which JSON can smuggle in, becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
