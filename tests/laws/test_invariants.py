"""Invariants of SEMANTICS 4."""

from collections import Counter

import numpy as np
import pytest
from harness import arch_with, make_network, make_trace, replayed
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.config.arch import ArchSpec
from archsim.config.precision import PRECISIONS
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2
from archsim.engine.trace_events import ActionDone, TransferDone
from archsim.inference.run import run_inference
from archsim.policies import BinaryPolicy, NoReuse, policy_from
from archsim.sim.accelerator import simulate_activity
from archsim.sim.items import PassSegment
from archsim.sim.listeners.counters import BytesMoved, UnitTimes

CELLS = st.sampled_from([
    "lstm", "gru", "rnn", "rnn-relu", "lstm-peepholes", "gru-hard-sigmoid-fifth", "gru-reset-before",
])  # fmt: skip

FORMATS = st.sampled_from(["fp16", "int8", "int4"])


def activity_of(network, trace, policy="bnn", theta=0.5):
    return run_inference(network, trace, policy_from(policy), theta, keep_outputs=False).activity


class NeverReuse(BinaryPolicy):
    """Predictor that has all its hardware and never reuses a memoized value."""

    name = "never"
    needs_threshold = False

    def begin(self, context):
        return NoReuse().begin(context)


class Tally:
    """Listener that keeps every trace event, spans included."""

    wants_spans = True

    def __init__(self):
        self.counts, self.events = Counter(), []

    def __call__(self, event):
        self.events.append(event)
        if isinstance(event, ActionDone):
            self.counts[event.component, event.action] += event.count


@settings(max_examples=25)
@given(
    CELLS, st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 8), min_size=1, max_size=4), st.floats(0, 3)
)
def test_reused_plus_evaluated_equals_all_neurons(cell, inputs, units, lengths, theta):
    """G·H·T per pass, in the record and in the actions that the machine counted."""
    network = make_network(cell, inputs=inputs, units=units, bidirectional=True)
    activity = activity_of(network, make_trace(network, lengths), theta=theta)
    tally = Tally()
    simulate_activity(network, activity, ArchSpec(), listeners=[tally])
    evaluated = tally.counts["dpu", "mac"] // (inputs + units)
    assert evaluated + activity.neurons_reused() == activity.neurons_total
    assert activity.neurons_total == sum(lengths) * 2 * units * network.layers[0].cell.n_gates
    assert tally.counts["fmu", "compare"] == activity.neurons_total


def test_energy_breakdown_sums_to_the_total(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5)
    r = result.record
    parts = [r[f"energy_{part}_j"] for part in ("scratchpad", "operations", "dram", "memo", "static")]
    assert sum(parts) == pytest.approx(r["energy_j"], rel=1e-12)
    assert result.energy["joules"].sum() == pytest.approx(r["energy_j"], rel=1e-12)
    assert (result.energy["count"] * result.energy["pj_each"] * 1e-12).sum() == pytest.approx(r["energy_j"], rel=1e-12)


@settings(max_examples=40)
@given(
    CELLS, st.integers(1, 40), st.integers(1, 30), st.lists(st.integers(1, 6), min_size=1, max_size=3), st.floats(0, 3),
    FORMATS,
)  # fmt: skip
def test_cycles_respect_compute_and_memory_rooflines(cell, inputs, units, lengths, theta, precision):
    """Neither multiply-adds nor memory traffic exceed the hardware's peak rates."""
    network = make_network(cell, inputs=inputs, units=units)
    arch = ArchSpec().at_precision(precision)
    result = replayed(network, make_trace(network, lengths), arch, theta=theta)
    tally = {(row.component, row.action): row.count for row in result.simulated.energy}
    macs_per_cycle = arch.computation_units * arch.dpu.lanes
    assert result.record["cycles"] >= tally.get(("dpu", "mac"), 0) / macs_per_cycle
    assert result.record["time_s"] >= result.record["dram_bytes"] / arch.dram.peak_bytes_per_s


@settings(max_examples=40)
@given(CELLS, st.lists(st.integers(1, 9), min_size=1, max_size=4), st.sampled_from([64, 1 << 20]), FORMATS)
def test_dram_bytes_requested_equal_bytes_served(cell, lengths, capacity, precision):
    """Weights, inputs and outputs move once; the spill of layers that outgrow intermediate memory moves twice."""
    network = make_network(cell, inputs=6, units=5, layers=2, bidirectional=True)
    trace = make_trace(network, lengths)
    activity = activity_of(network, trace)
    tally, moved = Tally(), BytesMoved()
    arch = arch_with(intermediate_memory__capacity_bytes=capacity).at_precision(precision)
    simulate_activity(network, activity, arch, listeners=[tally, moved])
    numbers = PRECISIONS[precision]
    weights = sum(PassSegment(s, numbers=numbers).row_bytes * s.neurons_per_step for s in activity.shapes)
    ends = sum(t * numbers.input_bytes(6 + 10) for t in lengths)
    spill = sum(max(0, t * numbers.input_bytes(i + 10) - capacity) for t in lengths for i in (6, 10))
    assert moved.n_bytes == weights + ends + 2 * spill
    transfers = [event for event in tally.events if isinstance(event, TransferDone)]
    for action, write in (("read", False), ("write", True)):
        ours = [event.n_bytes for event in transfers if event.write == write]
        served = tally.counts["dram", action] * arch.dram.burst_bytes
        assert sum(ours) <= served <= sum(ours) + len(ours) * 2 * (arch.dram.burst_bytes - 1)


def test_power_state_cycles_of_a_channel_add_up_to_the_run(tiny_lstm, tiny_trace):
    """Cycles active or powered down, with rows open or closed, cover the time up to the last access."""
    tally, arch = Tally(), arch_with(dram__channels=2)
    run = simulate_activity(tiny_lstm, activity_of(tiny_lstm, tiny_trace), arch, listeners=[tally])
    cycles = sum(tally.counts["dram", s] for s in ("active_standby", "open_power_down", "closed_power_down"))
    assert 0 <= cycles - 2 * (run.time_ps // arch.dram.clock_period_ps) <= 2 * arch.dram.trfc_cycles + 200


def fetched_weights(network, activity, arch):
    tally = Tally()
    simulate_activity(network, activity, arch, listeners=[tally])
    return sum(f.n_bytes for f in tally.events if isinstance(f, TransferDone) and f.what.startswith("weights"))


def test_weights_that_do_not_fit_are_fetched_per_sequence(tiny_lstm, tiny_trace):
    """Two passes of 72 and two of 96 bytes per unit: two fit at a time, so each sequence fetches all four."""
    activity = activity_of(tiny_lstm, tiny_trace)
    weights = {
        capacity: fetched_weights(tiny_lstm, activity, arch_with(weight_buffer__capacity_bytes=capacity))
        for capacity in (200, 280, 1 << 20)
    }
    assert weights[1 << 20] == 4 * (2 * 72 + 2 * 96)
    assert weights[200] == len(tiny_trace) * weights[1 << 20]
    assert weights[1 << 20] < weights[280] < weights[200]  # three of four fit: some stay


def test_worked_time_equals_work_times_rate(tiny_lstm, tiny_trace):
    """In detail `neuron` an FMU works c_f cycles per neuron and the MU II_m cycles per unit."""
    activity, use = activity_of(tiny_lstm, tiny_trace), UnitTimes()
    simulate_activity(tiny_lstm, activity, ArchSpec(), detail="neuron", listeners=[use])
    units_updated = sum(len(x) for x in tiny_trace.sequences) * 4 * len(activity.shapes)
    period_ps = ArchSpec().clock_period_ps
    assert use.worked_ps["MU"] == units_updated * period_ps
    assert all(use.worked_ps[f"CU{k}.FMU"] == units_updated * period_ps for k in range(4))


@pytest.mark.parametrize("detail", ["block", "neuron"])
@pytest.mark.parametrize("capacity", [1 << 21, 60])
def test_work_and_waits_of_a_unit_fit_in_the_run(tiny_lstm, tiny_trace, detail, capacity):
    """No unit has more time than there is."""
    use, arch = UnitTimes(), arch_with(weight_buffer__capacity_bytes=capacity)
    activity = activity_of(tiny_lstm, tiny_trace)
    run = simulate_activity(tiny_lstm, activity, arch, detail=detail, listeners=[use])
    assert use.worked_ps
    for unit in use.worked_ps:
        waited_ps = sum(time_ps for (waiter, _), time_ps in use.waited_ps.items() if waiter == unit)
        assert 0 < use.worked_ps[unit] + waited_ps <= run.time_ps, unit


def test_wider_lanes_or_ports_keep_weight_read_energy():
    """More lanes or wider ports read the same bits, so the energy of weight reads stays."""
    network = make_network("lstm", inputs=64, units=64)
    trace = make_trace(network, (5,))
    energies = []
    for fields in ({}, {"dpu__lanes": 64}, {"weight_buffer__port_bytes": 64}):
        result = archsim.simulate(network, trace, arch_with(**fields), policy="none")
        energies.append(result.energy.query("component == 'weight_buffer' and action == 'read'")["joules"].sum())
    assert energies == pytest.approx([energies[0]] * 3)


def test_doubled_width_doubles_unit_area():
    technology = load_technology("28nm-lstp")
    plain = area_mm2(ArchSpec(), technology)
    assert area_mm2(arch_with(dpu__lanes=32), technology)["dpu"] == 2 * plain["dpu"]
    assert area_mm2(arch_with(fmu__width_bits=4096), technology)["fmu"] == 2 * plain["fmu"]


def assert_same_decisions(one, other):
    for pass_key, passes in one.bits.items():
        assert [bits.tobytes() for bits in passes] == [bits.tobytes() for bits in other.bits[pass_key]]


def test_threads_batches_and_chunks_leave_bytes_unchanged(tiny_lstm, monkeypatch):
    """SEMANTICS 4: the bytes are the same, however the work is divided."""
    trace = make_trace(tiny_lstm, (9, 30, 2, 17, 30, 1))
    plain = run_inference(tiny_lstm, trace, policy_from("bnn"), 0.5, threads=1)
    monkeypatch.setattr("archsim.inference.batching.MAX_BATCH", 2)
    monkeypatch.setattr("archsim.inference.recurrent_pass.CHUNK_ROWS", 8)
    cut = run_inference(tiny_lstm, trace, policy_from("bnn"), 0.5, threads=4)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(plain.outputs, cut.outputs, strict=True))
    assert_same_decisions(plain.activity, cut.activity)


def test_decisions_do_not_depend_on_the_architecture(tiny_lstm, tiny_trace):
    plain = archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5)
    other = archsim.simulate(tiny_lstm, tiny_trace, arch_with(fmu__latency_cycles=9, dpu__lanes=4), threshold=0.5)
    assert_same_decisions(plain.activity, other.activity)
    assert plain.record["cycles"] != other.record["cycles"]


@pytest.mark.parametrize("detail", ["block", "neuron"])
def test_attached_listener_changes_no_time(tiny_lstm, tiny_trace, detail):
    activity = activity_of(tiny_lstm, tiny_trace)
    alone = simulate_activity(tiny_lstm, activity, ArchSpec(), detail=detail)
    tally = Tally()
    assert simulate_activity(tiny_lstm, activity, ArchSpec(), detail=detail, listeners=[tally]) == alone
    assert tally.events


def test_same_inputs_give_the_same_bytes(tiny_lstm, tiny_trace):
    first, second = (archsim.simulate(tiny_lstm, tiny_trace, threshold=0.5) for _ in range(2))
    assert {**first.record, "wall_s": 0} == {**second.record, "wall_s": 0}
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first.outputs, second.outputs, strict=True))


def test_sequence_gives_the_same_bits_alone_and_in_a_batch(tiny_lstm):
    trace = make_trace(tiny_lstm, (3, 8, 8, 2, 5))
    together = archsim.simulate(tiny_lstm, trace, threshold=0.5)
    for i, x in enumerate(trace.sequences):
        alone = archsim.simulate(tiny_lstm, archsim.Trace.from_arrays([x]), threshold=0.5)
        assert alone.outputs[0].tobytes() == together.outputs[i].tobytes()
        for layer in (0, 1):
            for direction in (0, 1):
                np.testing.assert_array_equal(
                    alone.activity.reused(0, layer, direction), together.activity.reused(i, layer, direction)
                )


def test_too_small_buffers_are_refused_with_field_and_need(tiny_lstm, tiny_trace):
    """The refusal comes before anything runs and names the field, the need and what there is."""
    for field, message in {
        "weight_buffer__capacity_bytes": r"needs weight_buffer.capacity_bytes >= \d+ bytes, the machine has 3",
        "input_buffer__capacity_bytes": "needs input_buffer.capacity_bytes >= 18 bytes",
        "fmu__memo_buffer_bytes": "needs fmu.memo_buffer_bytes >= 32 bytes",
        "computation_units": "needs computation_units >= 4 units",
    }.items():
        with pytest.raises(archsim.ArchsimError, match=message):
            archsim.simulate(tiny_lstm, tiny_trace, arch_with(**{field: 3}), threshold=0.5, on_progress=pytest.fail)


def test_reuse_without_fmu_is_refused(tiny_lstm, tiny_trace):
    without = ArchSpec().without_memo()
    with pytest.raises(archsim.ArchsimError, match="has no fmu, which policy 'bnn' needs"):
        archsim.simulate(tiny_lstm, tiny_trace, without, threshold=0.5)
    with pytest.raises(archsim.ArchsimError, match="has no fmu, but the activity record reuses"):
        simulate_activity(tiny_lstm, activity_of(tiny_lstm, tiny_trace), without)
    assert archsim.simulate(tiny_lstm, tiny_trace, without, "none").record["speedup"] == 1.0


@settings(max_examples=40)
@given(
    CELLS,
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from(["28nm-lstp", "28nm-mixed", "28nm-hp"]),
    st.sampled_from(["step", "mwl"]),
    st.sampled_from([1 << 21, 1 << 11]),
    st.sampled_from([64, 256, 2048]),
    st.integers(1, 4),
)
def test_fmu_that_never_reuses_saves_neither_time_nor_energy(
    cell, inputs, units, technology, dataflow, capacity, width, planes
):
    """Equally on any device type, dataflow and organisation of the sign banks."""
    network = make_network(cell, inputs=inputs, units=units, layers=2)
    arch = arch_with(
        technology=technology, dataflow=dataflow, weight_buffer__capacity_bytes=max(capacity, 6 * (inputs + units)),
        fmu__sign_bank_width_bits=width, fmu__planes=planes,
    )  # fmt: skip
    record = archsim.simulate(network, make_trace(network, (4, 3)), arch, NeverReuse()).record
    assert record["neurons_reused"] == 0
    assert record["speedup"] <= 1 and record["energy_saving"] < 0


@settings(max_examples=40)
@given(
    CELLS,
    st.integers(1, 40),
    st.integers(1, 30),
    st.sampled_from(["28nm-lstp", "28nm-mixed", "28nm-hp"]),
    st.sampled_from(["step", "mwl"]),
    st.integers(1, 4),
    FORMATS,
)
def test_fmu_that_never_reuses_saves_nothing_in_any_number_format(
    cell, inputs, units, technology, dataflow, planes, precision
):
    network = make_network(cell, inputs=inputs, units=units, layers=2)
    arch = arch_with(technology=technology, dataflow=dataflow, fmu__planes=planes).at_precision(precision)
    record = replayed(network, make_trace(network, (4, 3)), arch, NeverReuse(), None).record
    assert record["neurons_reused"] == 0
    assert record["speedup"] <= 1 and record["energy_saving"] < 0


def test_oracle_without_reuse_saves_no_energy():
    """A GRU of 256 units at θ = 0 once saved 1.4 % by cheaper reads of a split weight buffer."""
    network = make_network("gru", inputs=64, units=256)
    rng = np.random.default_rng(0)
    noise = archsim.Trace.from_arrays([rng.standard_normal((12, 64))])
    for technology in ("28nm-lstp", "28nm-mixed", "28nm-hp"):
        record = archsim.simulate(network, noise, arch_with(technology=technology), "oracle", 0.0).record
        assert record["neurons_reused"] == 0
        assert record["energy_saving"] < 0
