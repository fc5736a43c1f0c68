"""`storage_options=`: what users may say of a file system, and how secrets get to a worker."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from zoopipe.errors import DeclarationError, InputError

StorageOptions = Mapping[str, Any]

#: No options at all.
NO_OPTIONS: StorageOptions = MappingProxyType({})

# The arguments of pyarrow's file systems, by the scheme that our URLs begin with.
# https://arrow.apache.org/docs/python/api/filesystems.html
_KNOWN = {
    "s3": (
        "access_key",
        "secret_key",
        "session_token",
        "anonymous",
        "region",
        "endpoint_override",
        "scheme",
        "role_arn",
        "session_name",
        "external_id",
        "load_frequency",
        "connect_timeout",
        "request_timeout",
        "force_virtual_addressing",
        "tls_ca_file_path",
    ),
    "gs": (
        "access_token",
        "credential_token_expiration",
        "anonymous",
        "target_service_account",
        "project_id",
        "default_bucket_location",
        "endpoint_override",
        "scheme",
    ),
    "az": (
        "account_name",
        "account_key",
        "sas_token",
        "tenant_id",
        "client_id",
        "client_secret",
        "blob_storage_authority",
        "blob_storage_scheme",
        "dfs_storage_authority",
        "dfs_storage_scheme",
    ),
    "hdfs": (
        "user",
        "replication",
        "buffer_size",
        "default_block_size",
        "kerb_ticket",
        "extra_conf",
    ),
    "file": (),
}

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Names of options, of pyarrow's and of others', whose values are secrets. `access_key`, `key` and `client_id`
# say who asks, not how that is proved.
_SECRET = re.compile(
    r"secret|passw|token$|sas|account_?key|private|passphrase|connection_string", re.I
)


def check_options(scheme: str, options: object) -> None:
    """Refuses options that the file system of a scheme does not know, and secrets in clear.

    Raises:
        DeclarationError: naming the option, never its value.
    """
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise DeclarationError("storage_options must be a mapping of names to values")
    known = _KNOWN.get(scheme)
    for name in options:
        if known is not None and name not in known:
            all_known = ", ".join(known) or "none"
            raise DeclarationError(
                f"storage_options of {scheme}:// have no {name!r}; there are: {all_known}"
            )
    for name, text in _texts(options):
        if _SECRET.search(name) and not _REFERENCE.fullmatch(text):
            raise DeclarationError(
                f"storage_options must not hold {name} in clear: put it into an environment variable of "
                f"the workers and give {name}='${{NAME}}', or leave it to the default credentials"
            )


def _texts(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The options that are text, those in mappings within too."""
    for name, value in options.items():
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            yield from _texts(value)


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the environment of this process in place of each `${NAME}`.

    Raises:
        InputError: a variable is not set here.
    """
    return {name: _resolved(value) for name, value in options.items()}


def _resolved(value: Any) -> Any:
    if isinstance(value, str):
        return _REFERENCE.sub(_variable, value)
    return resolved(value) if isinstance(value, Mapping) else value


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise InputError(
            f"storage_options need the environment variable {match[1]}, and it is not set on "
            f"{os.uname().nodename}"
        )
    return value
