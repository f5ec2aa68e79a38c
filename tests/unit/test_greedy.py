"""Greedy search of θ per layer or gate: bounds on loss, reuse and number of passes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from harness import make_network, make_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.calibration import calibrate_threshold, trials
from archsim.calibration.greedy import ThresholdParams
from archsim.calibration.trials import change_of
from archsim.inference.policy_parameters import thresholds_per_gate
from archsim.ir.heads import MeanClassifier
from archsim.task_metrics.metrics import METRICS
from archsim.traceio.trace import Trace

TRACE = Trace.from_arrays([[[0.0]]] * 3, [0] * 3, name="t")
GATES = 3


class KnownLoss:
    """Network with known reuse Σ(1 - exp(-θ)) and output change Σ cost·θ² per gate; its loss is the change, in steps."""

    def __init__(self, costs):
        self.costs, self.passes = np.asarray(costs, float), 0
        layer = SimpleNamespace(name="l", cell=SimpleNamespace(n_gates=GATES, gates=("r", "z", "n")))
        self.network = SimpleNamespace(name="known", metric="accuracy", layers=(layer,) * len(self.costs), decoder=())

    def run(self, workload, policy, theta=0.0, *, keep):
        thetas = np.array(thresholds_per_gate(self.network, theta), float) * (policy.name != "none")
        self.passes += policy.name != "none"
        change = float((self.costs * thetas**2).sum())
        right = 9000 - 50 * int(2 * change)
        reused = int(1e6 * (1 - np.exp(-thetas)).mean())
        return SimpleNamespace(
            metric=METRICS.get("accuracy"),
            metric_value=right / 100,
            statistics=np.array([[right, 10000]] * 3),
            predictions=None,
            activity=SimpleNamespace(avoided_fraction=reused / 10**6),
            outputs=[np.array([[1.0, np.sqrt(change)]], np.float32)] if keep.outputs else None,
        )

    def calibrated(self, **options):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trials, "run_workload", self.run)
            patch.setattr(trials, "Workload", lambda network, trace, **options: None)
            return calibrate_threshold(self.network, TRACE, **{"max_losses": [1.0, 3.0], "resolution": 0.1} | options)


COSTS = st.lists(st.lists(st.floats(0.01, 100), min_size=GATES, max_size=GATES), min_size=1, max_size=3)


@settings(max_examples=25)
@given(COSTS, st.sampled_from(["layer", "gate", "kind"]), st.integers(1, 60))
def test_greedy_search_keeps_loss_reuse_and_pass_bounds(costs, per, passes):
    one = KnownLoss(costs)
    uniform = one.calibrated()
    apart = KnownLoss(costs)
    result = apart.calibrated(per=per, passes=passes)
    assert apart.passes <= one.passes + passes
    assert result.uniform.keys() == uniform.chosen.keys()
    for bound, point in result.chosen.items():
        before = uniform.chosen[bound]
        assert result.uniform[bound][:6] == before[:6]
        assert point.metric_loss <= bound and point.reuse_fraction >= before.reuse_fraction
        assert point.change <= result.uniform[bound].change
        gates = np.concatenate(thresholds_per_gate(apart.network, point.threshold))
        assert (gates >= 0).all() and (gates <= 4.0).all()
    assert KnownLoss(costs).calibrated(per=per, passes=passes) == result


def test_costliest_gate_gets_the_lowest_threshold():
    """A gate that costs a hundred times more than the others ends far below them, which raises total reuse."""
    costly = KnownLoss([[0.1, 0.1, 10.0], [0.1, 0.1, 0.1]])
    result = costly.calibrated(per="gate", max_losses=[1.0])
    point, one = result.chosen[1.0], result.uniform[1.0]
    (first, second, third), others = point.threshold
    assert third < one.threshold < min(first, second, *others)
    assert point.reuse_fraction > 1.2 * one.reuse_fraction and not result.cut_short
    by_layer = costly.calibrated(per="layer", max_losses=[1.0]).chosen[1.0]
    assert one.reuse_fraction < by_layer.reuse_fraction < point.reuse_fraction
    assert by_layer.threshold[0] < one.threshold < by_layer.threshold[1]


def test_second_bound_leaves_the_first_result_unchanged():
    alone, both = (KnownLoss([[0.1, 2.0, 10.0]]).calibrated(per="gate", max_losses=b) for b in ([1.0], [1.0, 3.0]))
    assert alone.chosen[1.0] == both.chosen[1.0] and both.chosen[3.0].reuse_fraction > both.chosen[1.0].reuse_fraction


def test_equal_costs_gain_less_than_3_percent_over_one_threshold():
    result = KnownLoss([[1.0] * GATES] * 2).calibrated(per="gate", max_losses=[2.0])
    assert result.chosen[2.0].reuse_fraction == pytest.approx(result.uniform[2.0].reuse_fraction, rel=0.03)


def test_search_with_too_few_passes_is_marked_cut_short():
    result = KnownLoss([[1.0, 2.0, 3.0]]).calibrated(per="gate", passes=2)
    assert result.cut_short and all(isinstance(p.threshold, float | list) for p in result.chosen.values())


@pytest.mark.parametrize("per, shape", [("layer", (2,)), ("gate", (2, 4))])
def test_run_with_chosen_thresholds_has_the_calibrated_reuse_and_loss(per, shape):
    rng = np.random.default_rng(3)
    head = MeanClassifier(rng.standard_normal((2, 6)).astype(np.float32), np.zeros(2, np.float32))
    network = replace(make_network("lstm", inputs=4, units=6, layers=2), head=head, metric="accuracy")
    trace = replace(make_trace(network, [9] * 30), targets=tuple([0, 1] * 15))
    result = calibrate_threshold(network, trace, max_losses=[20.0], per=per, resolution=0.1, passes=40)
    lists = [p for p in result.points if isinstance(p.threshold, list)]
    assert {np.shape(p.threshold) for p in lists} == {shape} and len(lists) <= 40
    assert result.evidence.per == per
    point = result.chosen[20.0]
    record = archsim.simulate(network, trace, threshold=point.threshold).record
    assert record["reuse_fraction"] == point.reuse_fraction and record["metric_loss"] == point.metric_loss <= 20.0


def test_change_of_outputs_is_relative():
    before = outputs([2, 2, 2], [4])
    assert change_of(before, before, decodes=False) == 0.0
    assert change_of(before, outputs([3, 2, 2], [3]), decodes=False) == pytest.approx(2 / 28)
    assert change_of(outputs([0]), outputs([0]), decodes=False) == 0.0


def test_decoder_change_counts_changed_answers():
    """Changes of right and wrong answers count alike; the distance of outputs does not count."""
    before, after = (
        SimpleNamespace(metric=METRICS.get("wer"), outputs=None, predictions=answers)
        for answers in (["a b c", "d e f", "g h"], ["a b c", "d x f", "g"])
    )
    assert change_of(before, before, decodes=True) == 0.0
    assert change_of(before, after, decodes=True) == pytest.approx(2 / 8)


def outputs(*sequences):
    """Return the result of a run with these outputs, one number per step."""
    return SimpleNamespace(outputs=[np.array(s, np.float32)[:, None] for s in sequences])


@pytest.mark.parametrize("options, message", [
    ({"per": "neuron"}, "per = 'neuron': accepted: network, layer, gate"),
    ({"per": "gate", "passes": 0}, "passes = 0: need a whole number >= 1"),
    ({"per": "layer", "passes": 2.5}, "passes = 2.5: need a whole number >= 1"),
])  # fmt: skip
def test_invalid_search_options_are_refused(options, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        KnownLoss([[1.0] * GATES]).calibrated(**options)


def test_threshold_per_kind_is_shared_by_the_layers_of_a_cell():
    """A GRU under an LSTM has kinds of its own; one θ per kind keeps passes few for deep networks."""
    layers = (*make_network("gru", inputs=3, units=2).layers, *make_network("lstm", inputs=2, units=2, layers=2).layers)
    network = replace(make_network("gru", inputs=3, units=2), layers=layers, scales=None)
    params = ThresholdParams.of(network, "kind")
    assert params.count == 3 + 4
    of_lstm = [3.0, 4.0, 5.0, 6.0]
    assert params.arranged([0.0, 1.0, 2.0, *of_lstm]) == [[0.0, 1.0, 2.0], of_lstm, of_lstm]
    assert ThresholdParams.of(network, "layer").arranged([1.0, 2.0, 3.0]) == [1.0, 2.0, 3.0]
    assert ThresholdParams.of(network, "gate").count == 11
