"""Cores that this process may use, and parallel work on them."""

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
    """Return the number of cores that this process may use, as limited by a batch system."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def thread_pool(number: int) -> Iterator[Executor | None]:
    """Yield a thread pool, or None for one thread (the caller's). BLAS uses one thread meanwhile."""
    with BLAS_GUARD.limit_blas(), ThreadPoolExecutor(number) if number > 1 else nullcontext() as pool:
        yield pool


def map_in_order(pool: Executor | None, work: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
    """Yield the results of `work` on all items in order, computed in parallel if there is a pool."""
    return pool.map(work, items) if pool else map(work, items)


class _BlasGuard:
    """BLAS thread guard: numpy's linear algebra uses one thread while any caller is inside `limit_blas`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._callers = 0

    @contextmanager
    def limit_blas(self) -> Iterator[None]:
        """Limit BLAS to one thread; restore its threads when the last caller leaves."""
        with self._lock:
            self._callers += 1
            if self._callers == 1:
                self._limit = self._libraries.limit(limits=1, user_api="blas")
        try:
            yield
        finally:
            with self._lock:
                self._callers -= 1
                if not self._callers:
                    self._limit.restore_original_limits()

    @cached_property
    def _libraries(self) -> ThreadpoolController:
        # Cached, because the search takes milliseconds. numpy's library is loaded before the first call.
        return ThreadpoolController()


BLAS_GUARD = _BlasGuard()


def run_parallel(pool: Executor | None, works: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of all works: the first runs here, the others on free threads of the pool or also here.

    It may be called on a thread of the pool itself, because it never waits for work that has not started.
    """
    if pool is None:
        return [work() for work in works]
    first, *others = works
    futures = [pool.submit(work) for work in others]
    results = [first()]
    for work, future in zip(others, futures, strict=True):
        # Take back a work that no thread has started, so that a full pool cannot deadlock.
        results.append(work() if future.cancel() else future.result())
    return results
