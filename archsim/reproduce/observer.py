"""Observer of an inference run: a policy that reuses nothing and passes every step to a callback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from archsim.activity import PassShape, pass_shapes
from archsim.errors import NetworkError
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
    """Observation of one step of a pass.

    Row b belongs to the same sequence in every array. Sequences that have ended are left out.
    """

    shape: PassShape
    index: int
    sequences: I64
    """Indices of the sequences in the trace, (B,)."""
    binary: I32
    """Outputs of the binary network, (B, G·H)."""
    exact: F32
    """Exact dot products, (B, G·H)."""
    exact_before: F32 | None
    """Exact dot products of the step before; None at step 0."""
    output: F32
    """Hidden values of the step before, (B, H), because a policy decides before the step's own are computed."""
    output_before: F32 | None
    """Hidden values two steps before; None until there are two."""


Observer = Callable[[StepObservation], None]
"""Callback that is given every step of every pass."""


def observe_steps(network: Network, trace: Trace, observer: Observer, *, precision: str) -> None:
    """Call `observer` with every step of every pass, batch by batch in machine order, in this thread.

    Raises NetworkError for a GRU with reset before the product, whose gates do not read the same inputs.
    """
    if layer := next((layer for layer in network.layers if layer.cell.resets_before), None):
        raise NetworkError(
            f"{network.name}, {layer.name}: not all gates of a {layer.cell.name} read [x; h], so steps are not observed"
        )
    lengths = Inputs(network, trace, fp16=precision == "fp16").lengths
    steps = _decoded_steps(network, trace, precision) if network.decoder else lengths
    policy = _ObservingPolicy(network, lengths, steps, observer)
    run_inference(network, trace, policy, precision=precision, keep_outputs=False, threads=1)


def _decoded_steps(network: Network, trace: Trace, precision: str) -> I64:
    """Return the number of steps per prediction, because a policy cannot see where a decoder's rows end."""
    outputs = run_inference(network, trace, NoReuse(), precision=precision, threads=1).outputs or []
    return np.array([len(output) for output in outputs], np.int64)


class _ObservingPolicy:
    """Policy that observes; it identifies passes by the order in which one thread begins them."""

    name = "observing"
    needs_threshold = False
    uses_memo_unit = False

    def __init__(self, network: Network, lengths: I64, decoded: I64, observer: Observer) -> None:
        self.passes = _passes_in_order(network, lengths, decoded)
        self.observer = observer

    def begin(self, context: PassContext) -> _ObservedPass:
        """Return the observed pass that begins."""
        return _ObservedPass(context, *next(self.passes), self.observer)


def _passes_in_order(network: Network, lengths: I64, decoded: I64) -> Iterator[tuple[PassShape, I64, I64]]:
    """Yield shape, sequences (B,) and their steps (B,) of every pass, in the order of `run_inference`."""
    for batch in batches(lengths):
        for shape in pass_shapes(network):
            yield shape, batch.sequences, (decoded if shape.decodes else lengths)[batch.sequences]


class _ObservedPass:
    """Pass that is observed, with its binary weights and its previous step."""

    def __init__(self, context: PassContext, shape: PassShape, sequences: I64, steps: I64, observer: Observer) -> None:
        self.weights_t = np.ascontiguousarray(pack_joint_signs(context.weight_ih, context.weight_hh).T)
        self.shape = shape
        self.sequences = sequences
        self.steps = steps
        self.observer = observer
        self.exact = np.empty((0, 0), np.float32)
        self.output = self.exact

    def decide(self, step: Step) -> Bools:
        """Pass the step to the observer, and reuse nothing."""
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
        self.exact = exact
        self.output = output
        return np.zeros(step.shape, np.bool_)
