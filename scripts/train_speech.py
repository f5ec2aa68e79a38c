"""Train the speech networks that archsim ships.

Both recognise a string of spoken digits (CTC, best path). `eesen-bilstm` reads log-mel energies in both directions;
`ds2-gru` reads spectrograms and names each digit while the speech continues. Strings become longer during training,
and layers are added.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from training.options import parse_with, training_parser
from training.speech_data import NO_LABEL, Batch, DigitString, StringMaker, batches
from training.speech_net import SpeechNet, Topology, said, transcripts

from archsim.cli.exit import exit_code
from archsim.corpora.digits import read_recordings, strings_of_split
from archsim.ir.speech import FRONTENDS
from archsim.task_metrics.metrics import METRICS

TOPOLOGIES = {
    "eesen-bilstm": Topology("lstm", "log-mel-deltas", 320, 5, 2),
    "ds2-gru": Topology("gru", "stacked-spectrogram", 400, 5, 1),
}
LABEL_WINDOWS = {"eesen-bilstm": (0.1, -0.03), "ds2-gru": (0.5, 0.15)}
"""Share of a word after which guided training expects its label, and until how many seconds past the word's end.

A network that does not hear what follows needs most of the word, and a little of the next, to name it.
"""


def digits_at(progress: float) -> tuple[int, int]:
    """Return the smallest and largest number of digits per string: one or two at first, later up to seven."""
    most = 2 if progress < 0.05 else 4 if progress < 0.15 else 7
    return (1 if progress < 0.15 else 2), most


def loss_of(log_probs: Tensor, batch: Batch, progress: float, guidance: float) -> Tensor:
    """Return the CTC loss per label, averaged over strings, blended from a cross-entropy of aligned steps at the start.

    With CTC alone the network would output blanks for hundreds of batches before it names a first word.
    """
    args = batch.labels, batch.lengths, batch.label_lengths
    loss = nn.functional.ctc_loss(log_probs, *args, zero_infinity=True) * min(1.0, max(0.0, 15 * (progress - 0.08)))
    if progress < 0.25 and (batch.aligned != NO_LABEL).any():
        aligned = nn.functional.nll_loss(log_probs.flatten(0, 1), batch.aligned.flatten())
        loss = loss + guidance * (1 - 4 * progress) * aligned
    return loss


@torch.no_grad()
def word_error_rate(net: SpeechNet, batches: list[Batch]) -> float:
    """Return word errors per word, without dropout."""
    net.eval()
    hypotheses: list[str] = []
    targets: list[str] = []
    for batch in batches:
        hypotheses += transcripts(net(batch.features, batch.lengths), batch.lengths)
        targets += [said(labels.tolist()) for labels in batch.labels.split(batch.label_lengths.tolist())]
    net.train()
    wer = METRICS.get("wer")
    return wer.of(wer.statistics(hypotheses, targets)) / 100


class Trainer:
    """State of a training run: network, optimiser, random numbers, history."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.rng = np.random.default_rng(args.seed)
        shape, recordings = TOPOLOGIES[args.network], args.data / "fsdd" / "recordings"
        self.net = SpeechNet(shape._replace(hidden=args.hidden or shape.hidden), args.drop)
        self.opt = torch.optim.Adam(self.net.parameters(), lr=args.lr)
        self.maker = StringMaker(
            read_recordings(recordings, "train"), args.synthetic, args.tail, *LABEL_WINDOWS[args.network]
        )
        self.features = FRONTENDS[shape.frontend].features
        self.valid = batches(
            [DigitString(*s) for s in strings_of_split(recordings, "valid")[: args.valid_strings]], self.features, 10000
        )
        self.round = 0
        self.history: list[dict[str, float]] = []
        self.checkpoint = args.output / "checkpoint.pt"

    def train_round(self) -> float:
        """Make strings, train on them, and return the mean loss."""
        args, losses = self.args, []
        self.net.grow(self.depth_at(self.round))
        strings = self.maker.strings(digits_at(self.round / args.rounds), args.strings, self.rng)
        made = batches(strings, self.features, args.frames)
        for done, batch in enumerate(self.rng.permutation(len(made))):
            losses.append(self.train_step(made[batch], (self.round + done / len(made)) / args.rounds))
        self.round += 1
        return sum(losses) / len(losses)

    def depth_at(self, round_: int) -> int:
        """Return the layers in use: one for the first three tenths of the training, all from its middle on."""
        layers, progress = len(self.net.rows), round_ / self.args.rounds
        return 1 if progress < 0.3 else 2 if progress < 0.4 else 3 if progress < 0.5 else layers

    def train_step(self, batch: Batch, progress: float) -> float:
        """Train on one batch and return its loss."""
        args = self.args
        # learning rate: warm-up, a plateau, then linear decay to zero
        self.opt.param_groups[0]["lr"] = args.lr * min(1.0, 0.02 + 40 * progress, 1.6 * (1 - progress))
        log_probs = self.net(batch.features, batch.lengths)
        loss = loss_of(log_probs, batch, progress, args.guidance)
        self.opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), args.clip)
        self.opt.step()
        return loss.item()

    def save(self) -> None:
        """Write the checkpoint that `resume` reads."""
        states = (self.net.state_dict(), self.opt.state_dict(), torch.get_rng_state(), self.rng.bit_generator.state)
        torch.save((*states, self.round, self.history), self.checkpoint.with_suffix(".new"))
        self.checkpoint.with_suffix(".new").replace(self.checkpoint)

    def resume(self) -> None:
        """Continue from the last checkpoint."""
        loaded = torch.load(self.checkpoint, weights_only=True)
        model, optimiser, torch_rng, self.rng.bit_generator.state, self.round, self.history = loaded
        self.net.grow(self.depth_at(max(0, self.round - 1)))
        self.net.load_state_dict(model)
        self.opt.load_state_dict(optimiser)
        torch.set_rng_state(torch_rng)

    def run(self) -> None:
        """Train to the last round, and keep the weights with the lowest validation error."""
        # a shallow stage may have a lower error, but the published network has all layers
        layers = len(self.net.rows)
        best = min((e["valid_wer"] for e in self.history if e.get("depth") == layers and "valid_wer" in e), default=2.0)
        waited = 0
        while self.round < self.args.rounds and waited < self.args.patience:
            started = time.perf_counter()
            loss = self.train_round()
            entry = {
                "round": self.round,
                "depth": self.net.depth,
                "loss": loss,
                "seconds": round(time.perf_counter() - started, 1),
            }
            if self.round % self.args.every == 0 or self.round == self.args.rounds:
                entry["valid_wer"] = word_error_rate(self.net, self.valid)
            self.history.append(entry)
            print(*(f"{name} {value:.4g}" for name, value in entry.items()), flush=True)
            if "valid_wer" not in entry:
                continue
            if self.net.depth == layers and entry["valid_wer"] <= best:
                best = entry["valid_wer"]
                save_file(self.net.export(), str(self.args.output / "weights.safetensors"))
                waited = 0
            elif self.net.depth == layers:
                waited += 1
            (self.args.output / "history.json").write_text(json.dumps(self.history, indent=1) + "\n")
            self.save()


FLAGS = (
    ("--hidden", 0, "units per direction; 0 takes the network's own, 800 is the size in the paper"),
    ("--seed", 1, "seed of weights, strings and dropout"),
    ("--rounds", 100, "rounds of training, which the schedules span"),
    ("--strings", 256, "strings per round"),
    ("--every", 5, "rounds between validations and checkpoints"),
    ("--patience", 9, "stop after so many validations at full depth without a lower error"),
    ("--valid-strings", 300, "strings per validation during training"),
    ("--frames", 1800, "approximate frames per batch, which has at least 16 strings"),
    ("--synthetic", 0.2, "share of synthetic strings"),
    ("--tail", 0.3, "longest silence after a string in seconds; the shortest is half of it"),
    ("--guidance", 5.0, "weight of the aligned steps at the start, which falls to zero in a quarter of the training"),
    ("--lr", 2e-3, "peak learning rate of Adam"),
    ("--clip", 2.0, "largest norm of the gradient"),
    ("--drop", 0.1, "dropout on each layer's input"),
)
"""Options of the recipe. Their defaults are those of the published weights."""


def main() -> None:
    """Train one network and export its best weights."""
    parser = training_parser(__doc__)
    parser.add_argument("network", choices=TOPOLOGIES)
    args = parse_with(parser, FLAGS)
    torch.set_num_threads(1)  # for a fixed summation order, so that a seed always gives the same weights
    args.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    if args.resume:
        trainer.resume()
    trainer.run()


if __name__ == "__main__":
    sys.exit(exit_code(main, "train_speech"))
