"""Speech networks: a stack of recurrent layers, a linear layer, and CTC labels decoded by best path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from archsim.corpora.digits import WORDS
from archsim.inference.head import merged
from archsim.ir.speech import FRONTENDS
from training.recurrent import Recurrent


class Topology(NamedTuple):
    """Cell, frontend and sizes of a network."""

    cell: str
    frontend: str
    hidden: int
    layers: int
    directions: int


class SpeechNet(nn.Module):
    """Recurrent layers, of which the first `depth` are in use, and a head."""

    def __init__(self, shape: Topology, drop: float) -> None:
        super().__init__()
        self.shape = shape
        self.drop = drop
        width = shape.directions * shape.hidden
        sizes = [FRONTENDS[shape.frontend].input_size, *[width] * (shape.layers - 1)]
        self.rows = nn.ModuleList(
            nn.ModuleList(Recurrent(shape.cell, size, shape.hidden) for _ in range(shape.directions)) for size in sizes
        )
        self.head = nn.Linear(width, len(WORDS) + 1)
        self.depth = 1

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Map features (T, B, I) to log-probabilities (T, B, 11)."""
        for directions in self.rows[: self.depth]:
            x = self._dropped(x)
            outputs = [layer(x, lengths=lengths, reverse=bool(d))[0] for d, layer in enumerate(directions)]
            x = torch.cat(outputs, 2) if len(outputs) > 1 else outputs[0]
        log_probs: Tensor = self.head(x).log_softmax(2)
        return log_probs

    @torch.no_grad()
    def grow(self, depth: int) -> None:
        """Add layers on top, which at first approximately repeat their input."""
        for directions in self.rows[self.depth : depth]:
            for d, layer in enumerate(directions):
                layer.pass_through(first=d * layer.hidden)
        self.depth = max(depth, self.depth)

    def _dropped(self, x: Tensor) -> Tensor:
        """Drop the same features at all steps of a sequence (Gal and Ghahramani, NIPS 2016)."""
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


def transcripts(log_probs: Tensor, lengths: Tensor) -> list[str]:
    """Return the transcript of the best path of each sequence."""
    best = log_probs.argmax(2).T.numpy()
    return [said(merged(path[:n])) for path, n in zip(best, lengths.tolist(), strict=True)]


def said(labels: Iterable[int]) -> str:
    """Return labels as words. The blank, 0, must not be among them."""
    return " ".join(WORDS[label - 1] for label in labels)
