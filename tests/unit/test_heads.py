"""Heads on the machine: cycles and action counts of what is not recurrent, by hand."""

from dataclasses import replace

import numpy as np
from harness import arch_with, make_network, make_tokens, make_trace, make_translator

import archsim
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.sim.head import simulate_head
from archsim.sim.listeners.counters import ActionCounts

# E-PUR: four units of 16 lanes, pipelines of 8 and 20 cycles of 2 ns; main memory is never refreshed here
ARCH = arch_with(dram__trefi_cycles=10**9).without_memo()
DPU, MU = 8, 20
MEMORY_PS, ROW_CLOSED, ROW_OPEN, BURST, BURST_BYTES = 625, 1 + 29 + 34 + 8, 1 + 34 + 8, 8, 64
"""Picoseconds per memory cycle, and cycles to the end of a first burst: controller, tRCD, CL, BL/2."""


def head_of(network, trace):
    activity = archsim.simulate(network, trace, policy="none").activity
    counts = ActionCounts()
    return simulate_head(network, activity, ARCH, [counts]), counts.counts


def linear(kind, outputs, inputs, *extra):
    rng = np.random.default_rng(0)
    return kind(rng.standard_normal((outputs, inputs)).astype(np.float32), np.zeros(outputs, np.float32), *extra)


def test_ctc_head_cycles_and_counts_equal_hand_arithmetic():
    """5 labels of 40 inputs at 7 steps: two turns of rows, three of lanes, seven times, one pipeline."""
    network = replace(make_network("gru", inputs=3, units=40), head=linear(CtcHead, 5, 40, tuple("-abcd")))
    run, counts = head_of(network, make_trace(network, (7,)))
    assert run.cycles == 2 * 3 * 7 + DPU
    assert counts["dpu", "mac"] == 5 * 40 * 7
    assert counts["weight_buffer", "fill"] == -(-5 * 40 * 2 // 32)
    assert counts["weight_buffer", "read"] == 7 * 5 * 3  # 80 bytes are three words
    assert counts["intermediate_memory", "read"] == 7 * 3 and counts["input_buffer", "write"] == 7 * 3 * 4
    assert counts["dram", "read"] == -(-5 * 40 * 2 // BURST_BYTES)


def test_mean_classifier_cycles_and_counts_equal_hand_arithmetic():
    """7 steps of 40 values are 280 additions on four units; then 2 classes in one turn."""
    network = replace(make_network("gru", inputs=3, units=40), head=linear(MeanClassifier, 2, 40))
    run, counts = head_of(network, make_trace(network, (7,)))
    assert run.cycles == 1 * 3 + DPU + 280 // 4 + MU
    assert counts["mu", "add"] == 280 and counts["dpu", "mac"] == 80


def test_attention_step_cycles_and_counts_equal_hand_arithmetic():
    """Units 20, width 6, 9 tokens, 5 encoded steps: each product in turns of four rows and sixteen lanes."""
    network = make_translator(width=6, units=20)
    trace = make_tokens(network, (5,))
    steps = len(archsim.simulate(network, trace, policy="none").outputs[0])
    run, counts = head_of(network, trace)
    now_ps, first_burst = 0, ROW_CLOSED
    for cycles, numbers in steps * [
        (0, 6),  # embedding
        (5 * 2 + DPU, 20 * 20),  # attention
        (2 * 2 + DPU + 2 + MU, 0),  # scores
        (5 * 1 + DPU, 0),  # context
        (2 * 3 + DPU + 2 + MU, 6 * 40),  # combine
        (3 * 1 + DPU, 9 * 6),  # output
    ]:
        end_ps = now_ps + 2000 * cycles
        if numbers:
            asked, bursts = -(-now_ps // MEMORY_PS), -(-2 * numbers // BURST_BYTES)
            end_ps = max(end_ps, MEMORY_PS * (asked + first_burst + BURST * (bursts - 1)))
            first_burst = ROW_OPEN
        now_ps = end_ps
    assert run.time_ps == now_ps
    assert counts["mu", "exponential"] == steps * (5 + 6)
    assert counts["dram", "read"] == steps * sum(-(-2 * n // BURST_BYTES) for n in (6, 20 * 20, 6 * 40, 9 * 6))
    # scores and context read the encoder's outputs where they lie: 40 bytes per row, and 10 bytes per row
    vectors = 2 + 2 + 1 + 3 + 1
    assert counts["intermediate_memory", "read"] == steps * (vectors + -(-5 * 40 // 32) + -(-20 * 10 // 32))


def test_head_step_takes_the_longer_of_products_and_weight_fetch():
    """14 cycles of products for one step are 28 ns; its 400 bytes of weights take seven bursts, 75 ns."""
    network = replace(make_network("gru", inputs=3, units=40), head=linear(CtcHead, 5, 40, tuple("-abcd")))
    run, _ = head_of(network, make_trace(network, (1,)))
    assert run.time_ps == MEMORY_PS * (ROW_CLOSED + 6 * BURST) == 75_000
