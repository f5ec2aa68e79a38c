"""Shared dispatch: remote evaluations pinned to the cycle, and the kernel against its formulas."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from harness import arch_with, machines, make_network, make_trace, naive_shared_step_ends
from hypothesis import given
from hypothesis import strategies as st

import archsim
from archsim.activity import PassShape
from archsim.config.arch import ArchSpec
from archsim.config.technology import load_technology
from archsim.energy.parts import area_mm2
from archsim.kernels.pipeline.recurrence import EVALUATED, REMOTE, REUSED
from archsim.kernels.pipeline.resident import time_pass
from archsim.sim.items import PassSegment
from archsim.sim.machines.epur.costs import step_times

SHARED = arch_with(dispatch="shared")
time_shared_pass = partial(time_pass, shared=True)


def timed(time_it, reused, n_inputs, arch=SHARED):
    """Return the times of decisions (T, G, H) on a machine."""
    reused = np.asarray(reused, np.bool_)
    _, G, H = reused.shape
    times = step_times(arch, PassSegment(PassShape(0, 0, G, H, n_inputs)))
    return time_it(np.packbits(reused.reshape(len(reused), -1), axis=1), G, H, times)


def both(reused, n_inputs, arch=SHARED):
    """Return the cycles of a step with each unit on its own gate, and with shared dispatch."""
    return [int(timed(time_it, reused, n_inputs, arch).step_ends[-1]) for time_it in (time_pass, time_shared_pass)]


def test_idle_unit_evaluates_a_neuron_of_the_gate_behind():
    """Two cycles per neuron, decided at 5, 6, 7. Unit 1 is done at 8 and takes gate 0's third: ready at 10, not 11."""
    assert both([[[0, 0, 0], [1, 1, 1]]], n_inputs=32) == [11 + 8 + 21, 10 + 8 + 21]
    tally = timed(time_shared_pass, [[[0, 0, 0], [1, 1, 1]]], n_inputs=32).tally
    assert tally[:, REMOTE].tolist() == [0, 1]
    assert tally[:, EVALUATED].tolist() == [2, 1] and tally[:, REUSED].tolist() == [0, 3]


def test_weight_buffer_serves_one_remote_unit_at_a_time():
    """Four cycles per neuron. Units 1 and 2 are idle at 9; unit 1 reads gate 0's weights until 13, so unit 2 may not."""
    reused = np.ones((1, 3, 4))
    reused[:, 0] = 0
    assert both(reused, n_inputs=64) == [21 + 8 + 21, 17 + 8 + 21]


def test_equally_busy_units_gain_nothing_by_sharing():
    for reused in (np.zeros((2, 4, 9)), np.ones((2, 4, 9))):
        gate, shared = both(reused, n_inputs=160)
        assert gate == shared


def test_remote_evaluation_may_delay_a_units_own_gate():
    """Sharing is not always faster, because the next decision of a slow predictor is not known in time."""
    slow = arch_with(dispatch="shared", fmu__width_bits=40)
    assert both([[[1, 1, 1, 0], [0, 1, 0, 1]]], n_inputs=160, arch=slow) == [59, 60]


@given(machines(), st.integers(1, 4), st.integers(1, 12), st.integers(1, 3), st.randoms(use_true_random=False))
def test_shared_kernel_equals_its_recurrence(times, gates, units, steps, random):
    """Every pair of unit and gate is tried; one gate alone has nobody to share with."""
    times = times._replace(has_memo=True, decision_cycles=max(times.decision_cycles, 1))
    reused = np.array([[[random.random() < 0.5 for _ in range(units)] for _ in range(gates)] for _ in range(steps)])
    bits = np.packbits(reused.reshape(steps, -1), axis=1)
    result = time_shared_pass(bits, gates, units, times)
    assert result.step_ends.tolist() == naive_shared_step_ends(reused, times)
    assert result.tally[:, REUSED].sum() == reused.sum() and result.tally[:, EVALUATED].sum() == (~reused).sum()
    if gates == 1:
        alone = time_pass(bits, gates, units, times)
        assert np.array_equal(result.step_ends, alone.step_ends)


def test_crossbar_costs_energy_per_bit_and_area():
    """16 bits per weight cross; sharing changes neither what is evaluated nor the baseline."""
    network = make_network("lstm", inputs=40, units=12)
    plain, shared = (archsim.simulate(network, make_trace(network, (9, 5)), arch, "bnn", 0.3)
                     for arch in (ArchSpec(), SHARED))  # fmt: skip
    bits = shared.simulated.count("crossbar", "bit")
    assert bits > 0 and bits % (16 * (40 + 12)) == 0 and plain.simulated.count("crossbar", "bit") == 0
    assert {key: n for key, n in shared.simulated.counts.items() if key[0] not in ("crossbar", "dram")} == {
        key: n for key, n in plain.simulated.counts.items() if key[0] != "dram"
    }
    for key in ("baseline_cycles", "baseline_energy_j", "neurons_reused"):
        assert plain.record[key] == shared.record[key]
    technology = load_technology("28nm-lstp")
    wires = area_mm2(SHARED, technology)["crossbar"]
    assert wires == 4 * technology.static["crossbar"].area_mm2
    assert shared.record["area_mm2"] == pytest.approx(plain.record["area_mm2"] + wires)


@pytest.mark.parametrize("field, value, message", [
    ("weight_buffer.banks", 1, "weight_buffer.banks = 1: with dispatch = 'shared' two units read one buffer, need 2 or more"),
    ("dataflow", "mwl", "dispatch = 'shared', dataflow = 'mwl': need dataflow = 'step'"),
    ("fmu", False, "dispatch = 'shared' without fmu"),
    ("dispatch", "any", "dispatch"),
])  # fmt: skip
def test_machine_that_cannot_share_is_refused(field, value, message):
    with pytest.raises(archsim.ArchsimError, match=message):
        SHARED.replace(field, value)


def test_baseline_of_a_shared_machine_does_not_share():
    baseline = SHARED.without_memo()
    assert baseline == ArchSpec().without_memo() and baseline.dispatch == "gate"


def test_shared_dispatch_of_streamed_weights_is_refused():
    network = make_network("lstm", inputs=40, units=12)
    small = SHARED.replace("weight_buffer.capacity_bytes", 12 * 52 * 2 - 1)
    with pytest.raises(archsim.ArchsimError, match="weight_buffer.capacity_bytes >= 1248"):
        archsim.simulate(network, make_trace(network, (3,)), small, "bnn", 0.3)


@pytest.mark.parametrize("cells", [("lstm", "gru"), ("gru", "lstm")])
def test_units_without_a_gate_take_no_part_in_sharing(cells):
    """In a stack of both cells the fourth unit is idle under a GRU, whatever ran before."""
    below, above = (make_network(cell, inputs=n, units=u) for cell, n, u in zip(cells, (9, 12), (12, 10), strict=True))
    layers = (*below.layers, *above.layers)
    network = replace(below, layers=layers, scales=None)
    trace = make_trace(network, [9, 6])
    block, neuron = (archsim.simulate(network, trace, SHARED, threshold=0.3, detail=d) for d in ("block", "neuron"))
    assert block.record["cycles"] == neuron.record["cycles"]
    assert block.simulated.counts == neuron.simulated.counts
