"""Plug-in files: what they register, and what is refused."""

import sys

import numpy as np
import pytest
from harness import write_classifier
from harness_plugins import MACHINE, METRIC, every

import archsim
from archsim import plugins
from archsim.ir.folder import load_network
from archsim.plugins import load_plugin, loaded_plugins
from archsim.policies import POLICIES
from archsim.sim.machines import MACHINES, machine_of

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
