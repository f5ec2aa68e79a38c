"""Driver of a sweep: submits each task as soon as the tasks it needs have finished."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from archsim.errors import RunFailedError
from archsim.sweeps.pools import Pool
from archsim.sweeps.task import Done, Task, hindrance, message_of

MAX_RETRIES = 1
"""Retries of a task whose worker died. A retry runs alone, so that another task cannot exhaust its memory."""


class Driver:
    """Driver of tasks on a pool, until none is left; tasks that finish a point go first.

    `on_done` is called once per task. A failed task counts as finished; dependants recompute the product and report
    the error.
    """

    def __init__(self, tasks: list[Task], pool: Pool, cache: str, on_done: Callable[[Task, Done], None]) -> None:
        self.tasks = tasks
        self.pool = pool
        self.cache = cache
        self.on_done = on_done
        self.in_flight: dict[Future[Done], int] = {}
        """Index of the task per running future."""
        self.needs = [set(task.after) for task in tasks]
        self.dependants: defaultdict[str, list[int]] = defaultdict(list)
        for i, task in enumerate(tasks):
            for name in task.after:
                self.dependants[name].append(i)
        self.ready = [(task.kind, i) for i, task in enumerate(tasks) if not task.after]
        # The index breaks ties, so that tasks of one workload stay together as the plan has ordered them.
        heapq.heapify(self.ready)
        self.quarantined: deque[int] = deque()
        """Indices of tasks whose worker died; each is retried alone."""
        self.failures = [0] * len(tasks)

    def run(self) -> None:
        """Run all tasks; raise RunFailedError if the workers are lost for good."""
        while self.ready or self.quarantined or self.in_flight:
            self._start_ready()
            ended, _ = wait(self.in_flight, return_when=FIRST_COMPLETED)
            if any(future.cancelled() for future in ended):
                raise RunFailedError("all workers are lost, finished points are kept: run it again to go on")
            if any(isinstance(future.exception(), BrokenExecutor) for future in ended):
                self._requeue()
            for future in ended & self.in_flight.keys():
                self._finish(self.in_flight.pop(future), _end_of(future))
        assert not any(self.needs), "every task can be reached"

    def _start_ready(self) -> None:
        """Start ready tasks while slots are free; a quarantined task runs by itself."""
        while self.ready and not self.quarantined and len(self.in_flight) < self.pool.slots:
            _, i = heapq.heappop(self.ready)
            self._start_task(i)
        if self.quarantined and not self.in_flight:
            self._start_task(self.quarantined.popleft())

    def _start_task(self, i: int) -> None:
        self.in_flight[self.pool.submit(self.tasks[i], self.cache)] = i

    def _requeue(self) -> None:
        """Quarantine the tasks that a broken pool has lost, and give up those that have used their retries."""
        # One dead worker breaks the whole pool, so every other task in flight soon ends with BrokenExecutor, too,
        # unless it has just finished. `exception` waits for that.
        lost = [(future, i) for future, i in self.in_flight.items() if isinstance(future.exception(), BrokenExecutor)]
        self.pool.revive()
        for future, i in lost:
            del self.in_flight[future]
            self.failures[i] += 1
            if self.failures[i] <= MAX_RETRIES:
                self.quarantined.append(i)
            else:
                why = f"its process died {self.failures[i]} times, the last time while it ran alone: out of memory?"
                self._finish(i, Done(0.0, error=why))

    def _finish(self, i: int, done: Done) -> None:
        task = self.tasks[i]
        for follower in self.dependants.pop(task.name, []):
            self.needs[follower].discard(task.name)
            if not self.needs[follower]:
                heapq.heappush(self.ready, (self.tasks[follower].kind, follower))
        self.on_done(task, done)


def _end_of(future: Future[Done]) -> Done:
    """Return the end of a task; a worker that died for good is a failure of the task."""
    error = future.exception()
    if error is None:
        return future.result()
    return hindrance(error) if isinstance(error, OSError | MemoryError) else Done(0.0, error=message_of(error))
