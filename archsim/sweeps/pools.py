"""Where tasks are done: processes of this machine, or the workers of a Dask cluster; one face for both."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.synchronize import Event
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from archsim.cores import cores
from archsim.errors import ConfigError, RunFailedError, UsageError
from archsim.sweeps.task import Done, Task, work
from archsim.validation import whole_number

if TYPE_CHECKING:
    import distributed

MOST_JOBS = 1024
"""Most processes of one machine: more than any has cores, and few enough to be started."""
MOST_IN_VAIN = 3
"""Times that the processes may die one after the other before any of them begins."""
CONNECT_TIMEOUT_S = 30
WORKERS_TIMEOUT_S = 300
"""A scheduler without a worker is waited for so long."""


class Pool(Protocol):
    """Workers that do tasks. BrokenExecutor ends a task that went down with its pool, another error a hopeless one."""

    @property
    def slots(self) -> int:
        """Tasks worth having under way at a time."""

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task."""

    def revive(self) -> None:
        """Make sure there are workers again after BrokenExecutor."""


class LocalPool:
    """Processes of this machine, which share its cores evenly.

    They import the driver's main module only if it defines a policy: a script without a guard would run again in each.
    """

    def __init__(self, jobs: int, *, needs_main: bool = False) -> None:
        self.jobs, self.needs_main, self.threads = jobs, needs_main, max(1, cores() // jobs)
        self._in_vain = 0
        """Number of times in a row that all processes have died before one of them began."""
        self._start()

    def _start(self) -> None:
        # Fresh processes: threads and compiled kernels of the driver do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._begun = context.Event()
        self._executor = ProcessPoolExecutor(self.jobs, context, _depend_on_driver, (self._begun,))
        self._processes = self._executor._processes
        """The executor forgets its processes when one of them dies."""

    @property
    def slots(self) -> int:
        """One a process."""
        return self.jobs

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task; where a process has died with nothing to do, the task ends as if it had died of it."""
        with _deaf_to_interrupts(), nullcontext() if self.needs_main else _main_out_of_sight():
            try:
                return self._executor.submit(work, task, cache, self.threads)
            except BrokenExecutor as error:
                broken: Future[Done] = Future()
                broken.set_exception(error)
                return broken

    def revive(self) -> None:
        """Start anew: the death of one process ends the whole pool. RunFailedError if none begins, however often."""
        codes = self.kill()
        self._in_vain = 0 if self._begun.is_set() else self._in_vain + 1
        if any(code >= 0 for code in codes) and self._in_vain:  # by itself, and it would again
            guard = "a script that defines a policy needs `if __name__ == '__main__':` around what it runs"
            raise RunFailedError(f"worker processes cannot start: see above{f'; {guard}' if self.needs_main else ''}")
        if self._in_vain == MOST_IN_VAIN:
            killed = f"worker processes were killed before they began, {MOST_IN_VAIN} times: out of memory?"
            raise RunFailedError(f"{killed} Finished points are kept: run it again to go on, with fewer --jobs")
        self._start()

    def kill(self) -> list[int]:
        """End all processes now, whatever they do; return their exit codes, of those ended by a signal its negative."""
        # The executor itself only waits for what is under way.
        processes = list(self._processes.values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        return [process.exitcode for process in processes if process.exitcode is not None]


class DaskPool:
    """The workers of a Dask cluster, which must see the sweep's folder, networks and traces under the same paths."""

    def __init__(self, client: distributed.Client) -> None:
        self.client = client
        self._executor = client.get_executor(pure=False)

    @property
    def slots(self) -> int:
        """One a thread of the workers now there, and at least one."""
        with _scheduler_there():
            return max(1, int(sum(self.client.nthreads().values())))

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task; Dask itself gives it to another worker if one dies."""
        with _scheduler_there():
            future: Future[Done] = self._executor.submit(work, task, cache, 1)
            return future

    def revive(self) -> None:
        """Dask sees to that."""


def check_jobs(jobs: int | None) -> None:
    """Raise ConfigError for a number of processes that there cannot be; None stands for one per core."""
    if jobs is not None and whole_number(jobs) is None:
        raise ConfigError(f"jobs = {jobs!r}: need a whole number of processes")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs}: need at least 1 process")
    if jobs is not None and jobs > MOST_JOBS:
        raise ConfigError(f"jobs = {jobs}: need at most {MOST_JOBS} processes")


def pool_for(jobs: int | None, dask: str | None, *, needs_main: bool) -> AbstractContextManager[Pool]:
    """The pool asked for; UsageError where there can be none."""
    check_jobs(jobs)
    processes = jobs or cores()
    return _local_pool(processes, needs_main) if dask is None else _dask_pool(dask, processes)


@contextmanager
def _local_pool(jobs: int, needs_main: bool) -> Iterator[LocalPool]:
    pool = LocalPool(jobs, needs_main=needs_main)
    try:
        yield pool
    finally:
        pool.kill()


@contextmanager
def _dask_pool(address: str, jobs: int) -> Iterator[DaskPool]:
    """A pool on the scheduler at `address`, or on a cluster of `jobs` local processes for `local`."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UsageError("--dask needs the package distributed: pip install 'archsim[distributed]'") from None
    if address == "local":
        local = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
        with local as cluster, Client(cluster) as client:
            yield DaskPool(client)
        return
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
        client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
    except (OSError, ValueError, TypeError) as error:
        found = f"--dask {address}: no Dask scheduler there ({error})"
        raise UsageError(f"{found}: need tcp://HOST:PORT, or local") from None
    with client:
        yield DaskPool(client)


@contextmanager
def _scheduler_there() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = f"the Dask scheduler is gone ({error})"
        raise RunFailedError(f"{found}, finished points are kept: run it again to go on") from None


@contextmanager
def _main_out_of_sight() -> Iterator[None]:
    """Processes started here import no main module."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start processes that never hear of Ctrl-C, which a terminal sends to all; the driver does when it is over.

    The mask is for the processes, which inherit it. It does not hold back the driver, because a signal to a process
    goes to any of its threads: there the handler waits, or a process half started would be left without its orders.
    """
    heard: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.signal(number, lambda got, frame: heard.append(got))
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


def _depend_on_driver(begun: Event) -> None:
    """Leave Ctrl-C to the driver, and end with it: a killed driver must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    assert driver is not None, "runs in a worker process"

    def watch(process: Any) -> None:
        process.join()
        os._exit(1)

    threading.Thread(target=watch, args=(driver,), daemon=True).start()
    begun.set()
