"""Where tasks are done: processes of this machine, or the workers of a Dask cluster; one face for both."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from archsim.errors import ConfigError, UsageError
from archsim.sweeps.task import Done, Task, work

if TYPE_CHECKING:
    import distributed

CONNECT_TIMEOUT_S = 10


def default_jobs() -> int:
    """One process a core."""
    return os.cpu_count() or 1


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
    """Processes of this machine, which share its cores evenly."""

    def __init__(self, jobs: int) -> None:
        self.jobs, self.threads = jobs, max(1, default_jobs() // jobs)
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        # Fresh processes: threads and compiled kernels of the driver do not survive a fork.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.jobs, context, initializer=_depend_on_driver)

    @property
    def places(self) -> int:
        """One a process."""
        return self.jobs

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task."""
        try:
            return self._executor.submit(work, task, cache, self.threads)
        except BrokenExecutor:  # a process died with nothing to do
            self.revive()
            return self._executor.submit(work, task, cache, self.threads)

    def revive(self) -> None:
        """Start anew: the death of one process ends the whole pool."""
        self.kill()
        self._executor = self._start()

    def kill(self) -> None:
        """End all processes now, whatever they do."""
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
        return max(1, int(sum(self.client.nthreads().values())))

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Begin a task; Dask itself gives it to another worker if one dies."""
        future: Future[Done] = self._executor.submit(work, task, cache, 1)
        return future

    def revive(self) -> None:
        """Dask sees to that."""


@contextmanager
def local_pool(jobs: int) -> Iterator[LocalPool]:
    """A pool of so many processes, gone at the end of the block however it ends."""
    if jobs < 1:
        raise ConfigError(f"jobs = {jobs}: need at least 1 process")
    pool = LocalPool(jobs)
    try:
        yield pool
    finally:
        pool.kill()


@contextmanager
def dask_pool(address: str, jobs: int) -> Iterator[DaskPool]:
    """A pool on the scheduler at `address`, or on a cluster of `jobs` local processes for `local`."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise UsageError("--dask needs the package distributed: pip install 'archsim[distributed]'") from None
    if address == "local":
        with (
            LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            yield DaskPool(client)
        return
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"--dask {address}: no Dask scheduler there ({error}): need tcp://HOST:PORT, or local"
        ) from None
    with client:
        yield DaskPool(client)


def _depend_on_driver() -> None:
    """Leave Ctrl-C to the driver, and end with it: a killed driver must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    assert driver is not None, "runs in a worker process"

    def watch(process: Any) -> None:
        process.join()
        os._exit(1)

    threading.Thread(target=watch, args=(driver,), daemon=True).start()
