"""Sweeps from the inside: what points share, what is kept on disk, who does what and what becomes of the dead."""

import importlib
import json
import linecache
import math
import sqlite3
import sys
from concurrent.futures import BrokenExecutor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import HerePool
from safetensors.numpy import save_file

import archsim
from archsim.errors import RunFailedError, UsageError
from archsim.experiment import stages
from archsim.policies import POLICIES
from archsim.report.assemble import write_report
from archsim.report.html_tables import best_table
from archsim.report.study import study_of
from archsim.sweeps import driver
from archsim.sweeps import run as sweeps
from archsim.sweeps.cache import CachedStages, pass_path
from archsim.sweeps.driver import Driver
from archsim.sweeps.frames import read_sweep
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points, plan_tasks
from archsim.sweeps.point import resolve_point
from archsim.sweeps.pools import LocalPool
from archsim.sweeps.run import left_to_do, run_sweep
from archsim.sweeps.store import DATABASE, Store, only_driver, open_store
from archsim.sweeps.task import Done, Kind, Task, work
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

HARDWARE = "arch.fmu.latency_cycles"


def write_network(folder, *, labelled=False, seed=0):
    """A tiny network and its trace `trace.npz` in a folder; labelled ones classify."""
    rng = np.random.default_rng(seed)
    text = 'name = "mine"\n{}[[stacks]]\nprefix = ""\ncell = "gru"\ninput_size = 6\nhidden_size = 5\nnum_layers = 2\n{}'
    head = '[head]\nkind = "mean-linear"\nweight = "w"\nbias = "b"\n'
    folder.mkdir(parents=True)
    (folder / "network.toml").write_text(
        text.format('metric = "accuracy"\n', head) if labelled else text.format("", "")
    )
    shapes = {"weight_ih_l0": (15, 6), "weight_hh_l0": (15, 5), "weight_ih_l1": (15, 5), "weight_hh_l1": (15, 5)}
    shapes |= {"w": (2, 5), "b": (2,)} if labelled else {}
    save_file(
        {name: rng.standard_normal(s).astype(np.float32) for name, s in shapes.items()}, folder / "weights.safetensors"
    )
    frames = [np.cumsum(rng.standard_normal((t, 6)), axis=0) * 0.3 for t in (5, 1, 7)]
    write_trace(Trace.from_arrays(frames, [0, 1, 0] if labelled else None, name="mine"), folder / "trace.npz")
    return {"network": str(folder), "trace": str(folder / "trace.npz")}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Choices of a network without a task."""
    return write_network(tmp_path_factory.mktemp("own") / "net")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Choices of a network that classifies."""
    return write_network(tmp_path_factory.mktemp("labelled") / "net", labelled=True)


@pytest.fixture
def here(monkeypatch):
    """Sweeps without other processes."""
    monkeypatch.setattr(sweeps, "pool_for", lambda *choice, **options: nullcontext(HerePool()))


def grid(fixed, **axes):
    return {"axes": {key.replace("__", "."): values for key, values in axes.items()}, "fixed": dict(fixed)}


def tasks_of(tables, cache):
    return plan_tasks(plan_points(load_grid(tables)[0]), cache)


def kinds(tasks):
    return {kind.name: sum(task.kind is kind for task in tasks) for kind in Kind}


# What points share


def test_points_that_differ_in_hardware_share_one_pass(own, tmp_path):
    tasks = tasks_of(grid(own, arch__fmu__latency_cycles=[3, 5, 8], threshold=[0.5]), tmp_path)
    assert kinds(tasks) == {"POINT": 3, "BASELINE": 1, "PASS": 1}
    (made,) = [task for task in tasks if task.kind is Kind.PASS]
    assert all(made.name in task.after for task in tasks if task.kind is not Kind.PASS)


def test_a_machine_of_its_own_has_a_baseline_of_its_own(own, tmp_path):
    tasks = tasks_of(grid(own, arch__dpu__lanes=[8, 16], threshold=[0.5]), tmp_path)
    assert kinds(tasks) == {"POINT": 2, "BASELINE": 2, "PASS": 1}


@pytest.mark.parametrize("axis", [
    {"threshold": [0.1, 0.2]},
    {"precision": ["fp16", "fp32"], "threshold": [0.1]},
    {"limit": [1, 2], "threshold": [0.1]},
    {"policy": ["bnn", "oracle"], "threshold": [0.1]},
])  # fmt: skip
def test_points_that_compute_something_else_share_no_pass(axis, own, tmp_path):
    assert kinds(tasks_of(grid(own, **axis), tmp_path))["PASS"] == 2


def test_the_baseline_is_shared_over_thresholds_and_policies(own, labelled, tmp_path):
    axes = {"threshold": [0.1, 0.2, 0.3], "policy": ["bnn", "oracle"]}
    assert kinds(tasks_of(grid(own, **axes), tmp_path)) == {"POINT": 6, "BASELINE": 1, "PASS": 6}
    assert kinds(tasks_of(grid(labelled, **axes), tmp_path)) == {"POINT": 6, "BASELINE": 1, "PASS": 6}


def test_policy_none_is_its_own_baseline(labelled, tmp_path):
    tasks = tasks_of(grid(labelled, policy=["none"], threshold=[0.1, 0.2]), tmp_path)
    assert kinds(tasks) == {"POINT": 1, "BASELINE": 0, "PASS": 1}


def test_policy_none_is_run_once_for_all_thresholds_and_has_a_row_for_each(own, tmp_path, here):
    found = run_sweep(grid(own, policy=["none"], threshold=[0.1, 0.2]), tmp_path / "out")
    assert found.n_points == 2 and found.results["digest"].nunique() == 1
    assert found.results["threshold"].tolist() == [0.1, 0.2]


def test_max_loss_is_the_calibrated_threshold_of_a_bundled_network():
    chosen = {"network": "imdb-lstm", "limit": 1}
    found = [resolve_point(chosen | {"max_loss": loss, "policy": "bnn"}).threshold for loss in (1, 2)]
    assert found[0] <= found[1] and found[0] == resolve_point(chosen | {"policy": "bnn"}).threshold
    assert resolve_point(chosen | {"max_loss": 1, "policy": "none"}).threshold is None


def test_max_loss_may_stand_for_thresholds_by_layer(tmp_path):
    """One network calibrated by layer, one as a whole: a column of numbers and lists, which tables take as texts."""
    apart = write_network(tmp_path / "apart", labelled=True)
    whole = write_network(tmp_path / "whole", labelled=True, seed=1)
    figures = "reuse_fraction = 0.1, metric_loss = 0, metric_loss_low = 0, metric_loss_high = 0"
    for chosen, theta in ((apart, "[0.1, 0.2]"), (whole, "0.3")):
        evidence = f"points = [{{max_loss = 1, threshold = {theta}, {figures}}}]\n"
        about = 'trace = "t"\ntrace_digest = ""\nsequences = 1\nprecision = "fp16"\nmetric_baseline = 50\n'
        manifest = Path(chosen["network"]) / "network.toml"
        manifest.write_text(f"{manifest.read_text()}[calibration.bnn]\n{about}margin = 0\nconfidence = 1\n{evidence}")
    assert resolve_point(apart | {"max_loss": 1, "policy": "bnn"}).threshold == [0.1, 0.2]
    run_sweep({"fixed": {"policy": "bnn", "max_loss": 1}, "zip": [zipped(apart, whole)]}, tmp_path / "out")
    found = read_sweep(tmp_path / "out")
    assert found.failed.empty and found.results["threshold"].tolist() == ["[0.1, 0.2]", "0.3"]
    assert "[0.1, 0.2]" in str(best_table(study_of(found)).rows)


def zipped(*choices):
    """Choices of the same keys, as an axis each that go together."""
    return {key: [one[key] for one in choices] for key in choices[0]}


@pytest.mark.parametrize("more, message", [
    ({"max_loss": 17}, "max_loss = 17: imdb-lstm is calibrated for"),
    ({"max_loss": 17}, "run archsim calibrate --network imdb-lstm --policy bnn --max-loss 17 --save"),
    ({"max_loss": 1, "threshold": 0.1}, "threshold and max_loss are both set: need one of them"),
    ({"trace": "imdb-lstm", "split": "test"}, "trace = 'imdb-lstm' and split = 'test': need one of them"),
    ({"limit": 0}, "limit = 0: need a whole number, at least 1 sequence"),
    ({"threshold": -1}, "need a number >= 0"),
    ({"precision": "fp8"}, "precision = 'fp8': accepted: fp16, fp32"),
    ({"seed": -1}, "seed = -1: need a whole number >= 0"),
    ({HARDWARE: "x"}, "fmu.latency_cycles = 'x'"),
    ({"network": None}, "network is missing: set it in [axes] or [fixed]"),
])  # fmt: skip
def test_a_point_that_cannot_run_says_why(more, message):
    chosen = {key: value for key, value in ({"network": "imdb-lstm"} | more).items() if value is not None}
    with pytest.raises(UsageError) as caught:
        resolve_point(chosen)
    assert message in str(caught.value)


@pytest.mark.parametrize("more, message", [
    ({"network": "imdb-lst"}, "did you mean 'imdb-lstm'"),
    ({"trace": "nowhere.npz"}, "nowhere.npz"),
    ({"arch": "epr"}, "did you mean 'epur'"),
    ({"policy": "orakle"}, "did you mean 'oracle'"),
])  # fmt: skip
def test_a_name_that_nobody_knows_stops_the_whole_grid(more, message, own):
    with pytest.raises(UsageError, match=message):
        plan_points(load_grid({"axes": {"threshold": [0.5, 1]}, "fixed": own | more})[0])


def test_some_points_may_fail_but_not_all(own):
    points = plan_points(load_grid(grid(own, threshold=[0.5, -1]))[0])
    assert [point.error is None for point in points] == [True, False] and points[1].setting is None
    with pytest.raises(UsageError, match=r"none of 2 points can run; the first: .*need a number >= 0"):
        plan_points(load_grid(grid(own, threshold=[-2, -1]))[0])


# What is kept on disk


def choices_of(fixed, **more):
    return dict(fixed) | {"threshold": 0.5} | more


def record_of(choices, cache):
    """The record of a point, through the cache."""
    done = work(Task(Kind.POINT, resolve_point(choices).digest, choices, frozenset(), 1.0), str(cache), 1)
    assert done.error is None
    return done.outcome.record


def direct_record(choices):
    """The record of a point without any cache, `wall_s` apart."""
    arch = archsim.load_arch("epur")
    for key, value in choices.items():
        arch = arch.replace(key.removeprefix("arch."), value) if key.startswith("arch.") else arch
    options = {key: choices[key] for key in ("policy", "precision", "detail") if key in choices}
    found = archsim.simulate(choices["network"], choices["trace"], arch, threshold=choices["threshold"], **options)
    return found.record | {"wall_s": None}


@pytest.mark.parametrize("more", [
    {}, {"policy": "oracle"}, {"policy": "none"}, {"precision": "fp32"}, {"detail": "neuron"}, {HARDWARE: 9},
    {"threshold": [0.1, 0.9]}, {"arch.weight_buffer.capacity_bytes": 300},
])  # fmt: skip
@pytest.mark.parametrize("network", ["own", "labelled"])
def test_what_is_read_back_gives_the_record_of_simulate(network, more, request, tmp_path, passes):
    choices = choices_of(request.getfixturevalue(network), **more)
    first = record_of(choices, tmp_path)
    computed = len(passes)
    again = record_of(choices, tmp_path)
    assert len(passes) == computed > 0
    assert first == again == direct_record(choices)


def test_a_head_and_a_translators_steps_are_read_back(tmp_path, passes):
    choices = {"network": "mnmt-lstm", "limit": 2, "threshold": 0.3}
    first = record_of(choices, tmp_path)
    del passes[:]
    assert record_of(choices, tmp_path) == first and passes == []
    trace = archsim.load_trace("mnmt-lstm").limit(2)
    assert first == archsim.simulate("mnmt-lstm", trace, threshold=0.3).record | {"wall_s": None}


def test_decisions_are_read_back_bit_by_bit(own, tmp_path):
    setting = resolve_point(choices_of(own))
    made = CachedStages(setting, tmp_path).functional()
    read = CachedStages(setting, tmp_path).functional()
    assert read.activity is not made.activity and read.activity.neurons_reused() > 0
    for shape in made.activity.shapes:
        for before, after in zip(made.activity.bits[shape.place], read.activity.bits[shape.place], strict=True):
            np.testing.assert_array_equal(before, after)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def garble(path):
    path.write_bytes(b"no such thing")


def empty(path):
    path.write_bytes(b"")


def other_tensors(path):
    if path.suffix == ".safetensors":
        save_file({"x": np.zeros(3, np.float32)}, path, {"reuses": "true", "metric": "unheard of"})
    else:
        path.write_text('{"time_ps": "soon"}')


@pytest.mark.parametrize("spoil", [truncate, garble, empty, other_tensors])
@pytest.mark.parametrize("network", ["own", "labelled"])
def test_a_cached_file_that_is_spoilt_is_made_anew(network, spoil, request, tmp_path, passes):
    choices = choices_of(request.getfixturevalue(network))
    expected = record_of(choices, tmp_path)
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    for path in sizes:
        spoil(path)
    assert record_of(choices, tmp_path) == expected
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == sizes
    del passes[:]
    assert record_of(choices, tmp_path) == expected and passes == []


def test_decisions_of_another_network_under_the_right_name_are_made_anew(own, tmp_path):
    """Whatever was copied there: sizes must agree."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    setting, other = resolve_point(choices_of(own)), choices_of({"network": "imdb-lstm", "trace": "imdb-lstm"}, limit=1)
    expected = record_of(choices_of(own), tmp_path / "here")
    CachedStages(resolve_point(other), tmp_path / "there").functional()
    (wrong,) = (tmp_path / "there").iterdir()
    wrong.replace(pass_path(tmp_path / "here", setting.functional_digest))
    assert record_of(choices_of(own), tmp_path / "here") == expected


def cached(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}


def test_hardware_axes_cost_no_arithmetic(labelled, tmp_path, here, passes):
    axes = {"threshold": [0.1, 0.5], "policy": ["bnn", "oracle"]}
    first = run_sweep(grid(labelled, **axes), tmp_path)
    assert sorted(passes) == ["bnn", "bnn", "oracle", "oracle"]
    before, passes[:] = cached(tmp_path), []
    more = run_sweep(grid(labelled, **axes, arch__fmu__latency_cycles=[3, 5, 9]), tmp_path)
    assert passes == [] and cached(tmp_path) == before
    assert len(first.results) == 4 and len(more.results) == 12 and more.results["error"].isna().all()
    assert more.results["reuse_fraction"].nunique() == first.results["reuse_fraction"].nunique()


def test_each_pass_is_computed_once(own, tmp_path, here, passes):
    run_sweep(grid(own, threshold=[0.1, 0.5], arch__fmu__latency_cycles=[3, 5], arch__dpu__lanes=[8, 16]), tmp_path)
    assert passes == ["bnn", "bnn"]


def tasks_left(tables, folder):
    """What is left of a grid, and the names of what that waits for but nobody is going to make."""
    tasks = left_to_do(load_grid(tables)[0], folder)[1]
    return tasks, {name for task in tasks for name in task.after} - {task.name for task in tasks}


@pytest.mark.parametrize("network", ["own", "labelled"])
def test_a_new_baseline_waits_for_no_pass_that_is_there_already(network, request, tmp_path, here):
    fixed = request.getfixturevalue(network)
    run_sweep(grid(fixed, threshold=[0.5]), tmp_path)
    left, missing = tasks_left(grid(fixed, threshold=[0.5], arch__dpu__lanes=[8]), tmp_path)
    assert kinds(left) == {"POINT": 1, "BASELINE": 1, "PASS": 0} and missing == set()


@pytest.mark.parametrize("kept", ["*.baseline.json", "none of them"])
def test_a_cache_that_was_cleared_is_filled_again(kept, labelled, tmp_path, here, passes):
    run_sweep(grid(labelled, threshold=[0.5]), tmp_path)
    del passes[:]
    for path in (tmp_path / "cache").iterdir():
        if not path.match(kept):
            path.unlink()
    found = run_sweep(grid(labelled, threshold=[0.5], arch__fmu__latency_cycles=[9]), tmp_path)
    assert passes == ["bnn"] and found.results["error"].isna().all()


# Who does what


def task(name, *after, kind=Kind.POINT):
    return Task(kind, name, {}, frozenset(f"{needed.kind.name} {needed.digest}" for needed in after), 1.0)


class ScriptedPool:
    """Ends all tasks under way whenever the driver waits, as a script says: ends by digest, else a good one."""

    def __init__(self, places=1, **script):
        self.places, self.script = places, {digest: list(ends) for digest, ends in script.items()}
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
    """Run tasks; return the error told of each."""
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "wait", pool.wait)
        Driver(tasks, pool, "cache", lambda task, done: told.setdefault(task.digest, []).append(done)).run()
    assert all(len(ends) == 1 for ends in told.values()), "each task ends once"
    return {digest: ends[0].error for digest, ends in told.items()}


DEATH = BrokenProcessPool("died")


class DyingPool(LocalPool):
    """Loses a process just before each of the first tasks it is given."""

    deaths = 2

    def submit(self, task, cache):
        if self.deaths and self._executor._processes:
            self.deaths -= 1
            process = next(iter(self._executor._processes.values()))
            process.kill()
            process.join()
        return super().submit(task, cache)


def test_a_process_that_dies_between_two_tasks_is_replaced(own, tmp_path):
    points = plan_points(load_grid(grid(own, threshold=[0.1, 0.2, 0.3, 0.4]))[0])
    (tmp_path / "cache").mkdir()
    tasks, told, pool = plan_tasks(points, tmp_path / "cache"), [], DyingPool(1)
    try:
        Driver(tasks, pool, str(tmp_path / "cache"), lambda task, done: told.append(done.error)).run()
    finally:
        pool.kill()
    assert told == [None] * len(tasks) and pool.deaths == 0


def test_what_is_needed_comes_first_and_points_before_other_passes():
    one, two = task("one", kind=Kind.PASS), task("two", kind=Kind.PASS)
    base = task("base", one, kind=Kind.BASELINE)
    pool = ScriptedPool()
    assert not any(drive([task("a", one, base), task("b", two), base, two, one], pool).values())
    assert set(pool.begun[:2]) <= {"one", "two", "b", "base"} and pool.begun[-1] in ("a", "b")
    position = pool.begun.index
    assert position("one") < position("base") < position("a") and position("two") < position("b")


def test_points_are_finished_early():
    """Each point follows its pass at once, rather than all passes first."""
    tasks = []
    for name in "abc":
        made = task(f"pass-{name}", kind=Kind.PASS)
        tasks += [made, task(name, made)]
    pool = ScriptedPool()
    drive(tasks, pool)
    assert pool.begun == ["pass-a", "a", "pass-b", "b", "pass-c", "c"]


@pytest.mark.parametrize("places", [1, 2, 3, 8])
def test_no_more_is_under_way_than_there_are_places(places):
    pool = ScriptedPool(places)
    drive([task(str(i)) for i in range(24)], pool)
    assert {len(together) for together in pool.rounds} == {places} and len(set(pool.begun)) == 24


def test_a_death_is_forgiven_once():
    pool = ScriptedPool(a=[DEATH])
    assert drive([task("a"), task("b")], pool) == {"a": None, "b": None}
    assert pool.begun == ["a", "a", "b"] and pool.revived == 1


def test_whoever_went_down_with_a_neighbour_begins_again_alone():
    pool = ScriptedPool(3, c=[DEATH])
    names = ["a", "b", "c", "d"]
    assert drive([task(name) for name in names], pool) == dict.fromkeys(names)
    assert pool.rounds[0] == ["a", "b", "c"] and sorted(pool.rounds[1:4]) == [["a"], ["b"], ["c"]]


def test_a_task_that_kills_twice_is_a_failure_and_the_rest_goes_on():
    pool = ScriptedPool(2, bad=[DEATH, DEATH])
    told = drive([task("a"), task("bad"), task("b"), task("c")], pool)
    assert "its process died 2 times" in told.pop("bad")
    assert told == {"a": None, "b": None, "c": None} and pool.revived == 2


def test_a_pass_that_dies_twice_does_not_hold_up_its_points():
    """They make it again, and say for themselves why they cannot."""
    made = task("pass", kind=Kind.PASS)
    pool = ScriptedPool(2, **{"pass": [DEATH, DEATH], "a": [Done(0.0, error="no")]})
    told = drive([made, task("a", made), task("b", made), task("c")], pool)
    assert "died" in told["pass"] and told["a"] == "no" and told["b"] is None and told["c"] is None


def test_a_pass_that_fails_stops_nobody():
    made = task("pass", kind=Kind.PASS)
    told = drive([made, task("a", made), task("b")], ScriptedPool(**{"pass": [Done(0.0, error="oh")]}))
    assert told == {"pass": "oh", "a": None, "b": None}


def test_what_the_pool_itself_finds_wrong_with_a_task_is_its_failure():
    told = drive([task("a"), task("b")], ScriptedPool(a=[ValueError("cannot be sent")]))
    assert told == {"a": "ValueError: cannot be sent", "b": None}


def test_workers_that_are_gone_for_good_end_the_sweep():
    with pytest.raises(RunFailedError, match="finished points are kept: run it again"):
        drive([task("a"), task("b")], ScriptedPool(a=["cancelled"]))


def test_a_worker_that_sees_something_else_than_the_driver_says_so(own, tmp_path):
    for kind in Kind:
        done = work(Task(kind, "0" * 64, choices_of(own), frozenset(), 1.0), str(tmp_path), 1)
        assert "sees another archsim, network, trace or machine" in done.error and done.outcome is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error, message", [
    (ZeroDivisionError("x"), "ZeroDivisionError: x"),
    (RunFailedError("just so"), "just so"),
])  # fmt: skip
def test_whatever_a_task_raises_is_its_message(error, message, own, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(stages, "run_compared", fail)
    choices = choices_of(own)
    done = work(Task(Kind.POINT, resolve_point(choices).digest, choices, frozenset(), 1.0), str(tmp_path), 1)
    assert done.error == message and done.seconds >= 0 and not done.hindered


def test_progress_goes_from_nothing_to_everything(own, tmp_path, here):
    heard = []
    run_sweep(
        grid(own, threshold=[0.1, 0.5, -1]), tmp_path, tell=lambda p: heard.append((p.share, p.finished, p.failed))
    )
    assert heard[0] == (0.0, 1, 1) and heard[-1] == (pytest.approx(1.0), 3, 1)
    assert heard == sorted(heard)


# What is kept of it


def test_a_second_driver_is_refused(own, tmp_path, here):
    with only_driver(tmp_path), pytest.raises(UsageError, match="another sweep is writing here"):
        run_sweep(grid(own, threshold=[0.5]), tmp_path)
    assert len(run_sweep(grid(own, threshold=[0.5]), tmp_path).results) == 1


def test_another_lock_is_not_taken_for_a_second_driver(tmp_path):
    with pytest.raises(sqlite3.OperationalError), only_driver(tmp_path):
        raise sqlite3.OperationalError("database is locked")


@pytest.mark.parametrize("name", [DATABASE, "driver.lock"])
def test_a_folder_where_a_file_should_be_is_one_message(name, own, tmp_path, here):
    (tmp_path / name).mkdir()
    with pytest.raises(UsageError):
        run_sweep(grid(own, threshold=[0.5]), tmp_path)


def test_a_folder_without_a_sweep_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            UsageError, match=r"holds no sweep: need a folder made by archsim sweep, with sweep\.sqlite"
        ):
            read_sweep(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the exception holds the connection
def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / DATABASE).write_text("results, of a kind, but not of this kind" * 100)
    with pytest.raises(UsageError, match="not the results of a sweep"):
        read_sweep(tmp_path)


def test_an_output_that_is_a_file_is_refused(own, tmp_path):
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"cannot write .*: it is not a folder"):
            run_sweep(grid(own, threshold=[0.5]), output)


def outcomes(folder):
    store = open_store(folder)
    try:
        return {row[0]: row for row in store.database.execute("SELECT * FROM outcomes")}
    finally:
        store.close()


def test_earlier_points_are_kept_and_not_run_again(own, tmp_path, here):
    run_sweep(grid(own, threshold=[0.1, 0.5]), tmp_path)
    before = outcomes(tmp_path)
    found = run_sweep(grid(own, threshold=[0.5, 0.9]), tmp_path)
    after = outcomes(tmp_path)
    assert len(before) == 2 and len(after) == 3 and all(after[digest] == row for digest, row in before.items())
    assert found.results["threshold"].tolist() == [0.5, 0.9] and found.n_points == 2
    back = run_sweep(grid(own, threshold=[0.1, 0.5]), tmp_path)
    assert back.results["threshold"].tolist() == [0.1, 0.5] and outcomes(tmp_path) == after


def test_a_failure_is_run_again_only_if_asked_for(own, tmp_path, here, monkeypatch):
    def fail(*arguments, **options):
        raise ArithmeticError("too little")

    tables = grid(own, threshold=[0.1, 0.5])
    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_compared", fail)
        assert run_sweep(tables, tmp_path).results["error"].tolist() == ["ArithmeticError: too little"] * 2
    assert run_sweep(tables, tmp_path).results["error"].tolist() == ["ArithmeticError: too little"] * 2
    assert run_sweep(tables, tmp_path, retry=True).results["error"].isna().all()


def test_what_is_left_needs_no_folder(own, tmp_path):
    points, tasks = left_to_do(load_grid(grid(own, threshold=[0.1, 0.5, -1]))[0], tmp_path / "nowhere")
    assert len(points) == 3 and kinds(tasks) == {"POINT": 2, "BASELINE": 1, "PASS": 2}
    assert list(tmp_path.iterdir()) == []


def test_a_finished_sweep_leaves_nothing_to_do(own, tmp_path, here):
    tables = grid(own, threshold=[0.1, 0.5, -1])
    run_sweep(tables, tmp_path)
    assert left_to_do(load_grid(tables)[0], tmp_path)[1] == []


def test_where_it_came_from_is_kept(own, tmp_path, here):
    about = run_sweep(grid(own, threshold=[0.5]), tmp_path, command="archsim sweep x").about
    assert about["command"] == "archsim sweep x" and about["version.archsim"] == archsim.__version__
    (tmp_path / "again.toml").write_text(about["grid"])
    assert load_grid(tmp_path / "again.toml")[0].points() == load_grid(grid(own, threshold=[0.5]))[0].points()


def test_a_reader_never_waits_for_the_driver(own, tmp_path, here):
    """Results can be read while they are written, of as many points as are finished."""
    run_sweep(grid(own, threshold=[0.5]), tmp_path)
    with only_driver(tmp_path):
        assert len(read_sweep(tmp_path).results) == 1


# Tables


@pytest.fixture(scope="module")
def mixed(own, tmp_path_factory):
    """A sweep of points that ran and points that could not, and its folder."""
    folder = tmp_path_factory.mktemp("mixed")
    tables = {
        "axes": {"threshold": [0.5, -1, [0.1, 0.2], 1], HARDWARE: [3, 5], "policy": ["bnn", "none"]},
        "fixed": own | {"limit": 2, "precision": "fp32"},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeps, "pool_for", lambda *choice, **options: nullcontext(HerePool()))
        return run_sweep(tables, folder), folder


CONTRACT = """network trace arch policy threshold precision detail sequences steps neurons_total neurons_reused
    reuse_fraction macs_total macs_avoided_fraction cycles time_s baseline_cycles speedup energy_j baseline_energy_j
    energy_saving energy_scratchpad_j energy_operations_j energy_dram_j energy_memo_j energy_static_j dram_bytes
    area_mm2 metric metric_baseline metric_value metric_loss events wall_s archsim_version digest""".split()


def test_columns_are_those_of_the_contract_and_the_axes(mixed):
    found, _ = mixed
    assert set(CONTRACT) | {"point", "error", HARDWARE, "limit"} <= set(found.results.columns)
    assert found.results.columns.is_unique and list(found.results.columns[:2]) == ["point", "error"]


def test_a_failed_point_is_a_row_with_its_error(mixed):
    results = mixed[0].results
    failed = results[results["error"].notna()]
    assert results["point"].tolist() == list(range(16)) and mixed[0].n_points == 16
    assert failed["threshold"].tolist() == ["-1", "-1"] and set(failed["policy"]) == {"bnn"}
    assert failed["error"].str.contains("need a number >= 0").all() and failed["cycles"].isna().all()
    assert set(mixed[0].energy["point"]) == set(results["point"]) - set(failed["point"])


def test_types_are_texts_whole_numbers_and_numbers(mixed):
    kinds = mixed[0].results.dtypes.astype(str)
    assert kinds["error"] == kinds["network"] == kinds["metric"] == "string"
    assert kinds["cycles"] == kinds["steps"] == kinds["limit"] == kinds[HARDWARE] == kinds["point"] == "Int64"
    assert kinds["speedup"] == kinds["metric_loss"] == kinds["energy_saving"] == kinds["energy_j"] == "float64"
    assert "object" not in set(kinds)


def test_files_say_what_the_frames_say(mixed):
    found, folder = mixed
    for name in ("results", "energy", "utilisation"):
        frame = getattr(found, name)
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), frame)
        written = pd.read_csv(folder / f"{name}.csv")
        assert list(written.columns) == list(frame.columns) and len(written) == len(frame)
    pd.testing.assert_frame_equal(read_sweep(folder).results, found.results)


def test_energy_and_shares_add_up_to_the_results(mixed):
    found, _ = mixed
    ran = found.results[found.results["error"].isna()].set_index("point")
    energy = found.energy.groupby(["point", "side"])["joules"].sum().unstack()
    assert energy["policy"].to_numpy() == pytest.approx(ran["energy_j"].to_numpy(), rel=1e-9)
    assert energy["baseline"].to_numpy() == pytest.approx(ran["baseline_energy_j"].to_numpy(), rel=1e-9)
    shares = found.utilisation.groupby(["point", "side", "unit"])["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0, abs=1e-9)


def exported(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".parquet")}


def test_equal_sweeps_are_equal_bytes_in_whatever_order_points_end(own, tmp_path, here, monkeypatch):
    tables = grid(own, threshold=[0.1, -1, 0.5], arch__fmu__latency_cycles=[3, 5])
    run_sweep(tables, tmp_path / "a")
    real = sweeps.plan_tasks
    monkeypatch.setattr(sweeps, "plan_tasks", lambda *arguments: real(*arguments)[::-1])
    run_sweep(tables, tmp_path / "b")
    run_sweep(grid(own, threshold=[0.5]), tmp_path / "c")
    run_sweep(tables, tmp_path / "c")
    assert exported(tmp_path / "a") == exported(tmp_path / "b") == exported(tmp_path / "c")
    assert len(exported(tmp_path / "a")) == 6


def test_a_sweep_of_failures_only_is_a_table_too(own, tmp_path, here, monkeypatch):
    def fail(*arguments, **options):
        raise ArithmeticError("too little")

    monkeypatch.setattr(stages, "run_compared", fail)
    found = run_sweep(grid(own, threshold=[0.1, 0.5]), tmp_path)
    assert found.results["error"].notna().all() and found.energy.empty and len(exported(tmp_path)) == 6
    assert list(found.results["threshold"]) == [0.1, 0.5]


def test_nothing_finished_is_a_table_without_rows(own, tmp_path):
    """What a sweep leaves that was interrupted before its first point."""
    store = Store(tmp_path)
    points = plan_points(load_grid(grid(own, threshold=[0.5]))[0])
    store.begin(points, {})
    store.close()
    found = read_sweep(tmp_path)
    assert found.n_points == 1 and found.results.empty and list(found.energy.columns)[:2] == ["point", "side"]
    assert {"point", "error"} <= set(found.results.columns)


def test_a_record_in_the_store_is_plain_json(own, tmp_path, here):
    run_sweep(grid(own, threshold=[0.5]), tmp_path)
    ((_, error, record, energy, uses, seconds),) = outcomes(tmp_path).values()
    assert error is None and seconds >= 0
    assert json.loads(record) == record_of(choices_of(own), tmp_path / "cache")
    assert math.isclose(
        sum(row["joules"] for row in json.loads(energy) if row["side"] == "policy"),
        json.loads(record)["energy_j"],
        rel_tol=1e-12,
    )
    assert {row["side"] for row in json.loads(uses)} == {"policy", "baseline"}


def test_a_network_that_changed_in_place_is_read_anew(tmp_path, here):
    """A session that trains, sweeps, and trains again."""
    fixed = write_network(tmp_path / "net")
    first = run_sweep(grid(fixed, threshold=[0.5]), tmp_path / "out").results["digest"]
    rng = np.random.default_rng(5)
    shapes = {"weight_ih_l0": (15, 6), "weight_hh_l0": (15, 5), "weight_ih_l1": (15, 5), "weight_hh_l1": (15, 5)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "net" / "weights.safetensors")
    assert run_sweep(grid(fixed, threshold=[0.5]), tmp_path / "out").results["digest"][0] != first[0]


POLICY = """
import numpy as np, archsim

@archsim.register_policy
class Every:
    name, needs_threshold, uses_memo_unit = "every", False, True
    def begin(self, context): return self
    def decide(self, step): return np.full(step.shape, step.index % {n} != 0)
"""


def test_an_edited_policy_of_ones_own_is_run_anew(own, tmp_path, here, monkeypatch):
    monkeypatch.setattr(POLICIES, "_items", dict(POLICIES._items))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    reuse = []
    for n in (4, 2):
        (tmp_path / "mine_every.py").write_text(POLICY.format(n=n))
        sys.modules.pop("mine_every", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        importlib.import_module("mine_every")
        reuse += run_sweep(grid(own, policy=["every"]), tmp_path / "out").results["reuse_fraction"].tolist()
    assert reuse[0] > reuse[1]


def test_policies_without_reuse_are_stored_without_bits(own, tmp_path):
    setting = resolve_point(choices_of(own, policy="none"))
    read = [CachedStages(setting, tmp_path).functional() for _ in range(2)][1]
    assert read.activity.reuses is False and read.activity.neurons_reused() == 0
    assert read.activity.total_steps == 13


def test_columns_and_neurons_share_a_sweep(own, tmp_path, here):
    """What a bit stands for survives the cache; the baseline is shared; the report shows what all points have."""
    results = run_sweep(grid(own, policy=["bnn", "delta"], threshold=[0.2]), tmp_path / "out").results
    by_policy = results.set_index("policy")
    assert by_policy["reuse_fraction"].isna().to_dict() == {"bnn": False, "delta": True}
    assert by_policy["baseline_cycles"].nunique() == 1 and (results["macs_avoided_fraction"] > 0).all()
    setting = resolve_point(choices_of(own, policy="delta", threshold=0.2))
    made, read = (CachedStages(setting, tmp_path / "cache").functional().activity for _ in range(2))
    assert read.kind == "columns"
    np.testing.assert_array_equal(read.skipped(0, 0, 0), made.skipped(0, 0, 0))
    assert "multiply-accumulates avoided" in write_report(tmp_path / "out").read_text("utf-8")
