"""The precisions int8 and int4 against SEMANTICS written out naively, against other runtimes, and their laws."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from harness import COLUMN_POLICIES, make_network, make_tokens, make_trace, make_translator
from harness_integers import naive_run
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.calibration import with_missing_scales
from archsim.cli.main import archsim as command_line
from archsim.errors import ConfigError
from archsim.inference.batch_runner import Keep
from archsim.inference.measure import measure_ranges, ranged
from archsim.inference.precision import level_spacing, quantised_rows
from archsim.inference.run import run_inference, run_workload
from archsim.inference.workload import Workload
from archsim.ir.network import Scales
from archsim.ir.saving import save_network
from archsim.policies import NoReuse, policy_from

CELLS = ["lstm", "gru", "gru-reset-before", "rnn", "rnn-relu", "lstm-peepholes", "lstm-hard-sigmoid-fifth"]
INTEGERS = ["int8", "int4"]


def run(network, trace, policy="none", theta=0.0, precision="int8", **options):
    return run_inference(network, trace, policy_from(policy), theta, precision=precision, **options)


def same(network, trace, precision, policy, theta):
    """Check outputs, last c and decisions against the naive program, bit by bit."""
    network = ranged(network, trace, precision)
    workload = Workload(network, trace, precision=precision)
    result = run_workload(workload, policy_from(policy), theta, keep=Keep(ends=True))
    for sequence, frames in enumerate(trace.sequences):
        outputs, passes = naive_run(network, frames, precision, policy, theta)
        np.testing.assert_array_equal(result.outputs[sequence].view(np.int32), outputs.view(np.int32))
        for place, naive in passes.items():
            packed = np.packbits(naive.decisions, axis=1)
            np.testing.assert_array_equal(result.activity.bits[place][sequence], packed)
            np.testing.assert_array_equal(result.ends[place].c[sequence], naive.c)


class Recording(NoReuse):
    """Policy that reuses nothing and keeps what a plug-in sees, by pass."""

    name = "recording"

    def __init__(self):
        self.steps = defaultdict(list)

    def begin(self, context):
        return RecordingPass(self.steps[context.pass_key])


class RecordingPass:
    def __init__(self, steps):
        self.steps = steps

    def decide(self, step):
        seen = step.products, step.memo_products, step.x, step.h
        self.steps.append([array[0].copy() for array in seen])
        return np.zeros(step.shape, np.bool_)


@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_plug_in_sees_products_memo_and_values_of_the_naive_program(cell, precision):
    """h has so few bits that outputs alone would hide how products and memo are rounded."""
    network = make_network(cell, inputs=9, units=6, layers=2)
    trace = make_trace(network, [7])
    network, policy = ranged(network, trace, precision), Recording()
    run_inference(network, trace, policy, precision=precision)
    outputs, passes = naive_run(network, trace.sequences[0], precision)
    for place, naive in passes.items():
        products, memo, x, h = (np.array(arrays) for arrays in zip(*policy.steps[place], strict=True))
        np.testing.assert_array_equal(products, naive.products)
        np.testing.assert_array_equal(memo[1:], products[:-1].astype(np.float16).astype(np.float32))
        for values, spacing in ((x, naive.s_x), (h, naive.s_h)):
            np.testing.assert_array_equal(values, np.rint(values / spacing).astype(np.float32) * spacing)
    assert (policy.steps[1, 0][-1][3] == outputs[-2]).all()


@pytest.mark.parametrize("precision", INTEGERS)
@pytest.mark.parametrize(
    "policy, theta",
    [
        *[("none", 0.0), ("bnn", 0.5), ("bnn:centre=on", 0.5), ("oracle", 0.2)],
        *[("delta", 0.1), ("delta:weighted=on", 0.2), ("input-similarity:weighted=on", 0.3)],
    ],
)
@pytest.mark.parametrize("cell", CELLS)
def test_outputs_and_decisions_equal_the_naive_program(cell, policy, theta, precision):
    if cell == "gru-reset-before" and policy.startswith(("delta", "input")):
        pytest.skip("columns are not skipped where gates read different inputs")
    network = make_network(cell, inputs=5, units=4, layers=2, bidirectional=True)
    same(network, make_trace(network, [6, 1, 4, 3, 5]), precision, policy, theta)


@pytest.mark.parametrize("policy, theta", [("none", 0.0), ("bnn", 0.5), ("input-similarity", 0.2)])
@pytest.mark.parametrize("precision", INTEGERS)
def test_projected_lstm_equals_the_naive_program(policy, theta, precision):
    network = make_network("lstm", inputs=5, units=7, projection=3, layers=2)
    same(network, make_trace(network, [6, 4]), precision, policy, theta)


@settings(max_examples=25, deadline=None)
@given(
    cell=st.sampled_from(["lstm", "gru"]),
    sizes=st.tuples(st.integers(1, 70), st.integers(1, 9)),
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    theta=st.sampled_from([0.0, 0.3, 2.0]),
    policy=st.sampled_from(["bnn", "oracle", "input-similarity"]),
    largest=st.floats(0.0, 3.0, width=32),
)
def test_values_beyond_the_scale_saturate_as_in_the_naive_program(cell, sizes, lengths, theta, policy, largest):
    network = make_network(cell, inputs=sizes[0], units=sizes[1])
    network = replace(network, scales=Scales((0.5,), ((0.5,),), (largest,), ((largest / 8,),)))
    same(network, make_trace(network, lengths), "int8", policy, theta)


def test_ties_go_to_the_even_code_and_rows_of_zeros_have_spacing_one():
    codes, spacings = quantised_rows(np.array([[127, 0.5, 1.5, -2.5], [0, 0, 0, 0]], np.float32), 127)
    assert codes.tolist() == [[127, 0, 2, -2], [0, 0, 0, 0]] and spacings.tolist() == [1, 1]
    assert quantised_rows(np.array([[7, -3.5, 2.4]], np.float32), 7)[0].tolist() == [[7, -4, 2]]
    assert level_spacing(0.0) == 1 and level_spacing(127.0) == 1


@settings(max_examples=20, deadline=None)
@given(
    cell=st.sampled_from(["lstm", "gru", "gru-reset-before"]),
    policy=st.sampled_from(["bnn", "oracle", "ternary", "lowbit:bits=3,correct=on", "none"]),
    lengths=st.lists(st.integers(1, 7), min_size=2, max_size=9),
    precision=st.sampled_from(INTEGERS),
)
def test_batch_and_threads_change_no_bit(cell, policy, lengths, precision):
    network = make_network(cell, inputs=6, units=5, layers=2, bidirectional=True)
    trace = make_trace(network, lengths)
    network = ranged(network, trace, precision)
    together = run(network, trace, policy, 0.4, precision, threads=1)
    threaded = run(network, trace, policy, 0.4, precision, threads=3)
    for i in range(len(trace)):
        alone = run(network, trace.only([i]), policy, 0.4, precision).outputs[0]
        np.testing.assert_array_equal(together.outputs[i], alone)
        np.testing.assert_array_equal(threaded.outputs[i], alone)


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-relu"])
def test_columns_skipped_at_threshold_zero_change_no_bit(cell, policy):
    """Sums of integers do not drift, so what is skipped is exactly what did not change."""
    network = make_network(cell, inputs=6, units=5, layers=2)
    trace = make_trace(network, [40, 9])
    network = ranged(network, trace, "int8")
    skipping, plain = run(network, trace, policy), run(network, trace)
    assert skipping.activity.avoided_fraction > 0
    for a, b in zip(skipping.outputs, plain.outputs, strict=True):
        np.testing.assert_array_equal(a, b)


def test_decoder_runs_in_integers_and_policies_change_it():
    network = make_translator(width=9, units=5, depth=2)
    trace = make_tokens(network, [4, 1, 7])
    network = ranged(network, trace, "int8")
    plain = run(network, trace)
    for (layer, _), of_pass in plain.activity.bits.items():
        assert all(not bits.any() for bits in of_pass), layer
    spacing = level_spacing(network.scales.largest_hidden[-1][0])
    codes = np.concatenate(plain.outputs) / spacing
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-4)
    assert run(network, trace, "bnn", 1.0).activity.avoided_fraction > 0


def test_ranges_are_the_largest_magnitudes_in_fp32_the_last_step_included():
    network = make_network("gru", inputs=3, units=4, layers=2, bidirectional=True)
    trace = make_trace(network, [1, 3])
    inputs, hidden = measure_ranges(network, trace)
    done = archsim.simulate(network, trace, policy="none", precision="fp32", keep_layers=True)
    top = [np.concatenate(layer) for layer in done.layer_outputs]
    assert inputs == (float(np.abs(np.concatenate(trace.sequences)).max()), float(np.abs(top[0]).max()))
    sides = [tuple(float(np.abs(layer[:, 4 * d : 4 * d + 4]).max()) for d in (0, 1)) for layer in top]
    assert hidden == tuple(sides)
    assert archsim.measure_scales(network, trace).largest_inputs == inputs


def test_ranges_are_kept_in_the_folder_and_change_the_digest(tmp_path):
    network = replace(make_network("lstm", inputs=3, units=4), scales=None)
    trace = make_trace(network, [5, 4])
    measured = replace(network, scales=archsim.measure_scales(network, trace))
    save_network(measured, tmp_path / "net")
    again = archsim.load_network(tmp_path / "net")
    assert again.scales == measured.scales
    kept = archsim.simulate(again, trace, policy="none", precision="int8")
    own = archsim.simulate(network, trace, policy="none", precision="int8")
    assert (kept.own_ranges, own.own_ranges) == (False, True)
    assert kept.record["digest"] == own.record["digest"]  # they were measured on the same trace
    np.testing.assert_array_equal(kept.outputs[0], own.outputs[0])
    other = archsim.simulate(network, make_trace(network, [5, 4], seed=2), policy="none", precision="int8")
    wider = replace(measured, scales=replace(measured.scales, largest_inputs=(9.0,)))
    assert archsim.simulate(wider, trace, policy="none", precision="int8").record["digest"] != kept.record["digest"]
    assert other.record["digest"] != kept.record["digest"]


def test_a_policy_that_needs_scales_is_refused_where_only_ranges_could_be_measured():
    network = replace(make_network("lstm", inputs=3, units=4), scales=None)
    with pytest.raises(ConfigError, match="no scales, which policy 'ternary'"):
        archsim.simulate(network, make_trace(network, [5]), policy="ternary", threshold=0.1, precision="int8")


@pytest.mark.parametrize("policy, needs_means", [("delta:weighted=on", False), ("bnn:centre=on", True)])
def test_run_needs_means_of_calibration_data_but_measures_ranges_on_its_own(policy, needs_means):
    """Ranges of the run's own trace only store its inputs; means decide, so they have to come from other data."""
    network = make_network("lstm", inputs=3, units=4)
    trace = make_trace(network, [5, 4])
    measured = archsim.measure_scales(network, trace)
    without_means, without_ranges = (
        replace(network, scales=replace(measured, **lacking))
        for lacking in ({"means": None}, {"largest_inputs": None, "largest_hidden": None})
    )

    def record(network):
        return archsim.simulate(network, trace, policy=policy, threshold=0.2, precision="int8")

    own = record(without_ranges)
    assert own.own_ranges
    if needs_means:
        with pytest.raises(ConfigError, match="no means of inputs, which policy 'bnn:centre=on' centres them by"):
            record(without_means)
    else:
        assert not record(without_means).own_ranges
    complete = record(replace(network, scales=measured))
    assert not complete.own_ranges and complete.record["digest"] == own.record["digest"]


def test_what_a_network_lacks_of_its_measures_is_added_and_the_rest_stays():
    network = make_network("lstm", inputs=3, units=4)
    trace = make_trace(network, [5, 4])
    measured = archsim.measure_scales(network, trace)
    assert None not in vars(measured).values()
    rough = with_missing_scales(network, trace).scales
    assert (rough.inputs, rough.hidden, rough.means) == (
        network.scales.inputs,
        network.scales.hidden,
        network.scales.means,
    )
    assert (rough.largest_inputs, rough.largest_hidden) == (measured.largest_inputs, measured.largest_hidden)
    assert with_missing_scales(replace(network, scales=None), trace).scales == measured
    complete = replace(network, scales=measured)
    assert with_missing_scales(complete, trace) is complete


@pytest.mark.parametrize("precision", INTEGERS)
def test_a_run_on_prepared_passes_without_ranges_is_refused_with_advice(precision):
    network = make_network("lstm", inputs=3, units=4)
    with pytest.raises(ConfigError, match=f"no scales with the largest inputs, which precision {precision}.*measure"):
        run(network, make_trace(network, [5]), precision=precision)
    with pytest.raises(ConfigError, match="precision = 'int2': accepted: fp16, fp32, int8, int4"):
        run(network, make_trace(network, [5]), precision="int2")


def test_command_says_that_ranges_are_those_of_the_trace_until_they_are_saved(tmp_path):
    network = replace(make_network("lstm", inputs=3, units=4), scales=None)
    trace = make_trace(network, [5, 4])
    save_network(network, tmp_path / "net")
    archsim.write_trace(trace, tmp_path / "trace.npz")
    files = ["-n", str(tmp_path / "net"), "-t", str(tmp_path / "trace.npz")]
    run = ["run", *files, "--threshold", "0.4", "--precision", "int4"]
    said = "measured on trace"
    first = CliRunner().invoke(command_line, run)
    assert first.exit_code == 0 and said in " ".join(first.output.split()), first.output
    saved = CliRunner().invoke(command_line, ["calibrate", *files, "--scales-only", "--save"])
    assert saved.exit_code == 0 and "largest" in saved.output, saved.output
    scales = archsim.load_network(tmp_path / "net").scales
    assert scales == archsim.measure_scales(network, trace)
    again = CliRunner().invoke(command_line, run)
    assert again.exit_code == 0 and said not in " ".join(again.output.split()), again.output
