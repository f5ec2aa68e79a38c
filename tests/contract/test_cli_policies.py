"""Calibration and column-skipping policies on the command line."""

import json
import shutil

import numpy as np
import pytest
from harness_processes import archsim
from safetensors.numpy import save_file

from archsim.corpora.catalogue import load_trace
from archsim.inference.run import run_inference
from archsim.ir.folder import load_network
from archsim.policies import NoReuse
from archsim.traceio.files import write_trace
from archsim.traceio.trace import Trace


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Return the folder of a network that classifies, with a labelled trace."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(0)
    (folder / "network.toml").write_text(
        'name = "mine"\nmetric = "accuracy"\n[[stacks]]\nprefix = ""\ncell = "gru"\ninput_size = 6\nhidden_size = 5\n'
        '[head]\nkind = "mean-linear"\nweight = "w"\nbias = "b"\n'
    )
    shapes = {"weight_ih_l0": (15, 6), "weight_hh_l0": (15, 5), "w": (2, 5), "b": (2,)}
    tensors = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file(tensors, folder / "weights.safetensors")
    frames = [rng.standard_normal((6, 6)) for _ in range(20)]
    write_trace(Trace.from_arrays(frames, [0, 1] * 10, name="held-out"), folder / "trace.npz")
    return folder


def test_saved_calibration_is_used_by_run(labelled):
    network, trace = ("--network", labelled), ("--trace", labelled / "trace.npz")
    assert archsim("run", *network, *trace).returncode == 2  # no θ yet
    done = archsim("calibrate", *network, *trace, "--max-loss", 100, "--max-loss", 90, "--highest", 0.3, "--save")
    assert done.returncode == 0, done.stderr
    assert "every θ tried loses at most 90 points; the search ended at θ = 0.3, a larger θ may fit" in done.stdout
    assert f"saved in {labelled / 'network.toml'}" in done.stdout and "95 % interval" in done.stdout
    assert "θ 0: reuse" in done.stderr
    assert "no metric" not in done.stdout
    again = archsim("run", *network, *trace, "--policy", "bnn", "--policy", "bnn", "--policy", "none")
    assert again.returncode == 0 and again.stdout.count("0.3") >= 1 and "mean of" not in again.stdout


@pytest.mark.parametrize("per, count", [("layer", 1), ("gate", 3)])
def test_thresholds_per_layer_or_gate_are_saved_and_used_by_run(labelled, tmp_path, per, count):
    """Thresholds per layer or gate are found, saved, shown, and used by a run."""
    net, trace = shutil.copytree(labelled, tmp_path / "net"), tmp_path / "trace.npz"
    unlabelled = load_trace(labelled / "trace.npz")
    answers = run_inference(load_network(net), unlabelled, NoReuse()).predictions
    write_trace(Trace.from_arrays(unlabelled.sequences, answers, name="its own answers"), trace)
    options = ("--max-loss", 10, "--max-loss", 20, "--resolution", 0.2, "--passes", 30, "--per", per, "--save")
    done = archsim("calibrate", "-n", net, "-t", trace, *options)
    assert done.returncode == 0, done.stderr
    assert f"most reuse that loses at most 10 points, one θ per {per}: " in done.stdout and "with one θ)" in done.stdout
    tried = [line.partition(":")[0].split() for line in done.stderr.splitlines() if line.startswith("θ")]
    assert sum(len(words) == 1 + count for words in tried) >= 1 and len(tried) <= 11 + 30
    manifest = (net / "network.toml").read_text()
    assert f'per = "{per}"' in manifest and ("\nbnn = [" in manifest) == (per == "gate")  # of a single layer, a number
    shown = archsim("show", net)
    assert shown.returncode == 0 and "one θ per" in shown.stdout
    run = archsim("run", "-n", net, "-t", trace)
    assert run.returncode == 0 and ("per gate" in run.stdout) == (per == "gate"), run.stderr


def test_split_without_a_corpus_or_with_a_trace_is_refused(labelled):
    assert "names no corpus: give a --trace" in archsim("run", "--network", labelled, "--split", "test").stderr
    both = archsim("run", "--network", labelled, "--split", "test", "--trace", "x.npz")
    assert both.returncode == 2 and "need one of them" in both.stderr


def test_run_prints_neuron_and_column_policies_in_one_table(user_files, tmp_path):
    """Reuse figures of a column policy are null; the share of MACs avoided stands in their place."""
    done = archsim("run", "-n", user_files / "net", "-t", user_files / "trace.npz", "-p", "bnn", "-p", "delta", "-p", "input-similarity",
                   "--threshold", 0.2, "--json", tmp_path / "r.json", "-v", "--sensitivity")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for words in ("of MACs", "CU0.delta", "accumulator_buffer", "CU0.FMU"):
        assert words in done.stdout
    neurons, delta, similar = json.loads((tmp_path / "r.json").read_text())
    assert neurons["reuse_fraction"] is not None
    for record in (delta, similar):
        assert record["reuse_fraction"] is None and record["neurons_reused"] is None
        assert 0 < record["macs_avoided_fraction"] < 1 and record["baseline_cycles"] == neurons["baseline_cycles"]


@pytest.mark.parametrize("arguments, message", [
    (["--policy", "delta"], "no calibrated threshold for policy 'delta'"),
    (["--policy", "delta", "--threshold", "0.1", "--arch", "epur-mwl"], "dataflow = 'mwl': columns are skipped"),
])  # fmt: skip
def test_column_skipping_on_an_unfit_machine_exits_with_2(user_files, arguments, message):
    done = archsim("run", "-n", user_files / "net", "-t", user_files / "trace.npz", *arguments)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


def test_show_prints_a_column_policy():
    done = archsim("show", "delta")
    assert done.returncode == 0 and "moved by more than θ" in done.stdout and "columns" in done.stdout
    assert "delta.queue_places" in archsim("show", "epur").stdout
