"""The speech networks: a stack of recurrent layers, one linear layer on top, CTC labels read by best path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from archsim.corpora.digits import WORDS
from training.recurrent import Recurrent

BLANK = 0


class Topology(NamedTuple):
    """What a network is made of, and the frontend it listens through."""

    cell: str
    frontend: str
    inputs: int
    hidden: int
    layers: int
    directions: int


class SpeechNet(nn.Module):
    """Recurrent layers, of which the first `depth` are in use, and a head."""

    def __init__(self, shape: Topology, drop: float) -> None:
        super().__init__()
        self.shape, self.drop, width = shape, drop, shape.directions * shape.hidden
        self.rows = nn.ModuleList(
            nn.ModuleList(
                Recurrent(shape.cell, width if row else shape.inputs, shape.hidden) for _ in range(shape.directions)
            )
            for row in range(shape.layers)
        )
        self.head = nn.Linear(width, len(WORDS) + 1)
        self.depth = 1

    def forward(self, x: Tensor, lengths: Tensor, stale: float = 0.0, zoneout: float = 0.0) -> Tensor:
        """Map features (T, B, I) to log-probabilities (T, B, 11)."""
        for directions in self.rows[: self.depth]:
            x = self._dropped(x)
            outputs = [
                layer(x, lengths=lengths, reverse=bool(d), stale=stale, zoneout=zoneout)[0]
                for d, layer in enumerate(directions)
            ]
            x = torch.cat(outputs, 2) if len(outputs) > 1 else outputs[0]
        log_probs: Tensor = self.head(x).log_softmax(2)
        return log_probs

    @torch.no_grad()
    def grow(self, depth: int) -> None:
        """Put layers on top that repeat what is below them, roughly."""
        for directions in self.rows[self.depth : depth]:
            for d, layer in enumerate(directions):
                layer.pass_through(first=d * layer.hidden)
        self.depth = max(depth, self.depth)

    def _dropped(self, x: Tensor) -> Tensor:
        """Drop the same features at all steps of a sequence: dropout must not make inputs change faster."""
        if not (self.training and self.drop):
            return x
        return x * ((torch.rand(1, *x.shape[1:]) >= self.drop) / (1 - self.drop))

    def export(self) -> dict[str, Tensor]:
        """Return the fp16 tensors of the deployed network, named and laid out as torch.nn.LSTM or GRU."""
        tensors = {
            f"{self.shape.cell}.{name}_l{row}{'_reverse' if d else ''}": tensor
            for row, directions in enumerate(self.rows)
            for d, layer in enumerate(directions)
            for name, tensor in layer.named_parameters()
        }
        tensors |= {"head.weight": self.head.weight, "head.bias": self.head.bias}
        return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


def best_path(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Return each sequence's labels: the likeliest of each step, repetitions merged, blanks left out."""
    best = log_probs.argmax(2).T.tolist()
    return [
        [b for a, b in zip([BLANK, *steps], steps[:n], strict=False) if b not in (a, BLANK)]
        for steps, n in zip(best, lengths.tolist(), strict=True)
    ]


def word_errors(said: Sequence[int], meant: Sequence[int]) -> int:
    """Least number of insertions, deletions and substitutions between two label sequences."""
    costs = list(range(len(meant) + 1))
    for i, label in enumerate(said, start=1):
        diagonal, costs[0] = costs[0], i
        for j, wanted in enumerate(meant, start=1):
            diagonal, costs[j] = costs[j], min(diagonal + (label != wanted), costs[j] + 1, costs[j - 1] + 1)
    return costs[-1]
