"""Kernels of addresses on the net: plain ones in ASCII, that pydantic gives back as they are.

What pydantic (email-validator, and the URL standard in Rust's `url`) would change, decode or look up is
left to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AnyUrl, EmailStr, networks

from zoopipe.arrays import int32_scalar, int64_scalar, no_nulls, text_scalar
from zoopipe.columns import Encoding, concat
from zoopipe.validation.kernels import Kernel, Proof

# No label with two hyphens in a row, which may be Punycode; a last one that is no part of an IPv4 address.
_LABEL = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_SLASH = text_scalar("/")


class EmailKernel(Kernel):
    """Addresses as text that another kernel proves: letters, digits and `_+'-.` before the `@`, a domain
    in lower case after it."""

    # Upper case stays, save in the local parts of RFC 2142 (`Info`, `Postmaster`), which have no dot.
    _LOCAL = r"(?:[a-z0-9_+'-]+|[A-Za-z0-9_+'-]+(?:\.[A-Za-z0-9_+'-]+)+)"
    _PATTERN = rf"^{_LOCAL}@(?:{_LABEL}\.)+[a-z]{{2,}}$"
    # Neither a local part (64, where email-validator is told to be strict) nor a label (63) is too long.
    _LONGEST = 64

    def __init__(self, inner: Kernel) -> None:
        self._inner = inner
        self._longest = int32_scalar(self._LONGEST)

    def prove_text(self, column: pa.StringArray) -> Proof | None:
        proof = self._inner.prove(column)
        if proof is None:
            return None
        plain = pc.and_(
            pc.match_substring_regex(proof.cells, pattern=self._PATTERN),
            pc.less_equal(pc.binary_length(proof.cells), self._longest),
        )
        for domain in special_use_domains():
            plain = pc.and_not(plain, pc.ends_with(proof.cells, pattern=domain))
        return proof.where(plain)


def special_use_domains() -> Sequence[str]:
    """The domains that email-validator refuses; users may change them (`SPECIAL_USE_DOMAIN_NAMES`)."""
    # An optional library, which a model with such a field cannot be made without.
    import email_validator

    return email_validator.SPECIAL_USE_DOMAIN_NAMES


def is_email(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is that of `EmailStr`: its validator around a `str`."""
    own: Any = EmailStr
    return bool(schema["function"]["function"] == own._validate) and "serialization" not in schema


class UrlKernel(Kernel):
    """URLs of the schemes that the URL standard calls special, with a host in lower case. One without a path
    gets its `/`.

    Args:
        schemes: those that are allowed; any, where it is None.
        max_length: how long the text may be.

    Raises:
        ValueError: no special scheme is allowed.
    """

    # Plain, for what pydantic makes of other text may need escapes: a host may have a quote.
    encoding: Encoding = "plain"
    #: `file` is special too, but has no need for a host.
    _SPECIAL = ("http", "https", "ws", "wss", "ftp")
    # A label that begins with a letter ends no IPv4 address.
    _HOST = rf"(?:{_LABEL}\.)*[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
    # No scheme's own port, which would be left out: those have less than four digits.
    _PORT = r"(?::[1-9][0-9]{3}|:[1-5][0-9]{4})?"
    # No quotes, brackets or braces, that may be encoded; no text that is encoded already, for it may be
    # a dot; no segments that are only dots, which are resolved.
    _SEGMENT = r"\.?[A-Za-z0-9~!$&()*+,;=:@_-][A-Za-z0-9~!$&()*+,;=:@_.-]*"
    # What is encoded stays so here.
    _QUERY = r"[A-Za-z0-9~!$&()*+,;=:@_./?%-]*"

    def __init__(self, schemes: Sequence[str] | None, max_length: int | None = None) -> None:
        allowed = [name for name in self._SPECIAL if schemes is None or name in schemes]
        if not allowed:
            raise ValueError("no scheme that columns can prove")
        path = rf"(?:/(?:{self._SEGMENT})?)+(?:\?{self._QUERY})?(?:#{self._QUERY})?"
        self._pattern = rf"^(?:{'|'.join(allowed)})://{self._HOST}{self._PORT}(?:{path})?$"
        self._max_length = None if max_length is None else int64_scalar(max_length)

    def prove_text(self, column: pa.StringArray) -> Proof:
        plain = pc.match_substring_regex(column, pattern=self._pattern)
        if self._max_length is not None:
            # Less, so that the text with its `/` is a valid one too.
            plain = pc.and_(
                plain, pc.less(pc.binary_length(column).cast(pa.int64()), self._max_length)
            )
        pathless = no_nulls(pc.less(pc.count_substring(column, pattern="/"), _3))
        if pathless.true_count:
            column = pc.if_else(pathless, concat(column, _SLASH), column)
        return self.proof(column, plain)


_3 = int32_scalar(3)

_WRAPPER = ("pydantic.networks", "_BaseUrl.__get_pydantic_core_schema__.<locals>.wrap_val")


def is_url(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is that of one of pydantic's own URL types, which wrap and write it in one way.

    How pydantic makes it: `_BaseUrl.__get_pydantic_core_schema__` in `pydantic/networks.py`.
    """
    wrapper, writing = schema["function"]["function"], schema.get("serialization", {})
    if (getattr(wrapper, "__module__", ""), getattr(wrapper, "__qualname__", "")) != _WRAPPER:
        return False
    cells = dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True))
    kind: Any = cells["source"].cell_contents
    own = getattr(networks, getattr(kind, "__name__", ""), None) is kind
    return (
        own
        and issubclass(kind, AnyUrl.__mro__[1])
        and writing.get("function") == kind.serialize_url
    )
