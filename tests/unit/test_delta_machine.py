"""Machines that skip columns: counts, energy, area, records and refusals."""

import json

import numpy as np
import pytest
from harness import COLUMN_POLICIES, arch_with, make_network, make_trace
from hypothesis import given, settings
from hypothesis import strategies as st

import archsim
from archsim.config.arch import ArchSpec
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2, parts_of
from archsim.inference.run import run_inference
from archsim.policies import DeltaPolicy, policy_from
from archsim.sim.accelerator import simulate_activity
from archsim.sim.machines import DEFAULT_MACHINE, DELTA, EPUR, MACHINES, all_machines, machine_of


def counts_of(result):
    return {(row.component, row.action): row.count for row in result.simulated.energy if row.bucket == "memo"} | {
        (c, a): n for (c, a), n in result.simulated.counts.items() if c in ("dpu", "weight_buffer", "input_buffer")
    }


def test_action_counts_of_a_gru_equal_hand_arithmetic():
    """A GRU of 20 units over 12 inputs, two steps: all 32 columns, then those of 20 hidden values; x does not change."""
    network = make_network("gru", inputs=12, units=20)
    trace = archsim.Trace.from_arrays([np.ones((2, 12), np.float32)])
    result = archsim.simulate(network, trace, policy="delta", threshold=0.0)
    columns, gates = 32 + 20, 3
    assert result.activity.skipped(0, 0, 0).sum() == 12
    counts = counts_of(result)
    assert counts["dpu", "mac"] == columns * gates * 20
    assert counts["weight_buffer", "read"] == columns * gates * 2
    assert counts["accumulator_buffer", "write"] == columns * gates * 2
    assert counts["accumulator_buffer", "read"] == columns * gates * 2 + 2 * 4 * 2  # and for the cells: four products
    assert counts["delta_unit", "compare"] == 2 * gates * 32
    assert counts["propagated_buffer", "read"] == 2 * gates * 2
    assert counts["propagated_buffer", "write"] == (2 + 2) * gates
    assert counts["input_buffer", "read"] == 2 * gates * 2
    assert result.record["macs_avoided_fraction"] == pytest.approx(12 / 64)
    assert result.activity.avoided_fraction == pytest.approx(12 / 64)


@pytest.mark.parametrize(("precision", "groups"), [("fp16", 2), ("int8", 1), ("int4", 1)])
def test_thresholds_cost_a_copy_per_pass_a_read_per_group_and_bytes_with_the_weights(precision, groups):
    """A GRU of 20 units over 12 inputs: 32 thresholds of 4 bytes per gate, for two sequences.

    A group is what the unit scans in a cycle: 16 elements of binary16, 32 of 8 bits.
    """
    network = make_network("gru", inputs=12, units=20)
    trace = archsim.Trace.from_arrays([np.ones((2, 12), np.float32), np.ones((3, 12), np.float32)])
    results = [
        archsim.simulate(network, trace, policy=p, threshold=0.0, precision=precision)
        for p in ("delta", "delta:weighted=on")
    ]
    without, having = (result.simulated.counts for result in results)
    gates, sequences, steps, filled_bytes = 3, 2, 5, 32 * 4
    assert having["threshold_buffer", "read"] == steps * gates * groups
    assert having["threshold_buffer", "write"] == sequences * gates * groups
    more = {key: having[key] - without[key] for key in having if having[key] != without.get(key, 0) and key in without}
    assert more.pop(("intermediate_memory", "read")) == sequences * gates * filled_bytes // 32
    assert more.pop(("intermediate_memory", "write")) == gates * filled_bytes // 32
    assert results[1].record["dram_bytes"] - results[0].record["dram_bytes"] == gates * filled_bytes
    assert {component for component, _ in more} <= {"dram"}
    np.testing.assert_array_equal(*(result.timing.step_end_cycles(1, 0, 0) for result in results))


@pytest.mark.parametrize("technology", ["28nm-lstp", "28nm-hp", "28nm-mixed"])
def test_thresholds_take_the_area_of_two_input_buffers_where_the_policy_needs_them(technology):
    table = load_technology(technology)
    plain, weighted = (DELTA.spec_for(ArchSpec(), policy_from(p), 100) for p in ("delta", "delta:weighted=on"))
    areas = area_mm2(weighted, table)
    assert set(areas) - set(area_mm2(plain, table)) == {"threshold_buffer"}
    assert areas["threshold_buffer"] == pytest.approx(2 * areas["input_buffer"], rel=0.01)


def test_memo_energy_is_counts_times_energy_per_action(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.1)
    technology, record = load_technology("28nm-lstp"), result.record
    memo = sum(
        n * technology.action(c, a).pj
        for (c, a), n in result.simulated.counts.items()
        if c in ("delta_unit", "propagated_buffer", "accumulator_buffer")
    )
    assert record["energy_memo_j"] == pytest.approx(memo * 1e-12)
    parts = [record[f"energy_{part}_j"] for part in ("scratchpad", "operations", "dram", "memo", "static")]
    assert sum(parts) == pytest.approx(record["energy_j"], rel=1e-12)


@pytest.mark.parametrize("technology", ["28nm-lstp", "28nm-hp", "28nm-mixed"])
def test_delta_unit_adds_three_parts_and_little_area(technology):
    """Three parts per unit are a few per cent of the baseline's area; a machine with an FMU has none of them."""
    arch, table = ArchSpec(), load_technology(technology)
    plain, by_columns = (area_mm2(machine, table) for machine in (arch.without_memo(), DELTA.spec(arch)))
    assert set(by_columns) - set(plain) == {"delta_unit", "propagated_buffer", "accumulator_buffer"}
    assert 1.005 < sum(by_columns.values()) / sum(plain.values()) < 1.03
    assert not {"delta_unit", "propagated_buffer"} & set(parts_of(arch)) and parts_of(arch) == parts_of(EPUR.spec(arch))
    twice = DELTA.spec(arch_with(delta__propagated_buffer_bytes=16384))
    assert area_mm2(twice, table)["propagated_buffer"] == 2 * by_columns["propagated_buffer"]


def test_neuron_figures_of_a_column_policy_are_null(tiny_lstm, tiny_trace, tmp_path):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2)
    result.to_json(tmp_path / "r.json")
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["neurons_reused"] is None and record["reuse_fraction"] is None
    assert 0 < record["macs_avoided_fraction"] < 1 and record["neurons_total"] > 0 and record["energy_memo_j"] > 0
    assert record["baseline_cycles"] == archsim.simulate(tiny_lstm, tiny_trace, policy="none").record["cycles"]
    assert "MACs avoided 0." in repr(result)


def test_record_of_columns_refuses_neuron_queries_and_vice_versa(tiny_lstm, tiny_trace):
    columns, neurons = (
        archsim.simulate(tiny_lstm, tiny_trace, policy=p, threshold=0.2).activity for p in ("delta", "bnn")
    )
    assert columns.skipped(2, 1, 0).shape == (9, 8 + 4) and columns.neurons_reused() is None
    with pytest.raises(archsim.ArchsimError, match=r"record is of columns, not of neurons: use skipped\(\)"):
        columns.reused(0, 0, 0)
    with pytest.raises(archsim.ArchsimError, match=r"record is of neurons, not of columns: use reused\(\)"):
        neurons.skipped(0, 0, 0)
    assert neurons.avoided_fraction == neurons.neurons_reused() / neurons.neurons_total


def test_baseline_of_a_neuron_policy_serves_a_column_policy(tiny_lstm, tiny_trace):
    first = archsim.simulate(tiny_lstm, tiny_trace, policy="bnn", threshold=0.2)
    shared = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2, baseline=first.baseline)
    own = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=0.2)
    assert {**shared.record, "wall_s": 0} == {**own.record, "wall_s": 0}


def test_delta_fields_enter_digests_of_column_policies_only(tiny_lstm, tiny_trace):
    """A policy that does not use the delta unit is the same run, whatever the unit's fields."""

    def digest(policy, width):
        arch = arch_with(delta__width=width)
        return archsim.simulate(tiny_lstm, tiny_trace, arch, policy, threshold=0.2).record["digest"]

    assert digest("bnn", 8) == digest("bnn", 16) and digest("none", 8) == digest("none", 16)
    assert digest("delta", 8) != digest("delta", 16)


def test_column_thresholds_are_per_layer_and_refused_per_gate(tiny_lstm, tiny_trace):
    result = archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=[0.0, 1e9])
    assert result.activity.skipped(2, 1, 0)[1:].all() and not result.activity.skipped(2, 0, 0).all()
    with pytest.raises(archsim.ArchsimError, match="threshold = '0.3': need a number"):
        archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold="0.3")
    with pytest.raises(archsim.ArchsimError, match="policy 'delta' skips columns, which all gates of a layer share"):
        archsim.simulate(tiny_lstm, tiny_trace, policy="delta", threshold=[[0.1] * 4, 0.2])


@pytest.mark.parametrize("fields, message", [
    ({"dataflow": "mwl"}, "dataflow = 'mwl': columns are skipped with 'step' only"),
    ({"weight_buffer__banks": 1}, "weight_buffer.banks = 1: columns are skipped with two banks or more"),
    ({"weight_buffer__capacity_bytes": 7}, r"needs weight_buffer.capacity_bytes >= 8 bytes, the machine has 7"),
    ({"delta__propagated_buffer_bytes": 10}, "needs delta.propagated_buffer_bytes >= 18 bytes"),
    ({"delta__accumulator_buffer_bytes": 15}, "needs delta.accumulator_buffer_bytes >= 16 bytes"),
    ({"delta": False}, "has no delta, which policy 'delta' needs: use policy none"),
])  # fmt: skip
def test_machine_that_cannot_skip_columns_is_refused(fields, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, arch_with(**fields), "delta", threshold=0.2)


def test_gru_needs_accumulators_for_both_candidate_products():
    network = make_network("gru", inputs=3, units=5)
    with pytest.raises(archsim.ArchsimError, match="needs delta.accumulator_buffer_bytes >= 40 bytes"):
        arch = arch_with(delta__accumulator_buffer_bytes=39)
        archsim.simulate(network, make_trace(network, [2]), arch, "delta", threshold=0.2)


def test_column_record_on_a_machine_without_delta_unit_is_refused(tiny_lstm, tiny_trace):
    activity = run_inference(tiny_lstm, tiny_trace, DeltaPolicy(), 0.2).activity
    for machine in (ArchSpec(), ArchSpec().without_memo()):
        with pytest.raises(
            archsim.ArchsimError, match=r"of columns: need an architecture with \[delta\] and without \[fmu\]"
        ):
            simulate_activity(tiny_lstm, activity, machine)


def test_each_machine_is_described_by_its_own_spec_and_the_baseline_by_none():
    for machine in all_machines():
        spec = machine.spec(ArchSpec())
        assert machine_of(spec) is machine
        assert [other for other in all_machines() if other.is_described_by(spec)] == [machine]
        assert not any(other.is_described_by(machine.baseline(ArchSpec())) for other in all_machines())
    assert machine_of(ArchSpec().without_memo()) is DEFAULT_MACHINE


def test_third_machine_is_found_whatever_its_name_sorts_after(monkeypatch):
    """A machine named behind `epur` that claims an architecture without the units of the others."""

    class Zeta(type(EPUR)):
        name = "zeta"

        def is_described_by(self, arch):
            return arch.fmu is None and arch.delta is None and arch.technology == "28nm-hp"

    zeta, arch = Zeta(), ArchSpec(technology="28nm-hp")
    monkeypatch.setitem(MACHINES.items, "zeta", zeta)
    assert machine_of(arch.without_memo()) is zeta
    assert machine_of(arch) is EPUR and machine_of(ArchSpec().without_memo()) is EPUR


class BrokenPolicy(DeltaPolicy):
    """Column policy that breaks its contract in a given way."""

    needs_threshold = False

    def __init__(self, name, decide=None, represent=lambda v: v, uses_memo_unit=False):
        self.name, self.decide, self.represent, self.uses_memo_unit = name, decide, represent, uses_memo_unit

    def begin(self, context):
        return self if self.decide else None


@pytest.mark.parametrize("policy, message", [
    (BrokenPolicy("idle"), "'idle' began a pass with None: need an object with represent"),
    (BrokenPolicy("narrow", lambda s: np.zeros((1, 1), bool)), "'narrow' decided .* need bool of shape"),
    (BrokenPolicy("both", uses_memo_unit=True), "has by_columns and uses_memo_unit"),
    (BrokenPolicy("eager", lambda s: np.ones(s.values.shape, bool)), "'eager' skips columns at step 0"),
    (BrokenPolicy("wide", lambda s: None, lambda v: v.astype(float)), "'wide' represents inputs by float64 of shape .* need float32"),
])  # fmt: skip
def test_column_policy_that_breaks_its_contract_is_refused(policy, message, tiny_lstm, tiny_trace):
    with pytest.raises(archsim.ArchsimError, match=message):
        archsim.simulate(tiny_lstm, tiny_trace, policy=policy)


def test_registered_column_policy_skips_as_it_decides(tiny_lstm, tiny_trace, registry):

    class Hourly:
        """Policy that skips no column at even steps and all at odd ones."""

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


@pytest.mark.parametrize("capacity_bytes", [1 << 21, 60])
def test_timeline_shows_the_delta_unit_in_both_details(capacity_bytes, tiny_lstm, tiny_trace, tmp_path):
    """All weights on chip, or seven columns at a time."""
    arch = arch_with(weight_buffer__capacity_bytes=capacity_bytes)
    for detail in ("block", "neuron"):
        result = archsim.simulate(tiny_lstm, tiny_trace, arch, policy="delta", threshold=0.2, detail=detail)
        result.timeline(tmp_path / "t.json")
        events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        named = {event["args"]["name"] for event in events if event["name"] == "thread_name"}
        assert {"CU0.delta", "CU3.DPU", "MU"} <= named
        assert any(event["name"] == "columns skipped" for event in events)
        assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")


@settings(max_examples=25)
@given(
    st.sampled_from(["lstm", "gru"]), st.integers(1, 40), st.integers(1, 30),
    st.lists(st.integers(1, 6), min_size=1, max_size=3), st.sampled_from(COLUMN_POLICIES), st.floats(0, 1),
)  # fmt: skip
def test_column_cycles_respect_compute_and_memory_rooflines(cell, inputs, units, lengths, policy, theta):
    """Every product is either computed or avoided, in the record and in the machine's counts."""
    network = make_network(cell, inputs=inputs, units=units)
    result, arch = archsim.simulate(network, make_trace(network, lengths), policy=policy, threshold=theta), ArchSpec()
    record, macs = result.record, result.simulated.count("dpu", "mac")
    assert record["cycles"] >= macs / (arch.computation_units * arch.dpu.lanes)
    assert record["time_s"] >= record["dram_bytes"] / arch.dram.peak_bytes_per_s
    assert macs == pytest.approx((1 - result.activity.avoided_fraction) * record["macs_total"])
    plain = archsim.simulate(network, make_trace(network, lengths), policy="none").record
    thresholds_bytes = 4 * (inputs + units) * network.layers[0].cell.n_gates if policy.endswith("weighted=on") else 0
    assert record["dram_bytes"] == plain["dram_bytes"] + thresholds_bytes
