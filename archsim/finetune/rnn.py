"""Torch LSTM, GRU or RNN that reuses products exactly as the machine does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archsim.activity import ActivityRecord, pass_shapes
from archsim.errors import ConfigError, NetworkError, TraceError
from archsim.finetune.steadiness import unsteadiness
from archsim.finetune.steps import MemoizedSteps, Parameters, RoundToFp16, check_trainable
from archsim.importers.effective import PLAIN
from archsim.importers.pytorch import from_torch
from archsim.inference.batching import Batch
from archsim.inference.encoder_run import PassFactory
from archsim.inference.policy_parameters import Threshold, thresholds_per_gate
from archsim.inference.precision import arithmetic_of
from archsim.ir.network import Network, Scales
from archsim.kernels.arrays import U8
from archsim.kernels.numerics.fp16 import FP16_MAX
from archsim.policies import ReusePolicy, kind_of, policy_from
from archsim.policies.protocol import NEURONS


@dataclass(frozen=True, eq=False)
class ReuseRun:
    """Outputs, decisions and unsteadiness of one call."""

    outputs: Tensor
    """Outputs of the top layer in the layout of the input, zero after the end of a sequence."""
    activity: ActivityRecord
    """Decisions, with sequences in the order of the batch."""
    unsteadiness: Tensor | None
    """Mean unsteadiness of the neurons, differentiable; None if it was not requested."""

    @property
    def reuse_fraction(self) -> float:
        """Share of neuron evaluations that were reused."""
        return self.activity.avoided_fraction


class ReuseRNN(nn.Module):
    """One `nn.LSTM`, `nn.GRU` or `nn.RNN`, or several in a row, run under a reuse policy.

    Values and decisions are equal to those of `archsim.simulate`, bit for bit, and the gradient is that of the same
    computation (archsim.finetune.steps). The weights remain those of the given modules, so any optimiser trains them.
    Raises NetworkError for modules that archsim does not model, and ConfigError for an invalid policy, θ or precision.
    """

    def __init__(
        self,
        *modules: nn.RNNBase,
        policy: str | ReusePolicy = "bnn",
        threshold: Threshold = 0.0,
        scales: Scales | None = None,
        precision: str = "fp16",
    ) -> None:
        super().__init__()
        for module in modules:
            if not isinstance(module, nn.RNNBase):
                raise NetworkError(f"{type(module).__name__} is not supported; accepted: {PLAIN}")
        if any(getattr(module, "dropout", 0) for module in modules):
            raise ConfigError("dropout between layers would change what is reused: need dropout = 0")
        if len({getattr(module, "batch_first", False) for module in modules}) > 1:
            raise ConfigError("modules differ in batch_first: need the same in all")
        if any(weight.dtype != torch.float32 for module in modules for weight in module.parameters()):
            raise ConfigError("weights are not float32: need module.float(); precision says what the machine holds")
        self.stacks = nn.ModuleList(modules)
        self.policy = policy_from(policy)
        if kind_of(self.policy) is not NEURONS:
            raise ConfigError(f"policy {self.policy.name!r} skips columns: need one that reuses neurons, as bnn")
        self.threshold = threshold
        self.scales = scales
        arithmetic = arithmetic_of(precision)
        if arithmetic.is_integer:
            raise ConfigError(f"archsim.finetune has no gradient for precision {precision!r}: need fp16 or fp32")
        self.precision = precision
        self.fp16 = arithmetic.fp16
        for layer in self.passes().network.layers:
            check_trainable(layer)

    def forward(self, x: Tensor, lengths: Tensor | Sequence[int] | None = None) -> Tensor:
        """Map x (T, B, I), or (B, T, I) if the modules are batch_first, to outputs of the same layout.

        Sequences are padded at their end; `lengths` (B,) are their true lengths. Raises TraceError for wrong shapes.
        """
        return self.run(x, lengths).outputs

    def run(
        self, x: Tensor, lengths: Tensor | Sequence[int] | None = None, *, half_at: float | None = None
    ) -> ReuseRun:
        """Run as `forward` does, and return decisions too; `half_at` requests the unsteadiness (see `unsteadiness`)."""
        batch_first = bool(self.stacks[0].batch_first)
        x = x.transpose(0, 1) if batch_first else x
        passes = self.passes()
        batch, (steps, size) = _batch_of(x, lengths, passes.network.input_size), x.shape[:2]
        rows, costs = _padded_rows(batch), list[Tensor]()
        hidden, decisions = self._stored(x[rows]), list[U8]()
        for index, sides in enumerate(_by_direction(self.stacks)):
            outputs = []
            for d, parameters in enumerate(sides):
                inputs = _reversed(hidden, batch) if d else hidden
                h = MemoizedSteps.apply(passes.begin(index, d, size), batch, decisions, inputs, *parameters)
                if half_at is not None:
                    costs.append(unsteadiness(inputs, h, parameters, batch, half_at))
                outputs.append(_reversed(h, batch) if d else h)
            hidden = torch.cat(outputs, 1) if len(outputs) > 1 else outputs[0]
        padded = hidden.new_zeros(steps, size, hidden.shape[1]).index_put(rows, hidden)
        activity = _activity(passes.network, batch, decisions)
        cost = _mean_cost(costs, activity) if costs else None
        return ReuseRun(padded.transpose(0, 1) if batch_first else padded, activity, cost)

    def passes(self) -> PassFactory:
        """Return the passes of the current weights; made anew per call, because training changes the weights."""
        layers = tuple(layer for module in self.stacks for layer in from_torch(module).layers)
        network = Network("torch module", layers, scales=self.scales)
        return PassFactory(network, self.policy, thresholds_per_gate(network, self.threshold), precision=self.precision)

    def _stored(self, inputs: Tensor) -> Tensor:
        if not self.fp16:
            return inputs
        largest = float(inputs.detach().abs().max())
        if largest > FP16_MAX:
            raise TraceError(f"inputs hold {largest:g}, binary16 ends at {FP16_MAX:g}: use precision fp32")
        rounded: Tensor = RoundToFp16.apply(inputs)
        return rounded


def _by_direction(stacks: nn.ModuleList) -> Iterator[list[Parameters]]:
    """Yield the parameters of each direction, layer by layer."""
    for module in stacks:
        assert isinstance(module, nn.RNNBase), "from_torch has checked"
        find: Callable[[str], Any] = dict(module.named_parameters()).get
        for layer in range(module.num_layers):
            ends = [f"_l{layer}", f"_l{layer}_reverse"][: 1 + module.bidirectional]
            yield [Parameters(*[find(name + end) for name in Parameters._fields]) for end in ends]


def _batch_of(x: Tensor, lengths: Tensor | Sequence[int] | None, input_size: int) -> Batch:
    """Return the batch of the sequences, longest first."""
    if x.ndim != 3 or x.shape[2] != input_size or 0 in x.shape or x.dtype != torch.float32:
        raise TraceError(
            f"inputs are {x.dtype} of shape {tuple(x.shape)}, need float32 of (steps, batch, {input_size})"
        )
    steps, size = x.shape[:2]
    given = np.full(size, steps) if lengths is None else np.asarray(lengths, np.int64)
    if given.shape != (size,) or not 1 <= given.min() <= given.max() <= steps:
        raise TraceError(f"lengths = {given.tolist()}: need {size} whole numbers from 1 to {steps}")
    order = np.argsort(-given, kind="stable")
    return Batch.of(order, given[order])


def _padded_rows(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the step and the column of each step-major row in a padded tensor."""
    steps, positions = batch.steps_and_positions()
    return torch.from_numpy(steps), torch.from_numpy(batch.sequences[positions])


def _reversed(rows: Tensor, batch: Batch) -> Tensor:
    """Return step-major rows in the order of the opposite direction."""
    return rows[torch.from_numpy(batch.backwards())]


def _activity(network: Network, batch: Batch, decisions: Sequence[U8]) -> ActivityRecord:
    shapes, rows = pass_shapes(network), np.argsort(batch.sequences)
    by_pass = zip(shapes, decisions, strict=True)
    bits = {shape.pass_key: [of_pass[batch.rows_of(row)] for row in rows.tolist()] for shape, of_pass in by_pass}
    return ActivityRecord(shapes, bits)


def _mean_cost(costs: Sequence[Tensor], activity: ActivityRecord) -> Tensor:
    """Average the per-pass costs, weighted by neuron count."""
    sizes = torch.tensor([float(shape.neurons_per_step) for shape in activity.shapes])
    return torch.stack(list(costs)) @ (sizes / sizes.sum())
