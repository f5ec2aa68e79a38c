"""int8 beside the quantised LSTMs of torch and ONNX Runtime, and in models that are attached, called and calibrated.

All three have integers of 8 bits and exact sums, and scale differently. Weights: one scale per row and part here and in
ONNX Runtime's model below, one per matrix in torch. Inputs: here one scale per layer, symmetric and fixed by a
calibration trace; in torch and ONNX Runtime one scale and one zero point, made anew of the values of each product, and
in torch of 7 bits (`reduce_range`). h is requantised at each step in all of them; beside it they keep h in float32, which
is their output, where here the codes are.
"""

from dataclasses import replace

import numpy as np
import pytest
from harness import make_network, make_trace

import archsim
from archsim.errors import ConfigError
from archsim.inference.stack import StackRunner
from archsim.policies import policy_from

torch = pytest.importorskip("torch")
TOLERANCE = 0.03


def relative_rms(a, b):
    return float(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))


def drifting(steps, width, seed=0):
    rng = np.random.default_rng(seed)
    return (np.cumsum(rng.standard_normal((steps, width)), axis=0) * 0.2).astype(np.float32)


def outputs_of(network, frames, precision):
    trace = archsim.Trace.from_arrays([frames])
    return archsim.simulate(network, trace, policy="none", precision=precision).outputs[0]


def check_agreement(network, frames, runtime):
    """Check int8 against a runtime's, and that both differ from fp32, so that neither is float in disguise."""
    integer, exact = outputs_of(network, frames, "int8"), outputs_of(network, frames, "fp32")
    assert 0 < relative_rms(integer, runtime) < TOLERANCE
    assert 1e-4 < relative_rms(integer, exact) < TOLERANCE
    assert 1e-4 < relative_rms(runtime, exact) < TOLERANCE


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("units, bidirectional", [(32, False), (64, True)])
def test_int8_agrees_with_the_dynamically_quantised_lstm_of_torch_within_3_percent(units, bidirectional):
    torch.manual_seed(0)
    module = torch.nn.LSTM(20, units, num_layers=2, bidirectional=bidirectional)
    frames = drifting(60, 20)
    quantise = torch.ao.quantization.quantize_dynamic
    quantised = quantise(torch.nn.Sequential(module), {torch.nn.LSTM}, dtype=torch.qint8)
    with torch.no_grad():
        runtime = quantised(torch.from_numpy(frames)[:, None])[0][:, 0].numpy()
    check_agreement(archsim.from_torch(module), frames, runtime)


@pytest.mark.parametrize("per_row", [False, True])
def test_int8_agrees_with_the_quantised_lstm_of_onnx_runtime_within_3_percent(per_row, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from harness_onnx import runtime_outputs, saved
    from harness_onnx_exports import quantised_model

    model, _ = quantised_model(np.random.default_rng(0), per_row, inputs=20, units=32, largest=0.004)
    frames = drifting(60, 20)
    runtime = runtime_outputs(model, {"X": frames[:, None]})["Y"][:, :, 0].reshape(60, -1)  # (T, D, B, H)
    check_agreement(archsim.from_onnx(saved(model, tmp_path)), frames, runtime)


@pytest.mark.parametrize("policy, theta", [("none", None), ("bnn", 0.4), ("delta", 0.1)])
def test_attached_model_equals_the_run_of_its_network(policy, theta):
    torch.manual_seed(3)
    module, x = torch.nn.GRU(4, 6, num_layers=2), torch.from_numpy(drifting(9, 4)[:, None])
    with archsim.attach(module, "none", precision="fp32") as session, torch.no_grad():
        module(x)
    scales = archsim.measure_scales(session.network, session.trace)
    with archsim.attach(module, policy, theta, precision="int8", scales=scales) as session, torch.no_grad():
        outputs = module(x)[0][:, 0].numpy()
    network = replace(archsim.from_torch(module), scales=scales)
    trace = archsim.Trace.from_arrays([x[:, 0].numpy()])
    alone = archsim.simulate(network, trace, policy=policy, threshold=theta, precision="int8")
    np.testing.assert_array_equal(outputs, alone.outputs[0])
    assert session.simulate().record["precision"] == "int8"


def test_attached_model_without_scales_is_refused_with_advice():
    refused = pytest.raises(ConfigError, match="scales: precision int8 needs those of LSTM.*precision='fp32'")
    with refused, archsim.attach(torch.nn.LSTM(3, 4), "none", precision="int8"):
        pass


def test_steps_that_come_call_by_call_equal_the_whole_sequence():
    network = make_network("lstm", inputs=4, units=5, layers=2)
    trace = make_trace(network, [8, 8, 8])
    network = replace(network, scales=archsim.measure_scales(network, trace))
    runner = StackRunner(network, policy_from("bnn"), 0.4, precision="int8")
    steps = np.stack(trace.sequences, axis=1)
    running = runner.begin(3)
    calls = np.concatenate([running.advance(steps[:3]), running.advance(steps[3])[None], running.advance(steps[4:])])
    for i, outputs in enumerate(runner.run(trace.sequences).outputs):
        np.testing.assert_array_equal(calls[:, i], outputs)


def test_calibration_of_a_model_measures_the_ranges_it_needs():
    torch.manual_seed(3)
    module, x = torch.nn.LSTM(4, 6), torch.from_numpy(drifting(9, 4)[:, None])

    def evaluate(model):
        with torch.no_grad():
            return float(model(x)[0].sum())

    theta = archsim.calibrate(module, evaluate, policy="bnn", max_loss=100.0, precision="int8", progress=False)
    assert theta.scales["LSTM"].largest_inputs == (float(x.abs().max()),)
    with archsim.attach(module, "bnn", theta, precision="int8"):
        evaluate(module)


def test_calibration_of_a_network_measures_the_ranges_it_needs():
    network = replace(make_network("gru", inputs=4, units=5), scales=None)
    trace = make_trace(network, [9, 8])
    theta = archsim.calibrate(network, trace, policy="bnn", max_change=0.2, precision="int4", progress=False)
    result = archsim.simulate(network, trace, policy="bnn", threshold=float(theta), precision="int4")
    assert 0 < result.record["output_change"] <= 0.2


def test_advice_on_a_model_measures_the_ranges_it_needs():
    torch.manual_seed(3)
    module, inputs = torch.nn.LSTM(4, 6), [torch.from_numpy(drifting(20, 4, seed)[:, None]) for seed in range(4)]
    advice = archsim.advise(module, inputs, policies=["bnn"], max_change=0.3, precision="int8")
    assert str(advice).startswith(("YES", "NO"))


def test_finetuning_in_integers_is_refused():
    from archsim.finetune import ReuseRNN

    with pytest.raises(ConfigError, match="no gradient for precision 'int8': need fp16 or fp32"):
        ReuseRNN(torch.nn.LSTM(3, 4), precision="int8")
