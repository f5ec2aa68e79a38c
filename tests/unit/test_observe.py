"""Observations against plain numpy, one sequence at a time."""

import os
from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_tokens, make_trace, make_translator, naive_binary_product
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from archsim.inference.run import run_inference
from archsim.kernels.prediction.statistics import N_MOMENTS, add_moments, count_changes, first_bins, merge_moments
from archsim.reproduce.neurons import observe, typical_neuron

EDGES = np.array([0.01, 0.1, 0.125, 1, 4], np.float32)


class Recorder:
    """Policy that keeps the steps of each pass; for one sequence and one thread."""

    name, needs_threshold, uses_memo_unit = "recorder", False, False

    def __init__(self):
        self.passes = []

    def begin(self, context):
        self.passes.append([])
        return _Recording(context, self.passes[-1])


class _Recording:
    def __init__(self, context, steps):
        self.weights, self.steps = np.hstack([context.weight_ih, context.weight_hh]), steps

    def decide(self, step):
        binary = naive_binary_product(self.weights, np.concatenate([step.x[0], step.h[0]]))
        self.steps.append((binary, step.exact[0].ravel().copy(), step.h[0].copy()))
        return np.zeros(step.shape, bool)


def recorded(network, trace, precision="fp16"):
    """Return (binary, exact, h of the step before) over the steps, per sequence and pass."""
    result = []
    for i, sequence in enumerate(trace.sequences):
        recorder = Recorder()
        alone = replace(trace, name=f"{i}", sequences=(sequence,), targets=None)
        run_inference(network, alone, recorder, precision=precision, threads=1)
        result.append([tuple(np.array(column) for column in zip(*steps, strict=True)) for steps in recorder.passes])
    return result


def naive_changes(series, edges):
    """Count |v_t - v_{t-1}| / |v_t| by bin down the columns of each (T, M) float32 array."""
    counts = np.zeros(len(edges) + 1, int)
    for values in series:
        now, before = values[1:], values[:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            change = np.where(now == before, np.float32(0), np.abs(now - before) / np.abs(now))
        counts += np.bincount(np.searchsorted(edges, change.ravel(), side="right"), minlength=counts.size)
    return counts


def lstm():
    network = make_network("lstm", inputs=5, units=4, layers=2, bidirectional=True)
    return network, make_trace(network, (6, 1, 9, 30, 9, 2, 17))


def gru():
    network = make_network("gru", inputs=7, units=3)
    return network, make_trace(network, (40, 3, 22))


def translator():
    network = make_translator(width=6, units=5, depth=2)
    return network, make_tokens(network, (4, 9, 1, 7, 12, 5))


CASES = pytest.mark.parametrize("case", [lstm, gru, translator])


@CASES
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_change_histogram_equals_numpy(case, precision):
    network, trace = case()
    frame = observe(network, trace, precision=precision).changes()
    passes = [one for sequence in recorded(network, trace, precision) for one in sequence]
    for quantity, series in [("dot product", [p[1] for p in passes]), ("output", [p[2][1:] for p in passes])]:
        ours = frame[frame["quantity"] == quantity]
        edges = ours["low"].to_numpy(np.float32)[1:]
        assert (ours["count"].to_numpy() == naive_changes(series, edges)).all(), quantity


@CASES
def test_correlations_equal_numpy(case):
    network, trace = case()
    frame, passes = observe(network, trace).correlations(), recorded(network, trace)
    expected, steps = [], []
    for i in range(len(passes[0])):
        binary, exact = (np.concatenate([sequence[i][part] for sequence in passes]) for part in (0, 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            expected += [np.corrcoef(b, y)[0, 1] for b, y in zip(binary.T, exact.T.astype(float), strict=True)]
        steps += [len(binary)] * binary.shape[1]
    np.testing.assert_allclose(frame["correlation"], expected, rtol=0, atol=1e-12)
    assert frame["n"].to_list() == steps
    places = [(i, d, g, u) for i, y in enumerate(network.layers) for d in range(len(y.directions)) for g in y.cell.gates for u in range(y.hidden_size)]  # fmt: skip
    assert list(frame[["layer", "direction", "gate", "unit"]].itertuples(index=False, name=None)) == places


@CASES
def test_scatter_shows_the_neuron_of_median_correlation(case):
    network, trace = case()
    seen, passes = observe(network, trace), recorded(network, trace)
    neuron = typical_neuron(network, seen.moments)
    r = seen.correlations()
    chosen = r[(r["layer"] == neuron.layer) & (r["direction"] == neuron.direction) & (r["unit"] == neuron.unit)]
    assert chosen["correlation"].iloc[neuron.gate] == r["correlation"].dropna().sort_values().iloc[(r["correlation"].count() - 1) // 2]  # fmt: skip
    places = [(i, d) for i, y in enumerate(network.layers) for d in range(len(y.directions))]
    column = neuron.gate * network.layers[neuron.layer].hidden_size + neuron.unit
    here = [sequence[places.index((neuron.layer, neuron.direction))] for sequence in passes]
    assert (seen.scatter()["binary"] == np.concatenate([binary[:, column] for binary, _, _ in here])).all()
    assert (seen.scatter()["real"] == np.concatenate([exact[:, column] for _, exact, _ in here])).all()


def test_scatter_is_limited_to_2000_points():
    network = make_network("gru", inputs=3, units=2)
    assert len(observe(network, make_trace(network, [900] * 4)).scatter()) == 2000


def test_observation_does_not_depend_on_threads(monkeypatch):
    network, trace = lstm()
    alone, together = [], []
    for result, cores in ((alone, 1), (together, 5)):
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        seen = observe(network, trace)
        frames = seen.changes(), seen.change_summary(), seen.correlations(), seen.scatter()
        result += [frame.to_csv(float_format="%.17g") for frame in frames]
    assert alone == together


def test_limit_observes_the_first_sequences():
    network, trace = lstm()
    limited, first = observe(network, trace, limit=3), observe(network, trace.limit(3))
    assert limited.changes().equals(first.changes()) and limited.correlations().equals(first.correlations())


def test_change_summary_equals_numpy_to_a_bin():
    """A relative change cannot lie in two halves; the share below 10 % is exact, median and mean to one bin."""
    network, trace = lstm()
    passes = [one for sequence in recorded(network, trace) for one in sequence]
    with np.errstate(divide="ignore"):
        changes = np.concatenate([(np.abs(np.diff(y, axis=0)) / np.abs(y[1:])).ravel() for _, y, _ in passes])
    result = observe(network, trace).change_summary().iloc[0]
    assert result["changes"] == changes.size
    assert result["share_below_10_percent"] == np.mean(changes < np.float32(0.1))
    assert result["median"] == pytest.approx(np.median(changes), rel=0.13)
    assert result["mean_capped"] == pytest.approx(np.minimum(changes, 1).mean(), rel=0.03)


def test_sequences_of_one_step_have_no_changes():
    network = make_network("gru", inputs=3, units=2)
    seen = observe(network, make_trace(network, (1, 1)))
    assert seen.changes()["count"].sum() == 0 and seen.change_summary()["median"].isna().all()
    assert seen.correlations()["n"].eq(2).all()


@given(arrays(np.float32, (2, 40), elements=st.sampled_from([*EDGES.tolist(), 0.0, 1.0, -1.0, 1.01, 0.9, 1e-30, 3e38])))
def test_change_on_a_bin_edge_counts_above_it(values):
    now, before = values[:1], values[1:]
    counts = np.zeros(EDGES.size + 1, np.int64)
    with np.errstate(over="ignore"):
        count_changes(now, before, EDGES, first_bins(EDGES), counts)
        assert (counts == naive_changes([np.stack([b, n]) for b, n in zip(before.T, now.T, strict=True)], EDGES)).all()


def test_merged_moments_are_exact_for_a_large_mean(rng):
    """Sums of squares would lose all digits here."""
    a = rng.integers(2_000, 2_010, (500, 3)).astype(np.int32)
    b = (1e6 + a * 0.5 + rng.standard_normal((500, 3))).astype(np.float32)
    halves = []
    for part in (slice(0, 123), slice(123, 500)):
        moments = np.zeros((N_MOMENTS, 3))
        halves += [add_moments(a[part], b[part], 0, moments), moments]
    n, (mean_a, mean_b, aa, bb, ab) = merge_moments(*halves)
    exact = b.astype(float)
    assert n == 500
    np.testing.assert_allclose([mean_a, mean_b], [a.mean(axis=0), exact.mean(axis=0)], rtol=1e-14)
    np.testing.assert_allclose([aa, bb], [a.var(axis=0) * n, exact.var(axis=0) * n], rtol=1e-9)
    np.testing.assert_allclose(ab / np.sqrt(aa * bb), [np.corrcoef(a[:, i], exact[:, i])[0, 1] for i in range(3)])


def test_merging_empty_moments_changes_nothing():
    moments = np.arange(15.0).reshape(N_MOMENTS, 3)
    nothing = np.zeros((N_MOMENTS, 3))
    for left, right in (((4, moments), (0, nothing)), ((0, nothing), (4, moments))):
        n, merged = merge_moments(*left, *right)
        assert n == 4 and (merged == moments).all()
    assert merge_moments(0, nothing, 0, nothing)[0] == 0
