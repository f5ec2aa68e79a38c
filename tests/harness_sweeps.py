"""Sweeps for tests: a tiny network in a folder, a grid over it, and the records that a sweep keeps."""

import numpy as np
from safetensors.numpy import save_file

from archsim.cli.exit import exit_code
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points, plan_tasks
from archsim.sweeps.point import resolve_point
from archsim.sweeps.store import open_store
from archsim.sweeps.task import Task, TaskKind, work
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace

HARDWARE = "arch.fmu.latency_cycles"


def write_network(folder, *, labelled=False, seed=0):
    """Write a tiny network and its trace `trace.npz` into a folder; a labelled one classifies."""
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


def grid(fixed, **axes):
    """Return the tables of a grid; `arch__dpu__lanes` stands for `arch.dpu.lanes`."""
    return {"axes": {key.replace("__", "."): values for key, values in axes.items()}, "fixed": dict(fixed)}


def tasks_of(tables, cache):
    """Return the tasks of a grid, given a cache."""
    return plan_tasks(plan_points(load_grid(tables)[0]), cache)


def count_by_kind(tasks):
    """Return the number of tasks of each kind."""
    return {kind.name: sum(task.kind is kind for task in tasks) for kind in TaskKind}


def choices_of(fixed, **more):
    """Return the choices of a point at θ = 0.5."""
    return dict(fixed) | {"threshold": 0.5} | more


def record_of(choices, cache):
    """Return the record of a point, computed through the cache."""
    done = work(Task(TaskKind.POINT, resolve_point(choices).digest, choices, frozenset(), 1.0), str(cache), 1)
    assert done.error is None
    return done.outcome.record


def outcomes(folder):
    """Return the rows of a sweep's outcomes by digest."""
    store = open_store(folder)
    try:
        return {row[0]: row for row in store.database.execute("SELECT * FROM outcomes")}
    finally:
        store.close()


def points(**tables):
    """Return the points of a grid given by its tables."""
    return load_grid(tables)[0].points()


def values_of(key, values):
    """Return the values that one axis takes."""
    return [point[key] for point in points(axes={key: values})]


def exit_code_and_stderr(work, capsys):
    """Run some work as the command line does; return its exit code and standard error."""
    code = exit_code(work)
    return code, capsys.readouterr().err
