"""ONNX models end to end, with ONNX Runtime on the whole model as the oracle."""

from dataclasses import replace

import numpy as np
import pytest

import archsim

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from harness_onnx import (  # noqa: E402
    NodeSpec,
    build,
    model_specs,
    plain_model,
    runtime_outputs,
    saved,
)
from harness_onnx_exports import called_by_runtime, quantised_model, step_model  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from onnx import helper  # noqa: E402

from archsim.live.onnx_model import differences  # noqa: E402

STATES_ONLY = NodeSpec(uses=(False, True, True))
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


def model_of(spec, folder):
    model, feeds = build(spec)
    return archsim.OnnxModel(saved(model, folder)), feeds


def plain_run(model, feeds):
    return model.run(feeds, policy="none", precision="fp32")


def assert_same(outputs, expected):
    """Names differ, since the oracle has other nodes; order, shapes, types and numbers are the same."""
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs.values(), expected.values(), strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_allclose(ours, theirs, **ROUNDING)


@settings(max_examples=400)
@given(model_specs)
def test_outputs_without_reuse_equal_those_of_onnx_runtime(folder, spec):
    """All options crossed: operators, directions, layouts, states, lengths, forms of weights, branches, nodes between."""
    model, feeds = model_of(spec, folder)
    oracle, fed = build(spec, oracle=True)
    assert_same(plain_run(model, [feeds]).outputs[0], runtime_outputs(oracle, fed))


@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_sequence_of_no_length_gives_zeros_as_onnx_runtime_does(op, direction, folder):
    model, feeds = build(plain_model(NodeSpec(op, direction, lens="input", start="input")))
    feeds |= {name: np.array([0, 3], np.int32) for name in feeds if name.startswith("lens")}
    assert_same(plain_run(archsim.OnnxModel(saved(model, folder)), [feeds]).outputs[0], runtime_outputs(model, feeds))


# What is recorded and simulated


def test_result_equals_a_simulation_of_the_imported_network(folder):
    model, feeds = model_of(plain_model(STATES_ONLY, NodeSpec(direction="bidirectional"), steps=6, batch=3), folder)
    run = model.run([feeds], policy="bnn", threshold=0.4)
    trace = archsim.Trace.from_arrays(list(np.tanh(feeds["X"]).swapaxes(0, 1)))
    expected = archsim.simulate(archsim.from_onnx(model.path), trace, policy="bnn", threshold=0.4).record
    keys = ("sequences", "steps", "reuse_fraction", "cycles", "energy_j", "speedup", "energy_saving", "output_change")
    assert {key: run.result.record[key] for key in keys} == {key: expected[key] for key in keys}
    assert expected["reuse_fraction"] > 0


def test_nodes_that_feed_each_other_are_one_part_and_others_are_not(folder):
    shared = plain_model(STATES_ONLY, NodeSpec())
    assert [part.name for part in model_of(shared, folder)[0].parts] == ["rnn0 -> rnn1"]
    apart = replace(shared, between=("tanh",))
    assert [part.name for part in model_of(apart, folder)[0].parts] == ["rnn0", "rnn1"]


def test_outputs_of_a_lower_node_that_the_model_uses_cut_the_stack(folder):
    model, feeds = model_of(plain_model(NodeSpec(uses=(True, False, False)), NodeSpec()), folder)
    assert [part.name for part in model.parts] == ["rnn0", "rnn1"]
    assert set(plain_run(model, [feeds]).result.parts) == {"rnn0", "rnn1"}


def test_sum_of_several_parts_adds_cycles(folder):
    model, feeds = model_of(plain_model(NodeSpec(), NodeSpec(op="GRU"), between=("matmul",)), folder)
    result = model.run([feeds, feeds], policy="delta", threshold=0.1).result
    assert result.record["cycles"] == sum(part.record["cycles"] for part in result.parts.values())
    assert [part.record["sequences"] for part in result.parts.values()] == [4, 4]


def test_only_the_branch_that_is_taken_computes(folder):
    model, feeds = model_of(plain_model(NodeSpec(), branch=True), folder)
    for flag, name in ((True, "yes_rnn0"), (False, "no_rnn0")):
        run = plain_run(model, [feeds | {"flag": np.array(flag)}])
        assert [part.name for part in run.session.parts.values() if part.calls] == [name]


def test_threshold_may_differ_by_part(folder):
    model, feeds = model_of(plain_model(NodeSpec(), NodeSpec(), between=("tanh",), steps=6), folder)
    run = model.run([feeds], policy="bnn", threshold={"rnn0": 0.0, "rnn1": 4.0})
    assert run.result.parts["rnn0"].record["threshold"] == 0.0
    assert run.result.parts["rnn1"].record["reuse_fraction"] > run.result.parts["rnn0"].record["reuse_fraction"]


def test_run_on_another_machine_infers_nothing_again(folder):
    model, feeds = model_of(plain_model(), folder)
    run = model.run([feeds], policy="bnn", threshold=0.2, arch="epur-4mib")
    assert run.result.record["arch"] == "epur-4mib" and run.simulate("epur").record["arch"] == "epur"


# One step per call


steps = st.fixed_dictionaries({
    "op": st.sampled_from(["LSTM", "GRU", "RNN"]),
    "layers": st.integers(1, 2),
    "batch": st.integers(1, 3),
    "packed": st.booleans(),
    "keeps_scalar": st.booleans(),
    "seed": st.integers(0, 1000),
})  # fmt: skip


def calls_of(first, n_calls, rng):
    """Return feeds of one sequence: the first with its state, the others without."""
    states = [name for name in first if name not in ("x", "rate")]
    later = {name: array for name, array in first.items() if name not in states}
    drifting = first["x"] + np.cumsum(0.3 * rng.standard_normal((n_calls, *first["x"].shape)), axis=0)
    return [(first if call == 0 else later) | {"x": drifting[call].astype(np.float32)} for call in range(n_calls)]


@settings(max_examples=60)
@given(steps)
def test_one_step_per_call_is_the_recurrence_over_calls(folder, options):
    onnx_model, first = step_model(**options | {"keeps_scalar": options["keeps_scalar"] and options["packed"]})
    model = archsim.OnnxModel(saved(onnx_model, folder))
    assert set(model.carried) == {name for name in first if name not in ("x", "rate")}
    feeds = calls_of(first, 5, np.random.default_rng(options["seed"]))
    run = plain_run(model, feeds)
    for ours, theirs in zip(run.outputs, called_by_runtime(onnx_model, feeds, model.carried), strict=True):
        assert_same(ours, theirs)
    assert (run.result.record["sequences"], run.result.record["steps"]) == (options["batch"], 5 * options["batch"])


@pytest.mark.parametrize("policy", ["bnn", "delta"])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_memos_live_from_call_to_call(policy, op, folder, rng):
    """Decisions over calls are those of one whole sequence."""
    onnx_model, first = step_model(op=op, layers=2)
    model = archsim.OnnxModel(saved(onnx_model, folder))
    feeds = calls_of(first, 9, rng)
    run = model.run(feeds, policy=policy, threshold=0.3)
    trace = archsim.Trace.from_arrays(list(np.stack([feed["x"] for feed in feeds], axis=1)))
    whole = archsim.simulate(archsim.from_onnx(model.path), trace, policy=policy, threshold=0.3)
    for key, decisions in whole.activity.bits.items():
        assert all(np.array_equal(*pair) for pair in zip(run.result.activity.bits[key], decisions, strict=True))
    assert run.result.record["cycles"] == whole.record["cycles"]
    assert run.result.record["output_change"] == pytest.approx(whole.record["output_change"], rel=1e-6)


def test_feed_that_gives_another_state_begins_a_new_sequence(folder, rng):
    onnx_model, first = step_model(batch=1)
    model = archsim.OnnxModel(saved(onnx_model, folder))
    run = plain_run(model, calls_of(first, 3, rng) + calls_of(first, 4, rng))
    assert [len(x) for x in run.session.trace.sequences] == [3, 4]


def test_feed_that_gives_the_state_that_came_out_goes_on(folder, rng):
    onnx_model, first = step_model(batch=1)
    model = archsim.OnnxModel(saved(onnx_model, folder))
    feeds = calls_of(first, 3, rng)
    state = plain_run(model, feeds[:2]).outputs[-1][model.carried["state"]]
    run = plain_run(model, [*feeds[:2], feeds[2] | {"state": state}])
    assert [len(x) for x in run.session.trace.sequences] == [3]


def test_change_of_the_batch_begins_new_sequences(folder, rng):
    onnx_model, first = step_model(batch=1)
    other = {"x": np.zeros((2, 3), np.float32), "state": np.zeros((2, 2, 4), np.float32)}
    run = plain_run(archsim.OnnxModel(saved(onnx_model, folder)), [*calls_of(first, 3, rng), other])
    assert [len(x) for x in run.session.trace.sequences] == [3, 1, 1]


def test_first_call_without_state_is_refused(folder, rng):
    onnx_model, first = step_model()
    feeds = calls_of(first, 3, rng)[1:]
    message = r"call 0: input 'state' is missing, need shape \(any, any, any\); the first call of a sequence gives it"
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.OnnxModel(saved(onnx_model, folder)).run(feeds, policy="none")


# Quantised operators


@pytest.mark.parametrize("per_row", [False, True])
def test_quantised_operator_is_close_to_the_runtimes_and_the_difference_is_stated(per_row, folder, rng):
    onnx_model, _ = quantised_model(rng, per_row)
    model = archsim.OnnxModel(saved(onnx_model, folder))
    feeds = [{"X": rng.standard_normal((5, 3, 2)).astype(np.float32)}]
    (difference,) = model.difference(feeds).values()
    assert 1e-5 < difference < 0.05
    assert "weights dequantised to float32" in str(model)


def test_difference_of_plain_operators_is_rounding(folder):
    model, feeds = model_of(plain_model(NodeSpec(direction="bidirectional"), NodeSpec(op="GRU")), folder)
    assert all(difference < 1e-5 for difference in model.difference([feeds]).values())


# Calibration


def changes_of_outputs(model, feeds):
    """Return a loss: percent that the outputs are from those without reuse."""
    plain = model.run(feeds, policy="none").outputs
    return lambda outputs: 100 * max(differences(outputs, plain).values())


@pytest.mark.parametrize("policy", ["oracle", "delta"])
def test_calibration_finds_the_largest_theta_within_the_loss_and_logs_all_tried(policy, folder, tmp_path):
    model, feeds = model_of(plain_model(NodeSpec(units=5), NodeSpec(op="GRU"), between=("tanh",), steps=6), folder)
    loss = changes_of_outputs(model, [feeds])
    log = tmp_path / "log.csv"
    theta = model.calibrate([feeds], loss, policy=policy, max_loss=5.0, highest=1.0, resolution=0.02, log=log)
    tried = theta.log
    assert 0 < theta < 1 and list(tried["threshold"]) == sorted(tried["threshold"])
    assert tried[tried["threshold"] <= theta]["loss"].max() <= 5.0 < tried[tried["threshold"] > theta]["loss"].min()
    assert log.read_text().splitlines()[0].startswith("threshold,score,reuse_fraction")
    assert loss(model.run([feeds], policy, float(theta)).outputs) == pytest.approx(
        tried["loss"][tried["threshold"] == theta].item()
    )


def test_calibration_by_change_of_the_recurrent_outputs_needs_no_loss(folder):
    model, feeds = model_of(plain_model(NodeSpec(units=5), steps=6), folder)
    theta = model.calibrate([feeds], policy="delta", max_change=0.05, highest=1.0, resolution=0.05)
    assert model.run([feeds], "delta", float(theta)).session.record["output_change"] <= 0.05


def test_calibration_measures_the_scales_that_a_policy_needs(folder):
    model, feeds = model_of(plain_model(NodeSpec(units=5), steps=6), folder)
    theta = model.calibrate([feeds], max_change=0.2, policy="lowbit:bits=4", highest=1.0, resolution=0.1)
    assert model.run([feeds], "lowbit:bits=4", theta).session.record["output_change"] <= 0.2


@pytest.mark.parametrize("loss, message", [
    (None, "loss is missing: need a function of the outputs"),
    (lambda outputs: "much", "loss returned 'much': need one finite number, lower is better"),
    (lambda outputs: float("nan"), "loss returned nan: need one finite number, lower is better"),
])  # fmt: skip
def test_loss_that_is_no_number_is_refused(loss, message, folder):
    model, feeds = model_of(plain_model(), folder)
    with pytest.raises(archsim.ArchsimError, match=message):
        model.calibrate([feeds], loss, max_loss=1.0)


# Refusals


def test_refused_node_is_named_with_its_reasons(folder):
    spec = plain_model(NodeSpec(), NodeSpec(op="GRU", attributes={"activation_alpha": [0.5], "clip": 1.0}))
    with pytest.raises(archsim.ArchsimError, match=r"rnn1 \(GRU\): clip = 1 .*; activation_alpha .*from_weights"):
        archsim.OnnxModel(saved(build(spec)[0], folder))


X = np.zeros((4, 2, 3), np.float32)


@pytest.mark.parametrize("feeds, message", [
    ({"X": X}, "got one feed, need a list of feeds, each a dictionary of X"),
    ([], r"got \[\], need a list of feeds"),
    ([X], "call 0: got a ndarray, need a dictionary of X"),
    ([{"x": X}], "call 0: no input 'x', did you mean 'X'\\?; accepted: X"),
    ([{"X": X}, {}], "call 1: input 'X' is missing, need shape"),
    ([{"X": X.astype(complex)}], "call 0: input 'X' is complex128, need float32"),
    ([{"X": [["a"]]}], "call 0: input 'X' is <U1, need float32"),
    ([{"X": X[0]}], r"call 0: input 'X' has shape \(2, 3\), need shape \(any, any, any\)"),
    ([{"X": X[..., :2]}], r"rnn0: X has shape \(4, 2, 2\), need 3 axes, the last 3 long"),
    ([{"X": np.full_like(X, np.nan)}], "rnn0: .*is nan, need finite numbers"),
])  # fmt: skip
def test_feeds_that_the_model_does_not_take_are_refused(feeds, message, folder):
    model, _ = model_of(plain_model(), folder)
    with pytest.raises(archsim.ArchsimError, match=message):
        model.run(feeds, policy="none")


@pytest.mark.parametrize("name, value, message", [
    ("lens_0", np.array([9, 1], np.int32), r"rnn0: sequence_lens = \[9, 1\], need 2 numbers from 0 to 4"),
    ("lens_0", np.array([1], np.int32), r"rnn0: sequence_lens = \[1\], need 2 numbers from 0 to 4"),
    ("state_1", np.zeros((1, 2, 7), np.float32), r"rnn0: initial_h has shape \(1, 2, 7\), need \(1, 2, 3\)"),
])  # fmt: skip
def test_states_and_lengths_that_do_not_fit_are_refused_by_node(name, value, message, folder):
    model, feeds = model_of(plain_model(NodeSpec(start="input", lens="input")), folder)
    with pytest.raises(archsim.ArchsimError, match=message):
        model.run([feeds | {name: value}], policy="none")


def test_missing_threshold_is_refused(folder):
    model, feeds = model_of(plain_model(), folder)
    with pytest.raises(archsim.ArchsimError, match="threshold: policy 'bnn' needs one for rnn0"):
        model.run([feeds])


def test_operator_that_the_runtime_does_not_know_is_named(folder):
    onnx_model, feeds = build(plain_model())
    onnx_model.graph.node.insert(0, helper.make_node("Mystery", ["X"], ["odd"]))
    onnx_model.graph.node[1].input[0] = "odd"
    with pytest.raises(
        archsim.ArchsimError, match="model.onnx: nodes that give .*ONNX Runtime does not run this.*Myst"
    ):
        archsim.OnnxModel(saved(onnx_model, folder)).run([feeds], policy="none")


def test_numbers_of_other_types_are_converted_where_nothing_is_lost(folder):
    model, feeds = model_of(plain_model(NodeSpec(lens="input")), folder)
    given = {"X": feeds["X"].astype(np.float64), "lens_0": feeds["lens_0"].astype(np.int64)}
    assert_same(plain_run(model, [given]).outputs[0], plain_run(model, [feeds]).outputs[0])


def test_input_of_no_stated_type_is_refused(folder):
    onnx_model, _ = build(plain_model())
    onnx_model.graph.input[0].type.tensor_type.elem_type = 0
    with pytest.raises(archsim.ArchsimError, match="input 'X' is no tensor of a stated type"):
        archsim.OnnxModel(saved(onnx_model, folder))


@settings(max_examples=150)
@given(st.booleans(), st.integers(0, 2**20), st.integers(0, 255), st.booleans())
def test_damaged_model_runs_or_ends_in_one_message(folder, branch, place, byte, is_cut):
    """Single bytes changed, or the file cut short: no other error comes out."""
    onnx_model, feeds = build(plain_model(NodeSpec(start="input", weights="sliced"), NodeSpec(op="GRU"), branch=branch))
    data = bytearray(onnx_model.SerializeToString())
    place %= len(data)
    data[place] = byte
    path = folder / "damaged.onnx"
    path.write_bytes(data[:place] if is_cut else data)
    try:
        archsim.OnnxModel(path).run([feeds], policy="none", compare=False)
    except archsim.ArchsimError as error:
        assert "\n" not in str(error)


def test_local_functions_are_looked_into(folder):
    onnx_model, feeds = build(plain_model(NodeSpec(uses=(False,) * 3)))
    expected = runtime_outputs(onnx_model, feeds)
    weights = [tensor.name for tensor in onnx_model.graph.initializer]
    output = onnx_model.graph.output[0].name
    function = helper.make_function(
        "mine", "Body", ["X", *weights], [output], list(onnx_model.graph.node), onnx_model.opset_import
    )
    del onnx_model.graph.node[:]
    onnx_model.graph.node.append(helper.make_node("Body", ["X", *weights], [output], domain="mine"))
    onnx_model.opset_import.append(helper.make_opsetid("mine", 1))
    onnx_model.functions.append(function)
    assert_same(plain_run(archsim.OnnxModel(saved(onnx_model, folder)), [feeds]).outputs[0], expected)
