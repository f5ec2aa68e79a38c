"""Subjects of the checks: a policy on a small random network and trace, at a θ where it saves some of the work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from archsim.activity import ActivityRecord, PassShape
from archsim.experiment.result import Result
from archsim.experiment.simulate import simulate
from archsim.inference.batch_runner import NOTHING
from archsim.inference.measure import measure_scales
from archsim.inference.run import run_workload
from archsim.inference.workload import Workload
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, Bools
from archsim.policies import Policy
from archsim.sim.machines import Detail
from archsim.traceio.trace import Trace

SEED = 0
N_INPUTS, N_UNITS = 12, 10
LENGTHS = (7, 1, 18, 10)
"""Steps of the sequences: their batch shrinks several times, and once after its first step."""
REST_SHARE = 0.3
"""Share of the steps whose inputs equal those of the step before."""
DECADES = (0.0, 1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2, 1e3)
"""Values of θ that the checks try, whatever its unit is."""
NO_THETA = 0.0


class BrokenPromiseError(Exception):
    """Promise of the contract that a policy does not keep; the message says which way."""


@dataclass(frozen=True)
class Subject:
    """Policy, with a network, a trace and a θ to try it on."""

    policy: Policy
    network: Network
    trace: Trace
    threshold: float

    def decisions(
        self, policy: Policy | None = None, *, threshold: float | None = None, trace: Trace | None = None
    ) -> ActivityRecord:
        """Return the decisions of a run in which all sequences are one batch."""
        theta = self.threshold if threshold is None else threshold
        workload = Workload(self.network, trace or self.trace)
        return run_workload(workload, policy or self.policy, theta, keep=NOTHING, threads=1).activity

    def share(self, threshold: float) -> float:
        """Return the share of multiply-accumulates avoided at a θ."""
        return self.decisions(threshold=threshold).avoided_fraction

    @cached_property
    def result(self) -> Result:
        """Result of a whole run, one event per pass."""
        return self.simulate("block")

    def simulate(self, detail: Detail) -> Result:
        """Return the result of a whole run at a level of detail."""
        theta = self.threshold if self.policy.needs_threshold else None
        return simulate(self.network, self.trace, policy=self.policy, threshold=theta, detail=detail)

    def cut(self, steps: int) -> Trace:
        """Return the trace with at most so many steps of each sequence."""
        return Trace.from_arrays([sequence[:steps] for sequence in self.trace.sequences], name="cut")


def subjects_for(policy: Policy, threshold: float | None) -> list[Subject]:
    """Return a policy on an LSTM of two layers and on a bidirectional GRU.

    threshold: θ to try it at, or None for the one of DECADES at which it avoids about half of the work.
    """
    subjects = [
        Subject(policy, network, _trace(network), NO_THETA if threshold is None else threshold)
        for network in (_network("lstm", layers=2, directions=1), _network("gru", layers=1, directions=2))
    ]
    if threshold is not None or not policy.needs_threshold:
        return subjects
    theta = min(DECADES, key=lambda value: abs(subjects[0].share(value) - 0.5))
    return [replace(subject, threshold=theta) for subject in subjects]


def _network(cell: str, *, layers: int, directions: int) -> Network:
    rng, gates = np.random.default_rng(SEED), {"lstm": 4, "gru": 3}[cell]
    widths = [N_INPUTS, *[directions * N_UNITS] * (layers - 1)]

    def draw(*shape: int) -> F32:
        return rng.uniform(-0.5, 0.5, shape).astype(np.float32)

    passes = [width for width in widths for _ in range(directions)]
    network = Network.from_weights(
        cell,
        weight_ih=[draw(gates * N_UNITS, width) for width in passes],
        weight_hh=[draw(gates * N_UNITS, N_UNITS) for _ in passes],
        bias=[draw(gates * N_UNITS) for _ in passes],
        bidirectional=directions == 2,
        name=f"checked-{cell}",
    )
    return replace(network, scales=measure_scales(network, _trace(network)))


def _trace(network: Network) -> Trace:
    """Return frames that drift, and rest now and then."""
    rng = np.random.default_rng(SEED + 1)
    sequences = []
    for steps in LENGTHS:
        moves = 0.3 * rng.standard_normal((steps, network.input_size)) * (rng.random((steps, 1)) >= REST_SHARE)
        sequences.append(np.cumsum(moves, axis=0).astype(np.float32))
    return Trace.from_arrays(sequences, name="checked")


def decided(activity: ActivityRecord, sequence: int, shape: PassShape) -> Bools:
    """Return the decisions of a pass over a sequence, one row per step."""
    read = activity.skipped if activity.kind == "columns" else activity.reused
    decisions = read(sequence, *shape.pass_key)
    return decisions.reshape(len(decisions), -1)


def first_difference(
    one: ActivityRecord, other: ActivityRecord, sequence: int, other_sequence: int | None = None
) -> str | None:
    """Return the layer, direction and step where two runs first decide differently on a sequence; None for nowhere.

    Only the steps that both have are compared. other_sequence: number of the sequence in the other run.
    """
    in_other = sequence if other_sequence is None else other_sequence
    for shape in one.shapes:
        left, right = decided(one, sequence, shape), decided(other, in_other, shape)
        steps = min(len(left), len(right))
        differing = np.flatnonzero((left[:steps] != right[:steps]).any(axis=1))
        if differing.size:
            return f"sequence {sequence}, layer {shape.layer}, direction {shape.direction}, step {differing[0]}"
    return None
