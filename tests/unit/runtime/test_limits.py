"""`max_errors`: what it may say."""

from __future__ import annotations

import pytest

from zoopipe.errors import DeclarationError
from zoopipe.runtime.limits import parse_max_errors


@pytest.mark.parametrize(
    ("value", "limit"),
    [(None, None), (0, 0), (17, 17), ("0%", 0.0), ("100%", 1.0), (" 12.5 % ", 0.125)],
)
def test_limit_is_a_count_or_a_share(value, limit):
    parsed = parse_max_errors(value)
    assert parsed == limit
    assert type(parsed) is type(limit)


@pytest.mark.parametrize("value", [-1, True, 0.1, "10", "-1%", "101%", "%", "", b"1%", [1]])
def test_limit_is_refused_when_it_is_neither(value):
    with pytest.raises(DeclarationError, match="max_errors"):
        parse_max_errors(value)
