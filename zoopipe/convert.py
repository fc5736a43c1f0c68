"""Any format to any other, by the names of the files: what `zoopipe convert` does."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zoopipe.adapters.formats import adapter_for
from zoopipe.adapters.json import JSONOutputAdapter
from zoopipe.pipe import Pipe

if TYPE_CHECKING:
    from pydantic import BaseModel


def convert_pipe(
    source: str,
    target: str,
    model: type[BaseModel] | None = None,
    rejected: str | None = None,
    source_format: str | None = None,
    target_format: str | None = None,
    source_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
    max_errors: int | str | None = None,
) -> Pipe:
    """A pipe from one file, URL or table to another, each in the format that its name says.

    Args:
        source, target: see `adapter_for`.
        model: what rows are checked with; without one they pass as they are.
        rejected: where rejected rows go; by default `rejects_beside(target)`.
        source_format, target_format: the formats, where the names do not say them.
        source_options, target_options: more arguments of the adapters, by name.
        max_errors: as for a `Pipe`.

    Raises:
        DeclarationError: as for `adapter_for`.
    """
    errors = (
        JSONOutputAdapter(rejects_beside(target))
        if rejected is None
        else adapter_for(rejected, "output")
    )
    return Pipe(
        adapter_for(source, "input", source_format, source_options),
        adapter_for(target, "output", target_format, target_options),
        errors,
        model,
        max_errors=max_errors,
    )


def rejects_beside(target: str) -> str:
    """Where the rejects of an output go when nobody says: `<name>.rejected.jsonl` beside it; in the working
    directory where it is a table on a server."""
    place, _, table = target.partition("#")
    name = PurePath(urlsplit(place).path if "://" in place else place).name
    stem = name.partition(".")[0] or name
    if table:
        stem = f"{stem}.{table}"
    own = f"{stem}.rejected.jsonl"
    if not table:
        return place[: len(place) - len(os.path.basename(place))] + own
    return own if "://" in place else os.path.join(os.path.dirname(place), own)
