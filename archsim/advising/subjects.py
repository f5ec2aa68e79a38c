"""Networks that are advised on, as one face: a policy at a θ on some of the sequences gives a trial."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import NamedTuple, Protocol, Self

import numpy as np

from archsim.activity import pass_shapes
from archsim.advising.trials import AnyResult, Cost, Trial, change_cost, metric_cost
from archsim.calibration import with_missing_scales
from archsim.config.arch import ArchSpec
from archsim.experiment.run_config import resolve
from archsim.experiment.simulate import simulate_inference
from archsim.inference.batch_runner import NOTHING
from archsim.inference.inputs import prepared
from archsim.inference.measure import ranged
from archsim.inference.policy_parameters import thresholds_for
from archsim.inference.run import InferenceResult, run_compared
from archsim.inference.workload import CACHE_BYTES, Workload
from archsim.ir.network import Network
from archsim.policies import NoReuse, Policy
from archsim.traceio.trace import Trace

MAX_MACS = 20_000_000_000
"""Multiply-accumulates of one run over all sequences, beyond which no more are taken unless `limit` says so."""
MIN_SEQUENCES = 8
"""Sequences that are taken however long they are, because fewer say nothing about their spread."""
SEED = 0
"""Seed of the draw that puts one of two neighbours into each half."""
Units = tuple[int, ...]
"""Numbers of sequences, or of inputs of a model, each of which is run as a whole."""


class Halves(NamedTuple):
    """Sequences on which θ and the policy are chosen, and those on which they are judged."""

    choosing: Units
    judging: Units

    @property
    def apart(self) -> bool:
        """Whether the two have no sequence in common."""
        return self.choosing != self.judging


def halves_of(n_units: int) -> Halves:
    """Return halves with one of each two neighbours, by the toss of a coin that falls the same each time.

    An odd last sequence chooses; the only one chooses and judges. Every second sequence for each half would not do,
    because the classes of a corpus may alternate, and each half would hold one of them.
    """
    if n_units < 2:
        return Halves((0,), (0,))
    tosses, firsts = np.random.default_rng(SEED).integers(0, 2, n_units // 2), np.arange(0, n_units - 1, 2)
    last = (n_units - 1,) if n_units % 2 else ()
    return Halves((*(firsts + tosses).tolist(), *last), tuple((firsts + 1 - tosses).tolist()))


def affordable(macs: Iterable[int], limit: int | None) -> int:
    """Return how many sequences to take, given the multiply-accumulates of each: `limit`, or as many as `MAX_MACS`."""
    taken = 0
    for total in accumulate(macs):
        if taken == limit or (limit is None and taken >= MIN_SEQUENCES and total > MAX_MACS):
            break
        taken += 1
    return taken


class Part(NamedTuple):
    """Recurrent layers that are computed as one network, and what goes into them."""

    network: Network
    trace: Trace


class Subject(Protocol):
    """Network or model that is advised on, with its sequences cut into halves."""

    name: str
    trace_name: str
    precision: str
    halves: Halves
    n_given: int
    """Sequences that were given, of which the halves may take fewer."""
    unit: str
    """Word for what the halves consist of: `sequence` or `input`."""
    points: str | None
    """Name of the score that a loss is counted in; None where only the change of the outputs is known."""

    @property
    def outside(self) -> str:
        """Sentence on what of the model is not simulated; empty if everything is."""

    def trial(self, policy: Policy, threshold: float | None, units: Units) -> Trial:
        """Run a policy at a θ on some sequences."""

    def at(self, precision: str) -> Subject:
        """Return the same sequences in a precision."""

    def loss_beside(self, other: Self, units: Units) -> Cost | None:
        """Return the loss without reuse next to `other` without reuse, in points; None where there is no score."""

    def parts(self, units: Units) -> list[Part]:
        """Return networks and inputs of these sequences without reuse, with scales of the choosing half."""


class NetworkSubject:
    """Network on a trace; its own metric scores it if the trace has targets."""

    unit = "sequence"
    outside = ""

    def __init__(self, network: Network, trace: Trace, *, limit: int | None, precision: str) -> None:
        self.name = network.name
        self.trace_name = trace.name
        self.n_given = len(trace)
        self.precision = precision
        self.points = network.metric if trace.targets is not None else None
        # Texts and audio are prepared only as far as they are taken, because that is slow.
        trace = prepared(network, trace if limit is None else trace.limit(limit))
        per_step = sum(shape.neurons_per_step * shape.n_inputs for shape in pass_shapes(network))
        taken = affordable([per_step * len(sequence) for sequence in trace.sequences], limit)
        self.trace = trace.limit(taken)
        self.halves = halves_of(taken)
        self.network = with_missing_scales(network, self.trace.only(self.halves.choosing), precision=precision)
        self._workloads: dict[Units, Workload] = {}
        self._plain: dict[Units, InferenceResult] = {}

    def trial(self, policy: Policy, threshold: float | None, units: Units) -> Trial:
        """Run a policy at a θ on some sequences."""
        result = self._run(policy, threshold, units)
        loss = None
        if self.points is not None:
            before = self._without_reuse(units)
            assert before.metric is not None and before.statistics is not None and result.statistics is not None
            loss = metric_cost(before.metric, before.statistics, result.statistics)
        simulate = partial(self._simulate, policy, threshold, units, result)
        return Trial(policy, threshold, [result], change_cost([result]), loss, simulate)

    def at(self, precision: str) -> NetworkSubject:
        """Return the same sequences in a precision."""
        if precision == self.precision:
            return self
        other = copy(self)
        other.precision = precision
        other.network = ranged(self.network, self.trace.only(self.halves.choosing), precision)
        other._workloads, other._plain = {}, {}
        return other

    def loss_beside(self, other: NetworkSubject, units: Units) -> Cost | None:
        """Return the loss without reuse next to `other` without reuse, in points; None where there is no score."""
        if self.points is None:
            return None
        before, after = other._without_reuse(units), self._without_reuse(units)
        assert before.metric is not None and before.statistics is not None and after.statistics is not None
        return metric_cost(before.metric, before.statistics, after.statistics)

    def parts(self, units: Units) -> list[Part]:
        """Return the network and its inputs."""
        return [Part(self.network, replace(self.trace.only(units), targets=None))]

    def _run(self, policy: Policy, threshold: float | None, units: Units) -> InferenceResult:
        thresholds = thresholds_for(self.network, policy, threshold or 0.0)
        return run_compared(self._workload(units), policy, thresholds, keep=NOTHING)

    def _without_reuse(self, units: Units) -> InferenceResult:
        if units not in self._plain:
            self._plain[units] = self._run(NoReuse(), None, units)
        return self._plain[units]

    def _workload(self, units: Units) -> Workload:
        if units not in self._workloads:
            trace = self.trace.only(units)
            workload = Workload(self.network, trace, precision=self.precision, cache_bytes=CACHE_BYTES)
            self._workloads[units] = workload
        return self._workloads[units]

    def _simulate(
        self, policy: Policy, threshold: float | None, units: Units, result: InferenceResult, arch: ArchSpec
    ) -> AnyResult:
        trace = self.trace.only(units)
        config = resolve(self.network, trace, arch, policy, threshold, self.precision, "block", 0)
        return simulate_inference(config, result)
