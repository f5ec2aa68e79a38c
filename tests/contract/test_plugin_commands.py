"""Plug-ins on the command line: every command takes them, and bad ones end in one message."""

import json

import pandas as pd
import pytest
from harness import write_classifier
from harness_processes import archsim

POLICY = '''import numpy as np
import archsim


@archsim.register_policy
class Mine:
    """Reuse while θ lasts: everything, but at every fourth step."""

    name, needs_threshold, uses_memo_unit = "mine", True, True

    def begin(self, context):
        return Pass(context.thresholds.max())


class Pass:
    def __init__(self, threshold):
        self.threshold = threshold

    def decide(self, step):
        return np.full(step.shape, step.index % 4 > 0) & (np.abs(step.exact - step.memo) <= self.threshold)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a policy in `mine.py`, and a network that classifies with its trace."""
    made = tmp_path_factory.mktemp("plugin")
    (made / "mine.py").write_text(POLICY, "utf-8")
    write_classifier(made / "net", (5, 9, 4) * 4)
    return made


NETWORK = ("-n", "net", "-t", "net/trace.npz")


def test_list_and_show_know_what_a_plugin_registers(folder):
    listed = archsim("list", "policies", "--plugin", "mine.py", cwd=folder)
    assert listed.returncode == 0 and "mine" in listed.stdout.split()
    assert "mine" not in archsim("list", "policies").stdout.split()
    shown = archsim("show", "mine", "--plugin", "mine.py", cwd=folder)
    assert shown.returncode == 0 and "Reuse while θ lasts" in shown.stdout and str(folder / "mine.py") in shown.stdout
    assert archsim("list", "metrics").stdout.split() == ["accuracy", "bleu", "wer"]
    assert archsim("list", "machines").stdout.split() == ["delta", "epur"]


def test_run_takes_a_plugin(folder, tmp_path):
    options = ("--threshold", 0.5, "--json", tmp_path / "r.json")
    done = archsim("run", *NETWORK, *options, "--plugin", "mine.py", "-p", "mine", "-p", "bnn", cwd=folder)
    assert done.returncode == 0, done.stderr
    mine, bnn = json.loads((tmp_path / "r.json").read_text())
    assert mine["policy"] == "mine" and 0 < mine["reuse_fraction"] < 0.75 and bnn["policy"] == "bnn"


def test_sweep_runs_a_plugin_in_its_workers_and_again_after_an_edit(folder, tmp_path):
    (tmp_path / "mine.py").write_text(POLICY, "utf-8")
    grid = {"network": str(folder / "net"), "trace": str(folder / "net" / "trace.npz"), "threshold": 0.5}
    fixed = "".join(f"{key} = {json.dumps(value)}\n" for key, value in grid.items())
    (tmp_path / "grid.toml").write_text(f'[axes]\npolicy = ["mine", "bnn"]\n[fixed]\n{fixed}', "utf-8")
    shares = []
    for text in (POLICY, POLICY.replace("% 4", "% 2")):
        (tmp_path / "mine.py").write_text(text, "utf-8")
        done = archsim("sweep", "grid.toml", "-o", "out", "--jobs", 2, "--plugin", "mine.py", cwd=tmp_path)
        assert done.returncode == 0 and "2 of 2 points" in done.stdout, done.stderr
        shares.append(pd.read_csv(tmp_path / "out" / "results.csv")["reuse_fraction"])
    assert shares[1][0] < shares[0][0] and shares[1][1] == shares[0][1]
    refused = archsim("sweep", "grid.toml", "-o", "out2", cwd=tmp_path)
    assert refused.returncode == 2 and "unknown policy 'mine'" in refused.stderr and "--plugin FILE" in refused.stderr
    assert not (tmp_path / "out2").exists()


def test_calibrate_finds_a_threshold_for_a_plugin(folder):
    search = ("--max-loss", 20, "--highest", 0.4, "--resolution", 0.2)
    done = archsim("calibrate", *NETWORK, *search, "-p", "mine", "--plugin", "mine.py", cwd=folder)
    assert done.returncode == 0 and "policy mine" in done.stdout, done.stderr


def test_explore_searches_for_a_plugin(folder, tmp_path):
    options = ("--widths", 512, "--refine", 0, "--max-loss", 50, "-o", tmp_path / "out", "--jobs", 1)
    done = archsim("explore", *NETWORK, *options, "-p", "mine", "--plugin", "mine.py", cwd=folder)
    assert done.returncode == 0 and "mine" in done.stdout, done.stderr


@pytest.mark.parametrize("text, message", [
    (None, "bad.py: no such file, need a Python file that registers a policy, a task metric or a machine"),
    ("def f(:\n", "bad.py, line 1: SyntaxError: invalid syntax"),
    ("x = 1\n", "bad.py registers nothing: a plug-in calls archsim.register_policy"),
    ("x = [0]\n\nx[1]\n", "bad.py, line 3: IndexError: list index out of range"),
    (POLICY.replace('"mine"', '"bnn"'), "bad.py, line 5: register_policy: 'Mine': 'bnn' is built in, need another name"),
    (POLICY, "bad.py: policy 'mine' is already that of"),
])  # fmt: skip
def test_bad_plugin_exits_with_2_and_one_message(text, message, folder, tmp_path):
    if text is not None:
        (tmp_path / "bad.py").write_text(text, "utf-8")
    plugins = ("--plugin", folder / "mine.py", "--plugin", "bad.py")
    before = sorted(tmp_path.iterdir())
    trace = ("-n", folder / "net", "-t", folder / "net" / "trace.npz", "--threshold", 1, "--json", "r.json")
    done = archsim("run", *trace, *plugins, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
    assert done.stdout == "" and sorted(tmp_path.iterdir()) == before


def test_exception_in_a_policy_exits_with_1_and_its_line(folder, tmp_path):
    (tmp_path / "bad.py").write_text(POLICY.replace("step.index % 4 > 0", "step.indx"), "utf-8")
    trace = ("-n", folder / "net", "-t", folder / "net" / "trace.npz", "--threshold", 1)
    done = archsim("run", *trace, "-p", "mine", "--plugin", "bad.py", "--json", "r.json", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and not (tmp_path / "r.json").exists()
    assert f"run failed: {tmp_path / 'bad.py'}, line 20, in decide: AttributeError" in done.stderr


# Installed packages


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a package with a policy, a metric and a machine under entry points."""

    def install(policy_name):
        site = tmp_path / "site"
        (site / "theirs-1.0.dist-info").mkdir(parents=True)
        (site / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        groups = (
            f"[archsim.policies]\n{policy_name} = theirs:Mine\n[archsim.task_metrics]\nexact = theirs:EXACT\n"
            "[archsim.machines]\nzeta = theirs:ZETA\n"
        )
        (site / "theirs-1.0.dist-info" / "entry_points.txt").write_text(groups)
        more = (
            "from archsim.task_metrics.metrics import Metric\nfrom archsim.sim.machines import EPUR\n"
            "EXACT = Metric('exact', str, 1, lambda a, t: (int(a == t), 1), lambda sums: 100 * sums[0] / sums[1])\n"
            "class Zeta(type(EPUR)):\n    name = 'zeta'\n    def is_described_by(self, arch):\n        return False\nZETA = Zeta()\n"
        )
        text = POLICY.replace("@archsim.register_policy\n", "").replace('"mine"', f'"{policy_name}"')
        (site / "theirs.py").write_text(f"{text}\n{more}", "utf-8")
        monkeypatch.setenv("PYTHONPATH", str(site))

    return install


def test_items_of_an_installed_package_are_listed_and_run(installed, folder):
    installed("mine")
    for kind, name in (("policies", "mine"), ("metrics", "exact"), ("machines", "zeta")):
        assert name in archsim("list", kind).stdout.split()
    done = archsim("run", *NETWORK, "--threshold", 0.5, "-p", "mine", cwd=folder)
    assert done.returncode == 0 and "mine" in done.stdout, done.stderr
    checked = archsim("check-policy", "theirs:Mine")
    assert checked.returncode == 0 and "14 of 14 passed" in checked.stdout


def test_installed_policy_with_a_bundled_name_is_refused(installed):
    installed("bnn")
    done = archsim("list", "policies")
    assert done.returncode == 2 and done.stdout == ""
    assert "entry point bnn = theirs:Mine of the group archsim.policies: 'bnn' is built in" in done.stderr


# check-policy


def test_check_policy_passes_a_file_a_name_and_a_module(folder):
    for target in (("mine.py:Mine",), ("mine", "--plugin", "mine.py"), ("archsim.policies.delta:DeltaPolicy",)):
        done = archsim("check-policy", *target, cwd=folder)
        assert done.returncode == 0 and "14 of 14 passed, 0 failed, 0 not checked" in done.stdout, done.stdout


def test_check_policy_prints_what_fails_and_exits_with_1(tmp_path):
    text = POLICY.replace("step.index % 4 > 0", "True").replace("@archsim.register_policy\n", "")
    (tmp_path / "bad.py").write_text(text, "utf-8")
    done = archsim("check-policy", "bad.py:Mine", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr == ""
    assert "at step 0, where every memo is empty" in done.stdout
    assert "2 of 14 passed, 1 failed, 11 not checked" in done.stdout


@pytest.mark.parametrize("target, message", [
    ("bn", "unknown policy 'bn', did you mean 'bnn'?: need the name of a policy, file.py:Class, or module:Class"),
    ("lowbit:bits=one", "bits = 'one': need a whole number"),
    ("nowhere.py:Mine", "nowhere.py: no such file"),
    ("mine.py:Min", "mine.py has no class 'Min', did you mean 'Mine'?; classes: Mine, Pass"),
    ("nowhere.at.all:Mine", "no module 'nowhere.at.all' is installed"),
    ("archsim.policies.delta:Delta", "archsim.policies.delta has no class 'Delta'"),
])  # fmt: skip
def test_unknown_policy_to_check_exits_with_2(target, message, folder):
    done = archsim("check-policy", target, cwd=folder)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
