"""Memory of a run as steps and sequences grow."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import archsim
from archsim.ir.cells import LSTM
from archsim.ir.layers import Layer, make_direction
from archsim.ir.network import Network
from benching.figures import Figure
from benching.target import THETA

UNITS, INPUTS = 128, 16
MAX_BITS = 1.5
"""Bits of memory per decision: one for the decision itself, the rest for the lists of a sequence."""


def memory() -> Iterator[Figure]:
    """Yield the bits of memory per decision without inputs, from the peaks of a large run and one twice as large."""
    network = _network()
    _measured(network, 1, 2)  # compiles
    for name, small, large in (
        ("steps of a sequence, 100,000 to 200,000", (1, 100_000), (1, 200_000)),
        ("sequences of 50 steps, 10,000 to 20,000", (10_000, 50), (20_000, 50)),
    ):
        less, more = (_measured(network, *size) for size in (small, large))
        bits = 8 * (more.n_bytes - less.n_bytes) / (more.decisions - less.decisions)
        yield Figure("memory", name, bits, "bits a decision", MAX_BITS)


def _network() -> Network:
    rng = np.random.default_rng(0)
    shapes = {"weight_ih": (4 * UNITS, INPUTS), "weight_hh": (4 * UNITS, UNITS)}
    shapes |= {"bias_ih": (4 * UNITS,), "bias_hh": (4 * UNITS,)}
    weights = {name: 0.2 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return Network("lstm", (Layer("lstm", LSTM, INPUTS, UNITS, (make_direction("lstm", LSTM, weights),)),))


class _Measured(NamedTuple):
    """Peak of the memory that a run allocates, and its number of decisions."""

    n_bytes: int
    decisions: int


def _measured(network: Network, sequences: int, steps: int) -> _Measured:
    inputs = np.random.default_rng(0).standard_normal((sequences, steps, INPUTS), np.float32)
    trace = archsim.Trace.from_arrays(list(inputs))
    tracemalloc.start()
    try:
        result = archsim.simulate(network, trace, threshold=THETA, precision="fp32", keep_outputs=False)
        return _Measured(tracemalloc.get_traced_memory()[1], result.record["neurons_total"])
    finally:
        tracemalloc.stop()
