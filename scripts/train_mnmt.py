"""Train the English-to-German translation LSTM that archsim ships.

Source pieces -> encoder of LSTM layers -> decoder of LSTM layers, which start from the encoder's last states, with
attention over its outputs -> target pieces. One embedding table serves source, target and output.
The first epochs train one layer of each stack. The other layers, which repeat their input at first, are then added,
because four layers from the start learn several times slower. A running average of the weights is validated and
exported.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from training.options import parse_with, training_parser
from training.translation_net import END, TranslationNet

from archsim.cli.exit import exit_code
from archsim.corpora.multi30k import multi30k_trace
from archsim.task_metrics.metrics import METRICS
from archsim.traceio.trace import Trace

Pair = tuple[list[int], list[int]]  # source and target pieces, each ended by END


def load_subwords(path: Path, train: Trace, size: int) -> sentencepiece.SentencePieceProcessor:
    """Return the joint subword model, and train it on the training sentences if its file is missing."""
    if not path.exists():
        written = io.BytesIO()  # a file written by the trainer would contain its path
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([*train.sequences, *(train.targets or ())]),
            model_writer=written,
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
        path.write_bytes(written.getvalue())
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def padded(rows: list[list[int]], filler: int) -> Tensor:
    """Return rows of pieces as the columns of a (time, batch) tensor."""
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], padding_value=filler)


def collate(pairs: list[Pair]) -> tuple[Tensor, Tensor, Tensor]:
    """Return source pieces (T, B), their lengths (B,) and target pieces, padded by END and -1."""
    lengths = torch.tensor([len(source) for source, _ in pairs])
    return padded([source for source, _ in pairs], END), lengths, padded([target for _, target in pairs], -1)


def train_batches(pairs: list[Pair], size: int, rng: np.random.Generator) -> list[list[Pair]]:
    """Return shuffled batches of pairs of similar lengths."""
    lengths = np.array([(len(source), len(target)) for source, target in pairs]) + rng.uniform(-1, 1, (len(pairs), 2))
    order = np.lexsort((lengths[:, 1], lengths[:, 0].round()))
    batches = [[pairs[i] for i in order[k : k + size]] for k in range(0, len(pairs), size)]
    rng.shuffle(batches)
    return batches


def validation_bleu(net: TranslationNet, subwords: sentencepiece.SentencePieceProcessor, valid: Trace) -> float:
    """Return the BLEU of greedy translations against references tokenised as in the files."""
    net.eval()
    encoded = [[*ids, END] for ids in subwords.encode(list(valid.sequences))]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    hypotheses = [""] * len(encoded)
    for k in range(0, len(order), 200):
        part = order[k : k + 200]
        ids, lengths, _ = collate([(encoded[i], [END]) for i in part])
        for i, text in zip(part, subwords.decode(net.translate(ids, lengths)), strict=True):
            hypotheses[i] = text
    bleu = METRICS.get("bleu")
    return bleu.of(bleu.statistics(hypotheses, valid.targets or ()))


def train_epoch(
    net: TranslationNet,
    average: TranslationNet,
    opt: torch.optim.Optimizer,
    batches: list[list[Pair]],
    epoch: int,
    args: argparse.Namespace,
) -> float:
    """Run one epoch (counted from 0), update the average of the weights, and return the mean loss."""
    net.train()
    total, losses = args.epochs * len(batches), []
    for step, batch in enumerate(batches, epoch * len(batches)):
        # learning rate: a warm-up (again when layers are added), a plateau, then linear decay to 2 % of the peak
        since = step - args.shallow * len(batches) if epoch >= args.shallow else step
        lr = args.lr * min(1.0, (since + 1) / args.warmup) * min(1.0, max(0.02, 1.8 * (1 - step / total)))
        opt.param_groups[0]["lr"] = lr
        loss = net.loss(*collate(batch))
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        opt.step()
        decay = min(args.average, (step + 1) / (step + 10))
        torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - decay)
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"  step {step}: loss {np.mean(losses[-50:]):.3f}", flush=True)
    return sum(losses) / len(losses)


FLAGS = (
    ("--seed", 1, "seed of weights, batches and dropout"),
    ("--vocab", 5000, "subword pieces of both languages together"),
    ("--hidden", 256, "width of embedding and layers; 1024 is the paper's"),
    ("--layers", 4, "layers of the encoder and of the decoder"),
    ("--shallow", 5, "epochs with one layer of each, before the others are added"),
    ("--epochs", 14, "largest number of epochs, which the learning-rate schedule spans"),
    ("--patience", 5, "stop after so many epochs without a better validation BLEU"),
    ("--batch", 64, "sentence pairs per batch"),
    ("--lr", 2e-3, "peak learning rate of Adam"),
    ("--warmup", 200, "steps of rising learning rate"),
    ("--decay", 0.01, "weight decay, per unit of learning rate"),
    ("--average", 0.998, "decay of the running average of the weights"),
    ("--dropout", 0.12, "dropout of inputs and outputs of layers"),
    ("--smoothing", 0.1, "label smoothing"),
    ("--word-drop", 0.0, "chance that a piece's vector is dropped"),
    ("--emb-init", 0.25, "standard deviation of the vectors at the start"),
)
"""Options of the recipe. Their defaults are those of the published weights."""


def main() -> None:
    """Train, and export the averaged weights of the epoch with the best validation BLEU."""
    args = parse_with(training_parser(__doc__), FLAGS)
    torch.set_num_threads(1)  # for a fixed summation order, so that a seed always gives the same weights
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train, valid = (multi30k_trace(split, args.data) for split in ("train", "valid"))
    args.output.mkdir(parents=True, exist_ok=True)
    subwords = load_subwords(args.output / "subwords.model", train, args.vocab)
    sides = [subwords.encode(list(texts)) for texts in (train.sequences, train.targets or ())]
    pairs = [([*source, END], [*target, END]) for source, target in zip(*sides, strict=True)]
    net = TranslationNet(args.vocab, args)
    counts = np.bincount([piece for _, target in pairs for piece in target], minlength=args.vocab)
    net.output_bias.data = torch.tensor(counts + 0.5).log().float() - float(np.log(counts.sum()))
    average = copy.deepcopy(net).requires_grad_(False)
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=args.decay, fused=True)
    history: list[dict[str, float]] = []
    checkpoint = args.output / "checkpoint.pt"
    if args.resume:
        model, averaged, optimiser, torch_rng, rng.bit_generator.state, history = torch.load(
            checkpoint, weights_only=True
        )
        net.load_state_dict(model)
        average.load_state_dict(averaged)
        opt.load_state_dict(optimiser)
        torch.set_rng_state(torch_rng)
    # skip epochs without all layers, which may translate better but are not to be published
    judged = history[args.shallow :]
    best = max([(entry["val_bleu"], -entry["epoch"]) for entry in judged], default=(0.0, -args.shallow))
    while len(history) < args.epochs and len(history) + best[1] < args.patience:
        started = time.perf_counter()
        net.depth = average.depth = 1 if len(history) < args.shallow else args.layers
        loss = train_epoch(net, average, opt, train_batches(pairs, args.batch, rng), len(history), args)
        bleu = validation_bleu(average, subwords, valid)
        epoch, seconds = len(history) + 1, round(time.perf_counter() - started, 1)
        history.append({"epoch": epoch, "train_loss": loss, "val_bleu": bleu, "seconds": seconds})
        print(f"epoch {epoch}: loss {loss:.4f}, validation BLEU {bleu:.2f}, {seconds} s", flush=True)
        if epoch > args.shallow and bleu > best[0]:
            best = (bleu, -epoch)
            save_file(average.export(), str(args.output / "weights.safetensors"))
        (args.output / "history.json").write_text(json.dumps(history, indent=1) + "\n")
        states = (net.state_dict(), average.state_dict(), opt.state_dict())
        torch.save((*states, torch.get_rng_state(), rng.bit_generator.state, history), checkpoint)
    print(f"best: epoch {-best[1]}, validation BLEU {best[0]:.2f}")


if __name__ == "__main__":
    sys.exit(exit_code(main, "train_mnmt"))
