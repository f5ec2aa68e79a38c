"""Observation of single neurons: how little they change, and how well the binary network follows them.

A trace is split into the same few pieces on any machine. They run in parallel and are merged in order, so equal inputs
give equal bytes for any number of threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import NamedTuple

import numpy as np
import pandas as pd

from archsim.activity import pass_shapes
from archsim.cores import cores, map_in_order, thread_pool
from archsim.inference.inputs import prepared
from archsim.inference.measure import ranged
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, F64, I64
from archsim.kernels.prediction.statistics import N_MOMENTS, add_moments, count_changes, first_bins, merge_moments
from archsim.reproduce.observer import StepObservation, observe_steps
from archsim.traceio.trace import Trace

QUANTITIES = ("dot product", "output")
SMALL_CHANGE = 0.1
SCATTER_POINTS = 2000

_PIECES = 4
"""Pieces of a trace; a fixed number, because sums of moments depend on how a trace is split."""
_PER_DECADE = 20
_EDGES: F32 = (10.0 ** (np.arange(-4 * _PER_DECADE, 2 * _PER_DECADE + 1) / _PER_DECADE)).astype(np.float32)
_STARTS = first_bins(_EDGES)


class Neuron(NamedTuple):
    """Neuron of a network; `gate` is the gate's index in torch's order."""

    layer: int
    direction: int
    gate: int
    unit: int


@dataclass(frozen=True, eq=False)
class Observation:
    """Statistics of every neuron of one network on one trace."""

    network: Network
    counts: I64
    """Counts of relative changes, (2 quantities, bins), from below the first edge to above the last."""
    moments: dict[tuple[int, int], tuple[int, F64]]
    """Number of steps and moments of (binary, exact), (5, G·H), by (layer, direction)."""
    samples: F64
    """Binary and exact product of the typical neuron at up to 2000 steps, (2, steps)."""

    def changes(self) -> pd.DataFrame:
        """Return the histogram of |y_t - y_{t-1}| / |y_t|: network, quantity, low (included), high (not), count."""
        low, high = np.append(0, _EDGES).astype(np.float64), np.append(_EDGES, np.inf).astype(np.float64)
        frames = [
            pd.DataFrame({"network": self.network.name, "quantity": name, "low": low, "high": high, "count": counts})
            for name, counts in zip(QUANTITIES, self.counts, strict=True)
        ]
        return pd.concat(frames, ignore_index=True)

    def change_summary(self) -> pd.DataFrame:
        """Return per quantity: number of changes, share below 10 %, median, and mean with each change capped at 100 %.

        Median and mean come from the histogram, whose bins are 12 % wide.
        """
        rows = [
            (self.network.name, name, int(n.sum()), _share_below(n, SMALL_CHANGE), _median(n), _capped_mean(n))
            for name, n in zip(QUANTITIES, self.counts, strict=True)
        ]
        columns = ["network", "quantity", "changes", "share_below_10_percent", "median", "mean_capped"]
        return pd.DataFrame(rows, columns=columns)

    def correlations(self) -> pd.DataFrame:
        """Return Pearson's r of binary and exact product per neuron, over its n steps; NaN if one is constant."""
        frames = []
        for (layer, direction), (n, moments) in self.moments.items():
            shape = self.network.layers[layer]
            gates, H = shape.cell.gates, shape.hidden_size
            columns = {"network": self.network.name, "layer": layer, "direction": direction}
            neurons = {"gate": np.repeat(gates, H), "unit": np.tile(np.arange(H), len(gates))}
            frames.append(pd.DataFrame({**columns, **neurons, "n": n, "correlation": correlation(moments)}))
        return pd.concat(frames, ignore_index=True)

    def scatter(self) -> pd.DataFrame:
        """Return binary and exact products of the neuron whose correlation is its network's median."""
        return pd.DataFrame({"network": self.network.name, "binary": self.samples[0], "real": self.samples[1]})


def observe(network: Network, trace: Trace, *, precision: str = "fp16", limit: int | None = None) -> Observation:
    """Observe every neuron of `network` over the first `limit` sequences, without reuse.

    Changes of products count from each sequence's second step. Changes of outputs count from the second to the last
    but one, because a policy sees the output of the step before.
    """
    whole = prepared(network, trace.limit(limit))
    network = ranged(network, whole, precision)
    parts = [range(i, len(whole), _PIECES) for i in range(min(_PIECES, len(whole)))]
    pieces = [replace(whole.only(part), targets=None) for part in parts]
    with thread_pool(cores()) as pool:
        tallies = list(map_in_order(pool, partial(_tally, network, precision=precision), pieces))
    tally = reduce(_Tally.joined, tallies)
    samples = _samples(network, whole, typical_neuron(network, tally.moments), precision)
    return Observation(network, tally.counts, tally.moments, samples)


def typical_neuron(network: Network, moments: dict[tuple[int, int], tuple[int, F64]]) -> Neuron:
    """Return the neuron with the (lower) median correlation, the first in machine order among equals."""
    r = np.concatenate([correlation(of_pass) for _, of_pass in moments.values()])
    n_known = int(np.count_nonzero(~np.isnan(r)))
    flat = int(np.argsort(r, kind="stable")[max(0, n_known - 1) // 2])  # NaN sorts last
    for shape in pass_shapes(network):
        if flat < shape.neurons_per_step:
            break
        flat -= shape.neurons_per_step
    return Neuron(*shape.pass_key, *divmod(flat, shape.n_units))


class _Tally:
    """Tally of the counts and moments of one piece of a trace."""

    def __init__(self, network: Network) -> None:
        self.counts = np.zeros((len(QUANTITIES), _EDGES.size + 1), np.int64)
        self.moments = {s.pass_key: (0, np.zeros((N_MOMENTS, s.neurons_per_step))) for s in pass_shapes(network)}

    def add(self, step: StepObservation) -> None:
        """Add one step."""
        pairs = (step.exact, step.exact_before), (step.output, step.output_before)
        for counts, (now, before) in zip(self.counts, pairs, strict=True):
            if before is not None:
                count_changes(now, before, _EDGES, _STARTS, counts)
        n, moments = self.moments[step.shape.pass_key]
        self.moments[step.shape.pass_key] = add_moments(step.binary, step.exact, n, moments), moments

    def joined(self, other: _Tally) -> _Tally:
        """Add the tally of another piece; return this one."""
        self.counts += other.counts
        self.moments = {key: merge_moments(*mine, *other.moments[key]) for key, mine in self.moments.items()}
        return self


def _tally(network: Network, trace: Trace, *, precision: str) -> _Tally:
    tally = _Tally(network)
    observe_steps(network, trace, tally.add, precision=precision)
    return tally


def _samples(network: Network, trace: Trace, neuron: Neuron, precision: str) -> F64:
    """Return pairs (binary, exact) of one neuron, (2, steps), from the first sequences, by sequence, then step."""
    rows: list[tuple[int, int, int, float]] = []
    column = neuron.gate * network.layers[neuron.layer].hidden_size + neuron.unit

    def add(step: StepObservation) -> None:
        if step.shape.pass_key == neuron[:2]:
            for sequence, a, b in zip(step.sequences, step.binary[:, column], step.exact[:, column], strict=True):
                rows.append((int(sequence), step.index, int(a), float(b)))

    steps = np.cumsum([len(sequence) for sequence in trace.sequences])
    enough = int(np.searchsorted(steps, SCATTER_POINTS)) + 1
    observe_steps(network, trace.limit(enough), add, precision=precision)
    return np.array(sorted(rows)[:SCATTER_POINTS], np.float64)[:, 2:].T


def correlation(moments: F64) -> F64:
    """Return Pearson's r per column of (5, M) moments."""
    _, _, aa, bb, ab = moments
    with np.errstate(invalid="ignore"):
        r: F64 = ab / np.sqrt(aa * bb)
    return r


def _share_below(counts: I64, change: float) -> float:
    """Return the share of the changes in bins below the edge `change`."""
    return float(counts[: np.searchsorted(_EDGES, np.float32(change)) + 1].sum() / max(1, counts.sum()))


def _median(counts: I64) -> float:
    """Return the median change, interpolated in its bin on the log scale; NaN if nothing was counted."""
    if not counts.any():
        return float("nan")
    cumulated = np.cumsum(counts)
    bin_ = int(np.searchsorted(cumulated, counts.sum() / 2))
    if bin_ == 0:
        return 0.0
    if bin_ == _EDGES.size:
        return float("inf")
    low, high = np.log(_EDGES[bin_ - 1 : bin_ + 1])
    within = 1 - (cumulated[bin_] - counts.sum() / 2) / counts[bin_]
    return float(np.exp(low + within * (high - low)))


def _capped_mean(counts: I64) -> float:
    """Return the mean of min(change, 1), capped because a product that crosses zero would outweigh all others."""
    middles = np.concatenate([[0], np.sqrt(_EDGES[1:] * _EDGES[:-1]), [1]])
    return math.fsum(np.minimum(middles, 1) * counts) / max(1, int(counts.sum()))
