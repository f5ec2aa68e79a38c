"""Order of products: the dataflow `mwl` computes products with the inputs before the recurrence."""

from harness import arch_with, make_network, make_translator
from harness_memory import main_memory, run, total_weights

from archsim.activity import PassShape, pass_shapes
from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.engine.probe import Probe
from archsim.sim.items import Products, weight_groups
from archsim.sim.machines import EPUR
from archsim.sim.memory.weight_buffers import WeightBuffers, group_bytes

# The order of products.


def streams(shapes, arch):
    env, groups = Engine(), weight_groups(shapes, arch)
    return WeightBuffers(env, EPUR, arch, groups, dram=main_memory(env), probe=Probe(env)).streams


def test_mwl_halves_the_weights_a_large_layer_needs_at_once():
    """1024 units over 1024 inputs: 4 MiB in one computation unit, exactly 2 MiB for each half."""
    shapes = (PassShape(0, 0, 4, 1024, 2048),)
    step, mwl = ArchSpec().without_memo(), arch_with(dataflow="mwl").without_memo()
    assert [group_bytes(EPUR, step, g) for g in weight_groups(shapes, step)] == [4 << 20]
    assert [group_bytes(EPUR, mwl, g) for g in weight_groups(shapes, mwl)] == [2 << 20, 2 << 20]
    assert all(streams(shapes, step).values()) and not any(streams(shapes, mwl).values())


def test_mwl_with_memo_unit_also_holds_signs_of_input_weights():
    """The predictor takes [x; h] of a step: one bit per weight with x, 1024 × 1024 of them, is 128 KiB too many."""
    shapes, arch = (PassShape(0, 0, 4, 1024, 2048),), arch_with(dataflow="mwl")
    inputs, recurrent = streams(shapes, arch).values()
    assert inputs is None and recurrent is not None
    larger = arch.replace("weight_buffer.capacity_bytes", (2 << 20) + (128 << 10))
    assert not any(streams(shapes, larger).values())


def test_decoder_layers_are_not_split_by_mwl():
    """A decoder's next input is its own output, so no products can be computed ahead."""
    shapes = pass_shapes(make_translator(width=6, units=9, depth=2))
    *encoder, decoder = weight_groups(shapes, arch_with(dataflow="mwl"))
    assert [part.products for group in encoder for part in group] == [Products.INPUTS, Products.RECURRENT] * 2
    assert [part.products for part in decoder] == [Products.ALL] * 2


def test_mwl_moves_the_same_weights_in_two_passes_and_rounds_lanes_twice():
    """Each half's weights are fetched once, and each half's dot products are computed at every step."""
    network, lengths = make_network("lstm", inputs=24, units=20), [6]
    step, mwl = ArchSpec().without_memo(), arch_with(dataflow="mwl").without_memo()
    (_, one), (_, two) = run(network, lengths, step), run(network, lengths, mwl)
    assert one.bytes_of("weights") == two.bytes_of("weights") == total_weights(network, step)
    assert len(one.spans_of("sequencer")) == 1 and len(two.spans_of("sequencer")) == 2
    # 44 columns in 3 cycles of 16 lanes, or 24 in 2 and 20 in 2
    assert one.times.worked_ps["CU0.DPU"] == 6 * 20 * 3 * 2000 and two.times.worked_ps["CU0.DPU"] == 6 * 20 * 4 * 2000
