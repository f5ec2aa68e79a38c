"""Intermediate memory: sequences that do not fit are spilled, and its port serves steps first."""

import numpy as np
import pytest
from harness import arch_with, make_network
from harness_memory import run

from archsim.config.arch import ArchSpec
from archsim.engine.environment import Engine
from archsim.sim.memory.intermediate_port import IntermediatePort


@pytest.mark.parametrize("detail", ["block", "neuron"])
@pytest.mark.parametrize("capacity", [1 << 20, 300, 100])
def test_bytes_beyond_capacity_are_spilled_and_read_back(capacity, detail):
    """Two layers, 6 to 10 and 10 to 10 values of 2 bytes; inputs and outputs of a layer are held together."""
    network, lengths = make_network("gru", inputs=6, units=10, layers=2), [3, 9, 7]
    arch = arch_with(intermediate_memory__capacity_bytes=capacity).without_memo()
    _, log = run(network, lengths, arch, detail)
    excess = sum(max(0, 2 * t * (inputs + 10) - capacity) for t in lengths for inputs in (6, 10))
    assert log.bytes_of("spill") == 2 * excess
    assert log.bytes_of("inputs") == sum(lengths) * 6 * 2 and log.bytes_of("outputs") == sum(lengths) * 10 * 2


def test_partial_products_of_mwl_count_toward_capacity():
    """Four products per unit and step are held until the recurrence takes them."""
    network, arch = make_network("lstm", inputs=6, units=10), arch_with(dataflow="mwl").without_memo()
    arch = arch.replace("intermediate_memory.capacity_bytes", 200)
    _, log = run(network, [5], arch)
    assert log.bytes_of("spill") == 2 * (5 * (2 * (6 + 10) + 4 * 40) - 200)


def moved_at(arch, n_bytes, *claims):
    """Return the cycle at which a sequence's bytes have passed; claims are (reserved in cycle, starts of steps, words)."""
    env = Engine()
    port = IntermediatePort(env, arch)

    def claim(reserved_at, starts, words):
        yield env.timeout(2000 * reserved_at)
        port.reserve(np.array(starts, np.int64), words)

    for reserved_at, *rest in claims:
        if reserved_at:
            env.process(claim(reserved_at, *rest))
        else:
            port.reserve(np.array(rest[0], np.int64), rest[1])
    env.run(until=env.process(port.move(n_bytes)))
    return env.now_ps // 2000


@pytest.mark.parametrize("claims, end", [
    ([], 20),
    ([(0, [0], 4)], 24),
    ([(0, [0, 10], 4)], 28),
    ([(0, [19], 4)], 24),
    ([(0, [20], 4)], 20),  # it is through
    ([(0, [0, 2], 4)], 28),  # the second step's words wait for the first one's
    ([(0, range(0, 80, 8), 8)], 100),  # no cycle is left before the last of ten steps' words are through
    ([(5, [12], 4)], 24),  # reserved meanwhile
    ([(5, [19], 4), (22, [23], 2)], 26),
])  # fmt: skip
def test_transfer_yields_the_port_to_reserved_step_words(claims, end):
    """Twenty words of a sequence move from cycle 0 on."""
    assert moved_at(ArchSpec(), 20 * 32, *claims) == end


def test_transfer_with_a_second_port_does_not_wait_for_steps():
    assert moved_at(arch_with(intermediate_memory__ports=2), 20 * 32, (0, [0, 10], 4)) == 20


def test_port_is_busy_for_at_most_one_dram_row_of_a_sequence():
    """The rest passes while main memory transfers it."""
    assert moved_at(ArchSpec(), 1 << 20) == 4096 // 32


def test_transfers_of_two_sequences_pass_the_port_in_order():
    env = Engine()
    port, ends = IntermediatePort(env, ArchSpec()), []
    for n_words in (20, 5):
        env.process(port.move(32 * n_words)).callbacks.append(lambda _: ends.append(env.now_ps // 2000))
    env.run()
    assert ends == [20, 25]
