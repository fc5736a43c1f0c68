"""Paths and URLs: which is which, and what a URL may look like."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from zoopipe.errors import DeclarationError
from zoopipe.storage.options import NO_OPTIONS, StorageOptions, check_options

_URL = re.compile(r"([A-Za-z][\w+.-]*(?:::[A-Za-z][\w+.-]*)*)://", re.ASCII)
_SCHEMES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "az", "abfss": "az", "local": "file"}


def is_url(path: str) -> bool:
    """Whether a path is a URL: it begins with a scheme and `://`."""
    return _URL.match(path) is not None


def scheme_of(url: str) -> str:
    """The scheme of a URL, one name for each of those that mean the same."""
    match = _URL.match(url)
    assert match is not None, "it is a URL"
    scheme = match[1].lower()
    return _SCHEMES.get(scheme, scheme)


def is_local(path: str) -> bool:
    """Whether a path or URL names a file of this machine's own file systems."""
    return not is_url(path) or scheme_of(path) == "file"


def local_path(path: str) -> str:
    """The path that a path or a `file://` URL names."""
    # Not by `urlsplit`: a `?` is a glob's.
    return unquote("/" + path.partition("://")[2].partition("/")[2]) if is_url(path) else path


def as_local(path: str | os.PathLike[str]) -> Path:
    """The local path that a path or a `file://` URL names."""
    return Path(local_path(os.fspath(path)))


def name_of(path: str) -> str:
    """The last step of a path or URL."""
    return path.partition("::")[0].rpartition("/")[2] if is_url(path) else os.path.basename(path)


def beside(path: str, name: str) -> str:
    """A path or URL with another last step."""
    if not is_url(path):
        return os.path.join(os.path.dirname(path), name)
    head, chain, rest = path.partition("::")
    return f"{head.rpartition('/')[0]}/{name}{chain}{rest}"


def seen_from(path: str, target: str) -> str:
    """A path as it is seen from the folder of a target; as it is where one of them is a URL."""
    if is_url(path) or is_url(target):
        return path
    return os.path.relpath(path, os.path.dirname(target))


def found_from(path: str, target: str) -> str:
    """The path that `seen_from` made this of."""
    if is_url(path) or is_url(target):
        return path
    return os.path.normpath(os.path.join(os.path.dirname(target), path))


def check_urls(paths: Sequence[str], options: object) -> StorageOptions:
    """The storage options of an adapter, when the adapter is made; nothing is imported or opened.

    Raises:
        DeclarationError: an option is not known, a secret is in clear, a URL holds a password.
    """
    urls = [path for path in paths if is_url(path)]
    for url in urls:
        name = url.partition("://")[2].partition("/")[0]
        if "@" in name and ":" in name.partition("@")[0]:
            raise DeclarationError(
                f"a URL of {scheme_of(url)}:// must not hold a password: give it in storage_options="
            )
        if scheme_of(url) == "file" and name not in ("", "localhost"):
            raise DeclarationError(f"{url} names a host: a file:// URL has three slashes")
    if options is None:
        return NO_OPTIONS
    if not urls:
        raise DeclarationError("storage_options are for URLs, and there is none")
    for scheme in dict.fromkeys(map(scheme_of, urls)):
        check_options(scheme, options)
    assert isinstance(options, Mapping), "that was checked"
    return dict(options)
