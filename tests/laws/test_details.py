"""The two levels of detail give the same times, counts and energy, pass by pass."""

from collections import Counter

import numpy as np
import pytest
from harness import (
    COLUMN_POLICIES,
    arch_with,
    decided,
    make_network,
    make_tokens,
    make_trace,
    make_translator,
    replayed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from archsim.activity import pass_shapes
from archsim.config.precision import PRECISIONS
from archsim.config.predictor import BitPlanePredictor
from archsim.errors import DoesNotFitError
from archsim.ir.cells import CELLS
from archsim.sim import waits
from archsim.sim.items import weight_groups
from archsim.sim.machines import DELTA, EPUR, check_fit, machine_of
from archsim.sim.memory.weight_buffers import group_bytes

COMPARED = Counter()
CENTRED, TAILED = "bnn:centre=on", "delta:weighted=on,tail=2"
POLICIES = ("none", "bnn", CENTRED, "oracle", "ternary:throttle=off", "lowbit")
NOT_COMPARED = ("detail", "digest", "events", "wall_s")


@pytest.fixture(scope="module", autouse=True)
def print_coverage(request):
    """Print at the end how many runs and passes were compared."""
    yield
    print(f"neuron = block: {dict(COMPARED)}")


@st.composite
def capacities(draw, network, arch, others):
    """Draw the bytes of weight buffers in which everything fits, two passes, one, or none.

    others: further machines that must be able to run.
    """
    shapes = pass_shapes(network)
    groups = [group_bytes(machine_of(arch), arch, group) for group in weight_groups(shapes, arch)]
    capacity = draw(st.sampled_from([1 << 21, 2 * max(groups), max(groups), max(groups) // 2, max(groups) // 5]))
    for machine in (arch, *others, arch.without_memo()):
        try:
            check_fit(network, shapes, machine.replace("weight_buffer.capacity_bytes", max(capacity, 1)))
        except DoesNotFitError as error:
            capacity = error.need
    return capacity


TOGETHER = tuple(name for name, cell in CELLS.items() if not cell.resets_before)
"""Cells whose gates start together; only these, without projections, share dot product units or skip columns."""
LATE = tuple(name for name, cell in CELLS.items() if cell.resets_before or cell.may_project)
"""Cells that work on after their gates' first products: a gate that starts late, or a projection."""


@st.composite
def workloads(draw, cells=tuple(CELLS), projects=(False, True)):
    """Draw a small network of any cell, projected or not, with a decoder or without, and a trace."""
    kind, seed = draw(st.sampled_from([*cells, "translator"])), draw(st.integers(0, 99))
    sizes = {"units": draw(st.integers(1, 12)), "seed": seed}
    inputs, depth = draw(st.integers(1, 70)), draw(st.integers(1, 2))
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    if kind == "translator":
        network = make_translator(width=inputs, depth=depth, **sizes)
        return network, make_tokens(network, lengths, seed)
    projection = 0
    if CELLS[kind].may_project and draw(st.sampled_from(projects)):
        sizes["units"] += 1
        projection = draw(st.integers(1, sizes["units"] - 1))
    network = make_network(
        kind, inputs=inputs, layers=depth, bidirectional=draw(st.booleans()), projection=projection, **sizes
    )
    return network, make_trace(network, lengths, seed)


@st.composite
def machines(draw):
    """Draw any machine, of any number format."""
    arch = arch_with(
        dpu__lanes=draw(st.sampled_from([1, 4, 16])), dpu__pipeline_cycles=draw(st.integers(0, 9)),
        mu__interval_cycles=draw(st.integers(0, 3)), mu__pipeline_cycles=draw(st.integers(0, 21)),
        mu__result_lag=draw(st.integers(1, 5)), mu__writeback_cycles=draw(st.integers(0, 2)),
        fmu__width_bits=draw(st.sampled_from([16, 64, 2048])), fmu__latency_cycles=draw(st.integers(1, 7)),
        fmu__run_ahead=draw(st.integers(1, 5)), fmu__pass_on_cycles=draw(st.integers(1, 3)),
        fmu__planes=draw(st.sampled_from([1, 1, 3])), fmu__bit_operations=draw(st.sampled_from([1, 1, 2])),
        delta__width=draw(st.sampled_from([1, 3, 16, 100])), delta__latency_cycles=draw(st.integers(1, 7)),
        delta__tail_width_bits=draw(st.sampled_from([1, 16, 64, 2048])), delta__tail_latency_cycles=draw(st.integers(1, 9)),
        delta__tail_bank_width_bits=draw(st.sampled_from([8, 256])),
        delta__queue_places=draw(st.integers(1, 5)), delta__accumulator_port_bytes=draw(st.sampled_from([4, 6, 64])),
        intermediate_memory__capacity_bytes=draw(st.sampled_from([30, 200, 1 << 20])),
        intermediate_memory__ports=draw(st.integers(1, 2)), intermediate_memory__port_bytes=draw(st.sampled_from([2, 32])),
        weight_buffer__banks=draw(st.sampled_from([1, 1, 2, 16])), weight_buffer__stream_rows=draw(st.integers(1, 6)),
        weight_buffer__port_bytes=draw(st.sampled_from([2, 32])),
        dram__preset=draw(st.sampled_from(["lpddr4-3200-x32", "lpddr4-2400-x32"])),
        dram__channels=draw(st.sampled_from([1, 1, 2, 3])), dram__ranks=draw(st.sampled_from([1, 1, 2])),
        dram__columns=draw(st.sampled_from([16, 32, 1024])), dram__queue_depth=draw(st.sampled_from([1, 3, 96])),
        dataflow=draw(st.sampled_from(["step", "step", "mwl"])),
    )  # fmt: skip
    return arch.at_precision(draw(st.sampled_from(list(PRECISIONS))))


@st.composite
def runs(draw, cells=tuple(CELLS), projects=(False, True), shared=False):
    """Draw a workload, a policy of neurons, and a machine."""
    network, trace = draw(workloads(TOGETHER, (False,)) if shared else workloads(cells, projects))
    arch = draw(machines())
    if shared:
        for field, value in {"dataflow": "step", "weight_buffer.banks": 2, "dispatch": "shared"}.items():
            arch = arch.replace(field, value)
    if any(layer.projection_size for layer in network.layers):
        arch = arch.replace("weight_buffer.banks", draw(st.sampled_from([2, 16])))
    others = [arch.with_predictor(BitPlanePredictor(planes=3), 100)]
    arch = arch.replace("weight_buffer.capacity_bytes", draw(capacities(network, arch, others)))
    return network, trace, arch, draw(st.sampled_from(POLICIES)), draw(st.floats(0, 2))


@st.composite
def column_runs(draw):
    """Draw a workload, a policy of columns, and a machine that holds all groups of weights, two, one or none."""
    network, trace = draw(workloads(TOGETHER, (False,)))
    arch = draw(machines()).replace("dataflow", "step").replace("weight_buffer.banks", draw(st.sampled_from([2, 16])))
    arch = arch.replace("delta.tail_bits", draw(st.integers(0, 6)))
    capacity = draw(capacities(network, DELTA.spec(arch), [arch]))
    arch = arch.replace("weight_buffer.capacity_bytes", capacity)
    return network, trace, arch, draw(st.sampled_from([*COLUMN_POLICIES, TAILED])), draw(st.floats(0, 1))


def check_details_agree(run):
    network, trace, arch, policy, theta = run
    COMPARED["runs"] += 1
    COMPARED["passes"] += len(trace) * sum(len(layer.directions) for layer in network.layers)
    inference = decided(network, trace, arch, policy, theta)
    block, neuron = (
        replayed(network, trace, arch, policy, theta, detail=detail, inference=inference)
        for detail in ("block", "neuron")
    )
    for key, ends in block.timing.ends.items():
        np.testing.assert_array_equal(ends, neuron.timing.ends[key])
    assert len(block.timing.ends) == len(trace) * sum(len(layer.directions) for layer in network.layers)
    compared = {key: value for key, value in block.record.items() if key not in NOT_COMPARED}
    assert compared == {key: value for key, value in neuron.record.items() if key not in NOT_COMPARED}
    for ours, theirs in ((block.simulated, neuron.simulated), (block.baseline.simulated, neuron.baseline.simulated)):
        assert ours.counts == theirs.counts
        assert +ours.unit_times.worked_ps == +theirs.unit_times.worked_ps
        assert +ours.unit_times.waited_ps == +theirs.unit_times.waited_ps
    COMPARED["with reset before the product"] += any(layer.cell.resets_before for layer in network.layers)
    COMPARED["with a projection"] += any(layer.projection_size > 0 for layer in network.layers)
    what = "columns" if policy in (*COLUMN_POLICIES, TAILED) else "rows"
    streamed = any(
        unit.endswith("DPU") and reason == waits.WEIGHTS for unit, reason in block.simulated.unit_times.waited_ps
    )
    COMPARED[f"with {what} streamed"] += streamed
    COMPARED["with a bank contended for"] += any(
        reason == "a bank" for _, reason in block.simulated.unit_times.waited_ps
    )
    COMPARED["with work shared"] += block.simulated.count("crossbar", "bit") > 0
    COMPARED["with waits for column slots"] += any(
        "columns" in reason for _, reason in block.simulated.unit_times.waited_ps
    )
    waited = {reason for _, reason in block.simulated.unit_times.waited_ps}
    COMPARED["with waits for the tail"] += waits.TAIL in waited
    COMPARED["with waits for codes"] += waits.CODES in waited
    COMPARED["with columns streamed and a tail"] += streamed and waits.CODES in waited
    COMPARED[f"with {arch.precision}"] += 1
    COMPARED["with spills"] += ("machine", "spills") in block.simulated.unit_times.waited_ps


@settings(max_examples=60)
@given(runs())
def test_block_equals_neuron(run):
    """The fast path may merge events, but never changes a completion time, a count or a joule."""
    check_details_agree(run)


@settings(max_examples=40)
@given(runs(LATE, (True,)))
def test_block_equals_neuron_with_late_gates_and_projections(run):
    check_details_agree(run)


@settings(max_examples=30)
@given(runs(shared=True))
def test_block_equals_neuron_with_shared_dispatch(run):
    check_details_agree(run)


@settings(max_examples=60)
@given(column_runs())
def test_block_equals_neuron_with_column_skipping(run):
    check_details_agree(run)


WITH_CONSTANTS = [policy for policy in COLUMN_POLICIES if "weighted" in policy] + [TAILED]
CONSTANTS = [(CENTRED, cell) for cell in CELLS]
CONSTANTS += [(policy, cell) for policy in WITH_CONSTANTS for cell in TOGETHER]


@pytest.mark.parametrize("precision", ["fp16", "int8", "int4"])
@pytest.mark.parametrize(("policy", "cell"), CONSTANTS)
def test_block_equals_neuron_for_each_cell_with_constants_of_inputs(policy, cell, precision):
    """Two layers, both directions, two sequences; rows and columns stream from main memory."""
    network, arch = make_network(cell, inputs=20, units=6, layers=2, bidirectional=True), arch_with()
    arch = arch.at_precision(precision)
    groups = weight_groups(pass_shapes(network), arch)
    machine, what = (EPUR, "rows") if policy == CENTRED else (DELTA, "columns")
    largest = max(group_bytes(machine, arch, group) for group in groups)
    arch = arch.replace("weight_buffer.capacity_bytes", largest * 3 // 4)
    streamed = COMPARED[f"with {what} streamed"]
    check_details_agree((network, make_trace(network, [5, 3]), arch, policy, 0.3))
    assert COMPARED[f"with {what} streamed"] == streamed + 1


@pytest.mark.slow
@settings(max_examples=1500)
@given(runs())
def test_block_equals_neuron_many_times(run):
    check_details_agree(run)


@pytest.mark.slow
@settings(max_examples=500)
@given(runs(shared=True))
def test_block_equals_neuron_with_shared_dispatch_many_times(run):
    check_details_agree(run)


@pytest.mark.slow
@settings(max_examples=1500)
@given(column_runs())
def test_block_equals_neuron_with_column_skipping_many_times(run):
    check_details_agree(run)
