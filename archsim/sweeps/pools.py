"""Pools of workers for tasks: processes of this machine, or the workers of a Dask cluster."""

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

MAX_JOBS = 1024
"""Largest number of processes: more than a machine has cores, and few enough to be started."""
MAX_FAILED_STARTS = 3
"""Failed starts in a row, in which all processes die before one begins, that end a sweep."""
CONNECT_TIMEOUT_S = 30
WORKERS_TIMEOUT_S = 300
"""Seconds to wait for the first worker of a scheduler."""


class Pool(Protocol):
    """Workers for tasks. A task lost with its pool ends with BrokenExecutor, one that cannot run with another error."""

    @property
    def slots(self) -> int:
        """Number of tasks to keep in flight."""

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Submit a task; return its future."""

    def revive(self) -> None:
        """Replace the workers after BrokenExecutor."""


class LocalPool:
    """Processes of this machine, which share its cores evenly.

    They import the driver's main module only if it defines a policy, because a script without a guard would run again
    in each of them.
    """

    def __init__(self, jobs: int, *, needs_main: bool = False) -> None:
        self.jobs = jobs
        self.needs_main = needs_main
        self.threads = max(1, cores() // jobs)
        self._failed_starts = 0
        """Number of starts in a row in which all processes died before one of them began."""
        self._start()

    def _start(self) -> None:
        # Spawned, not forked, because threads and compiled kernels of the driver do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._begun = context.Event()
        self._executor = ProcessPoolExecutor(self.jobs, context, _depend_on_driver, (self._begun,))
        self._processes = self._executor._processes
        """Processes of the executor, which forgets them when one of them dies."""

    @property
    def slots(self) -> int:
        """One slot per process."""
        return self.jobs

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Submit a task; it ends with BrokenExecutor if a process has died since, even an idle one."""
        with _interrupts_held(), nullcontext() if self.needs_main else _main_module_hidden():
            try:
                return self._executor.submit(work, task, cache, self.threads)
            except BrokenExecutor as error:
                broken: Future[Done] = Future()
                broken.set_exception(error)
                return broken

    def revive(self) -> None:
        """Start new processes, because one dead process breaks the whole pool; raise RunFailedError if none begins."""
        codes = self.kill()
        self._failed_starts = 0 if self._begun.is_set() else self._failed_starts + 1
        # An exit code >= 0 is an exit of its own, as by a failed import, which every new process would repeat.
        if any(code >= 0 for code in codes) and self._failed_starts:
            guard = "a script that defines a policy needs `if __name__ == '__main__':` around what it runs"
            raise RunFailedError(f"worker processes cannot start: see above{f'; {guard}' if self.needs_main else ''}")
        if self._failed_starts == MAX_FAILED_STARTS:
            killed = f"worker processes were killed before they began, {MAX_FAILED_STARTS} times: out of memory?"
            raise RunFailedError(f"{killed} Finished points are kept: run it again to go on, with fewer --jobs")
        self._start()

    def kill(self) -> list[int]:
        """Kill all processes; return their exit codes, negative for one that ended by a signal."""
        # Killed by hand, because shutting the executor down only waits for the tasks in flight.
        processes = list(self._processes.values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        return [process.exitcode for process in processes if process.exitcode is not None]


class DaskPool:
    """Workers of a Dask cluster, which must see the sweep's folder, networks and traces under the same paths."""

    def __init__(self, client: distributed.Client) -> None:
        self.client = client
        self._executor = client.get_executor(pure=False)

    @property
    def slots(self) -> int:
        """One slot per thread of the current workers, and at least one."""
        with _lost_scheduler_reported():
            return max(1, int(sum(self.client.nthreads().values())))

    def submit(self, task: Task, cache: str) -> Future[Done]:
        """Submit a task; Dask itself gives it to another worker if one dies."""
        with _lost_scheduler_reported():
            future: Future[Done] = self._executor.submit(work, task, cache, 1)
            return future

    def revive(self) -> None:
        """Do nothing, because Dask replaces its workers itself."""


def check_jobs(jobs: int | None) -> None:
    """Raise ConfigError for an impossible number of processes; None stands for one per core."""
    if jobs is not None and whole_number(jobs) is None:
        raise ConfigError(f"jobs = {jobs!r}: need a whole number of processes")
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs}: need at least 1 process")
    if jobs is not None and jobs > MAX_JOBS:
        raise ConfigError(f"jobs = {jobs}: need at most {MAX_JOBS} processes")


def pool_for(jobs: int | None, dask: str | None, *, needs_main: bool) -> AbstractContextManager[Pool]:
    """Return a context with the pool asked for; raise UsageError if there can be none."""
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
    """Yield a pool on the scheduler at `address`; for `local`, on a cluster of `jobs` local processes."""
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
        problem = f"--dask {address}: no Dask scheduler there ({error})"
        raise UsageError(f"{problem}: need tcp://HOST:PORT, or local") from None
    with client:
        yield DaskPool(client)


@contextmanager
def _lost_scheduler_reported() -> Iterator[None]:
    """Turn the error of a lost scheduler into RunFailedError."""
    try:
        yield
    except OSError as error:
        problem = f"the Dask scheduler is gone ({error})"
        raise RunFailedError(f"{problem}, finished points are kept: run it again to go on") from None


@contextmanager
def _main_module_hidden() -> Iterator[None]:
    """Hide the main module, so that processes started meanwhile do not import it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C in processes started meanwhile, and hold it back in the driver until they are started.

    A terminal sends Ctrl-C to all processes. Those started here inherit the blocked mask. The mask alone does not hold
    back the driver, because a signal to a process goes to any of its threads. So a handler keeps the signal until the
    end; otherwise a process could be left half started, without its task.
    """
    received: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handlers[number] = signal.signal(number, lambda got, frame: received.append(got))
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])


def _depend_on_driver(begun: Event) -> None:
    """Leave Ctrl-C to the driver, and end with it, because a killed driver must not leave workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    assert driver is not None, "runs in a worker process"

    def exit_with(process: Any) -> None:
        process.join()
        os._exit(1)

    threading.Thread(target=exit_with, args=(driver,), daemon=True).start()
    begun.set()
