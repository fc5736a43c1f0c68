"""How blocks run inside one worker: in one thread, or in several. The results are the same."""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from zoopipe.checks import check_whole
from zoopipe.cpus import usable_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")


class BaseExecutor(ABC):
    """Runs `work` over items and hands the results to `write`, in the items' order.

    Args:
        batch_size: the most entries that a `BaseHook` is given at once. Columns go through the
            stages by blocks of about 1 MiB, whatever it says.
    """

    def __init__(self, batch_size: int = 1000) -> None:
        check_whole("batch_size", batch_size, 1)
        self._batch_size = batch_size

    def get_batch_size(self) -> int:
        """The most entries that a `BaseHook` is given at once."""
        return self._batch_size

    @abstractmethod
    def get_concurrency(self) -> int:
        """How many threads work."""

    @abstractmethod
    def drive(
        self,
        items: Iterator[Item],
        work: Callable[[Item], Result],
        write: Callable[[Result], None],
        ordered: bool,
    ) -> None:
        """Works off `items`; `ordered` forbids two `work`s at once.

        Raises:
            Exception: the first, in input order, that reading, `work` or `write` raised; no thread
                is left running.
        """


class SingleThreadExecutor(BaseExecutor):
    """One thread reads, works and writes."""

    def get_concurrency(self) -> int:
        return 1

    def drive(
        self,
        items: Iterator[Item],
        work: Callable[[Item], Result],
        write: Callable[[Result], None],
        ordered: bool,
    ) -> None:
        for item in items:
            write(work(item))


class MultiThreadExecutor(BaseExecutor):
    """A thread reads, `max_workers` threads work, a thread writes.

    Arrow's kernels release the interpreter's lock, so that columns gain from threads; Python hooks
    do not, and `BaseHook`s are run one batch after the other. At most `max_workers + 3` blocks are
    held at once.

    Args:
        max_workers: threads that work; by default the CPUs that this process may use.
        batch_size: see `BaseExecutor`.
    """

    def __init__(self, max_workers: int | None = None, batch_size: int = 1000) -> None:
        super().__init__(batch_size)
        if max_workers is not None:
            check_whole("max_workers", max_workers, 1)
        self._max_workers = max_workers

    def get_concurrency(self) -> int:
        return self._max_workers or usable_cpus()

    def drive(
        self,
        items: Iterator[Item],
        work: Callable[[Item], Result],
        write: Callable[[Result], None],
        ordered: bool,
    ) -> None:
        threads = 1 if ordered else self.get_concurrency()
        read: queue.Queue[Future[Result] | None] = queue.Queue(maxsize=threads + 1)
        stopped = threading.Event()
        with ThreadPoolExecutor(threads, thread_name_prefix="zoopipe-work") as pool:

            def read_all() -> None:
                try:
                    for item in items:
                        if stopped.is_set():
                            break
                        read.put(pool.submit(work, item))
                except BaseException as error:
                    failed: Future[Result] = Future()
                    failed.set_exception(error)
                    read.put(failed)
                read.put(None)

            reader = threading.Thread(target=read_all, name="zoopipe-read", daemon=True)
            reader.start()
            try:
                while (future := read.get()) is not None:
                    write(future.result())
            finally:
                stopped.set()
                _drain(read, reader)


def _drain(read: queue.Queue[Future[Result] | None], reader: threading.Thread) -> None:
    """Lets the reader end: takes what it still puts, so that it never waits for room."""
    while reader.is_alive() or not read.empty():
        try:
            future = read.get(timeout=0.05)
        except queue.Empty:
            continue
        if future is not None:
            future.cancel()
    reader.join()
