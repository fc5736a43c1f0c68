"""Connections: the file system behind a URL, made once in a process and kept."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa

from zoopipe.errors import DeclarationError, InputError, MissingExtraError
from zoopipe.storage.options import resolved
from zoopipe.storage.urls import is_local, local_path, scheme_of

_PYARROWS = ("s3", "gs", "az", "hdfs")


def filesystem_of(path: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """pyarrow's file system for a path or URL, and the path in it; see `Storage.at`."""
    if is_local(path):
        return pa_fs().LocalFileSystem(), os.path.abspath(local_path(path))
    scheme, rest = scheme_of(path), path.partition("://")[2]
    host, _, inner = rest.partition("/")
    options = resolved(options)
    if scheme not in _PYARROWS:
        return _fsspecs(path, options)
    if scheme == "s3":
        return _pyarrows(scheme, host, _frozen(options)), rest
    if scheme == "gs":
        return _pyarrows(scheme, "", _frozen(options)), rest
    if scheme == "az":
        container, at, account = host.partition("@")
        if at:
            options.setdefault("account_name", account.partition(".")[0])
        found = _pyarrows(scheme, "", _frozen(options))
        return found, f"{container}/{inner}" if inner else container
    return _pyarrows(scheme, host, _frozen(options)), f"/{inner}"


def _frozen(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Options as the key of a cache."""
    items = options.items()
    frozen = tuple((name, _frozen(v) if isinstance(v, Mapping) else v) for name, v in items)
    for name, value in frozen:
        try:
            hash(value)
        except TypeError as error:
            raise DeclarationError(f"storage_options have a list for {name}") from error
    return frozen


def pa_fs() -> Any:
    """`pyarrow.fs`, imported when a URL is first opened: it takes 60 ms."""
    import pyarrow.fs

    return pyarrow.fs


@lru_cache(maxsize=32)
def _pyarrows(scheme: str, host: str, frozen: tuple[tuple[str, Any], ...]) -> Any:
    """One of pyarrow's own file systems; connections are kept between files."""
    options = {name: dict(v) if isinstance(v, tuple) else v for name, v in frozen}
    try:
        if scheme == "s3":
            return _s3(host, options)
        if scheme == "gs":
            return pa_fs().GcsFileSystem(**options)
        if scheme == "az":
            return pa_fs().AzureFileSystem(**options)
        name, _, port = host.partition(":")
        return pa_fs().HadoopFileSystem(name or "default", int(port or 0), **options)
    except (ImportError, AttributeError) as error:
        raise MissingExtraError(
            f"{scheme}:// needs a pyarrow that was built with it; this one ({pa.__version__}) was not"
        ) from error
    except (TypeError, ValueError) as error:
        # Not its text: that may be of a value.
        raise DeclarationError(
            f"storage_options of {scheme}:// are not what pyarrow takes: {type(error).__name__} of "
            f"{', '.join(options) or 'none'}"
        ) from error


def _s3(bucket: str, options: dict[str, Any]) -> Any:
    """S3, at the endpoint and in the region that the options, the environment or AWS name."""
    environment = os.environ
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint_override", endpoint)
    is_set = any(name in environment for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    if "endpoint_override" not in options and not is_set and "region" not in options:
        options["region"] = pa_fs().resolve_s3_region(bucket)
    return pa_fs().S3FileSystem(**options)


def _fsspecs(url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    scheme = scheme_of(url)
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError(
            f"{scheme}:// needs fsspec: pip install 'zoopipe[fsspec]'"
        ) from error
    try:
        found, inner = url_to_fs(url, **options)
    except ImportError as error:
        raise MissingExtraError(f"{scheme}:// needs a package of fsspec: {error}") from error
    except ValueError as error:
        if "rotocol not known" in str(error):
            raise DeclarationError(f"there is no file system for {scheme}://") from error
        raise InputError(f"cannot read {url}: {error}") from error
    except TypeError as error:
        raise DeclarationError(
            f"storage_options of {scheme}:// are not what fsspec takes: {', '.join(options) or 'none'}"
        ) from error
    return pa_fs().PyFileSystem(pa_fs().FSSpecHandler(found)), str(inner)


def _drop_inherited() -> None:
    """A forked process makes connections of its own."""
    _pyarrows.cache_clear()


os.register_at_fork(after_in_child=_drop_inherited)
