"""Policies that go by columns: what they compute, when, and at what cost; against loops and against figures by hand."""

import json

import numpy as np
import pytest
from harness import arch_with, make_network, make_tokens, make_trace, make_translator
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2, parts_of
from archsim.inference.run import run_inference
from archsim.kernels.pipeline.columns import ColumnTimes, time_columns
from archsim.policies import POLICIES, DeltaPolicy, policy_from
from archsim.sim.accelerator import simulate_activity
from archsim.sim.items import PassPart
from archsim.sim.step_times import column_times

COLUMN_POLICIES = ["delta", "input-similarity"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_pass(layer, direction, inputs, theta, policy):
    """A delta network by loops, in float64: inputs (T, I) to outputs (T, H) and skips (T, N)."""
    H, G, v_hat = layer.hidden_size, layer.cell.n_gates, np.zeros(layer.joint_size, np.float32)
    weights = np.hstack([direction.weight_ih, direction.weight_hh]).astype(float)
    of_x, of_h = np.zeros(G * H), np.zeros(G * H)
    h, c, outputs, skips = np.zeros(H, np.float32), np.zeros(H), [], []
    for t, x in enumerate(inputs[::-1] if direction.reverse else inputs):
        v = np.concatenate([x, h]).astype(np.float32)
        if policy == "input-similarity" and theta:
            v = np.rint(v / np.float32(theta)) * np.float32(theta)
        still = np.abs(v - v_hat) <= np.float32(theta) if policy == "delta" else v == v_hat
        skips.append(still if t else np.zeros_like(still))
        for i in np.flatnonzero(~skips[-1]):
            products = weights[:, i] * float(v[i] - v_hat[i])
            of_x, of_h = (of_x + products, of_h) if i < layer.input_size else (of_x, of_h + products)
            v_hat[i] = v[i]
        a, b = of_x + direction.bias_ih, of_h + direction.bias_hh
        if layer.cell.name == "lstm":
            i_, f, g, o = (a + b).reshape(4, H)
            c = sigmoid(f) * c + sigmoid(i_) * np.tanh(g)
            h = (sigmoid(o) * np.tanh(c)).astype(np.float32)
        else:
            (r, z, n), (_, _, n_h) = (a + b).reshape(3, H), b.reshape(3, H)
            z = sigmoid(z)
            n = np.tanh(a[2 * H :] + sigmoid(r) * n_h)
            h = ((1 - z) * n + z * h).astype(np.float32)
        outputs.append(h)
    return np.array(outputs[::-1] if direction.reverse else outputs), np.array(skips)


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("theta", [0.0, 0.07, 0.3])
def test_it_is_the_delta_network_of_the_paper(cell, theta, policy):
    """Skips bit by bit and outputs to 1e-5, both directions, against loops."""
    network = make_network(cell, inputs=5, units=6, bidirectional=True)
    trace = make_trace(network, [12, 7])
    found = run_inference(network, trace, policy_from(policy), theta, precision="fp32")
    for sequence, frames in enumerate(trace.sequences):
        sides = [naive_pass(network.layers[0], d, frames, theta, policy) for d in network.layers[0].directions]
        for d, (_, skips) in enumerate(sides):
            np.testing.assert_array_equal(found.activity.skipped(sequence, 0, d), skips)
        np.testing.assert_allclose(found.outputs[sequence], np.hstack([o for o, _ in sides]), atol=1e-5)
    assert (found.activity.avoided_fraction > 0.05) == (theta > 0)


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_without_patience_it_is_the_dense_network(cell, policy):
    """θ = 0 skips only what did not change: the answer of no reuse, to 1e-5 in fp32 over 50 steps.

    A sum in float32 is rounded at each change: after 1000 steps of a random walk that is some 1e-4.
    """
    network = make_network(cell, inputs=20, units=30, layers=2, bidirectional=True)
    frames = make_trace(network, [1000]).sequences[0].round(1)
    trace = archsim.Trace.from_arrays([frames, frames[:50]])
    found, dense = (
        run_inference(network, trace, policy_from(name), 0.0, precision="fp32") for name in (policy, "none")
    )
    for ours, theirs, tolerance in zip(found.outputs, dense.outputs, (1e-3, 1e-5), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)


def test_a_still_input_is_skipped_for_ever():
    network = make_network("lstm", inputs=4, units=3)
    trace = archsim.Trace.from_arrays([np.full((40, 4), 0.5, np.float32)])
    for name in COLUMN_POLICIES:
        skipped = run_inference(network, trace, policy_from(name), 0.0).activity.skipped(0, 0, 0)
        assert not skipped[0].any() and skipped[1:, :4].all()


@pytest.mark.parametrize("policy", COLUMN_POLICIES)
def test_answers_depend_on_neither_company_nor_threads(policy):
    network = make_network("gru", inputs=9, units=11, layers=2)
    trace = make_trace(network, [9, 4, 9, 1, 6])
    together = run_inference(network, trace, policy_from(policy), 0.1, threads=1)
    for threads in (2, 5):
        apart = run_inference(network, trace, policy_from(policy), 0.1, threads=threads)
        for ours, theirs in zip(together.outputs, apart.outputs, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_translator_decodes_with_columns():
    network = make_translator(width=6, units=5, depth=2)
    trace = make_tokens(network, [4, 2])
    dense, still = (run_inference(network, trace, policy_from(p), 0.0, precision="fp32") for p in ("none", "delta"))
    for ours, theirs in zip(still.outputs, dense.outputs, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    moved = archsim.simulate(network, trace, policy="delta", threshold=0.2)
    assert 0 < moved.record["macs_avoided_fraction"] < 1


def test_a_quantiser_finer_than_float32_leaves_values_alone():
    network = make_network("lstm", inputs=4, units=3)
    trace = make_trace(network, [5])
    fine, none = (run_inference(network, trace, policy_from("input-similarity"), t) for t in (1e-40, 0.0))
    np.testing.assert_array_equal(fine.outputs[0], none.outputs[0])


def ends(skipped, n_units=32, arch=None):
    """S_{t+1} of skips (T, N) on a machine."""
    skipped = np.atleast_2d(np.asarray(skipped, np.bool_))
    arch = (arch or ArchSpec()).by_columns()
    times = column_times(arch, arch.delta, PassPart(PassShape(0, 0, 4, n_units, skipped.shape[1])))
    return time_columns(np.packbits(skipped, axis=1), skipped.shape[1], n_units, times).step_ends.tolist()


def test_one_column_pinned():
    """32 inputs: found in cycle 0, known at 3, added by 5, ready at 13, 32 updates by 44, + 20 + 1."""
    assert ends([[0] + [1] * 31]) == [3 + 2 + 8 + 31 + 20 + 1]


def test_no_column_still_updates_all_cells():
    """Two groups: the last is scanned in cycle 1, known to be empty at 4."""
    assert ends([[1] * 32]) == [1 + 3 + 31 + 20 + 1]


def test_the_last_group_is_waited_for():
    """A first column alone is through at 13; of 400 inputs the last group is known at 24 + 3."""
    assert ends([[0] + [1] * 399]) == [27 + 31 + 20 + 1]


def test_all_columns_keep_the_dot_product_unit_busy():
    """20 columns of two cycles from cycle 3 on."""
    assert ends([[0] * 20]) == [3 + 20 * 2 + 8 + 31 + 20 + 1]


def test_a_queue_of_one_holds_the_scan_back():
    """Each column gets its place when the one before is taken: known 3 cycles later."""
    assert ends([[0] * 5], arch=arch_with(delta__queue_places=1)) == [3 * 5 + 2 + 8 + 31 + 20 + 1]


def naive_ends(skipped, n_units, times):
    """The formulas at the top of the kernel, by dictionaries."""
    start, found = 0, []
    for row in skipped:
        s, p, a, free, order = {}, {}, {}, {}, np.flatnonzero(~row).tolist()
        last_of = {}
        for j, i in enumerate(order):
            last_of[i // times.width] = j
        for g in range(-(-row.size // times.width)):
            s[g] = 0 if g == 0 else max(s[g - 1], p[last_of[g - 1]] if g - 1 in last_of else 0) + 1
            for j, i in enumerate(order):
                if i // times.width == g:
                    credit = a[j - times.queue_places] if j >= times.queue_places else 0
                    p[j] = max(s[g], p[j - 1] if j else 0, credit)
                    a[j] = max(p[j] + times.latency_cycles, free[j - 1] if j else 0)
                    free[j] = a[j] + times.column_cycles
        no_more = max(s[g], p[len(order) - 1] if order else 0) + times.latency_cycles
        ready = max(no_more, free[len(order) - 1] + times.dot_pipeline_cycles if order else 0)
        start += ready + (n_units - 1) * times.update_interval_cycles
        start += times.update_pipeline_cycles + times.writeback_cycles
        found.append(start)
    return found


small = st.integers(1, 6)


@given(
    st.builds(ColumnTimes, small, small, small, small, *[st.integers(0, 9)] * 4), small, st.integers(1, 40),
    st.integers(1, 3), st.randoms(use_true_random=False),
)  # fmt: skip
def test_kernel_is_the_recurrence(times, n_units, n_inputs, n_steps, random):
    share = random.random()
    skipped = np.array([[random.random() < share for _ in range(n_inputs)] for _ in range(n_steps)])
    found = time_columns(np.packbits(skipped, axis=1), n_inputs, n_units, times)
    assert found.step_ends.tolist() == naive_ends(skipped, n_units, times)


def counts_of(result):
    return {(row.component, row.action): row.count for row in result.timed.energy if row.bucket == "memo"} | {
        (c, a): n for (c, a), n in result.timed.counts.items() if c in ("dpu", "weight_buffer", "input_buffer")
    }


def test_actions_by_hand():
    """A GRU of 20 units over 12 inputs, two steps: all 32 columns, then those of 20 hidden values; x stands still."""
    network = make_network("gru", inputs=12, units=20)
    trace = archsim.Trace.from_arrays([np.ones((2, 12), np.float32)])
    result = archsim.simulate(network, trace, policy="delta", threshold=0.0)
    columns, gates = 32 + 20, 3
    assert result.activity.skipped(0, 0, 0).sum() == 12
    found = counts_of(result)
    assert found["dpu", "mac"] == columns * gates * 20
    assert found["weight_buffer", "read"] == columns * gates * 2
    assert found["accumulator_buffer", "write"] == columns * gates * 2
    assert found["accumulator_buffer", "read"] == columns * gates * 2 + 2 * 4 * 2  # and for the cells: four products
    assert found["delta_unit", "compare"] == 2 * gates * 32
    assert found["propagated_buffer", "read"] == 2 * gates * 2
    assert found["propagated_buffer", "write"] == (2 + 2) * gates
    assert found["input_buffer", "read"] == 2 * gates * 2
    assert result.record["macs_avoided_fraction"] == pytest.approx(12 / 64)
    assert result.activity.avoided_fraction == pytest.approx(12 / 64)


def test_joules_are_counts_times_the_table(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.1)
    technology, record = load_technology("28nm-lstp"), result.record
    memo = sum(
        n * technology.action(c, a).pj
        for (c, a), n in result.timed.counts.items()
        if c in ("delta_unit", "propagated_buffer", "accumulator_buffer")
    )
    assert record["energy_memo_j"] == pytest.approx(memo * 1e-12)
    parts = [record[f"energy_{part}_j"] for part in ("scratchpad", "operations", "dram", "memo", "static")]
    assert sum(parts) == pytest.approx(record["energy_j"], rel=1e-12)


@pytest.mark.parametrize("technology", ["28nm-lstp", "28nm-hp", "28nm-mixed"])
def test_what_a_delta_unit_adds(technology):
    """Three parts a unit, a few per cent of the baseline's area; a machine with a memoization unit has none of them."""
    arch, table = ArchSpec(), load_technology(technology)
    plain, by_columns = (area_mm2(machine, table) for machine in (arch.without_memo(), arch.by_columns()))
    assert set(by_columns) - set(plain) == {"delta_unit", "propagated_buffer", "accumulator_buffer"}
    assert 1.005 < sum(by_columns.values()) / sum(plain.values()) < 1.03
    assert not {"delta_unit", "propagated_buffer"} & set(parts_of(arch)) and parts_of(arch) == parts_of(
        arch.by_neurons()
    )
    twice = arch_with(delta__propagated_buffer_bytes=16384).by_columns()
    assert area_mm2(twice, table)["propagated_buffer"] == 2 * by_columns["propagated_buffer"]


def test_figures_that_do_not_apply_are_null(tiny_lstm, tiny_trace, tmp_path):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2)
    result.to_json(tmp_path / "r.json")
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["neurons_reused"] is None and record["reuse_fraction"] is None
    assert 0 < record["macs_avoided_fraction"] < 1 and record["neurons_total"] > 0 and record["energy_memo_j"] > 0
    assert record["baseline_cycles"] == archsim.simulate(tiny_lstm, tiny_trace, policy="none").record["cycles"]
    assert "MACs avoided 0." in repr(result)


def test_a_record_says_what_its_bits_are(tiny_lstm, tiny_trace):
    columns, neurons = (
        archsim.simulate(tiny_lstm, tiny_trace, policy=p, threshold=0.2).activity for p in ("delta", "bnn")
    )
    assert columns.skipped(2, 1, 0).shape == (9, 8 + 4) and columns.neurons_reused() is None
    with pytest.raises(archsim.ArchsimError, match=r"record is of columns, not of neurons: use skipped\(\)"):
        columns.reused(0, 0, 0)
    with pytest.raises(archsim.ArchsimError, match=r"record is of neurons, not of columns: use reused\(\)"):
        neurons.skipped(0, 0, 0)
    assert neurons.avoided_fraction == neurons.neurons_reused() / neurons.neurons_total


def test_a_baseline_serves_policies_of_both_kinds(tiny_lstm, tiny_trace):
    first = archsim.simulate(tiny_lstm, tiny_trace, policy="bnn", threshold=0.2)
    shared = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2, baseline=first.baseline)
    own = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2)
    assert {**shared.record, "wall_s": 0} == {**own.record, "wall_s": 0}


def test_only_column_policies_see_the_delta_unit(tiny_lstm, tiny_trace):
    """Whoever has none is the same run, whatever the unit would be."""

    def digest(policy, width):
        arch = arch_with(delta__width=width)
        return archsim.simulate(tiny_lstm, tiny_trace, arch, policy, threshold=0.2).record["digest"]

    assert digest("bnn", 8) == digest("bnn", 16) and digest("none", 8) == digest("none", 16)
    assert digest("delta", 8) != digest("delta", 16)


def test_thresholds_are_per_layer_not_per_gate(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=[0.0, 1e9])
    assert result.activity.skipped(2, 1, 0)[1:].all() and not result.activity.skipped(2, 0, 0).all()
    with pytest.raises(archsim.ArchsimError, match="threshold = '0.3': need a number"):
        archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold="0.3")
    with pytest.raises(archsim.ArchsimError, match="policy 'delta' skips columns, which all gates of a layer share"):
        archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=[[0.1] * 4, 0.2])


@pytest.mark.parametrize("fields, message", [
    ({"dataflow": "mwl"}, "dataflow = 'mwl': columns are skipped with 'step' only"),
    ({"weight_buffer__banks": 1}, "weight_buffer.banks = 1: columns are skipped with two banks or more"),
    ({"weight_buffer__capacity_bytes": 90}, r"needs weight_buffer.capacity_bytes >= 96 bytes, the machine has 90"),
    ({"delta__propagated_buffer_bytes": 10}, "needs delta.propagated_buffer_bytes >= 18 bytes"),
    ({"delta__accumulator_buffer_bytes": 15}, "needs delta.accumulator_buffer_bytes >= 16 bytes"),
    ({"delta": False}, "has no delta, which policy 'delta' needs: use policy none"),
])  # fmt: skip
def test_machines_that_cannot_are_refused(fields, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, arch_with(**fields), "delta", threshold=0.2)


def test_both_products_of_a_candidate_need_their_sums():
    network = make_network("gru", inputs=3, units=5)
    with pytest.raises(archsim.ArchsimError, match="needs delta.accumulator_buffer_bytes >= 40 bytes"):
        arch = arch_with(delta__accumulator_buffer_bytes=39)
        archsim.simulate(network, make_trace(network, [2]), arch, "delta", threshold=0.2)


def test_columns_need_a_delta_unit_in_the_place_of_the_fmu(tiny_lstm, tiny_trace):
    activity = run_inference(tiny_lstm, tiny_trace, DeltaPolicy(), 0.2).activity
    for machine in (ArchSpec(), ArchSpec().without_memo()):
        with pytest.raises(archsim.ArchsimError, match="skipped by a delta unit, in the place of the fmu"):
            simulate_activity(tiny_lstm, activity, machine)


class Wrong(DeltaPolicy):
    """A column policy that breaks its contract in a given way."""

    needs_threshold = False

    def __init__(self, name, decide=None, represent=lambda v: v, uses_memo_unit=False):
        self.name, self.decide, self.represent, self.uses_memo_unit = name, decide, represent, uses_memo_unit

    def begin(self, context):
        return self if self.decide else None


@pytest.mark.parametrize("policy, message", [
    (Wrong("idle"), "'idle' began a pass with None: need an object with represent"),
    (Wrong("narrow", lambda s: np.zeros((1, 1), bool)), "'narrow' decided .* need bool of shape"),
    (Wrong("both", uses_memo_unit=True), "has by_columns and uses_memo_unit"),
    (Wrong("eager", lambda s: np.ones(s.values.shape, bool)), "'eager' skips columns at step 0"),
    (Wrong("wide", lambda s: None, lambda v: v.astype(float)), "'wide' represents inputs not as float32"),
])  # fmt: skip
def test_a_column_policy_that_breaks_its_contract_is_refused(policy, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, policy=policy)


def test_a_user_adds_a_column_policy(tiny_lstm, tiny_trace, monkeypatch):
    monkeypatch.setattr(POLICIES, "_items", dict(POLICIES._items))

    class Hourly:
        """Everything enters on even steps, nothing on odd ones."""

        name, needs_threshold, uses_memo_unit, by_columns = "hourly", False, False, True

        def begin(self, context):
            return self

        def represent(self, inputs):
            return inputs

        def decide(self, step):
            return np.full(step.values.shape, step.index % 2 == 1)

    archsim.register_policy(Hourly)
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="hourly")
    skipped = result.activity.skipped(2, 0, 1)
    assert skipped[1::2].all() and not skipped[::2].any()


def test_timeline_shows_the_delta_unit_in_both_details(tiny_lstm, tiny_trace, tmp_path):
    for detail in ("block", "neuron"):
        result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2, detail=detail)
        result.timeline(tmp_path / "t.json")
        events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        named = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
        assert {"CU0.delta", "CU3.DPU", "MU"} <= named
        assert any(event["name"] == "columns skipped" for event in events)
        assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 4), st.randoms(use_true_random=False))
def test_one_more_skip_is_never_slower(n_units, n_inputs, places, random):
    skipped = np.array([random.random() < 0.5 for _ in range(n_inputs)])
    more = skipped.copy()
    more[random.randrange(n_inputs)] = True
    arch = arch_with(delta__queue_places=places)
    assert ends([more], n_units, arch) <= ends([skipped], n_units, arch)


@settings(max_examples=25)
@given(
    st.sampled_from(["lstm", "gru"]), st.integers(1, 40), st.integers(1, 30),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from(COLUMN_POLICIES), st.floats(0, 1),
)  # fmt: skip
def test_cycles_respect_both_rooflines(cell, inputs, units, lengths, policy, theta):
    """And every product asked for is either made or avoided, in the record and in what the machine counted."""
    network = make_network(cell, inputs=inputs, units=units)
    result, arch = archsim.simulate(network, make_trace(network, lengths), policy=policy, threshold=theta), ArchSpec()
    record, macs = result.record, result.timed.count("dpu", "mac")
    assert record["cycles"] >= macs / (arch.computation_units * arch.dpu.lanes)
    assert record["time_s"] >= record["dram_bytes"] / arch.dram.peak_bytes_per_s
    assert macs == pytest.approx((1 - result.activity.avoided_fraction) * record["macs_total"])
    assert (
        record["dram_bytes"]
        == archsim.simulate(network, make_trace(network, lengths), policy="none").record["dram_bytes"]
    )
