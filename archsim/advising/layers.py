"""Similarity of consecutive steps by layer, sign changes of inputs, and how predictors follow the true products."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from archsim.activity import PassKey
from archsim.advising.subjects import Part
from archsim.inference.run import run_inference
from archsim.kernels.arrays import F32, F64, I32, Bools
from archsim.kernels.prediction.statistics import N_MOMENTS, add_moments, merge_moments
from archsim.policies import NoReuse, PassContext, Step, declaration
from archsim.policies.kernel_pass import KernelPass
from archsim.policies.predicted import PredictedPolicy
from archsim.reproduce.neurons import correlation

DIGITS = 6
"""Significant digits of a figure, fewer than those that the order of sums may change."""


@dataclass(frozen=True)
class LayerSimilarity:
    """Similarity of consecutive steps at one layer, without reuse; NaN where no sequence has two steps."""

    part: str
    layer: str
    size: str
    """Cell, inputs and units, as `lstm 40 → 64`."""
    inputs_change: float
    """sqrt(Σ |x_t - x_{t-1}|² / Σ |x_t|²)."""
    outputs_change: float
    """Change of h, as for x."""
    sign_changes: float
    """Share of inputs whose sign differs from that of the step before; zero counts as positive."""
    never_change_sign: float
    """Share of inputs that keep their sign in every sequence."""
    correlations: dict[str, float]
    """Pearson's r of the predicted and the true change of a product, by predictor: the median over neurons."""


def similarities(part: Part, predictors: dict[str, PredictedPolicy], *, precision: str) -> list[LayerSimilarity]:
    """Return the similarity at each layer of a part; predictors go by the names in the result."""
    probe = _Probe(predictors)
    traces = [part.trace]
    if part.network.decoder:
        # In a batch a decoded sequence runs on after its end, which would count, so each runs alone.
        traces = [part.trace.only([i]) for i in range(len(part.trace))]
    for trace in traces:
        # One thread: the order of sums must not depend on the machine that this runs on.
        whole = replace(trace, targets=None)
        run_inference(part.network, whole, probe, precision=precision, keep_outputs=False, threads=1)
    return [_similarity(part, index, probe) for index in range(len(part.network.layers))]


def _similarity(part: Part, index: int, probe: _Probe) -> LayerSimilarity:
    layer = part.network.layers[index]
    keys, n_groups = [(index, d) for d in range(len(layer.directions))], len(layer.cell.gate_groups)
    # Gates that are decided apart begin passes of their own, in turn. Only the first of them read h itself.
    groups = [probe.passes[key][group::n_groups] for key in keys for group in range(n_groups)]
    tallies = [tally for group in groups[::n_groups] for tally in group]
    x, h = (np.array([getattr(tally, name) for tally in tallies]).sum(axis=0) for name in ("x", "h"))
    elements = sum(tally.elements for tally in tallies)
    changed: Bools = np.logical_or.reduce([tally.changed for tally in tallies])
    return LayerSimilarity(
        part=part.network.name,
        layer=layer.name,
        size=f"{layer.cell.name} {layer.input_size} → {layer.hidden_size}{' both ways' if len(keys) > 1 else ''}",
        inputs_change=_change(x),
        outputs_change=_change(h),
        sign_changes=_rounded(sum(tally.flips for tally in tallies) / elements) if elements else math.nan,
        never_change_sign=1 - float(changed.mean()) if elements else math.nan,
        correlations={name: _median_correlation(groups, name) for name in probe.predictors},
    )


def _change(squares: F64) -> float:
    change, square = squares.tolist()
    return _rounded(math.sqrt(change / square)) if square else math.nan


def _median_correlation(passes: list[list[_Tally]], name: str) -> float:
    """Return the median over all neurons of a layer, those left out whose product or prediction never changes."""
    found = []
    for tallies in passes:
        n, moments = 0, np.zeros_like(tallies[0].moments[name])
        for tally in tallies:
            n, moments = merge_moments(n, moments, tally.pairs, tally.moments[name])
        found.append(correlation(moments))
    values = np.concatenate(found)
    known = values[~np.isnan(values)]
    return _rounded(float(np.median(known))) if known.size else math.nan


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


class _Probe(NoReuse):
    """Policy that reuses nothing and looks at each step."""

    name = "similarity"
    needs_scales = True

    def __init__(self, predictors: dict[str, PredictedPolicy]) -> None:
        self.predictors = predictors
        self.needs_means = any(declaration(policy).needs_means for policy in predictors.values())
        self.passes: defaultdict[PassKey, list[_Tally]] = defaultdict(list)

    def begin(self, context: PassContext) -> _Tally:  # type: ignore[override]
        predicting = {name: policy.begin(context) for name, policy in self.predictors.items()}
        tally = _Tally(context, predicting)
        self.passes[context.pass_key].append(tally)
        return tally


class _Tally:
    """Sums over the steps of one pass."""

    def __init__(self, context: PassContext, predicting: dict[str, KernelPass]) -> None:
        self.predicting = predicting
        self.x, self.h = np.zeros((2, 2))
        """Sums of squared changes and of squares."""
        self.elements, self.flips = 0, 0
        self.changed: Bools = np.zeros(context.weight_ih.shape[1], np.bool_)
        self.pairs = 0
        self.moments: dict[str, F64] = {
            name: np.zeros((N_MOMENTS, context.n_gates * context.n_units)) for name in predicting
        }
        self._before: _Seen | None = None

    def decide(self, step: Step) -> Bools:
        seen = _seen(step, self.predicting)
        if self._before is not None:
            self._add(seen, self._before, index=step.index)
        self._before = seen
        return np.zeros(step.shape, np.bool_)

    def _add(self, now: _Seen, before: _Seen, *, index: int) -> None:
        n = len(now.x)  # sequences that end leave from the last row on
        self.x += _squares(now.x, before.x[:n])
        if index > 1:  # before the second step h is the initial state, which is no output
            self.h += _squares(now.h, before.h[:n])
        flips = (now.x >= 0) != (before.x[:n] >= 0)
        self.flips += int(flips.sum())
        self.elements += flips.size
        self.changed |= flips.any(axis=0)
        exact = now.exact - before.exact[:n]
        for name, moments in self.moments.items():
            add_moments(now.predicted[name] - before.predicted[name][:n], exact, self.pairs, moments)
        self.pairs += n


@dataclass(frozen=True, eq=False)
class _Seen:
    """Copies of what one step has, because later steps overwrite it."""

    x: F32
    h: F32
    exact: F32
    """True products, (B, G·H)."""
    predicted: dict[str, I32]
    """Predictions, (B, G·H), in the unit of each predictor."""


def _seen(step: Step, predicting: dict[str, KernelPass]) -> _Seen:
    n = len(step.x)
    predicted = {}
    for name, predictor in predicting.items():
        predictor.decide(step)
        predicted[name] = predictor.decider.now[:n].reshape(n, -1).copy()
    return _Seen(step.x.copy(), step.h.copy(), step.exact.reshape(n, -1).copy(), predicted)


def _squares(now: F32, before: F32) -> F64:
    change = now.astype(np.float64) - before
    return np.array([np.square(change).sum(), np.square(now, dtype=np.float64).sum()])
