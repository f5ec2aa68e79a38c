"""Driver of a sweep: order of tasks, failures of tasks, and workers that die."""

from concurrent.futures import BrokenExecutor, Future, wait
from concurrent.futures.process import BrokenProcessPool

import pytest
from harness_sweeps import choices_of, grid

from archsim.errors import RunFailedError
from archsim.experiment import stages
from archsim.sweeps import driver
from archsim.sweeps.driver import Driver
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points, plan_tasks
from archsim.sweeps.point import resolve_point
from archsim.sweeps.pools import LocalPool
from archsim.sweeps.run import run_sweep
from archsim.sweeps.task import Done, Task, TaskKind, work


def task(name, *after, kind=TaskKind.POINT):
    return Task(kind, name, {}, frozenset(f"{needed.kind.name} {needed.digest}" for needed in after), 1.0)


class ScriptedPool:
    """Pool whose tasks all end when the driver waits, as a script says by digest, or well."""

    def __init__(self, slots=1, **script):
        self.slots, self.script = slots, {digest: list(ends) for digest, ends in script.items()}
        self.under_way, self.rounds, self.revived = {}, [], 0

    @property
    def begun(self):
        return [digest for together in self.rounds for digest in together]

    def submit(self, task, cache):
        assert cache == "cache" and task.digest not in self.under_way
        self.under_way[task.digest] = Future()
        return self.under_way[task.digest]

    def wait(self, futures, return_when):
        assert futures.keys() <= set(self.under_way.values()) and futures, "waits for nothing"
        self.rounds.append(list(self.under_way))
        ends = {digest: (self.script.get(digest) or [Done(0.0)]).pop(0) for digest in self.under_way}
        if any(isinstance(end, BrokenExecutor) for end in ends.values()):
            ends = dict.fromkeys(ends, BrokenProcessPool("somebody died"))
        for digest, future in self.under_way.items():
            _end(future, ends[digest])
        self.under_way = {}
        return wait(futures, timeout=0, return_when=return_when)

    def revive(self):
        self.revived += 1


def _end(future, end):
    if end == "cancelled":
        future.cancel()
        future.set_running_or_notify_cancel()
    elif isinstance(end, Exception):
        future.set_exception(end)
    else:
        future.set_result(end)


def drive(tasks, pool):
    """Run tasks; return the error reported for each."""
    errors = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "wait", pool.wait)
        Driver(tasks, pool, "cache", lambda task, done: errors.setdefault(task.digest, []).append(done)).run()
    assert all(len(ends) == 1 for ends in errors.values()), "each task ends once"
    return {digest: ends[0].error for digest, ends in errors.items()}


DEATH = BrokenProcessPool("died")


class DyingPool(LocalPool):
    """Pool that loses a process just before each of its first two tasks."""

    deaths = 2

    def submit(self, task, cache):
        if self.deaths and self._executor._processes:
            self.deaths -= 1
            process = next(iter(self._executor._processes.values()))
            process.kill()
            process.join()
        return super().submit(task, cache)


def test_worker_that_dies_between_tasks_is_replaced(unlabelled, tmp_path):
    points = plan_points(load_grid(grid(unlabelled, threshold=[0.1, 0.2, 0.3, 0.4]))[0])
    (tmp_path / "cache").mkdir()
    tasks, errors, pool = plan_tasks(points, tmp_path / "cache"), [], DyingPool(1)
    try:
        Driver(tasks, pool, str(tmp_path / "cache"), lambda task, done: errors.append(done.error)).run()
    finally:
        pool.kill()
    assert errors == [None] * len(tasks) and pool.deaths == 0


def test_tasks_run_after_the_tasks_they_need():
    one, two = task("one", kind=TaskKind.PASS), task("two", kind=TaskKind.PASS)
    base = task("base", one, kind=TaskKind.BASELINE)
    pool = ScriptedPool()
    assert not any(drive([task("a", one, base), task("b", two), base, two, one], pool).values())
    assert set(pool.begun[:2]) <= {"one", "two", "b", "base"} and pool.begun[-1] in ("a", "b")
    position = pool.begun.index
    assert position("one") < position("base") < position("a") and position("two") < position("b")


def test_each_point_runs_directly_after_its_pass():
    """Points come before the next pass, so that results are finished early."""
    tasks = []
    for name in "abc":
        made = task(f"pass-{name}", kind=TaskKind.PASS)
        tasks += [made, task(name, made)]
    pool = ScriptedPool()
    drive(tasks, pool)
    assert pool.begun == ["pass-a", "a", "pass-b", "b", "pass-c", "c"]


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_tasks_in_flight_equal_the_slots_of_the_pool(slots):
    pool = ScriptedPool(slots)
    drive([task(str(i)) for i in range(24)], pool)
    assert {len(together) for together in pool.rounds} == {slots} and len(set(pool.begun)) == 24


def test_task_is_retried_after_one_worker_death():
    pool = ScriptedPool(a=[DEATH])
    assert drive([task("a"), task("b")], pool) == {"a": None, "b": None}
    assert pool.begun == ["a", "a", "b"] and pool.revived == 1


def test_tasks_in_flight_at_a_worker_death_are_retried_one_by_one():
    pool = ScriptedPool(3, c=[DEATH])
    names = ["a", "b", "c", "d"]
    assert drive([task(name) for name in names], pool) == dict.fromkeys(names)
    assert pool.rounds[0] == ["a", "b", "c"] and sorted(pool.rounds[1:4]) == [["a"], ["b"], ["c"]]


def test_task_whose_worker_dies_twice_fails_and_others_finish():
    pool = ScriptedPool(2, bad=[DEATH, DEATH])
    errors = drive([task("a"), task("bad"), task("b"), task("c")], pool)
    assert "its process died 2 times" in errors.pop("bad")
    assert errors == {"a": None, "b": None, "c": None} and pool.revived == 2


def test_points_run_after_their_pass_failed_by_worker_deaths():
    """The points compute the pass themselves and report their own errors."""
    made = task("pass", kind=TaskKind.PASS)
    pool = ScriptedPool(2, **{"pass": [DEATH, DEATH], "a": [Done(0.0, error="no")]})
    errors = drive([made, task("a", made), task("b", made), task("c")], pool)
    assert "died" in errors["pass"] and errors["a"] == "no" and errors["b"] is None and errors["c"] is None


def test_points_run_after_their_pass_failed():
    made = task("pass", kind=TaskKind.PASS)
    errors = drive([made, task("a", made), task("b")], ScriptedPool(**{"pass": [Done(0.0, error="oh")]}))
    assert errors == {"pass": "oh", "a": None, "b": None}


def test_error_of_the_pool_is_the_error_of_the_task():
    errors = drive([task("a"), task("b")], ScriptedPool(a=[ValueError("cannot be sent")]))
    assert errors == {"a": "ValueError: cannot be sent", "b": None}


def test_sweep_ends_if_the_pool_cancels_a_task():
    with pytest.raises(RunFailedError, match="finished points are kept: run it again"):
        drive([task("a"), task("b")], ScriptedPool(a=["cancelled"]))


def test_worker_refuses_a_task_whose_digest_differs(unlabelled, tmp_path):
    for kind in TaskKind:
        done = work(Task(kind, "0" * 64, choices_of(unlabelled), frozenset(), 1.0), str(tmp_path), 1)
        assert "sees another archsim, network, trace or machine" in done.error and done.outcome is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error, message", [
    (ZeroDivisionError("x"), "ZeroDivisionError: x"),
    (RunFailedError("just so"), "just so"),
])  # fmt: skip
def test_exception_of_a_task_is_its_error_message(error, message, unlabelled, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(stages, "run_compared", fail)
    choices = choices_of(unlabelled)
    done = work(Task(TaskKind.POINT, resolve_point(choices).digest, choices, frozenset(), 1.0), str(tmp_path), 1)
    assert done.error == message and done.seconds >= 0 and not done.hindered


def test_progress_rises_from_zero_to_one(unlabelled, tmp_path, in_process):
    progress = []
    run_sweep(
        grid(unlabelled, threshold=[0.1, 0.5, -1]),
        tmp_path,
        on_progress=lambda p: progress.append((p.share, p.finished, p.failed)),
    )
    assert progress[0] == (0.0, 1, 1) and progress[-1] == (pytest.approx(1.0), 3, 1)
    assert progress == sorted(progress)
