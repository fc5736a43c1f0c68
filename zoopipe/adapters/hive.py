"""Folders of files, whose names say `key=value` for all files in them, as Hive lays tables out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import pyarrow as pa

from zoopipe.arrays import text_array
from zoopipe.errors import InputError
from zoopipe.storage.files import find_files

# Of such files and folders Hive, Spark and Arrow take none for data.
_HIDDEN = (".", "_")
_NULL = "__HIVE_DEFAULT_PARTITION__"

#: What the folders of a file say, key by key.
Keys = Mapping[str, str | None]


def find_tables(patterns: Sequence[str]) -> tuple[str, ...]:
    """The files that `patterns` name: paths, globs, and folders with all that is in them, sorted by path.

    Raises:
        InputError: a path is missing or cannot be read; a glob or a folder has no file.
    """
    files: list[str] = []
    for pattern in patterns:
        files += find_files(_files_in(pattern) if os.path.isdir(pattern) else [pattern])
    return tuple(files)


def _files_in(folder: str) -> list[str]:
    found = []
    for path, folders, names in os.walk(folder, onerror=_cannot_read):
        folders[:] = [name for name in folders if not name.startswith(_HIDDEN)]
        found += [os.path.join(path, name) for name in names if not name.startswith(_HIDDEN)]
    if not found:
        raise InputError(f"no file is in {folder}")
    return sorted(found)


def _cannot_read(error: OSError) -> None:
    raise InputError(f"cannot read {error.filename}: {error.strerror}") from error


def keys_of(path: str, patterns: Sequence[str]) -> Keys:
    """What the folders between a pattern that is a folder and a file below it say.

    Raises:
        InputError: a name does not decode.
    """
    for pattern in patterns:
        below = os.path.join(pattern, "")
        if path.startswith(below):
            names = os.path.dirname(path.removeprefix(below)).split(os.sep)
            pairs = [name.partition("=") for name in names if "=" in name]
            return {_decoded(key, path): _value(value, path) for key, _, value in pairs}
    return {}


def _value(text: str, path: str) -> str | None:
    return None if text == _NULL else _decoded(text, path)


def _decoded(text: str, path: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: the name of its folder does not decode") from error


def key_fields(files: Mapping[str, Keys]) -> list[pa.Field]:
    """The columns that folders give all files: `int32` where all values are such, else `string`, as Arrow's
    own datasets have them.

    Args:
        files: each file's keys, by its path.

    Raises:
        InputError: files have different keys.
    """
    first_path, first = next(iter(files.items()))
    for path, keys in files.items():
        if list(keys) != list(first):
            raise InputError(
                f"{path} is in folders for {_listed(keys)}, {first_path} for {_listed(first)}: "
                "files of one input have the same"
            )
    return [pa.field(name, _type([keys[name] for keys in files.values()])) for name in first]


def _listed(keys: Keys) -> str:
    return ", ".join(keys) or "no key"


def _type(values: Sequence[str | None]) -> pa.DataType:
    if all(value is None for value in values):
        return pa.string()
    try:
        text_array(list(dict.fromkeys(values))).cast(pa.int32())
    except pa.ArrowInvalid:
        return pa.string()
    return pa.int32()


def key_column(value: str | None, kind: pa.DataType) -> pa.Array:
    """A value of a key as an array of one."""
    return text_array([value]).cast(kind)
