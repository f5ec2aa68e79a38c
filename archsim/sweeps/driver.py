"""The driver of a sweep: hands out tasks as soon as what they need is there."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from archsim.errors import RunFailedError
from archsim.sweeps.pools import Pool
from archsim.sweeps.task import Done, Task, hindrance, message_of

LIVES = 2
"""Workers a task may lose. After the first it runs alone, so that it cannot die of its neighbour."""

Tell = Callable[[Task, Done], None]
"""Hears of the end of each task."""


class Driver:
    """Runs tasks on a pool until none is left; those that finish a point go first.

    A task that fails counts as done: what needs its product makes it again, and says for itself why it cannot.
    """

    def __init__(self, tasks: list[Task], pool: Pool, cache: str, tell: Tell) -> None:
        self.tasks, self.pool, self.cache, self.tell = tasks, pool, cache, tell
        self.under_way: dict[Future[Done], int] = {}
        """Tasks by their place in the list."""
        self.needs = [set(task.after) for task in tasks]
        self.needed_by: defaultdict[str, list[int]] = defaultdict(list)
        for i, task in enumerate(tasks):
            for name in task.after:
                self.needed_by[name].append(i)
        self.ready = [(task.kind, i) for i, task in enumerate(tasks) if not task.after]
        heapq.heapify(self.ready)
        self.suspects: deque[int] = deque()
        """Tasks that have lost a worker."""
        self.deaths = [0] * len(tasks)

    def run(self) -> None:
        """Do all tasks; raises RunFailedError if the workers are lost for good."""
        while self.ready or self.suspects or self.under_way:
            self._hand_out()
            ended, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
            if any(future.cancelled() for future in ended):
                raise RunFailedError("the workers are gone, finished points are kept: run it again to go on")
            if any(isinstance(future.exception(), BrokenExecutor) for future in ended):
                self._bury()
            for future in ended & self.under_way.keys():
                self._finish(self.under_way.pop(future), _end_of(future))
        assert not any(self.needs), "every task can be reached"

    def _hand_out(self) -> None:
        """Begin what is ready, as far as there are places; a suspect runs by itself."""
        while self.ready and not self.suspects and len(self.under_way) < self.pool.places:
            _, i = heapq.heappop(self.ready)
            self._begin(i)
        if self.suspects and not self.under_way:
            self._begin(self.suspects.popleft())

    def _begin(self, i: int) -> None:
        self.under_way[self.pool.submit(self.tasks[i], self.cache)] = i

    def _bury(self) -> None:
        """Whatever was under way when the pool broke begins anew, or is given up."""
        # One death breaks a pool: its other tasks end the same way soon, unless they have just ended well.
        lost = [(future, i) for future, i in self.under_way.items() if isinstance(future.exception(), BrokenExecutor)]
        self.pool.revive()
        for future, i in lost:
            del self.under_way[future]
            self.deaths[i] += 1
            if self.deaths[i] < LIVES:
                self.suspects.append(i)
            else:
                why = f"its process died {LIVES} times, the last time while it ran alone: out of memory?"
                self._finish(i, Done(0.0, error=why))

    def _finish(self, i: int, done: Done) -> None:
        task = self.tasks[i]
        for follower in self.needed_by.pop(task.name, []):
            self.needs[follower].discard(task.name)
            if not self.needs[follower]:
                heapq.heappush(self.ready, (self.tasks[follower].kind, follower))
        self.tell(task, done)


def _end_of(future: Future[Done]) -> Done:
    """What a task ended with; a worker that died for good is a failure of the task."""
    error = future.exception()
    if error is None:
        return future.result()
    return hindrance(error) if isinstance(error, OSError | MemoryError) else Done(0.0, error=message_of(error))
