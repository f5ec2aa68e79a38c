"""Translation network of LSTM stacks, attention, and one embedding table for both languages and the output."""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn

from training.recurrent import Recurrent, product

BEGIN, END = 1, 2
"""Numbers of the pieces <s> and </s>."""


class TranslationNet(nn.Module):
    """Encoder, attention and decoder of width `args.hidden`, with `depth` layers of each stack in use."""

    def __init__(self, vocab: int, args: argparse.Namespace) -> None:
        super().__init__()
        size = args.hidden
        self.args = args
        self.depth = args.layers
        self.embedding = nn.Parameter(torch.randn(vocab, size) * args.emb_init)
        self.encoder = nn.ModuleList([Recurrent("lstm", size, size) for _ in range(args.layers)])
        self.decoder = nn.ModuleList([Recurrent("lstm", size, size) for _ in range(args.layers)])
        for layer in (*self.encoder[1:], *self.decoder[1:]):
            layer.pass_through()
        self.attention = nn.Linear(size, size, bias=False)
        self.combine = nn.Linear(2 * size, size)
        self.output_bias = nn.Parameter(torch.zeros(vocab))

    def embed(self, ids: Tensor) -> Tensor:
        """Map pieces (T, B) to vectors; in training, drop whole vectors and some elements."""
        x = nn.functional.embedding(ids, self.embedding)
        if self.training:
            # drawn at a chance of 0, too, because the published weights depend on every random number
            x = x * (torch.rand(*ids.shape, 1) >= self.args.word_drop)
        return self.locked_dropout(x)

    def locked_dropout(self, x: Tensor) -> Tensor:
        """Drop the same elements at all steps of a sequence (Gal and Ghahramani, NIPS 2016)."""
        if not self.training or not self.args.dropout:
            return x
        keep = 1 - self.args.dropout
        return x * (torch.rand(x.shape[1:]) < keep) / keep

    def stack(
        self, layers: nn.ModuleList, x: Tensor, states: list[tuple[Tensor, Tensor]], lengths: Tensor | None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Run layers over x (T, B, H) from `states`; return the outputs of the top layer and the last state of each."""
        ends = []
        for layer, start in zip(layers[: self.depth], states, strict=True):
            x, end = layer(x, *start, lengths=lengths)
            x = self.locked_dropout(x)
            ends.append(end)
        return x, ends

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the top layer's outputs (T, B, H) for source pieces (T, B), and the last state of each layer."""
        zero = torch.zeros(ids.shape[1], self.args.hidden)
        return self.stack(self.encoder, self.embed(ids), [(zero, zero)] * self.depth, lengths)

    def attend(self, top: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Return the attentional states for decoder outputs (T, B, H) over encoder outputs `memory`."""
        queries, keys = self.attention(top).transpose(0, 1), memory.transpose(0, 1)
        scores = queries @ keys.transpose(1, 2)
        padding = torch.arange(len(memory)) >= lengths[:, None]
        weights = scores.masked_fill(padding[:, None], -1e9).softmax(2)
        context = (weights @ keys).transpose(0, 1)
        return torch.tanh(self.combine(torch.cat([context, top], 2)))

    def logits(self, attended: Tensor) -> Tensor:
        """Return the score of every piece."""
        return product(attended, self.embedding) + self.output_bias

    def loss(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Return the mean smoothed cross entropy of the target pieces (T, B), which are padded with -1."""
        memory, states = self.encode(source, lengths)
        before = torch.cat([torch.full_like(target[:1], BEGIN), target[:-1].clamp_min(0)])
        top, _ = self.stack(self.decoder, self.embed(before), states, None)
        attended, real = self.locked_dropout(self.attend(top, memory, lengths)), target >= 0
        smoothing = self.args.smoothing if self.training else 0.0
        return nn.functional.cross_entropy(self.logits(attended[real]), target[real], label_smoothing=smoothing)

    @torch.no_grad()
    def translate(self, source: Tensor, lengths: Tensor) -> list[list[int]]:
        """Decode greedily and return the pieces of each sentence without END."""
        memory, states = self.encode(source, lengths)
        limits, pieces = 2 * lengths + 10, torch.full_like(source[:1], BEGIN)
        chosen, done = [], torch.zeros_like(lengths, dtype=torch.bool)
        for step in range(int(limits.max())):
            top, states = self.stack(self.decoder, self.embed(pieces), states, None)
            pieces = self.logits(self.attend(top, memory, lengths)).argmax(2)
            done |= (pieces[0] == END) | (limits <= step)
            if done.all():
                break
            chosen.append(pieces[0].where(~done, END))
        rows = torch.stack(chosen, 1).tolist() if chosen else [[]] * len(lengths)
        return [row[: row.index(END)] if END in row else row for row in rows]

    def export(self) -> dict[str, Tensor]:
        """Return the fp16 tensors of the deployed network, layers named and laid out as in torch.nn.LSTM."""
        tensors = {"embedding.weight": self.embedding, "output.bias": self.output_bias}
        for part, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for l, layer in enumerate(layers):
                tensors |= {f"{part}.{name}_l{l}": tensor for name, tensor in layer.named_parameters()}
        tensors |= {"attention.weight": self.attention.weight}
        tensors |= {"combine.weight": self.combine.weight, "combine.bias": self.combine.bias}
        return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}
