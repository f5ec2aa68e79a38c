"""How large inputs are, measured on calibration data."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace

import numpy as np

from archsim.activity import PassKey
from archsim.inference.inputs import prepared
from archsim.inference.run import run_inference
from archsim.ir.network import Network, Scales
from archsim.kernels.arrays import Bools
from archsim.policies import NoReuse, PassContext, Step
from archsim.sums import add_along
from archsim.traceio.trace import Trace

DIGITS = 6
"""Significant digits that are kept."""


def measure_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Scales:
    """Return the mean magnitudes of what each layer reads when nothing is reused; calibration data only."""
    seen = _Magnitudes()
    for part in _parts(network, prepared(network, trace)):
        run_inference(network, part, seen, precision=precision, keep_outputs=False)
    sides = [[(index, d) for d in range(len(layer.directions))] for index, layer in enumerate(network.layers)]
    inputs = tuple(seen.mean(pass_keys, "x") for pass_keys in sides)
    return Scales(inputs, tuple(tuple(seen.mean([pass_key], "h") for pass_key in pass_keys) for pass_keys in sides))


def _parts(network: Network, trace: Trace) -> list[Trace]:
    """What runs together: beside others, a decoded sequence runs on after its end, and that would be seen."""
    if not network.decoder:
        return [trace]
    return [replace(trace, sequences=(sequence,), targets=None) for sequence in trace.sequences]


class _Magnitudes(NoReuse):
    """Reuses nothing, and adds up magnitudes sequence by sequence, so that company does not matter."""

    name = "magnitudes"

    def __init__(self) -> None:
        self.passes: defaultdict[PassKey, list[_Watched]] = defaultdict(list)

    def begin(self, context: PassContext) -> _Watched:  # type: ignore[override]
        watched = _Watched(context.batch)
        self.passes[context.pass_key].append(watched)
        return watched

    def mean(self, pass_keys: list[PassKey], what: str) -> float:
        """Of all elements of x or h in these passes."""
        passes = [watched for pass_key in pass_keys for watched in self.passes[pass_key]]
        total = math.fsum(value for watched in passes for value in watched.sums[what])
        return float(f"{total / sum(watched.counts[what] for watched in passes):.{DIGITS}g}")


class _Watched:
    def __init__(self, batch: int) -> None:
        self.sums = {what: np.zeros(batch) for what in "xh"}
        self.counts = {"x": 0, "h": 0}

    def decide(self, step: Step) -> Bools:
        for what, values in (("x", step.x), ("h", step.h)):
            self.sums[what][: len(values)] += add_along(np.abs(values), axis=1)
            self.counts[what] += values.size
        return np.zeros(step.shape, np.bool_)
