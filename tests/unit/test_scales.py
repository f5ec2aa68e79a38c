"""Scales of a network: measured as means, checked, and asked for where missing."""

from dataclasses import replace

import numpy as np
import pytest
from harness import (
    make_tokens,
    make_translator,
)

import archsim
from archsim.inference.run import run_inference
from archsim.ir.network import Scales
from archsim.policies import NoReuse


def test_network_without_scales_is_refused_with_advice(tiny_lstm, tiny_trace):
    bare = replace(tiny_lstm, scales=None)
    with pytest.raises(archsim.ArchsimError, match="no scales.*'ternary'.*measure_scales"):
        archsim.simulate(bare, tiny_trace, policy="ternary", threshold=0.3)


@pytest.mark.parametrize("value", [float("nan"), -1.0, 1e300])
def test_scales_beyond_float32_are_refused(value, tiny_lstm):
    with pytest.raises(archsim.ArchsimError, match="scales hold"):
        replace(tiny_lstm, scales=Scales((0.1, value), ((0.1, 0.1), (0.1, 0.1))))


def test_scales_of_another_shape_are_refused(tiny_lstm):
    with pytest.raises(archsim.ArchsimError, match="scales.inputs has 1 entries, need 2"):
        replace(tiny_lstm, scales=Scales((0.1,), ((0.1, 0.1), (0.1, 0.1))))


def test_measured_scales_are_means_whatever_the_order_of_sequences(tiny_lstm, tiny_trace):
    result = archsim.measure_scales(tiny_lstm, tiny_trace, precision="fp32")
    x = np.concatenate([sequence.ravel() for sequence in tiny_trace.sequences])
    assert result.inputs[0] == pytest.approx(np.abs(x).mean(dtype=np.float64), rel=1e-5)
    outputs = run_inference(tiny_lstm, tiny_trace, NoReuse(), precision="fp32").outputs
    H = tiny_lstm.layers[-1].hidden_size
    sums = [sum(np.abs(y[:-1, :H]).sum(dtype=np.float64) for y in outputs)]
    sums += [sum(np.abs(y[1:, H:]).sum(dtype=np.float64) for y in outputs)]
    count = H * sum(map(len, outputs))
    assert result.hidden[-1] == pytest.approx([total / count for total in sums], rel=1e-5)
    backwards = replace(tiny_trace, sequences=tiny_trace.sequences[::-1])
    assert archsim.measure_scales(tiny_lstm, backwards, precision="fp32") == result


def test_decoder_scales_exclude_steps_after_the_end_token():
    """Sequences of different lengths are measured in one batch and one by one."""
    network = make_translator(width=5, units=6, seed=3)
    trace = make_tokens(network, [2, 9, 4, 7, 3, 5, 8])
    together = archsim.measure_scales(network, trace, precision="fp32")
    alone = [archsim.measure_scales(network, trace.limit(i + 1), precision="fp32") for i in range(len(trace))]
    assert alone[-1] == together
    answers = run_inference(network, trace, NoReuse(), precision="fp32", threads=1)
    steps = sum(answers.activity.steps(answers.activity.shapes[-1]))
    H = network.layers[-1].hidden_size
    sums = sum(np.abs(y[:-1]).sum(dtype=np.float64) for y in answers.outputs)
    starts = sum(np.abs(_encoded_end(network, trace, i)).sum(dtype=np.float64) for i in range(len(trace)))
    assert together.hidden[-1][0] == pytest.approx((sums + starts) / (steps * H), rel=1e-4)


def _encoded_end(network, trace, index):
    """Return the state in which the encoder ends and the decoder begins."""
    encoder = replace(network, layers=network.encoder, decoder_depth=0, head=None, scales=None)
    tokens = archsim.Trace.from_arrays([trace.sequences[index]])
    return run_inference(encoder, tokens, NoReuse(), precision="fp32").outputs[0][-1]
