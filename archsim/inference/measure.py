"""Measurement of the scales of inputs, their mean magnitudes, on calibration data."""

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
"""Significant digits of a scale."""


def measure_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Scales:
    """Return the mean magnitudes of x and h at each layer without reuse; `trace` must be calibration data."""
    magnitudes = _Magnitudes()
    for part in _parts(network, prepared(network, trace)):
        run_inference(network, part, magnitudes, precision=precision, keep_outputs=False)
    keys = [[(index, d) for d in range(len(layer.directions))] for index, layer in enumerate(network.layers)]
    inputs = tuple(magnitudes.mean(pass_keys, "x") for pass_keys in keys)
    hidden = tuple(tuple(magnitudes.mean([pass_key], "h") for pass_key in pass_keys) for pass_keys in keys)
    return Scales(inputs, hidden)


def _parts(network: Network, trace: Trace) -> list[Trace]:
    """Return the traces to run one by one.

    In a batch a decoded sequence runs on after its end, which would count, so each runs alone.
    """
    if not network.decoder:
        return [trace]
    return [replace(trace.only([i]), targets=None) for i in range(len(trace))]


class _Magnitudes(NoReuse):
    """Policy that reuses nothing and adds up magnitudes per sequence, so that sums do not depend on the batch."""

    name = "magnitudes"

    def __init__(self) -> None:
        self.passes: defaultdict[PassKey, list[_PassSums]] = defaultdict(list)

    def begin(self, context: PassContext) -> _PassSums:  # type: ignore[override]
        sums = _PassSums(context.batch)
        self.passes[context.pass_key].append(sums)
        return sums

    def mean(self, pass_keys: list[PassKey], name: str) -> float:
        """Return the mean magnitude of all elements of x or h in these passes."""
        passes = [sums for pass_key in pass_keys for sums in self.passes[pass_key]]
        # fsum is exact, so that the order of batches does not matter.
        total = math.fsum(value for one in passes for value in one.sums[name])
        return float(f"{total / sum(one.counts[name] for one in passes):.{DIGITS}g}")


class _PassSums:
    """Sums of magnitudes per sequence, and counts of elements, in one pass."""

    def __init__(self, batch: int) -> None:
        self.sums = {name: np.zeros(batch) for name in "xh"}
        self.counts = {"x": 0, "h": 0}

    def decide(self, step: Step) -> Bools:
        for name, values in (("x", step.x), ("h", step.h)):
            self.sums[name][: len(values)] += add_along(np.abs(values), axis=1)
            self.counts[name] += values.size
        return np.zeros(step.shape, np.bool_)
