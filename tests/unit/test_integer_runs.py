"""Integers end to end: function and machine of one run, sweeps, exploration, advice, models of others."""

from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_trace, run_sweeps_in_process, write_classifier

import archsim
from archsim.errors import ConfigError
from archsim.exploration import search
from archsim.exploration.search import explore
from archsim.inference.precision_change import run_without_reuse, squares_between
from archsim.sweeps import run as sweeps
from archsim.sweeps.run import run_sweep

FORMATS = ["fp16", "int8"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Return the choices of a tiny classifier and a trace on which it is right."""
    return write_classifier(tmp_path_factory.mktemp("own") / "net", [12] * 12, seed=1)


@pytest.fixture
def in_process(monkeypatch):
    """Run explorations and sweeps without worker processes."""
    run_sweeps_in_process(monkeypatch, search, sweeps)


def with_biases(network):
    """Return the network with scales of its own noise, and check that no bias is zero."""
    assert all(np.all(d.bias_ih != 0) for layer in network.layers for d in layer.directions)
    return replace(network, scales=archsim.measure_scales(network, make_trace(network, (9, 5))))


@pytest.mark.parametrize("policy, theta", [
    ("none", None), ("bnn", 0.4), ("ternary", 0.3), ("lowbit:throttle=off,correct=on", 0.3), ("oracle", 0.3),
    ("input-similarity", 0.1), ("delta", 0.1),
])  # fmt: skip
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_preset_gives_the_figures_of_the_precision_in_both_details(policy, theta, precision):
    network = with_biases(make_network("lstm", inputs=12, units=9, layers=2, bidirectional=True))
    trace = make_trace(network, (9, 4, 1))
    named = archsim.simulate(network, trace, "epur", policy, theta, precision=precision)
    preset = archsim.simulate(network, trace, f"epur-{precision}", policy, theta, detail="neuron")
    apart = {"arch", "wall_s", "digest", "detail", "events"}
    assert {k: v for k, v in named.record.items() if k not in apart} == {
        k: v for k, v in preset.record.items() if k not in apart
    }
    for ours, theirs in zip(named.outputs, preset.outputs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sweep_over_precisions_equals_single_runs(classifier, tmp_path, in_process):
    rows = run_sweep({"axes": {"precision": FORMATS, "policy": ["bnn", "delta"]}, "fixed": classifier | {"threshold": 0.2}},
                     tmp_path / "out").results  # fmt: skip
    assert list(rows["precision"]) == ["fp16", "fp16", "int8", "int8"]
    network, trace = archsim.load_network(classifier["network"]), archsim.load_trace(classifier["trace"])
    for _, row in rows.iterrows():
        record = archsim.simulate(network, trace, "epur", row["policy"], 0.2, precision=row["precision"]).record
        assert [row[key] for key in ("cycles", "energy_j", "metric_loss")] == [
            record[key] for key in ("cycles", "energy_j", "metric_loss")
        ]


def test_exploration_of_formats_puts_everything_beside_fp16_without_reuse(classifier, tmp_path, in_process):
    options = {"policies": ["bnn"], "widths": [64], "max_loss": 30.0, "refine": 0}
    result = explore(**classifier, **options, folder=tmp_path / "out", precisions=["int8", "fp16"])
    network, trace = archsim.load_network(classifier["network"]), archsim.load_trace(classifier["trace"])
    base = archsim.simulate(network, trace, policy="none").record
    assert result.reference["precision"] == "fp16" and {"fp16", "int8"} == set(result.points["precision"])
    for _, row in result.points.iterrows():
        policy, precision = row["policy"], row["precision"]
        theta = None if np.isnan(row["threshold"]) else row["threshold"]
        arch = archsim.load_arch("epur").replace("fmu.width_bits", 64)
        record = archsim.simulate(network, trace, arch, policy, theta, precision=precision).record
        assert row["speedup"] == pytest.approx(base["cycles"] / record["cycles"])
        assert row["energy_saving"] == pytest.approx(1 - record["energy_j"] / base["energy_j"])
        assert row["metric_loss"] == pytest.approx(base["metric_value"] - record["metric_value"])
        assert row["own_speedup"] == record["speedup"] and row["own_metric_loss"] == record["metric_loss"]
    plain = run_without_reuse(network, trace, "fp16"), run_without_reuse(network, trace, "int8")
    changed, square = squares_between(*plain).sum(axis=0)
    int8 = result.plain_fitting.set_index("precision").loc["int8"]
    assert int8["output_change"] == pytest.approx((changed / square) ** 0.5)
    assert "int8 without reuse" in result.recommendation and "int8" in set(result.front["precision"])
    assert int8["front"]  # half the weight bits save energy and time at less area


@pytest.mark.parametrize("precisions, message", [
    (["int8", "int4"], "need fp16 among them"), (["int7"], "precision = 'int7': accepted"),
])  # fmt: skip
def test_formats_that_cannot_be_explored_are_refused(precisions, message, classifier, tmp_path):
    with pytest.raises(ConfigError, match=message):
        explore(**classifier, policies=["bnn"], folder=tmp_path / "out", precisions=precisions)


def test_advice_says_what_fewer_bits_bring_alone_and_with_the_policy():
    network = with_biases(make_network("lstm", inputs=16, units=16))
    t = np.arange(40)[:, None]
    waves = [np.sin(t / 20 + np.arange(16) + k).astype(np.float32) for k in range(8)]
    advice = archsim.advise(network, archsim.Trace.from_arrays(waves), policies=["delta"], max_change=0.1)
    alone = archsim.simulate(network, archsim.Trace.from_arrays(waves[1::2]), policy="none", precision="int8").record
    base = archsim.simulate(network, archsim.Trace.from_arrays(waves[1::2]), policy="none").record
    int8, int4 = advice.formats
    assert (int8.name, int4.name) == ("int8", "int4") and int8.change.value < int4.change.value
    assert int8.gains.speedup == pytest.approx(base["time_s"] / alone["time_s"])
    assert int8.gains.energy_saving == pytest.approx(1 - alone["energy_j"] / base["energy_j"])
    assert "int8 alone is" in str(advice) and "with delta" in str(advice)
    assert int8.with_policy is not None and int8.with_policy.energy_saving > int8.gains.energy_saving
    assert archsim.advise(network, archsim.Trace.from_arrays(waves), arch="epur-int8", policies=["delta"]).formats == ()


def test_onnx_model_runs_and_simulates_in_integers_as_its_network(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from harness_onnx import saved
    from harness_onnx_exports import quantised_model

    path = saved(quantised_model(np.random.default_rng(0), True, inputs=6, units=8, largest=0.01)[0], tmp_path)
    x = np.random.default_rng(1).standard_normal((20, 6)).astype(np.float32)
    model = archsim.OnnxModel(path)
    scales = model.run([{"X": x[:, None]}], "none").session.measure_scales()
    run = model.run([{"X": x[:, None]}], "bnn", 0.3, "int8", scales=scales)
    (part,) = run.session.called
    own = replace(part.network, scales=scales[part.name])
    record = archsim.simulate(own, archsim.Trace.from_arrays([x]), "epur", "bnn", 0.3, precision="int8").record
    theirs = run.result.record
    assert [theirs[k] for k in ("precision", "cycles", "energy_j", "neurons_reused")] == [
        record[k] for k in ("precision", "cycles", "energy_j", "neurons_reused")
    ]
