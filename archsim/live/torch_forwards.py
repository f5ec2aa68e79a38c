"""Stand-ins for `forward` of attached torch modules: the same call, computed by a part."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archsim.activity import PassKey
from archsim.errors import ConfigError, NetworkError
from archsim.ir.layers import State
from archsim.kernels.arrays import F32
from archsim.live.part import Part
from archsim.live.torch_layouts import (
    DenseLayout,
    Hidden,
    PackedLayout,
    check_dense,
    check_step,
    hidden_of,
    like,
    states_of,
    states_of_step,
    to_array,
)

T = TypeVar("T")


class Forward:
    """Base of both kinds. A call whose state equals what the last call returned continues its sequences."""

    def __init__(self, part: Part, module: nn.Module) -> None:
        self.part = part
        self.module = module
        self.has_cell = isinstance(module, nn.LSTM | nn.LSTMCell)
        self._weights = _versions(module)
        # Threads may share a model; a call must not end another one's sequences halfway.
        self._lock = Lock()
        self._last: tuple[Tensor, ...] = ()
        """State that the last call returned; empty where nothing can go on from it."""

    def __reduce_ex__(self, protocol: object) -> Any:
        """Refuse to be copied or pickled, because a copy would never be taken out of its model."""
        raise ConfigError(f"{self.part.name} is attached: copy or save the model outside the with block")

    def check(self) -> None:
        """Raise an error where the module no longer is what was attached, or is set to drop values at random."""
        module, where = self.module, self.part.name
        if isinstance(module, nn.RNNBase) and module.training and module.dropout and module.num_layers > 1:
            raise ConfigError(
                f"{where}: dropout = {module.dropout} in training mode, which is not simulated: call model.eval() first"
            )
        if _versions(module) != self._weights:
            raise NetworkError(f"{where}: its weights changed after it was attached: attach again")

    def continues(self, hx: Hidden) -> bool:
        """Return True if a call with this state goes on where the last one ended. If it fails, none does."""
        states, last = _tensors(hx), self._last
        self._last = ()
        return len(states) == len(last) > 0 and all(map(torch.equal, states, last))

    def remember(self, hidden: Hidden) -> None:
        """Remember what a call returned; a copy, because the caller may change it in place."""
        self._last = tuple(state.detach().clone() for state in _tensors(hidden))

    def finish(self, outputs: T, x: Tensor) -> T:
        """Return a call's outputs, with an error in place of gradients where torch would compute some."""
        wants = x.requires_grad or any(parameter.requires_grad for parameter in self.module.parameters())
        return _guarded(outputs, self.part.name) if wants and torch.is_grad_enabled() else outputs


class StackForward(Forward):
    """Stand-in for `forward` of an `nn.LSTM`, `nn.GRU` or `nn.RNN`."""

    module: nn.RNNBase

    def __call__(self, input: Tensor | PackedSequence, hx: Hidden = None) -> tuple[Any, Hidden]:
        """Return outputs and end states, as torch documents them for the module."""
        self.check()
        with self._lock:
            return self._packed(input, hx) if isinstance(input, PackedSequence) else self._dense(input, hx)

    def _packed(self, packed: PackedSequence, hx: Hidden) -> tuple[Any, Hidden]:
        self.module.check_input(packed.data, packed.batch_sizes)
        layout = PackedLayout(packed)
        self._last = ()
        outputs, states = self._run(layout.sequences(), hx)
        hidden = hidden_of(states, packed.data, has_cell=self.has_cell, batched=True)
        return self.finish((layout.outputs(outputs), hidden), packed.data)

    def _dense(self, x: Tensor, hx: Hidden) -> tuple[Tensor, Hidden]:
        layout = check_dense(self.module, x, hx)
        steps = layout.steps(x)
        if 0 in steps.shape:
            return self._of_nothing(layout, x, steps)
        if self.module.bidirectional:
            sequences, states = self._run(list(steps.transpose(1, 0, 2)), hx)
            outputs = np.stack(sequences, axis=1)
        else:
            if not self.continues(hx):
                self.part.begin(steps.shape[1], self._starts(hx))
            outputs, states = self.part.advance(steps), self.part.states
        hidden = hidden_of(states, x, has_cell=self.has_cell, batched=layout.batched)
        self.remember(hidden if not self.module.bidirectional else ())
        return self.finish((layout.outputs(x, outputs), hidden), x)

    def _run(self, sequences: list[F32], hx: Hidden) -> tuple[list[F32], dict[PassKey, State]]:
        """Run whole sequences; return outputs (T, D·H) per sequence, and end states."""
        result = self.part.run(sequences, self._starts(hx))
        assert result.outputs is not None, "a part keeps outputs"
        return result.outputs, result.ends

    def _starts(self, hx: Hidden) -> dict[PassKey, State] | None:
        return None if hx is None else states_of(hx, 1 + self.module.bidirectional)

    def _of_nothing(self, layout: DenseLayout, x: Tensor, steps: F32) -> tuple[Tensor, Hidden]:
        """Return the empty outputs of a call without sequences; raise torch's error for sequences without steps."""
        if not len(steps):
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        module, n_directions = self.module, 1 + self.module.bidirectional
        sizes = (module.proj_size or module.hidden_size, module.hidden_size)  # of h and of c
        outputs = np.zeros((len(steps), 0, n_directions * sizes[0]), np.float32)
        states = [np.zeros((module.num_layers * n_directions, 0, size), np.float32) for size in sizes]
        hidden = tuple(like(x, state) for state in states[: 1 + self.has_cell])
        return layout.outputs(x, outputs), hidden if self.has_cell else hidden[0]


class CellForward(Forward):
    """Stand-in for `forward` of an `nn.LSTMCell`, `nn.GRUCell` or `nn.RNNCell`, which a loop calls step by step."""

    module: nn.RNNCellBase

    def __call__(self, input: Tensor, hx: Hidden = None) -> Hidden:
        """Return the state after one step, as torch documents it for the module."""
        self.check()
        check_step(self.module, input, hx)
        with self._lock:
            return self._step(input, hx)

    def _step(self, input: Tensor, hx: Hidden) -> Hidden:
        batched = input.dim() == 2
        x = to_array(input if batched else input[None])
        if not len(x):
            states = tuple(like(input, np.zeros((0, self.module.hidden_size), np.float32)) for _ in range(2))
            return states if self.has_cell else states[0]
        if not self.continues(hx):
            self.part.begin(len(x), None if hx is None else states_of_step(hx))
        self.part.advance(x)
        hidden = hidden_of(self.part.states, input, has_cell=self.has_cell, batched=True)
        step = tuple(state[0] if batched else state[0, 0] for state in _tensors(hidden))
        self.remember(step)
        return self.finish(step if self.has_cell else step[0], input)


def _tensors(hidden: Hidden) -> tuple[Tensor, ...]:
    """Return h, or h and c, as a tuple; empty for no state."""
    return () if hidden is None else tuple(hidden) if isinstance(hidden, tuple | list) else (hidden,)


def _versions(module: nn.Module) -> list[tuple[int, int]]:
    """Return what changes when a parameter is replaced or written to: its identity and torch's count of writes."""
    parameters = (p for p in module.parameters() if not p.is_inference())
    return [(id(parameter), parameter._version) for parameter in parameters]


class _NoGradient(torch.autograd.Function):
    """Identity that refuses to be differentiated, because reuse has no gradient here."""

    @staticmethod
    def forward(ctx: Any, name: str, anchor: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.name = name
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise ConfigError(
            f"{ctx.name} is attached, and has no gradients: train outside the with block, or see archsim.finetune"
        )


def _guarded(outputs: T, name: str) -> T:
    """Return outputs, in whatever tuples they are, whose gradients raise an error."""
    flat = list(_leaves(outputs))
    guarded = iter(_NoGradient.apply(name, torch.zeros((), requires_grad=True), *flat))
    rebuilt: T = _rebuilt(outputs, guarded)
    return rebuilt


def _leaves(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, PackedSequence):
        yield outputs.data
    elif isinstance(outputs, tuple):
        for part in outputs:
            yield from _leaves(part)
    else:
        yield outputs


def _rebuilt(outputs: Any, leaves: Iterator[Tensor]) -> Any:
    if isinstance(outputs, PackedSequence):
        return PackedSequence(next(leaves), *outputs[1:])
    return tuple(_rebuilt(part, leaves) for part in outputs) if isinstance(outputs, tuple) else next(leaves)
