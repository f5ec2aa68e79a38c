"""The driver of a sweep: hands out tasks as soon as what they need is there, and alone writes results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait

from archsim.errors import RunFailedError
from archsim.sweeps.pools import Pool
from archsim.sweeps.task import Done, Task

LIVES = 2
"""Workers a task may lose. After the first it runs alone, so that it cannot die of its neighbour."""

Tell = Callable[[Task, Done], None]
"""Hears of the end of each task."""


class Driver:
    """Runs tasks on a pool until none is left.

    A task that fails counts as done: what needs its product makes it again, and says for itself why it cannot.
    """

    def __init__(self, tasks: list[Task], pool: Pool, cache: str, tell: Tell) -> None:
        self.waiting, self.pool, self.cache, self.tell = list(tasks), pool, cache, tell
        self.under_way: dict[Future[Done], Task] = {}
        self.made: set[str] = set()
        self.deaths: Counter[str] = Counter()
        """Workers lost, by task."""

    def run(self) -> None:
        """Do all tasks; raises RunFailedError if the workers are lost for good."""
        while self.waiting or self.under_way:
            self._hand_out()
            ended, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
            if any(future.cancelled() for future in ended):
                raise RunFailedError("the workers are gone, finished points are kept: run it again to go on")
            if any(isinstance(future.exception(), BrokenExecutor) for future in ended):
                self._bury()
            for future in ended & self.under_way.keys():
                self._finish(self.under_way.pop(future), _end_of(future))

    def _hand_out(self) -> None:
        """Begin what is ready, as far as there are places; a task that has lost a worker runs by itself."""
        ready = sorted((task for task in self.waiting if task.after <= self.made), key=lambda task: task.kind)
        suspects = [task for task in ready if self.deaths[task.name]]
        free = self.pool.places - len(self.under_way)
        if suspects:
            ready, free = suspects, 0 if self.under_way else 1
        for task in ready[: max(0, free)]:
            self.waiting.remove(task)
            self.under_way[self.pool.submit(task, self.cache)] = task

    def _bury(self) -> None:
        """Whatever was under way when the pool broke begins anew, or is given up."""
        self.pool.revive()
        for future, task in list(self.under_way.items()):
            if future.done() and not isinstance(future.exception(), BrokenExecutor):
                continue
            del self.under_way[future]
            self.deaths[task.name] += 1
            if self.deaths[task.name] < LIVES:
                self.waiting.append(task)
            else:
                why = f"its process died {LIVES} times, the last time while it ran alone: out of memory?"
                self._finish(task, Done(0.0, error=why))

    def _finish(self, task: Task, done: Done) -> None:
        self.made.add(task.name)
        self.tell(task, done)


def _end_of(future: Future[Done]) -> Done:
    """What a task ended with; a worker that died for good is a failure of the task."""
    error = future.exception()
    return future.result() if error is None else Done(0.0, error=f"{type(error).__name__}: {error}")
