"""Cache of a sweep: passes and baselines read back equal computed ones; damaged files are recomputed."""

import importlib
import linecache
import sys

import numpy as np
import pytest
from harness_sweeps import HARDWARE, choices_of, count_by_kind, grid, record_of, write_network
from safetensors.numpy import save_file

import archsim
from archsim.report.assemble import write_report
from archsim.sweeps.cache import CachedStages, pass_path
from archsim.sweeps.grid import load_grid
from archsim.sweeps.point import resolve_point
from archsim.sweeps.run import left_to_do, run_sweep


def direct_record(choices):
    """Return the record of a point computed without a cache, `wall_s` cleared."""
    arch = archsim.load_arch("epur")
    for key, value in choices.items():
        arch = arch.replace(key.removeprefix("arch."), value) if key.startswith("arch.") else arch
    options = {key: choices[key] for key in ("policy", "precision", "detail") if key in choices}
    result = archsim.simulate(choices["network"], choices["trace"], arch, threshold=choices["threshold"], **options)
    return result.record | {"wall_s": None}


@pytest.mark.parametrize("more", [
    {}, {"policy": "oracle"}, {"policy": "none"}, {"precision": "fp32"}, {"detail": "neuron"}, {HARDWARE: 9},
    {"threshold": [0.1, 0.9]}, {"arch.weight_buffer.capacity_bytes": 300},
])  # fmt: skip
@pytest.mark.parametrize("network", ["unlabelled", "labelled"])
def test_cached_record_equals_the_record_of_simulate(network, more, request, tmp_path, computed_policies):
    choices = choices_of(request.getfixturevalue(network), **more)
    first = record_of(choices, tmp_path)
    computed = len(computed_policies)
    again = record_of(choices, tmp_path)
    assert len(computed_policies) == computed > 0
    assert first == again == direct_record(choices)


def test_cached_translation_equals_simulate_and_computes_nothing(tmp_path, computed_policies):
    choices = {"network": "mnmt-lstm", "limit": 2, "threshold": 0.3}
    first = record_of(choices, tmp_path)
    del computed_policies[:]
    assert record_of(choices, tmp_path) == first and computed_policies == []
    trace = archsim.load_trace("mnmt-lstm").limit(2)
    assert first == archsim.simulate("mnmt-lstm", trace, threshold=0.3).record | {"wall_s": None}


def test_cached_decisions_are_equal_bit_by_bit(unlabelled, tmp_path):
    config = resolve_point(choices_of(unlabelled))
    made = CachedStages(config, tmp_path).inference()
    read = CachedStages(config, tmp_path).inference()
    assert read.activity is not made.activity and read.activity.neurons_reused() > 0
    for shape in made.activity.shapes:
        for before, after in zip(made.activity.bits[shape.pass_key], read.activity.bits[shape.pass_key], strict=True):
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
@pytest.mark.parametrize("network", ["unlabelled", "labelled"])
def test_damaged_cache_file_is_recomputed(network, spoil, request, tmp_path, computed_policies):
    choices = choices_of(request.getfixturevalue(network))
    expected = record_of(choices, tmp_path)
    sizes = {path: path.stat().st_size for path in tmp_path.iterdir()}
    for path in sizes:
        spoil(path)
    assert record_of(choices, tmp_path) == expected
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == sizes
    del computed_policies[:]
    assert record_of(choices, tmp_path) == expected and computed_policies == []


def test_cached_pass_of_another_network_is_recomputed(unlabelled, tmp_path):
    """The file of another network is copied to the right name; its sizes do not agree."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    config, other = (
        resolve_point(choices_of(unlabelled)),
        choices_of({"network": "imdb-lstm", "trace": "imdb-lstm"}, limit=1),
    )
    expected = record_of(choices_of(unlabelled), tmp_path / "here")
    CachedStages(resolve_point(other), tmp_path / "there").inference()
    (wrong,) = (tmp_path / "there").iterdir()
    wrong.replace(pass_path(tmp_path / "here", config.inference_digest))
    assert record_of(choices_of(unlabelled), tmp_path / "here") == expected


def cached(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cache").iterdir()}


def test_added_hardware_axis_reuses_cached_passes(labelled, tmp_path, in_process, computed_policies):
    axes = {"threshold": [0.1, 0.5], "policy": ["bnn", "oracle"]}
    first = run_sweep(grid(labelled, **axes), tmp_path)
    assert sorted(computed_policies) == ["bnn", "bnn", "oracle", "oracle"]
    before, computed_policies[:] = cached(tmp_path), []
    more = run_sweep(grid(labelled, **axes, arch__fmu__latency_cycles=[3, 5, 9]), tmp_path)
    assert computed_policies == [] and cached(tmp_path) == before
    assert len(first.results) == 4 and len(more.results) == 12 and more.results["error"].isna().all()
    assert more.results["reuse_fraction"].nunique() == first.results["reuse_fraction"].nunique()


def test_each_pass_of_a_grid_is_computed_once(unlabelled, tmp_path, in_process, computed_policies):
    run_sweep(
        grid(unlabelled, threshold=[0.1, 0.5], arch__fmu__latency_cycles=[3, 5], arch__dpu__lanes=[8, 16]), tmp_path
    )
    assert computed_policies == ["bnn", "bnn"]


def tasks_left(tables, folder):
    """Return the tasks left of a grid, and the names of those they wait for but nobody will run."""
    tasks = left_to_do(load_grid(tables)[0], folder)[1]
    return tasks, {name for task in tasks for name in task.after} - {task.name for task in tasks}


@pytest.mark.parametrize("network", ["unlabelled", "labelled"])
def test_new_baseline_waits_for_no_cached_pass(network, request, tmp_path, in_process):
    fixed = request.getfixturevalue(network)
    run_sweep(grid(fixed, threshold=[0.5]), tmp_path)
    left, missing = tasks_left(grid(fixed, threshold=[0.5], arch__dpu__lanes=[8]), tmp_path)
    assert count_by_kind(left) == {"POINT": 1, "BASELINE": 1, "PASS": 0} and missing == set()


@pytest.mark.parametrize("kept", ["*.baseline.json", "none of them"])
def test_cleared_cache_is_filled_again(kept, labelled, tmp_path, in_process, computed_policies):
    run_sweep(grid(labelled, threshold=[0.5]), tmp_path)
    del computed_policies[:]
    for path in (tmp_path / "cache").iterdir():
        if not path.match(kept):
            path.unlink()
    result = run_sweep(grid(labelled, threshold=[0.5], arch__fmu__latency_cycles=[9]), tmp_path)
    assert computed_policies == ["bnn"] and result.results["error"].isna().all()


def test_network_rewritten_in_place_gets_a_new_digest(tmp_path, in_process):
    """One session trains a network, sweeps, and trains it again."""
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


def test_edited_user_policy_is_run_again(unlabelled, tmp_path, in_process, registry, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    reuse = []
    for n in (4, 2):
        (tmp_path / "mine_every.py").write_text(POLICY.format(n=n))
        sys.modules.pop("mine_every", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        importlib.import_module("mine_every")
        reuse += run_sweep(grid(unlabelled, policy=["every"]), tmp_path / "out").results["reuse_fraction"].tolist()
    assert reuse[0] > reuse[1]


def test_pass_without_reuse_is_cached_without_bits(unlabelled, tmp_path):
    config = resolve_point(choices_of(unlabelled, policy="none"))
    read = [CachedStages(config, tmp_path).inference() for _ in range(2)][1]
    assert read.activity.reuses is False and read.activity.neurons_reused() == 0
    assert read.activity.total_steps == 13


def test_sweep_of_neuron_and_column_policies_shares_the_baseline(unlabelled, tmp_path, in_process):
    """The kind of a record survives the cache, and the report shows the figure that all points have."""
    results = run_sweep(grid(unlabelled, policy=["bnn", "delta"], threshold=[0.2]), tmp_path / "out").results
    by_policy = results.set_index("policy")
    assert by_policy["reuse_fraction"].isna().to_dict() == {"bnn": False, "delta": True}
    assert by_policy["baseline_cycles"].nunique() == 1 and (results["macs_avoided_fraction"] > 0).all()
    config = resolve_point(choices_of(unlabelled, policy="delta", threshold=0.2))
    made, read = (CachedStages(config, tmp_path / "cache").inference().activity for _ in range(2))
    assert read.kind == "columns"
    np.testing.assert_array_equal(read.skipped(0, 0, 0), made.skipped(0, 0, 0))
    assert "multiply-accumulates avoided" in write_report(tmp_path / "out").read_text("utf-8")
