"""Measurement of the scales of inputs, their mean magnitudes, and of their means, on calibration data."""

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
"""Significant digits of a scale; means are float32."""


def measure_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Scales:
    """Return the mean magnitudes of x and h at each layer, and the mean of each element of x, without reuse.

    `trace` must be calibration data.
    """
    magnitudes = _Magnitudes()
    for part in _parts(network, prepared(network, trace)):
        run_inference(network, part, magnitudes, precision=precision, keep_outputs=False)
    keys = [[(index, d) for d in range(len(layer.directions))] for index, layer in enumerate(network.layers)]
    inputs = tuple(magnitudes.mean(pass_keys, "x") for pass_keys in keys)
    hidden = tuple(tuple(magnitudes.mean([pass_key], "h") for pass_key in pass_keys) for pass_keys in keys)
    return Scales(inputs, hidden, tuple(map(magnitudes.means, keys)))


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
        sums = _PassSums(context.batch, context.weight_ih.shape[1])
        self.passes[context.pass_key].append(sums)
        return sums

    def mean(self, pass_keys: list[PassKey], name: str) -> float:
        """Return the mean magnitude of all elements of x or h in these passes."""
        passes = [sums for pass_key in pass_keys for sums in self.passes[pass_key]]
        # fsum is exact, so that the order of batches does not matter.
        total = math.fsum(value for one in passes for value in one.sums[name])
        return float(f"{total / sum(one.counts[name] for one in passes):.{DIGITS}g}")

    def means(self, pass_keys: list[PassKey]) -> tuple[float, ...]:
        """Return the mean of each element of x in these passes, as the shortest decimal of a float32."""
        passes = [sums for pass_key in pass_keys for sums in self.passes[pass_key]]
        steps = sum(one.steps for one in passes)
        by_element = zip(*(row.tolist() for one in passes for row in one.elements), strict=True)
        return tuple(float(str(np.float32(math.fsum(values) / steps))) for values in by_element)


class _PassSums:
    """Sums per sequence, of magnitudes and of each element of x, and counts of elements, in one pass."""

    def __init__(self, batch: int, n_inputs: int) -> None:
        self.sums = {name: np.zeros(batch) for name in "xh"}
        self.counts = {"x": 0, "h": 0}
        self.elements = np.zeros((batch, n_inputs))
        """Sum of each element of x, float64."""
        self.steps = 0
        """Steps of all sequences together."""

    def decide(self, step: Step) -> Bools:
        for name, values in (("x", step.x), ("h", step.h)):
            self.sums[name][: len(values)] += add_along(np.abs(values), axis=1)
            self.counts[name] += values.size
        self.elements[: len(step.x)] += step.x
        self.steps += len(step.x)
        return np.zeros(step.shape, np.bool_)
