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

if TYPE_CHECKING:
    import distributed

CONNECT_TIMEOUT_S = 30
WORKERS_TIMEOUT_S = 300
"""A scheduler without a worker is waited for so long."""


class Pool(Protocol):
    """Workers that do tasks. BrokenExecutor ends a task that went down with its pool, another error a hopeless one."""

    @property
    def places(self) -> int:
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
        self._ever_begun = False
        self._start()

    def _start(self) -> None:
        # Fresh processes: threads and compiled kernels of the driver do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._begun = context.Event()
        self._executor = ProcessPoolExecutor(self.jobs, context, _depend_on_driver, (self._begun,))

    @property
    def places(self) -> int:
        """One a process."""
        return self.jobs

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task; where a process has died with nothing to do, the task ends as if it had died of it."""
        with nullcontext() if self.needs_main else _main_out_of_sight():
            try:
                return self._executor.submit(work, task, cache, self.threads)
            except BrokenExecutor as error:
                broken: Future[Done] = Future()
                broken.set_exception(error)
                return broken

    def revive(self) -> None:
        """Start anew: the death of one process ends the whole pool. RunFailedError if no process has ever begun."""
        self.kill()
        self._ever_begun = self._ever_begun or self._begun.is_set()
        if not self._ever_begun:
            guard = "a script that defines a policy needs `if __name__ == '__main__':` around what it runs"
            raise RunFailedError(f"worker processes cannot start: see above; {guard}")
        self._start()

    def kill(self) -> None:
        """End all processes now, whatever they do."""
        # The executor itself only waits for what is under way.
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()


class DaskPool:
    """The workers of a Dask cluster, which must see the sweep's folder, networks and traces under the same paths."""

    def __init__(self, client: distributed.Client) -> None:
        self.client = client
        self._executor = client.get_executor(pure=False)

    @property
    def places(self) -> int:
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


def pool_for(jobs: int | None, dask: str | None, *, needs_main: bool) -> AbstractContextManager[Pool]:
    """The pool asked for; UsageError where there can be none."""
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs}: need at least 1 process")
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
