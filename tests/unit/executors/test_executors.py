"""Executors: order, bounds, failures and threads."""

from __future__ import annotations

import threading

import pytest

from zoopipe import DeclarationError, MultiThreadExecutor, SingleThreadExecutor

EXECUTORS = pytest.mark.parametrize(
    "executor", [SingleThreadExecutor(), MultiThreadExecutor(1), MultiThreadExecutor(4)]
)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_batch_size_is_1000_when_not_given():
    assert SingleThreadExecutor().get_batch_size() == 1000
    assert MultiThreadExecutor(batch_size=7).get_batch_size() == 7


@pytest.mark.parametrize("value", [0, -1, 1.5, "9", True, None])
@pytest.mark.parametrize("kind", [SingleThreadExecutor, MultiThreadExecutor])
def test_executor_is_refused_when_batch_size_is_no_count(kind, value):
    with pytest.raises(DeclarationError, match="batch_size"):
        kind(batch_size=value)


@pytest.mark.parametrize("value", [0, -1, 1.5, "9", True])
def test_executor_is_refused_when_max_workers_is_no_count(value):
    with pytest.raises(DeclarationError, match="max_workers"):
        MultiThreadExecutor(max_workers=value)


@EXECUTORS
@pytest.mark.parametrize("count", [0, 1, 500])
@pytest.mark.parametrize("ordered", [True, False])
def test_results_are_written_in_input_order(executor, count, ordered):
    written = []
    executor.drive(iter(range(count)), lambda item: item * 2, written.append, ordered)
    assert written == [item * 2 for item in range(count)]


def test_results_keep_their_order_when_the_first_takes_longest():
    others_done, written = threading.Event(), []

    def work(item):
        if item == 0:
            assert others_done.wait(10)
        if item == 2:
            others_done.set()
        return item

    MultiThreadExecutor(3).drive(iter(range(10)), work, written.append, ordered=False)
    assert written == list(range(10))


def test_only_one_works_at_a_time_when_ordered():
    lock = threading.Lock()

    def work(item):
        assert lock.acquire(blocking=False)
        lock.release()
        return item

    MultiThreadExecutor(4).drive(iter(range(200)), work, lambda item: None, ordered=True)


def test_few_items_are_held_when_writing_is_slow():
    threads, begun, ahead = 3, [0], []

    def items():
        for item in range(200):
            begun[0] += 1
            yield item

    MultiThreadExecutor(threads).drive(
        items(), lambda item: item, lambda item: ahead.append(begun[0] - item), ordered=False
    )
    assert max(ahead) <= threads + 4


@EXECUTORS
@pytest.mark.parametrize("place", ["read", "work", "write"])
@pytest.mark.parametrize("at", [0, 5, 99])
def test_first_error_is_raised_and_what_came_before_is_written(executor, place, at):
    written = []

    def check(where, item):
        if where == place and item >= at:
            raise ValueError(f"{where} {item}")
        return item

    def write(item):
        written.append(check("write", item))

    with pytest.raises(ValueError, match=f"{place} {at}$"):
        executor.drive(
            (check("read", item) for item in range(100)),
            lambda item: check("work", item),
            write,
            ordered=False,
        )
    assert written == list(range(at))
