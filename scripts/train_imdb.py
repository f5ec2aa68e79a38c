"""Train the IMDB sentiment LSTM that archsim ships, with a recipe that favours computation reuse.

Embedding -> one LSTM layer -> mean of the hidden states -> two classes. Four measures make the dot products of
neurons change slowly, and make the network tolerate that memoization skips them:
  * a word vector is one shared vector plus a deviation; a group lasso keeps deviations small and word dropout
    removes them at random, so that words without sentiment look alike to the LSTM;
  * stale dropout: in training, a dot product keeps its previous value with some probability;
  * zoneout: in training, a hidden state keeps its previous value with some probability;
  * balance: a penalty makes the magnitudes of weights equal, so that their signs predict the product better.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from training.batching import batches_by_length
from training.options import parse_with, training_parser

from archsim.cli.exit import exit_code
from archsim.corpora.imdb import imdb_trace
from archsim.ir.text import UNKNOWN, Vocabulary, tokenize

HIDDEN = 128
Review = tuple[np.ndarray, int]  # token ids, label


def build_vocabulary(texts: Iterable[str], size: int) -> Vocabulary:
    """Return the vocabulary of `<unk>` and the most frequent tokens, with ties in alphabetical order."""
    counts = Counter(token for text in texts for token in tokenize(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Vocabulary([UNKNOWN, *(token for token, _ in ranked[: size - 1])])


def load_sets(args: argparse.Namespace) -> tuple[Vocabulary, list[Review], list[Review]]:
    """Return the vocabulary of the training reviews, the training set and the validation set."""
    train, valid = (imdb_trace(split, args.data) for split in ("train", "valid"))
    vocabulary = build_vocabulary(train.sequences, args.vocab)
    encoded = [
        [(vocabulary.encode(text), label) for text, label in zip(t.sequences, t.targets or (), strict=True)]
        for t in (train, valid)
    ]
    return vocabulary, encoded[0], encoded[1]


class SentimentNet(nn.Module):
    """Sentiment network. `forward` loops over steps, because stale dropout acts inside a step."""

    def __init__(self, vocab: int, args: argparse.Namespace) -> None:
        super().__init__()
        self.word_drop, self.zoneout, bound = args.word_drop, args.zoneout, HIDDEN**-0.5
        self.deviation = nn.Parameter(torch.empty(vocab, HIDDEN).uniform_(-args.emb_init, args.emb_init))
        self.shared = nn.Parameter(args.shared_init * (torch.randint(0, 2, (HIDDEN,)) * 2.0 - 1.0))
        self.w_ih = nn.Parameter(torch.empty(4 * HIDDEN, HIDDEN).uniform_(-bound, bound))
        self.w_hh = nn.Parameter(torch.empty(4 * HIDDEN, HIDDEN).uniform_(-bound, bound))
        # gates i, f, g, o: an open forget gate carries evidence from the start
        self.bias = nn.Parameter(torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(HIDDEN))
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, ids: Tensor, lengths: Tensor, stale: float = 0.0) -> Tensor:
        """Map token ids (time, batch) and true lengths (batch,) to class scores (batch, 2)."""
        x = nn.functional.embedding(ids, self.deviation)
        if self.training:
            x = x * (torch.rand(*ids.shape, 1) >= self.word_drop)
        # unbind instead of indexing, whose backward pass writes the whole tensor at every step
        inputs = ((x + self.shared) @ self.w_ih.T).unbind(0)
        h = c = torch.zeros(ids.shape[1], HIDDEN)
        product, states = None, []
        for step in inputs:
            fresh = torch.addmm(step, h, self.w_hh.T)
            if stale and product is not None:
                fresh = torch.where(torch.rand_like(fresh) < stale, product, fresh)
            product = fresh
            i, f, g, o = (product + self.bias).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            new = torch.sigmoid(o) * torch.tanh(c)
            h = torch.where(torch.rand_like(h) < self.zoneout, h, new) if self.training else new
            states.append(h)
        mask = torch.arange(len(ids))[:, None, None] < lengths[:, None]
        scores: Tensor = self.head((torch.stack(states) * mask).sum(0) / lengths[:, None])
        return scores

    def imbalance(self) -> Tensor:
        """Return the spread of weight magnitudes around the mean of their row, relative to the mean magnitude."""
        sizes = torch.stack((self.w_ih.abs(), self.w_hh.abs()))
        spread = (sizes - sizes.detach().mean(2, keepdim=True)).square().mean((1, 2))
        return (spread / sizes.detach().mean((1, 2)).square()).sum()

    @torch.no_grad()
    def shrink(self, amount: float) -> None:
        """Shorten the deviation of every word by `amount`, down to exactly zero (the group-lasso step)."""
        norm = self.deviation.norm(dim=1, keepdim=True).clamp_min(1e-8)
        self.deviation.mul_((1 - amount / norm).clamp_min(0))

    def export(self) -> dict[str, Tensor]:
        """Return the fp16 tensors of the deployed network, named and laid out as in torch.nn.LSTM."""
        tensors = {"embedding.weight": self.shared + self.deviation}
        tensors |= {"lstm.weight_ih_l0": self.w_ih, "lstm.weight_hh_l0": self.w_hh}
        tensors |= {"lstm.bias_ih_l0": self.bias, "lstm.bias_hh_l0": torch.zeros_like(self.bias)}
        tensors |= {"head.weight": self.head.weight, "head.bias": self.head.bias}
        return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


def collate(reviews: list[Review]) -> tuple[Tensor, Tensor, Tensor]:
    """Pad reviews into (time, batch) ids; return ids, lengths and labels."""
    lengths = torch.tensor([len(ids) for ids, _ in reviews])
    padded = torch.zeros(int(lengths.max()), len(reviews), dtype=torch.long)
    for column, (ids, _) in enumerate(reviews):
        padded[: len(ids), column] = torch.tensor(ids)
    return padded, lengths, torch.tensor([label for _, label in reviews])


def train_batches(reviews: list[Review], cap: int, size: int, rng: np.random.Generator) -> list[list[Review]]:
    """Return shuffled batches of reviews of similar length, long ones cut to a random window."""
    starts = [rng.integers(0, max(1, len(ids) - cap + 1)) for ids, _ in reviews]
    cut = [(ids[s : s + cap], label) for s, (ids, label) in zip(starts, reviews, strict=True)]
    batches = batches_by_length([len(ids) for ids, _ in cut], size, 15, rng)
    return [[cut[i] for i in batch] for batch in batches]


@torch.no_grad()
def accuracy(net: SentimentNet, reviews: list[Review], size: int = 250) -> float:
    """Return the accuracy on uncut reviews, sorted by length so that little padding is computed."""
    net.eval()
    ordered, right = sorted(reviews, key=lambda review: len(review[0])), 0
    for k in range(0, len(ordered), size):
        ids, lengths, labels = collate(ordered[k : k + size])
        right += int((net(ids, lengths).argmax(1) == labels).sum())
    return right / len(reviews)


def train_epoch(
    net: SentimentNet, opt: torch.optim.Optimizer, batches: list[list[Review]], epoch: int, args: argparse.Namespace
) -> float:
    """Run one epoch (counted from 0) and return its mean loss."""
    net.train()
    total, losses = args.epochs * len(batches), []
    for step, batch in enumerate(batches, epoch * len(batches)):
        # learning rate: 50 steps of warm-up, a plateau, then linear decay to 2 % of the peak
        lr = args.lr * min(1.0, (step + 1) / 50) * min(1.0, max(0.02, 1.6 * (1 - step / total)))
        opt.param_groups[0]["lr"] = lr
        ids, lengths, labels = collate(batch)
        # ramp, because stale products from the first step on delay learning by an epoch
        loss = nn.functional.cross_entropy(net(ids, lengths, args.stale * min(1.0, 4 * step / total)), labels)
        opt.zero_grad()
        (loss + args.balance * net.imbalance()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        net.shrink(args.shrink * lr)
        losses.append(loss.item())
    return sum(losses) / len(losses)


FLAGS = (
    ("--seed", 1, "seed of weights, batches and dropout"),
    ("--vocab", 12000, "vocabulary size, <unk> included"),
    ("--epochs", 5, "largest number of epochs, which the learning-rate schedule spans"),
    ("--patience", 5, "stop after so many epochs without a better validation accuracy"),
    ("--batch", 64, "reviews per batch"),
    ("--cap", 256, "longest training review, in tokens"),
    ("--lr", 2e-3, "peak learning rate of Adam"),
    ("--emb-init", 0.1, "bound of the uniform start of the deviations"),
    ("--shared-init", 0.1, "size of the shared vector's elements at the start"),
    ("--shrink", 0.5, "group lasso on the deviations, per unit of learning rate"),
    ("--word-drop", 0.2, "chance that a word's deviation is dropped"),
    ("--stale", 0.3, "chance that a neuron keeps its last dot product"),
    ("--zoneout", 0.2, "chance that a hidden state keeps its last value"),
    ("--balance", 0.3, "weight of the penalty on unequal weight magnitudes"),
)
"""Options of the recipe. Their defaults are those of the published weights."""


def main() -> None:
    """Train, and export the epoch with the best validation accuracy."""
    args = parse_with(training_parser(__doc__), FLAGS)
    torch.set_num_threads(1)  # for a fixed summation order, so that a seed always gives the same weights
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    vocabulary, train_set, val_set = load_sets(args)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "vocab.txt").write_text("\n".join(vocabulary.tokens) + "\n", encoding="utf-8")
    net = SentimentNet(len(vocabulary), args)
    opt = torch.optim.Adam(net.parameters(), lr=args.lr)
    history: list[dict[str, float]] = []
    checkpoint = args.output / "checkpoint.pt"
    if args.resume:
        model, optimiser, torch_rng, rng.bit_generator.state, history = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(model)
        opt.load_state_dict(optimiser)
        torch.set_rng_state(torch_rng)
    best = max([(entry["val_accuracy"], -entry["epoch"]) for entry in history], default=(0.0, 0))
    while len(history) < args.epochs and len(history) + best[1] < args.patience:
        started = time.perf_counter()
        loss = train_epoch(net, opt, train_batches(train_set, args.cap, args.batch, rng), len(history), args)
        val = accuracy(net, val_set)
        epoch, seconds = len(history) + 1, round(time.perf_counter() - started, 1)
        history.append({"epoch": epoch, "train_loss": loss, "val_accuracy": val, "seconds": seconds})
        print(f"epoch {epoch}: loss {loss:.4f}, validation accuracy {val:.4f}, {seconds} s", flush=True)
        if val > best[0]:
            best = (val, -epoch)
            save_file(net.export(), str(args.output / "weights.safetensors"))
        (args.output / "history.json").write_text(json.dumps(history, indent=1) + "\n")
        states = (net.state_dict(), opt.state_dict(), torch.get_rng_state(), rng.bit_generator.state, history)
        torch.save(states, checkpoint)
    print(f"best: epoch {-best[1]}, validation accuracy {best[0]:.4f}")


if __name__ == "__main__":
    sys.exit(exit_code(main, "train_imdb"))
