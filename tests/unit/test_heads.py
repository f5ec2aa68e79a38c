"""Heads on the machine, worked out by hand: cycles and actions of what is not recurrent."""

from dataclasses import replace

import numpy as np
from harness import arch_with, make_network, make_tokens, make_trace, make_translator

import archsim
from archsim.ir.heads import CtcHead, MeanClassifier
from archsim.metrics.recorders import ActionCounts
from archsim.sim.head import simulate_head

# E-PUR: four units of 16 lanes, pipelines of 8 and 20 cycles; here main memory is too fast to matter
ARCH = arch_with(dram__bandwidth_bytes_per_s=10**15, dram__latency_ps=0).without_memo()
DPU, MU = 8, 20


def head_of(network, trace):
    activity = archsim.simulate(network, trace, policy="none").activity
    counts = ActionCounts()
    return simulate_head(network, activity, ARCH, [counts]), counts.counts


def linear(kind, outputs, inputs, *extra):
    rng = np.random.default_rng(0)
    return kind(rng.standard_normal((outputs, inputs)).astype(np.float32), np.zeros(outputs, np.float32), *extra)


def test_a_label_at_every_step():
    """5 labels of 40 inputs at 7 steps: two turns of rows, three of lanes, seven times, one pipeline."""
    network = replace(make_network("gru", inputs=3, units=40), head=linear(CtcHead, 5, 40, tuple("-abcd")))
    run, counts = head_of(network, make_trace(network, (7,)))
    assert run.cycles == 2 * 3 * 7 + DPU
    assert counts["dpu", "mac"] == 5 * 40 * 7
    assert counts["weight_buffer", "fill"] == -(-5 * 40 * 2 // 32)
    assert counts["weight_buffer", "read"] == 7 * 5 * 3  # 80 bytes are three words
    assert counts["intermediate_memory", "read"] == 7 * 3 and counts["input_buffer", "write"] == 7 * 3 * 4
    assert counts["dram", "read_byte"] == 5 * 40 * 2


def test_a_class_after_adding_up_all_steps():
    """7 steps of 40 values are 280 additions on four units; then 2 classes in one turn."""
    network = replace(make_network("gru", inputs=3, units=40), head=linear(MeanClassifier, 2, 40))
    run, counts = head_of(network, make_trace(network, (7,)))
    assert run.cycles == 1 * 3 + DPU + 280 // 4 + MU
    assert counts["mu", "add"] == 280 and counts["dpu", "mac"] == 80


def test_a_step_of_attention():
    """Units 20, width 6, 9 tokens, 5 encoded steps: each product in turns of four rows and sixteen lanes."""
    network = make_translator(width=6, units=20)
    trace = make_tokens(network, (5,))
    steps = len(archsim.simulate(network, trace, policy="none").outputs[0])
    run, counts = head_of(network, trace)
    attention, scores, context = 5 * 2 + DPU, 2 * 2 + DPU + (2 + MU), 5 * 1 + DPU
    combine, output = 2 * 3 + DPU + (2 + MU), 3 * 1 + DPU
    embedding_ps = 1  # twelve bytes from main memory, and no product to wait for
    assert run.time_ps == steps * (2000 * (attention + scores + context + combine + output) + embedding_ps)
    assert counts["mu", "exponential"] == steps * (5 + 6)
    assert counts["dram", "read_byte"] == steps * 2 * (6 + 20 * 20 + 6 * 40 + 9 * 6)
    # scores and context read the encoder's outputs where they lie: 40 bytes a row, and 10 bytes a row
    vectors = 2 + 2 + 1 + 3 + 1
    assert counts["intermediate_memory", "read"] == steps * (vectors + -(-5 * 40 // 32) + -(-20 * 10 // 32))


def test_the_slower_of_products_and_main_memory_counts():
    network = replace(make_network("gru", inputs=3, units=40), head=linear(CtcHead, 5, 40, tuple("-abcd")))
    activity = archsim.simulate(network, make_trace(network, (7,)), policy="none").activity
    slow = ARCH.replace("dram.bandwidth_bytes_per_s", 400_000_000)  # 400 bytes take a microsecond
    assert simulate_head(network, activity, slow).time_ps == 1_000_000
