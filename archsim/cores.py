"""How many cores this process may use, and work side by side on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cached_property
from threading import Lock
from typing import TypeVar

from threadpoolctl import ThreadpoolController

S = TypeVar("S")
T = TypeVar("T")


def cores() -> int:
    """Cores of the machine, or as many of them as a batch system leaves to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def thread_pool(number: int) -> Iterator[Executor | None]:
    """A pool of threads, or none for one: it is here already. Meanwhile numpy's own leave it the cores."""
    with NUMPYS_THREADS.limit_blas(), ThreadPoolExecutor(number) if number > 1 else nullcontext() as pool:
        yield pool


def map_in_order(pool: Executor | None, work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Do the work on all items, side by side if there is a pool; the results come in order."""
    return pool.map(work, items) if pool else map(work, items)


class _NumpysThreads:
    """Those of its linear algebra: they stand aside from the first who asks for it until the last is done."""

    def __init__(self) -> None:
        self._lock, self._askers = Lock(), 0

    @contextmanager
    def limit_blas(self) -> Iterator[None]:
        """One thread at most; what there was comes back at the end."""
        with self._lock:
            self._askers += 1
            if self._askers == 1:
                self._limit = self._libraries.limit(limits=1, user_api="blas")
        try:
            yield
        finally:
            with self._lock:
                self._askers -= 1
                if not self._askers:
                    self._limit.restore_original_limits()

    @cached_property
    def _libraries(self) -> ThreadpoolController:
        # Finding them takes milliseconds; numpy's is loaded long before anyone asks.
        return ThreadpoolController()


NUMPYS_THREADS = _NumpysThreads()


def run_parallel(pool: Executor | None, works: Sequence[Callable[[], T]]) -> list[T]:
    """Do all works, the first here, the others wherever there is a thread to spare, or else here, too.

    Safe on a thread of the pool itself: it waits for nothing that has not begun.
    """
    if pool is None:
        return [work() for work in works]
    here, *others = works
    futures = [pool.submit(work) for work in others]
    done = [here()]
    for work, future in zip(others, futures, strict=True):
        done.append(work() if future.cancel() else future.result())
    return done
