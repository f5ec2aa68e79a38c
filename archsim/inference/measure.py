"""Measurement of the scales of inputs on calibration data: mean and largest magnitudes, and means."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from archsim.activity import PassKey
from archsim.inference.batch_runner import Keep
from archsim.inference.inputs import prepared
from archsim.inference.precision import lacks_ranges, measuring_precision
from archsim.inference.run import run_inference, run_workload
from archsim.inference.workload import Workload
from archsim.ir.network import Network, Scales
from archsim.kernels.arrays import F32, Bools
from archsim.policies import NoReuse, PassContext, Step
from archsim.sums import add_along
from archsim.traceio.trace import Trace

FLOAT32 = "fp32"
Ranges = tuple[tuple[float, ...], tuple[tuple[float, ...], ...]]
"""Largest |x| by layer, and |h| by layer and direction."""
_RANGED: WeakKeyDictionary[Network, dict[str, Network]] = WeakKeyDictionary()
DIGITS = 6
"""Significant digits of a scale; means are float32."""


def measure_scales(network: Network, trace: Trace, *, precision: str = "fp16") -> Scales:
    """Return the magnitudes of x and h at each layer, and the mean of each element of x, without reuse.

    `trace` must be calibration data. Magnitudes and means are those at `precision`, or in fp32 where it stores
    integers; the largest are those in fp32 (SEMANTICS 1.2).
    """
    magnitudes, largest = _Magnitudes(), measure_ranges(network, trace)
    precision = measuring_precision(precision)
    for part in _parts(network, prepared(network, trace)):
        run_inference(network, part, magnitudes, precision=precision, keep_outputs=False)
    keys = _pass_keys(network)
    inputs = tuple(magnitudes.mean(pass_keys, "x") for pass_keys in keys)
    hidden = tuple(tuple(magnitudes.mean([pass_key], "h") for pass_key in pass_keys) for pass_keys in keys)
    return Scales(inputs, hidden, *largest, tuple(map(magnitudes.means, keys)))


def measure_ranges(network: Network, trace: Trace) -> Ranges:
    """Return the largest |x| by layer and |h| by layer and direction, in fp32 without reuse.

    These are of float32, hence exact, and depend neither on the batch nor on the order of the sequences.
    """
    largest = _Largest()
    for part in _parts(network, prepared(network, trace)):
        workload = Workload(network, part, precision=FLOAT32)
        done = run_workload(workload, largest, keep=Keep(outputs=False, layers=True))
        for index, sequences in enumerate(done.layer_outputs or ()):
            width = network.layers[index].recurrent_size
            for d in range(len(network.layers[index].directions)):
                for outputs in sequences:  # with h of the last step, which no later step reads
                    largest.see((index, d), "h", outputs[:, d * width : (d + 1) * width])
    keys = _pass_keys(network)
    inputs = tuple(max(largest.seen[pass_key, "x"] for pass_key in pass_keys) for pass_keys in keys)
    hidden = tuple(tuple(largest.seen[pass_key, "h"] for pass_key in pass_keys) for pass_keys in keys)
    return inputs, hidden


def ranged(network: Network, trace: Trace, precision: str) -> Network:
    """Return the network with ranges measured on `trace`, if `precision` needs ranges that it does not have.

    The same trace gives the same object, so that its stored weights are laid out once.
    """
    if not lacks_ranges(network, precision):
        return network
    known = _RANGED.setdefault(network, {})
    if trace.digest not in known:
        # Policies see only what was measured on calibration data, so the means stay as they are.
        inputs, hidden = measure_ranges(network, trace)
        known_scales = network.scales or Scales((0.0,) * len(inputs), tuple((0.0,) * len(sides) for sides in hidden))
        known[trace.digest] = replace(
            network, scales=replace(known_scales, largest_inputs=inputs, largest_hidden=hidden)
        )
    return known[trace.digest]


def _pass_keys(network: Network) -> list[list[PassKey]]:
    """Return the passes of each layer."""
    return [[(index, d) for d in range(len(layer.directions))] for index, layer in enumerate(network.layers)]


def _parts(network: Network, trace: Trace) -> list[Trace]:
    """Return the traces to run one by one.

    In a batch a decoded sequence runs on after its end, which would count, so each runs alone.
    """
    if not network.decoder:
        return [trace]
    return [replace(trace.only([i]), targets=None) for i in range(len(trace))]


class _Largest(NoReuse):
    """Policy that reuses nothing and keeps the largest |x| and |h| of each pass."""

    name = "largest"

    def __init__(self) -> None:
        self.seen: defaultdict[tuple[PassKey, str], float] = defaultdict(float)

    def begin(self, context: PassContext) -> _PassLargest:  # type: ignore[override]
        return _PassLargest(self, context.pass_key)

    def see(self, pass_key: PassKey, name: str, values: F32) -> None:
        """Take values of x or h of a pass into account."""
        self.seen[pass_key, name] = max(self.seen[pass_key, name], float(np.abs(values).max(initial=0)))


class _PassLargest:
    """Pass that shows its inputs to `_Largest`."""

    def __init__(self, largest: _Largest, pass_key: PassKey) -> None:
        self.largest = largest
        self.pass_key = pass_key

    def decide(self, step: Step) -> Bools:
        self.largest.see(self.pass_key, "x", step.x)
        self.largest.see(self.pass_key, "h", step.h)
        return np.zeros(step.shape, np.bool_)


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
