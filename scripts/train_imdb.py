"""Train the IMDB sentiment LSTM that archsim ships.

Embedding -> one LSTM layer -> mean of the hidden states -> two classes.
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
    """Sentiment network."""

    def __init__(self, vocab: int, args: argparse.Namespace) -> None:
        super().__init__()
        self.word_drop = args.word_drop
        self.embedding = nn.Embedding(vocab, HIDDEN)
        nn.init.uniform_(self.embedding.weight, -args.emb_init, args.emb_init)
        self.lstm = nn.LSTM(HIDDEN, HIDDEN)
        # gates i, f, g, o: an open forget gate carries evidence from the start
        self.lstm.bias_ih_l0.data = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(HIDDEN)
        # torch adds two biases per gate; one is trained
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Map token ids (time, batch) and true lengths (batch,) to class scores (batch, 2)."""
        x = self.embedding(ids)
        if self.training:
            x = x * (torch.rand(*ids.shape, 1) >= self.word_drop)
        states, _ = self.lstm(x)
        mask = torch.arange(len(ids))[:, None, None] < lengths[:, None]
        scores: Tensor = self.head((states * mask).sum(0) / lengths[:, None])
        return scores

    def export(self) -> dict[str, Tensor]:
        """Return the fp16 tensors of the deployed network."""
        return {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}


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
        loss = nn.functional.cross_entropy(net(ids, lengths), labels)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
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
    ("--emb-init", 0.5, "bound of the uniform start of the word vectors"),
    ("--word-drop", 0.2, "chance that a word's vector is dropped"),
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
