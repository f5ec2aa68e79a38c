"""A policy that reuses nothing and shows every step, exact and binary, to whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from archsim.activity import PassShape, pass_shapes
from archsim.inference.batching import batches
from archsim.inference.inputs import Inputs
from archsim.inference.run import run_inference
from archsim.ir.network import Network
from archsim.kernels.arrays import F32, I32, I64, Bools
from archsim.kernels.prediction.bitplanes import binary_products, pack_joint_signs
from archsim.policies.none import NoReuse
from archsim.policies.protocol import PassContext, Step
from archsim.traceio.trace import Trace


@dataclass(frozen=True, eq=False)
class StepObservation:
    """One step of a pass: row b is the same sequence in every array, sequences that have ended are left out."""

    shape: PassShape
    index: int
    sequences: I64
    """Their numbers in the trace, (B,)."""
    binary: I32
    """Outputs of the binary network, (B, G·H)."""
    exact: F32
    """Dot products, (B, G·H)."""
    exact_before: F32 | None
    """Those of the step before; None at step 0."""
    output: F32
    """Hidden values of the step before, (B, H): a step is shown before its own are made."""
    output_before: F32 | None
    """Those of the step before that; None until two are made."""


Observer = Callable[[StepObservation], None]


def observe_steps(network: Network, trace: Trace, observer: Observer, *, precision: str) -> None:
    """Show every step of every pass to `eye`, batch by batch in machine order, on this thread's time."""
    lengths = Inputs(network, trace, fp16=precision == "fp16").lengths
    steps = _decoded_steps(network, trace, precision) if network.decoder else lengths
    policy = _ObservingPolicy(network, lengths, steps, observer)
    run_inference(network, trace, policy, precision=precision, keep_outputs=False, threads=1)


def _decoded_steps(network: Network, trace: Trace, precision: str) -> I64:
    """Steps of each answer: a decoder's rows run on after their end, which a policy cannot see."""
    outputs = run_inference(network, trace, NoReuse(), precision=precision, threads=1).outputs or []
    return np.array([len(output) for output in outputs], np.int64)


class _ObservingPolicy:
    """The policy; it knows passes by the order in which one thread begins them."""

    name = "watching"
    needs_threshold = False
    uses_memo_unit = False

    def __init__(self, network: Network, lengths: I64, decoded: I64, observer: Observer) -> None:
        self.passes, self.observer = _passes_in_order(network, lengths, decoded), observer

    def begin(self, context: PassContext) -> _ObservedPass:
        """Start a pass that nobody has looked at."""
        return _ObservedPass(context, *next(self.passes), self.observer)


def _passes_in_order(network: Network, lengths: I64, decoded: I64) -> Iterator[tuple[PassShape, I64, I64]]:
    """Yield shape, sequences (B,) and their steps (B,) of every pass as `run_functional` begins them."""
    for batch in batches(lengths):
        for shape in pass_shapes(network):
            yield shape, batch.sequences, (decoded if shape.decodes else lengths)[batch.sequences]


class _ObservedPass:
    """The binary weights of a pass, and what it showed last."""

    def __init__(self, context: PassContext, shape: PassShape, sequences: I64, steps: I64, observer: Observer) -> None:
        self.weights_t = np.ascontiguousarray(pack_joint_signs(context.weight_ih, context.weight_hh).T)
        self.shape, self.sequences, self.steps, self.observer = shape, sequences, steps, observer
        nothing = np.empty((0, 0), np.float32)
        self.exact, self.output = nothing, nothing

    def decide(self, step: Step) -> Bools:
        """Look, and reuse nothing."""
        B = step.shape[0]
        # Products and hidden values are views that later steps overwrite.
        exact, output = step.exact.reshape(B, -1).copy(), step.h.copy()
        binary = binary_products(pack_joint_signs(step.x, step.h), self.weights_t, self.shape.n_inputs)
        live = self.steps[:B] > step.index
        if live.any():
            exact_before = self.exact[:B][live] if step.index > 0 else None
            output_before = self.output[:B][live] if step.index > 1 else None
            now = (self.sequences[:B][live], binary[live], exact[live], exact_before, output[live], output_before)
            self.observer(StepObservation(self.shape, step.index, *now))
        self.exact, self.output = exact, output
        return np.zeros(step.shape, np.bool_)
