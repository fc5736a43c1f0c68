"""URIs of databases: what they name, `${NAME}` in them, and texts without their passwords."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from zoopipe.errors import DeclarationError
from zoopipe.redact import HIDDEN, redact

Driver = Literal["postgresql", "sqlite", "sqlalchemy"]

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=:)")
_PASSWORD = re.compile(r"://[^/?#]*?:(?P<password>.*)@|[?&]password=(?P<option>[^&]*)")
# What PostgreSQL says of the row that it refuses.
_VALUES = re.compile(r" (?:DETAIL|CONTEXT): .*?(?= (?:HINT|SQLSTATE|STATEMENT): |$)")
_POSTGRES = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class DatabaseURI:
    """A URI as a user wrote it: `${NAME}` stands for a variable of the environment of whoever connects.

    Attributes:
        text: the URI; never shown.
    """

    text: str

    @classmethod
    def checked(cls, uri: object) -> DatabaseURI:
        """The URI that a user gave.

        Raises:
            DeclarationError: it is none.
        """
        if not isinstance(uri, str) or not uri.strip():
            raise DeclarationError(
                "uri must be the URI of a database, such as postgresql://host/name"
            )
        if not _REFERENCE.match(uri) and not _SCHEME.match(uri):
            raise DeclarationError(
                f"{_without_password(uri)!r} is no URI of a database: it has to be like "
                "postgresql://user@host/name or sqlite:///file.db"
            )
        return cls(uri)

    def __repr__(self) -> str:
        return f"DatabaseURI({_without_password(self.text)!r})"

    def resolved(self) -> str:
        """The URI with the values of its variables.

        Raises:
            DeclarationError: one is not set here.
        """

        def value(match: re.Match[str]) -> str:
            try:
                return os.environ[match[1]]
            except KeyError:
                raise DeclarationError(
                    f"the URI {self.shown} names ${{{match[1]}}}, which is not set in this process"
                ) from None

        return _REFERENCE.sub(value, self.text)

    @property
    def shown(self) -> str:
        """As it was written, without its password."""
        return _without_password(self.text)

    @property
    def name(self) -> str:
        """What it names, with its variables' values and without its password."""
        return _without_password(self.resolved())

    @property
    def driver(self) -> Driver:
        """Who connects: ADBC for PostgreSQL and SQLite, SQLAlchemy for all others, and for a URI that
        names a driver of its own (`postgresql+psycopg://`)."""
        scheme = _SCHEME.match(self.resolved())
        name = "" if scheme is None else scheme[0].lower()
        if name in _POSTGRES:
            return "postgresql"
        return "sqlite" if name == "sqlite" else "sqlalchemy"

    @property
    def path(self) -> Path:
        """The file of an SQLite database, absolute, links followed.

        Raises:
            DeclarationError: it names no file.
        """
        _, _, path = self.resolved().partition(":///")
        if not path or path.startswith(":memory:"):
            raise DeclarationError(
                f"{self.shown} names no file: write sqlite:///data.db, or sqlite:////folder/data.db"
            )
        if "?" in path:
            raise DeclarationError(
                f"{self.shown}: options behind the file's name are not supported"
            )
        return Path(os.path.realpath(unquote(path)))

    @property
    def digest(self) -> str:
        """A short name for files."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:16]

    def hide(self, message: object) -> str:
        """A driver's message in one line, without the password, also where it quotes it alone, and without
        the parts that quote a row's values."""
        text = _VALUES.sub("", " ".join(str(message).split()))
        try:
            found = _passwords(self.resolved())
        except DeclarationError:
            found = set()
        for password in sorted(found, key=len, reverse=True):
            text = text.replace(password, HIDDEN)
        return redact(text)


def _passwords(uri: str) -> set[str]:
    found = {each for match in _PASSWORD.finditer(uri) for each in match.groups() if each}
    return found | {unquote(each) for each in found}


def _without_password(uri: str) -> str:
    """A URI without its password; a reference to one may be seen."""
    shown = uri
    for match in reversed(list(_PASSWORD.finditer(uri))):
        for group in ("password", "option"):
            if match[group] and not _REFERENCE.fullmatch(match[group]):
                start, end = match.span(group)
                shown = f"{shown[:start]}{HIDDEN}{shown[end:]}"
    return shown if _REFERENCE.search(shown) else redact(shown)
