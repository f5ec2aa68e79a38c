"""Plug-in files: what they register, what is refused, and that no result of other code is ever taken."""

import sys
from collections import OrderedDict

import numpy as np
import pytest
from harness import run_sweeps_in_process, write_classifier

import archsim
from archsim import plugins
from archsim.experiment.run_config import resolve
from archsim.ir.folder import load_network
from archsim.plugins import load_plugin, load_same_plugins, loaded_plugins, sources_of
from archsim.policies import POLICIES, policy_from
from archsim.sim.machines import MACHINES, machine_of
from archsim.sweeps.plan import plan_points, plan_tasks
from archsim.sweeps.run import load_grid
from archsim.sweeps.task import work
from archsim.task_metrics.metrics import METRICS

POLICY = """
import numpy as np
import archsim

@archsim.register_policy
class Every:
    name, needs_threshold, uses_memo_unit = "{name}", False, True

    def __init__(self, *, period: int = {period}):
        self.period = period

    def begin(self, context):
        return self

    def decide(self, step):
        return np.full(step.shape, step.index % self.period > 0)
"""
METRIC = """
import archsim
from archsim.task_metrics.metrics import Metric

archsim.register_metric(Metric("misses", int, -1, lambda a, t: (int(a != t), 1), lambda sums: {factor} * sums[0] / sums[1]))
"""
MACHINE = """
import archsim
from archsim.sim.machines import EPUR

class Zeta(type(EPUR)):
    name = "zeta"

    def is_described_by(self, arch):
        return arch.name == "zeta" and arch.fmu is None

    def spec_for(self, arch, policy, n_inputs):
        return arch.without_memo().model_copy(update={"name": "zeta"})

archsim.register_machine(Zeta())

@archsim.register_policy
class OnZeta:
    name, needs_threshold, uses_memo_unit, machine = "on-zeta", False, False, "zeta"

    def begin(self, context):
        return self

    def decide(self, step):
        import numpy as np
        return np.zeros(step.shape, bool)
"""


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    """Forget at the end of a test what its plug-ins have registered."""
    monkeypatch.setattr(plugins, "_LOADED", {})
    for registry in (POLICIES, METRICS, MACHINES):
        monkeypatch.setattr(registry, "items", dict(registry.items))


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def every(name="every", period=3):
    return POLICY.format(name=name, period=period)


def digest_of(policy):
    return resolve("imdb-lstm", "imdb-lstm", "epur", policy, 0.5, "fp16", "block", 0).digest


# What a file registers


def test_policy_of_a_file_runs_by_name_with_options(written, tiny_lstm, tiny_trace):
    load_plugin(written(every()))
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="every:period=2")
    reused = result.activity.reused(2, 1, 0)
    assert reused[1::2].all() and not reused[::2].any() and result.record["policy"] == "every:period=2"


def test_metric_of_a_file_scores_a_network_that_names_it(written, tmp_path):
    names = write_classifier(tmp_path / "cls", (5,) * 10)
    manifest = tmp_path / "cls" / "network.toml"
    manifest.write_text(manifest.read_text().replace('"accuracy"', '"misses"'))
    with pytest.raises(
        archsim.ArchsimError, match="metric = 'misses': not known; accepted: accuracy, bleu, wer, or one"
    ):
        load_network(tmp_path / "cls")
    load_plugin(written(METRIC.format(factor=100)))
    record = archsim.simulate(names["network"], names["trace"], policy="oracle", threshold=30.0).record
    network, trace = load_network(tmp_path / "cls"), archsim.load_trace(names["trace"])
    wrong = archsim.simulate(network, trace, policy="oracle", threshold=30.0).predictions
    assert record["metric"] == "misses" and record["metric_baseline"] == 0
    assert record["metric_value"] == record["metric_loss"] == 100 * np.mean(np.array(wrong) != trace.targets) > 0


def test_metric_of_the_wrong_type_is_refused_for_a_head(written, tmp_path):
    write_classifier(tmp_path / "cls", (5,))
    manifest = tmp_path / "cls" / "network.toml"
    manifest.write_text(manifest.read_text().replace('"accuracy"', '"misses"'))
    load_plugin(written(METRIC.format(factor=100).replace("int, -1", "str, -1")))
    with pytest.raises(archsim.ArchsimError, match="'misses': accepted with this head: accuracy"):
        load_network(tmp_path / "cls")


def test_machine_of_a_file_runs_the_policies_that_name_it(written, tiny_lstm, tiny_trace):
    load_plugin(written(MACHINE))
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="on-zeta")
    assert machine_of(result.simulated.arch) is MACHINES.get("zeta")
    assert result.record["cycles"] == archsim.simulate(tiny_lstm, tiny_trace, policy="none").record["cycles"]


# What is refused


@pytest.mark.parametrize("text, message", [
    ("x = 1\n", "registers nothing: a plug-in calls archsim.register_policy"),
    ("def f(:\n", "mine.py, line 1: SyntaxError: invalid syntax"),
    ("x = 1\n  y = 2\n", "mine.py, line 2: IndentationError: unexpected indent"),
    ("\n\nimport nothing_of_this_name\n", "mine.py, line 3: ModuleNotFoundError: No module named"),
    ("def f():\n    return 1 / 0\n\nf()\n", "mine.py, line 2: ZeroDivisionError: division by zero"),
    ("import sys\nsys.exit(3)\n", "mine.py, line 2: SystemExit: 3"),
    (every(name="bnn"), "mine.py, line 5: register_policy: 'Every': 'bnn' is built in, need another name"),
    (every(name="a b"), "line 5: register_policy: 'Every': name = 'a b': need letters"),
    (every().replace("needs_threshold, ", "").replace("False, True", "False"), "'Every' has no needs_threshold"),
    ("import archsim\narchsim.register_policy(3)\n", "line 2: register_policy: 3 is a int: need a class"),
    (METRIC.format(factor=1).replace("misses", "wer"), "line 5: register_metric: 'wer': 'wer' is built in"),
    (METRIC.format(factor=1).replace("int, -1", "float, -1"), "target_type = <class 'float'>: need int"),
    (METRIC.format(factor=1).replace("int, -1", "int, 0"), "better = 0: need 1"),
    ("import archsim\narchsim.register_metric(3)\n", "register_metric: 3 is a int: need an archsim.task_metrics"),
    (MACHINE.replace('name = "zeta"', 'name = "epur"'), "'epur' is built in"),
    ("import archsim\narchsim.register_machine(3)\n", "register_machine: 3 is no instance of archsim.sim.machines"),
])  # fmt: skip
def test_file_that_is_no_plugin_is_refused_and_registers_nothing(text, message, written):
    before = [dict(registry.items) for registry in plugins.REGISTRIES]
    with pytest.raises(archsim.ArchsimError) as caught:
        load_plugin(written(text))
    assert message in str(caught.value)
    assert [registry.items for registry in plugins.REGISTRIES] == before


def test_file_that_fails_after_registering_leaves_nothing_behind(written):
    modules = set(sys.modules)
    with pytest.raises(archsim.ArchsimError, match="line 17: ZeroDivisionError"):
        load_plugin(written(every() + "1 / 0\n"))
    assert "every" not in POLICIES and loaded_plugins() == ()
    assert not [name for name in set(sys.modules) - modules if "mine" in name]


@pytest.mark.parametrize("name", ["nowhere.py", "."])
def test_path_without_a_file_is_refused(name, tmp_path):
    with pytest.raises(archsim.ArchsimError, match="need a Python file that registers"):
        load_plugin(tmp_path / name)


def test_second_file_with_the_same_name_of_a_policy_is_refused(written):
    first = load_plugin(written(every(), "one.py"))
    with pytest.raises(archsim.ArchsimError) as caught:
        load_plugin(written(every(period=5), "two.py"))
    assert f"two.py: policy 'every' is already that of {first.path}, need another name" in str(caught.value)
    assert POLICIES.get("every")().period == 3


# Other code is another result


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
