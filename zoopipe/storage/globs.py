"""Globs on file systems that are not this machine's."""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterator, Sequence
from typing import Any

from zoopipe.storage.connections import pa_fs


def find(files: Any, pattern: str) -> set[str]:
    """The files that a pattern names, as Python's `glob` says with `recursive=True`."""
    steps = pattern.split("/")
    plain = next(index for index, step in enumerate(steps) if glob.has_magic(step))
    folder = "/".join(steps[:plain]) or ("/" if pattern.startswith("/") else "")
    return set(_glob_steps(files, folder, steps[plain:]))


def _glob_steps(files: Any, folder: str, steps: Sequence[str]) -> Iterator[str]:
    step, *rest = steps
    kinds = pa_fs().FileType
    if step == "**":
        infos = files.get_file_info(
            pa_fs().FileSelector(folder, recursive=True, allow_not_found=True)
        )
        start = len(_in(folder, ""))
        seen = [info for info in infos if not _is_hidden(info.path[start:])]
        if not rest:
            yield from (info.path for info in seen if info.type == kinds.File)
            return
        for each in [folder, *(info.path for info in seen if info.type == kinds.Directory)]:
            yield from _glob_steps(files, each, rest)
        return
    if not glob.has_magic(step) and rest:
        yield from _glob_steps(files, _in(folder, step), rest)
        return
    for info in files.get_file_info(pa_fs().FileSelector(folder, allow_not_found=True)):
        name = info.base_name
        is_hidden = name.startswith(".") and not step.startswith(".")
        if is_hidden or not fnmatch.fnmatchcase(name, step):
            continue
        if rest and info.type == kinds.Directory:
            yield from _glob_steps(files, _in(folder, name), rest)
        elif not rest and info.type == kinds.File:
            yield _in(folder, name)


def _in(folder: str, name: str) -> str:
    return folder + name if folder in ("", "/") else f"{folder}/{name}"


def _is_hidden(path: str) -> bool:
    return any(step.startswith(".") for step in path.split("/"))


def files_below(files: Any, folder: str) -> list[str]:
    """The files below a folder, by their paths in it."""
    found = files.get_file_info(pa_fs().FileSelector(folder, recursive=True))
    start = len(_in(folder, ""))
    return [info.path[start:] for info in found if info.type == pa_fs().FileType.File]
