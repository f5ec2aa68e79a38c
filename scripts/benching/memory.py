"""What a run needs in memory for more steps and more sequences, each measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benching.figures import Figure

UNITS, INPUTS = 64, 16
MOST_BITS = 1.5
"""Of memory for a decision; one is the decision itself, the rest are the lists that hold a sequence's."""
RUN = f"""
import json, resource, sys
import numpy as np
from archsim import Trace, simulate
from archsim.ir.cells import LSTM
from archsim.ir.layers import Layer, make_direction
from archsim.ir.network import Network

sequences, steps = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
shapes = {{"weight_ih": (256, {INPUTS}), "weight_hh": (256, {UNITS}), "bias_ih": (256,), "bias_hh": (256,)}}
weights = {{name: (0.2 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}}
network = Network("lstm", (Layer("lstm", LSTM, {INPUTS}, {UNITS}, (make_direction("lstm", LSTM, weights),)),))
inputs = rng.standard_normal((sequences, steps, {INPUTS})).astype(np.float32)
simulate(network, Trace.from_arrays([inputs[0, :2]]), threshold=0.3, precision="fp32", keep_outputs=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = simulate(network, Trace.from_arrays(list(inputs)), threshold=0.3, precision="fp32", keep_outputs=False)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([1024 * (after - before), result.record["neurons_total"]]))
"""


def memory() -> Iterator[Figure]:
    """Bits of memory a decision, beyond the inputs, between a large run and one twice as large."""
    for name, small, large in (
        ("steps of a sequence, 100,000 to 200,000", (1, 100_000), (1, 200_000)),
        ("sequences of 50 steps, 10,000 to 20,000", (10_000, 50), (20_000, 50)),
    ):
        (bytes_small, decisions_small), (bytes_large, decisions_large) = _measured(*small), _measured(*large)
        bits = 8 * (bytes_large - bytes_small) / (decisions_large - decisions_small)
        yield Figure("memory", name, bits, "bits a decision", MOST_BITS)


def _measured(sequences: int, steps: int) -> tuple[int, int]:
    """Bytes that a run adds to the peak, and its decisions."""
    command = [sys.executable, "-c", RUN, str(sequences), str(steps)]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    n_bytes, decisions = json.loads(found)
    return n_bytes, decisions
