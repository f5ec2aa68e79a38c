"""Plug-in files that change: no result of other code is ever taken, here or in workers."""

import sys
from collections import OrderedDict

import numpy as np
import pytest
from harness import run_sweeps_in_process, write_classifier
from harness_plugins import MACHINE, METRIC, every

import archsim
from archsim import plugins
from archsim.experiment.run_config import resolve
from archsim.plugins import load_plugin, load_same_plugins, loaded_plugins, sources_of
from archsim.policies import POLICIES, policy_from
from archsim.sweeps.grid import load_grid
from archsim.sweeps.plan import plan_points, plan_tasks
from archsim.sweeps.task import work


def digest_of(policy):
    return resolve("imdb-lstm", "imdb-lstm", "epur", policy, 0.5, "fp16", "block", 0).digest


def test_unchanged_file_runs_once_and_an_edited_one_again(written):
    path = written(every())
    first = load_plugin(path)
    made = POLICIES.get("every")
    assert load_plugin(path) == first and POLICIES.get("every") is made
    written(every(name="other", period=5))
    second = load_plugin(path)
    assert second.path == first.path and second.digest != first.digest and loaded_plugins() == (second,)
    assert "every" not in POLICIES and POLICIES.get("other")().period == 5


def test_failed_edit_keeps_the_earlier_version(written):
    path = written(every())
    first = load_plugin(path)
    written("def f(:\n")
    with pytest.raises(archsim.ArchsimError, match="SyntaxError"):
        load_plugin(path)
    assert POLICIES.get("every")().period == 3 and loaded_plugins() == (first,) and first.module in sys.modules


def test_edit_changes_the_digest_of_its_policy_only(written):
    path, digests = written(every()), {}
    for text in (every(), every(period=4), every() + "# a comment\n"):
        path.write_text(text)
        load_plugin(path)
        digests.setdefault("every", set()).add(digest_of("every"))
        digests.setdefault("bnn", set()).add(digest_of("bnn"))
    assert len(digests["every"]) == 3 and len(digests["bnn"]) == 1


def test_digest_does_not_depend_on_where_the_file_lies(written, tmp_path):
    load_plugin(written(every()))
    here = digest_of("every")
    POLICIES.items.pop("every")
    load_plugin(written(every(), "elsewhere.py"))
    assert digest_of("every") == here


def test_sources_cover_base_classes_and_functions_of_other_files(written):
    """The standard library and archsim are not users' code."""
    text = "from functools import partial\nclass Base:\n    pass\ndef add(a, b):\n    pass\nbound = partial(add, 1)\n"
    module = sys.modules[load_plugin(written(text), must_register=False).module]
    derived = type("Derived", (module.Base,), {"__module__": "archsim.policies"})
    for thing in (derived, derived(), module.add, module.bound):
        assert sources_of(thing) == [text]
    assert sources_of(POLICIES.get("bnn"), OrderedDict(), np.sum) == []


def test_digest_covers_the_predictor_of_a_policy(written):
    digests = set()
    for comment in ("", "# edited\n"):
        text = "from archsim.config.predictor import BitPlanePredictor\nclass Mine(BitPlanePredictor):\n    pass\n"
        oracle = policy_from("oracle")
        oracle.predictor = sys.modules[load_plugin(written(text + comment), must_register=False).module].Mine()
        digests.add(digest_of(oracle))
    assert len(digests) == 2


def test_edited_metric_changes_the_digests_of_policy_and_baseline(written, tmp_path):
    names = write_classifier(tmp_path / "cls", (5,) * 4)
    manifest = tmp_path / "cls" / "network.toml"
    manifest.write_text(manifest.read_text().replace('"accuracy"', '"misses"'))
    digests = []
    for factor in (100, 50):
        load_plugin(written(METRIC.format(factor=factor)))
        config = resolve(names["network"], names["trace"], "epur", "bnn", 0.5, "fp16", "block", 0)
        digests.append((config.digest, config.baseline_digest, config.inference_digest))
    assert all(before != after for before, after in zip(*digests, strict=True))


def test_edited_machine_changes_the_digest(written):
    digests = set()
    for comment in ("", "# edited\n"):
        load_plugin(written(MACHINE + comment))
        digests.add(digest_of("on-zeta"))
    assert len(digests) == 2


# Workers


@pytest.fixture
def grid(user_network):
    return {"axes": {"policy": ["every", "bnn"]}, "fixed": user_network | {"threshold": 0.5}}


@pytest.fixture(scope="module")
def user_network(tmp_path_factory):
    return write_classifier(tmp_path_factory.mktemp("own") / "net", (4, 3, 6))


def test_sweep_takes_no_cached_result_of_an_edited_policy(written, grid, tmp_path, monkeypatch, computed_policies):
    """A second run of the sweep computes the edited policy anew, and the other one not."""
    run_sweeps_in_process(monkeypatch)
    path = written(every(period=2))
    shares = []
    for text in (every(period=2), every(period=2), every(period=3)):
        path.write_text(text)
        load_plugin(path)
        computed_policies.clear()
        results = archsim.run_sweep(grid, tmp_path / "out").results
        shares.append((results["reuse_fraction"].tolist(), list(computed_policies)))
    assert shares[0][1] and shares[1] == (shares[0][0], []) and shares[2][1] == ["every"]
    assert shares[2][0][0] > shares[0][0][0] and shares[2][0][1] == shares[0][0][1]


def test_worker_runs_the_plugins_of_its_task(written, grid, tmp_path, monkeypatch):
    plugin = load_plugin(written(every()))
    points = plan_points(load_grid(grid)[0])
    tasks = plan_tasks(points, tmp_path)
    assert {task.plugins for task in tasks} == {(plugin,)}
    # Another process has not loaded the file yet.
    monkeypatch.setattr(plugins, "_LOADED", {})
    POLICIES.items.pop("every")
    del sys.modules[plugin.module]
    done = [work(task, str(tmp_path), 1) for task in tasks if task.choices["policy"] == "every"]
    assert [one.error for one in done] == [None] * len(done) and done
    assert "every" in POLICIES


def test_worker_refuses_a_file_that_has_changed_since(written, grid, tmp_path):
    plugin = load_plugin(written(every()))
    task = plan_tasks(plan_points(load_grid(grid)[0]), tmp_path)[0]
    written(every(period=5))
    done = work(task, str(tmp_path), 1)
    assert done.hindered and f"{plugin.path} has changed since the run began" in done.error
    with pytest.raises(archsim.ArchsimError, match="has changed"):
        load_same_plugins([plugin])


def test_failure_in_a_policy_of_a_point_is_shown_with_its_line(written, grid, tmp_path, monkeypatch):
    run_sweeps_in_process(monkeypatch)
    load_plugin(written(every().replace("step.index % self.period > 0", "step.index / 0")))
    (error,) = archsim.run_sweep(grid, tmp_path / "out").failed["error"]
    assert "mine.py, line 16, in decide: ZeroDivisionError: division by zero" in error


def test_data_files_never_name_code(written, grid):
    """A grid has no key for plug-ins, whatever its value."""
    path = written(every())
    for key in ("plugin", "plugins"):
        with pytest.raises(archsim.ArchsimError, match=f"unknown key '{key}'"):
            load_grid(grid | {"fixed": grid["fixed"] | {key: str(path)}})
    assert "every" not in POLICIES
