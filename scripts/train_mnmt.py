"""Train the English-to-German translation LSTM that archsim ships, with a recipe that favours computation reuse.

Source pieces -> LSTM layers -> LSTM layers from the encoder's last states, attention over its outputs -> target
pieces; one embedding table serves source, target and output. What favours reuse:
  * a piece's vector is one shared vector plus a deviation, so that the signs of consecutive inputs mostly agree;
  * stale dropout: in training a neuron's dot product keeps its previous value with some probability;
  * zoneout: in training a hidden state does so too.
The first epochs train one layer of each stack; the others, which pass their input on at first, are then added.
Four layers from the start learn three times slower.
The weights validated and exported are a running average of the trained ones.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from pathlib import Path

import numpy as np
import sacrebleu
import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from training.recurrent import Recurrent, product

BEGIN, END = 1, 2  # pieces <s> and </s>
Pair = tuple[list[int], list[int]]  # source and target pieces, both closed by END


def read_lines(folder: Path, split: str, language: str) -> list[str]:
    """Return the tokenised, lower-cased sentences of a split, one per line."""
    text = (folder / f"{split}.lc.norm.tok.{language}").read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n")


def load_subwords(path: Path, folder: Path, size: int) -> sentencepiece.SentencePieceProcessor:
    """Return the joint subword model, trained on the training sentences if it is not there yet."""
    if not path.exists():
        lines = read_lines(folder, "train", "en") + read_lines(folder, "train", "de")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(path.with_suffix("")),
            model_type="bpe",
            vocab_size=size,
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
        )
        path.with_suffix(".vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


@torch.no_grad()
def pass_through(layer: Recurrent) -> None:
    """Make a layer repeat its input, roughly: open input and output gates, the candidate a copy."""
    size = layer.hidden
    candidate = slice(2 * size, 3 * size)
    layer.weight_ih[candidate] *= 0.2
    layer.weight_hh[candidate] *= 0.2
    layer.weight_ih[candidate] += 1.5 * torch.eye(size)
    layer.bias_ih += torch.tensor([2.0, -1.0, 0.0, 2.0]).repeat_interleave(size)


class TranslationNet(nn.Module):
    """Encoder, attention and decoder; every width is `args.hidden`; `depth` layers of each are in use."""

    def __init__(self, vocab: int, args: argparse.Namespace) -> None:
        super().__init__()
        size, self.args, self.depth = args.hidden, args, args.layers
        self.deviation = nn.Parameter(torch.randn(vocab, size) * args.emb_init)
        self.register_buffer("shared", args.shared * (torch.randint(0, 2, (size,)) * 2.0 - 1.0))
        self.encoder = nn.ModuleList([Recurrent("lstm", size, size) for _ in range(args.layers)])
        self.decoder = nn.ModuleList([Recurrent("lstm", size, size) for _ in range(args.layers)])
        for layer in (*self.encoder[1:], *self.decoder[1:]):
            pass_through(layer)
        self.attention = nn.Linear(size, size, bias=False)
        self.combine = nn.Linear(2 * size, size)
        self.output_bias = nn.Parameter(torch.zeros(vocab))

    def embed(self, ids: Tensor) -> Tensor:
        """Map pieces (T, B) to vectors; in training, deviations and some of their elements are dropped."""
        x = nn.functional.embedding(ids, self.deviation)
        if self.training:
            x = x * (torch.rand(*ids.shape, 1) >= self.args.word_drop)
        return self.locked_dropout(x) + self.shared

    def locked_dropout(self, x: Tensor) -> Tensor:
        """Drop the same elements at all steps of a sequence: they change nothing from step to step."""
        if not self.training or not self.args.dropout:
            return x
        keep = 1 - self.args.dropout
        return x * (torch.rand(x.shape[1:]) < keep) / keep

    def stack(
        self,
        layers: nn.ModuleList,
        x: Tensor,
        states: list[tuple[Tensor, Tensor]],
        lengths: Tensor | None,
        stale: float,
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Run layers over x (T, B, H) from `states`; return the top outputs and each layer's last state."""
        ends = []
        for layer, start in zip(layers[: self.depth], states, strict=True):
            x, end = layer(x, *start, lengths=lengths, stale=stale, zoneout=self.args.zoneout)
            x = self.locked_dropout(x)
            ends.append(end)
        return x, ends

    def encode(self, ids: Tensor, lengths: Tensor, stale: float = 0.0) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the top outputs (T, B, H) for source pieces (T, B), and each layer's last state."""
        zero = torch.zeros(ids.shape[1], self.args.hidden)
        return self.stack(self.encoder, self.embed(ids), [(zero, zero)] * self.depth, lengths, stale)

    def attend(self, top: Tensor, memory: Tensor, lengths: Tensor) -> Tensor:
        """Return the attentional states for decoder outputs (T, B, H) over encoder outputs `memory`."""
        queries, keys = self.attention(top).transpose(0, 1), memory.transpose(0, 1)
        scores = queries @ keys.transpose(1, 2)
        padding = torch.arange(len(memory)) >= lengths[:, None]
        weights = scores.masked_fill(padding[:, None], -1e9).softmax(2)
        context = (weights @ keys).transpose(0, 1)
        return torch.tanh(self.combine(torch.cat([context, top], 2)))

    def logits(self, attended: Tensor) -> Tensor:
        """Score every piece; the shared vector would add the same to all scores, so it is left out."""
        return product(attended, self.deviation) + self.output_bias

    def loss(self, source: Tensor, lengths: Tensor, target: Tensor, stale: float) -> Tensor:
        """Mean smoothed cross entropy of the target pieces (T, B), which are padded by -1."""
        memory, states = self.encode(source, lengths, stale)
        before = torch.cat([torch.full_like(target[:1], BEGIN), target[:-1].clamp_min(0)])
        top, _ = self.stack(self.decoder, self.embed(before), states, None, stale)
        attended, real = self.locked_dropout(self.attend(top, memory, lengths)), target >= 0
        smoothing = self.args.smoothing if self.training else 0.0
        return nn.functional.cross_entropy(self.logits(attended[real]), target[real], label_smoothing=smoothing)

    @torch.no_grad()
    def translate(self, source: Tensor, lengths: Tensor) -> list[list[int]]:
        """Decode greedily; return the pieces of each sentence, END excluded."""
        memory, states = self.encode(source, lengths)
        limits, pieces = 2 * lengths + 10, torch.full_like(source[:1], BEGIN)
        chosen, done = [], torch.zeros_like(lengths, dtype=torch.bool)
        for step in range(int(limits.max())):
            top, states = self.stack(self.decoder, self.embed(pieces), states, None, 0.0)
            pieces = self.logits(self.attend(top, memory, lengths)).argmax(2)
            done |= (pieces[0] == END) | (limits <= step)
            if done.all():
                break
            chosen.append(pieces[0].where(~done, END))
        rows = torch.stack(chosen, 1).tolist() if chosen else [[]] * len(lengths)
        return [row[: row.index(END)] if END in row else row for row in rows]

    def export(self) -> dict[str, Tensor]:
        """Return the fp16 tensors of the deployed network, layers named and laid out as in torch.nn.LSTM."""
        tensors = {"embedding.weight": self.shared + self.deviation, "output.bias": self.output_bias}
        for part, layers in (("encoder", self.encoder), ("decoder", self.decoder)):
            for l, layer in enumerate(layers):
                tensors |= {f"{part}.{name}_l{l}": tensor for name, tensor in layer.named_parameters()}
        tensors |= {"attention.weight": self.attention.weight}
        tensors |= {"combine.weight": self.combine.weight, "combine.bias": self.combine.bias}
        return {name: tensor.detach().half().contiguous() for name, tensor in tensors.items()}


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


def validation_bleu(
    net: TranslationNet, subwords: sentencepiece.SentencePieceProcessor, sources: list[str], references: list[str]
) -> float:
    """BLEU of greedy translations against tokenised references, as they are split in the files."""
    net.eval()
    encoded = [[*ids, END] for ids in subwords.encode(sources)]
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    hypotheses = [""] * len(encoded)
    for k in range(0, len(order), 200):
        part = order[k : k + 200]
        ids, lengths, _ = collate([(encoded[i], [END]) for i in part])
        for i, text in zip(part, subwords.decode(net.translate(ids, lengths)), strict=True):
            hypotheses[i] = text
    return float(sacrebleu.corpus_bleu(hypotheses, [references], tokenize="none", force=True).score)


def train_epoch(
    net: TranslationNet,
    average: TranslationNet,
    opt: torch.optim.Optimizer,
    batches: list[list[Pair]],
    epoch: int,
    rng: np.random.Generator,
    args: argparse.Namespace,
) -> float:
    """Run one epoch (counted from 0), keep the average up to date, return the mean loss."""
    net.train()
    total, losses = args.epochs * len(batches), []
    for step, batch in enumerate(batches, epoch * len(batches)):
        # the rate: a warm-up (again where layers are added), a plateau, a straight line down to 2 % of the peak
        since = step - args.shallow * len(batches) if epoch >= args.shallow else step
        lr = args.lr * min(1.0, (since + 1) / args.warmup) * min(1.0, max(0.02, 1.8 * (1 - step / total)))
        opt.param_groups[0]["lr"] = lr
        # stale products from the first step on delay learning, hence the ramp; and a network that always
        # saw them translates worse without than with them, hence a random rate, zero for half of the batches
        stale = args.stale * min(1.0, 4 * step / total) * max(0.0, rng.uniform(-2, 2))
        loss = net.loss(*collate(batch), stale)
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


def parse_args() -> argparse.Namespace:
    """Read the command line; the defaults are the recipe of the published weights."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    home = os.environ.get("ARCHSIM_DATA")
    p.add_argument("--data", type=Path, default=home, help="folder of corpora (default: $ARCHSIM_DATA)")
    p.add_argument("-o", "--output", type=Path, required=True, help="folder for weights, subwords, history")
    p.add_argument("--resume", action="store_true", help="go on from OUTPUT/checkpoint.pt")
    for flag, default, text in (
        ("--seed", 1, "seed of weights, batches and dropout"),
        ("--vocab", 5000, "subword pieces, of both languages together"),
        ("--hidden", 256, "width of embedding and layers; 1024 is the paper's"),
        ("--layers", 4, "layers of the encoder, and of the decoder"),
        ("--shallow", 8, "epochs with one layer of encoder and decoder, before the others are added"),
        ("--epochs", 18, "most epochs; the learning-rate schedule spans them"),
        ("--patience", 5, "stop after so many epochs without a better validation BLEU"),
        ("--batch", 64, "sentence pairs per batch"),
        ("--lr", 2e-3, "peak learning rate of Adam"),
        ("--warmup", 200, "steps of rising learning rate"),
        ("--decay", 0.01, "weight decay, per unit of learning rate"),
        ("--average", 0.998, "decay of the running average of the weights"),
        ("--dropout", 0.25, "dropout of inputs and outputs of layers"),
        ("--smoothing", 0.1, "label smoothing"),
        ("--word-drop", 0.1, "chance that a piece's deviation is dropped"),
        ("--emb-init", 0.25, "standard deviation of the deviations at the start"),
        ("--shared", 0.25, "size of the shared vector's elements"),
        (
            "--stale",
            0.2,
            "chance that a neuron keeps its last dot product, in half of the batches; from 0 to twice this",
        ),
        ("--zoneout", 0.1, "chance that a hidden state keeps its last value"),
    ):
        p.add_argument(flag, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    args = p.parse_args()
    return args if args.data else p.error("give --data or set ARCHSIM_DATA")


def main() -> None:
    """Train, and export the averaged weights of the epoch with the best validation BLEU."""
    args = parse_args()
    torch.set_num_threads(1)  # a fixed summation order: the same seed gives the same weights
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    folder = args.data / "multi30k"
    args.output.mkdir(parents=True, exist_ok=True)
    subwords = load_subwords(args.output / "subwords.model", folder, args.vocab)
    sides = [subwords.encode(read_lines(folder, "train", language)) for language in ("en", "de")]
    pairs = [([*source, END], [*target, END]) for source, target in zip(*sides, strict=True)]
    valid = [read_lines(folder, "val", language) for language in ("en", "de")]
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
    best = max(
        [(entry["val_bleu"], -entry["epoch"]) for entry in history[args.shallow :]], default=(0.0, -args.shallow)
    )
    while len(history) < args.epochs and len(history) + best[1] < args.patience:
        started = time.perf_counter()
        net.depth = average.depth = 1 if len(history) < args.shallow else args.layers
        loss = train_epoch(net, average, opt, train_batches(pairs, args.batch, rng), len(history), rng, args)
        bleu = validation_bleu(average, subwords, *valid)
        epoch, seconds = len(history) + 1, round(time.perf_counter() - started, 1)
        history.append({"epoch": epoch, "train_loss": loss, "val_bleu": bleu, "seconds": seconds})
        print(f"epoch {epoch}: loss {loss:.4f}, validation BLEU {bleu:.2f}, {seconds} s", flush=True)
        if net.depth == args.layers and bleu > best[0]:
            best = (bleu, -epoch)
            save_file(average.export(), str(args.output / "weights.safetensors"))
        (args.output / "history.json").write_text(json.dumps(history, indent=1) + "\n")
        states = (net.state_dict(), average.state_dict(), opt.state_dict())
        torch.save((*states, torch.get_rng_state(), rng.bit_generator.state, history), checkpoint)
    print(f"best: epoch {-best[1]}, validation BLEU {best[0]:.2f}")


if __name__ == "__main__":
    main()
