"""Lost workers: how long is waited, and how the record that ends its worker is found."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoopipe import DeclarationError, RetryPolicy
from zoopipe.runtime.retry import Search, Supervision


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"max_attempts": True},
        {"backoff_s": -1},
        {"backoff_s": "1"},
        {"backoff_s": math.nan},
    ],
)
def test_policy_is_refused_when_an_option_makes_no_sense(options):
    with pytest.raises(DeclarationError, match=next(iter(options))):
        RetryPolicy(**options)


def test_stall_timeout_is_refused_when_it_is_no_number_of_seconds():
    with pytest.raises(DeclarationError, match="stall_timeout_s"):
        Supervision(stall_timeout_s="soon")


@pytest.mark.parametrize("seconds", [0, -1, "1", math.nan, True])
def test_record_timeout_is_refused_when_it_is_no_number_of_seconds_above_0(seconds):
    with pytest.raises(DeclarationError, match="record_timeout_s"):
        Supervision(record_timeout_s=seconds)


def test_waits_grow_twofold_up_to_a_minute():
    policy = RetryPolicy(max_attempts=10_000, backoff_s=0.5)
    assert [policy.wait_s(losses) for losses in (1, 2, 3, 4, 8, 9, 5000)] == [
        0.5, 1, 2, 4, 60, 60, 60,
    ]  # fmt: skip


def searched(killers: set[int], records: int, low: int) -> tuple[int | None, int, int]:
    """What a search finds in a shard of so many records, and how many probes passed and died."""
    search, passed, died = Search(low), 0, 0
    while search.found is None:
        start, end = search.window
        assert end > start >= low
        tried = range(start, min(end, records))
        if not any(number in tried for number in killers):
            passed += 1
            if not search.passed(len(tried)):
                return None, passed, died
        else:
            died += 1
            search.died()
    return search.found, passed, died


@settings(deadline=None)
@given(st.data())
def test_search_finds_the_first_record_that_ends_its_worker(data):
    records = data.draw(st.integers(1, 2_000_000))
    killers = data.draw(st.sets(st.integers(0, records - 1), min_size=1, max_size=3))
    low = data.draw(st.integers(0, min(killers)))
    found, _, died = searched(killers, records, low)
    assert found == min(killers)
    assert died <= 2 + math.log2(max(64, records))


@settings(deadline=None)
@given(st.integers(0, 2_000_000))
def test_search_ends_when_no_record_ends_its_worker(records):
    found, passed, died = searched(set(), records, 0)
    assert (found, died) == (None, 0)
    assert passed <= 16
