"""Targets, and the step that makes a staged file one: a rename."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from zoopipe.checks import check_unicode
from zoopipe.errors import OutputError
from zoopipe.storage.files import compression_of
from zoopipe.storage.parts import writing
from zoopipe.storage.urls import local_path


def resolve_target(output: str) -> Path:
    """The file that writing to a path or `file://` URL means: absolute, symbolic links followed.

    Raises:
        OutputError: it is there and is not a regular file, so that a rename would destroy it.
    """
    output = local_path(output)
    target = Path(os.path.realpath(output))
    check_unicode(str(target), OutputError)
    with writing(target):
        # /dev/stdout may lead to a regular file, which a rename would take from under its writer.
        if os.path.abspath(output).startswith("/dev/") and not output.startswith("/dev/shm/"):
            raise OutputError(f"cannot write {output}: it is a device, not a regular file")
        if target.is_dir():
            raise OutputError(f"cannot write {output}: it is a folder")
        if target.exists() and not target.is_file():
            raise OutputError(
                f"cannot write {output}: it is a device or a pipe, not a regular file"
            )
    return target


def publish(staged: Path, target: Path) -> None:
    """Makes a durable staged file the target, in one atomic step; `sync_folder` makes that durable.

    A file that was there hands its permissions on, as it would if it were opened and written to.

    Effect: readers see the old file or the new one, whole. If this raises it is the old one.
    """
    with writing(target):
        with suppress(FileNotFoundError):
            shutil.copymode(target, staged)
        _rename(staged, target)


def _rename(staged: Path, target: Path) -> None:
    """Renames, and where the outcome is unknown looks: a network file system may do what was asked and
    lose the answer."""
    ours = staged.stat()
    try:
        os.replace(staged, target)
    except OSError:
        with suppress(OSError):
            if os.path.samestat(ours, target.stat()):
                return
        raise


def part_name(name: str, number: int) -> str:
    """The published name of part `number` (1-based) of a target of that name that is not merged."""
    stem, suffix = _split(name)
    return f"{stem}_part_{number:05d}{suffix}"


def parts_beyond(name: str, names: Iterable[str], count: int) -> list[str]:
    """The parts among `names` with a number above `count`, that an earlier, wider run left behind."""
    stem, suffix = map(re.escape, _split(name))
    pattern = re.compile(rf"{stem}_part_(\d{{5}}){suffix}")
    found = [(pattern.fullmatch(each), each) for each in names]
    return sorted(each for match, each in found if match and int(match[1]) > count)


def _split(name: str) -> tuple[str, str]:
    """A name and its extension, with that of how it is compressed."""
    stem, suffix = os.path.splitext(name)
    if compression_of(name, "infer") is not None:
        stem, inner = os.path.splitext(stem)
        suffix = inner + suffix
    return stem, suffix
