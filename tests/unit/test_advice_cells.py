"""Advice on cells that some policies refuse: a GRU with reset before the product, and a projected LSTM."""

import math

import numpy as np
import pytest
from harness import make_network, make_trace, naive_binary_product

import archsim
from archsim.inference.run import run_inference
from archsim.policies import policy_from

LATE = {"cell_name": "gru-reset-before", "inputs": 6, "units": 8}
PROJECTED = {"cell_name": "lstm", "inputs": 6, "units": 8, "projection": 3}
REFUSALS = [(LATE, "the last gate of a gru-reset-before reads r ⊙ h"), (PROJECTED, "a projection is computed by rows")]


@pytest.mark.parametrize("shape, reason", REFUSALS)
def test_policy_that_refuses_a_cell_has_its_reason_in_place_of_figures(shape, reason):
    network = make_network(**shape, layers=2, bidirectional=True)
    advice = archsim.advise(network, make_trace(network, [30, 20, 25, 31]), policies=["bnn", "delta"], max_change=1.0)
    records = {record["policy"]: record for record in advice.records()}
    assert reason in records["delta"]["reason"] and not records["delta"]["pays"]
    assert records["bnn"]["reason"] is None and advice.best.name == "bnn"


@pytest.mark.parametrize("max_change", [0.0, 0.2])
@pytest.mark.parametrize("shape, reason", REFUSALS)
def test_verdict_where_every_policy_refuses_the_cell_is_no_with_the_reason(shape, reason, max_change):
    network = make_network(**shape)
    trace = make_trace(network, [30, 20, 25, 31])
    advice = archsim.advise(network, trace, policies=["delta"], max_change=max_change)
    assert advice.verdict.startswith("NO: ")
    assert max_change == 0.0 or reason in advice.verdict


def test_similarity_of_a_late_candidate_equals_numpy():
    """Its products and their predictions are those of [x; r ⊙ h], while outputs change by h."""
    network = make_network(**LATE)
    trace = make_trace(network, [12, 9, 14, 11])
    (layer,) = archsim.advise(network, trace, policies=["bnn"], max_change=1.0, precision="fp32").similarities
    d, H, judging = network.layers[0].directions[0], 8, trace.only([0, 2])
    weights = np.concatenate([d.weight_ih, d.weight_hh], 1)
    outputs = run_inference(network, judging, policy_from("none"), precision="fp32").outputs
    squares, exact, binary = np.zeros(2), [], []
    for x, h in zip(judging.sequences, outputs, strict=True):
        before = np.vstack([np.zeros((1, H), np.float32), h[:-1]])
        squares += [np.square(np.diff(h[:-1], axis=0)).sum(), np.square(h[1:-1]).sum()]
        early = np.hstack([x, before])
        r = 1 / (1 + np.exp(-(early @ weights[:H].T + d.bias_ih[:H] + d.bias_hh[:H])))
        late = np.hstack([x, r * before])
        exact.append(np.diff(np.hstack([early @ weights[: 2 * H].T, late @ weights[2 * H :].T]), axis=0))
        rows = [
            [naive_binary_product(w, row) for w, row in ((weights[: 2 * H], a), (weights[2 * H :], b))]
            for a, b in zip(early, late, strict=True)
        ]
        binary.append(np.diff([np.concatenate(row) for row in rows], axis=0))
    exact, binary = np.vstack(exact), np.vstack(binary)
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(exact.T, binary.T, strict=True) if b.any()]
    assert layer.correlations["bnn"] == pytest.approx(np.median(correlations), abs=1e-4)
    assert layer.outputs_change == pytest.approx(math.sqrt(squares[0] / squares[1]), rel=1e-4)
