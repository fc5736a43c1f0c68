"""What may be shown: text without the passwords in it, and exceptions without the values of rows.

Whatever is printed, logged, put on record or raised goes through here: `ZooPipeError` redacts its sentence
when it is made, adapters their `repr`, the ledger and the state of a run the names of files.
"""

from __future__ import annotations

import os
import re
import traceback

HIDDEN = "***"

# User and password of a URL. A password that was not escaped may hold any character, `/` and `@` too, so
# that the last `@` ends it; what follows the first colon is none where it is a port.
_USER = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s/?#:@\['\"<>]*:)(?!\d+[/?#,])[^\s'\"<>]*@", re.IGNORECASE
)
# The name of a secret, with words before and after it: `X-Amz-Signature`, `AWS_SECRET_ACCESS_KEY`.
_NAME = (
    r"(?:[\w.-]*[_.-])?(?:password|passwd|passphrase|pwd|secret|token|sig|signature|credentials?|api[_-]?key|"
    r"access[_-]?key|account[_-]?key|private[_-]?key|sharedaccesskey|authorization|sas)(?:[_.-][\w.-]*)?"
)
# As a query string, a setting or a keyword has it; and as JSON and the repr of a dict have it.
_ASSIGNED = re.compile(
    rf"(?P<before>(?<![\w.-]){_NAME}\s?=\s?(?:b?(?P<quote>['\"]))?)"
    r"(?P<value>(?(quote)(?:(?!(?P=quote)).)*|[^\s&#'\"<>;,)}\]]+))",
    re.IGNORECASE,
)
_MEMBER = re.compile(
    rf"(?P<before>['\"]{_NAME}['\"]\s*:\s*b?(?P<quote>['\"]))(?P<value>(?:(?!(?P=quote)).)*)",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text without the passwords in it: `s3://key:secret@host` is `s3://key:***@host`.

    Hidden are the passwords of URLs, what query strings call `password`, `token`, `sig` and the like, and the
    values of settings such as `AWS_SECRET_ACCESS_KEY=`. What is hidden already stays as it is.
    """
    if "=" not in text and ":" not in text:
        return text
    text = _USER.sub(rf"\g<before>{HIDDEN}@", text)
    text = _ASSIGNED.sub(rf"\g<before>{HIDDEN}", text)
    return _MEMBER.sub(rf"\g<before>{HIDDEN}", text)


def named(error: BaseException, shows_message: bool = False) -> str:
    """How logs and reports name an exception that is not ours: its type, and the place where it was raised.

    Its message may quote the values of a row, so that it is left out unless `shows_message`; what the system
    says of files and memory is not about rows, and stays.
    """
    kind = type(error).__name__
    if shows_message or type(error) is MemoryError:
        return redact(f"{kind}: {error}")
    if isinstance(error, OSError) and error.errno is not None:
        about = "" if error.filename is None else f" ({os.fspath(error.filename)!r})"
        return redact(f"{kind}: {os.strerror(error.errno)}{about}")
    return f"{kind}{place_of(error)}"


def place_of(error: BaseException) -> str:
    """Where an exception was raised, as the end of a sentence: a file and a line, and no values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def frames_of(error: BaseException) -> str:
    """The way to where an exception was raised: a traceback without any message."""
    return "".join(traceback.format_tb(error.__traceback__))
