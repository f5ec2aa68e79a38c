"""Fine-tune a network folder under the reuse it will meet on the machine.

python scripts/finetune_reuse.py --network imdb-lstm --policy bnn --threshold 4 \\
    --trace imdb-train --limit 4000 --valid imdb-valid --valid-limit 500 -o imdb-tuned

Every training pass decides as the simulator does; gradients go to the steps that evaluated the products. A second
term holds down how much products change from step to step. The threshold rises from zero at the start. Never give
test data. Classification (mean-linear) and CTC heads; afterwards, `archsim calibrate` on the new folder chooses θ.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn
from training.batching import batches_by_length
from training.options import output_parser, parse_with

from archsim.calibration import with_scales
from archsim.cli.console import percent, stage_bars
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.files import write_whole
from archsim.finetune.network import Example, TrainableNetwork
from archsim.functional.inputs import prepared
from archsim.functional.run import run_functional
from archsim.ir.folder import MANIFEST, load_network, network_folder, read_manifest, write_network
from archsim.ir.manifest import ScalesManifest
from archsim.ir.network import Network
from archsim.policies import NoReuse, policy_from
from archsim.traceio.trace import Trace

Report = Callable[[str, float, str], None]


class Trainer:
    """The state of a training run: network, optimiser, random numbers, history."""

    def __init__(self, args: argparse.Namespace, model: TrainableNetwork, train: Sequence[Example]) -> None:
        torch.manual_seed(args.seed)
        self.args, self.model, self.train, self.rng = args, model, train, np.random.default_rng(args.seed)
        self.opt, self.history = torch.optim.Adam(model.parameters(), lr=args.lr), list[dict[str, float]]()
        self.checkpoint = args.output / "checkpoint.pt"
        paths = {"output", "resume", "valid", "valid_limit"}
        self.settings = {name: str(value) for name, value in vars(args).items() if name not in paths}

    def epoch(self, report: Report) -> dict[str, float]:
        """Run one epoch; return its mean loss, unsteadiness and reuse."""
        batches = batches_by_length([len(e.inputs) for e in self.train], self.args.batch, 15, self.rng)
        done, sums = len(self.history), np.zeros(3)
        for step, batch in enumerate(batches):
            sums += self.step(
                [self._cut(self.train[i]) for i in batch], (done + step / len(batches)) / self.args.epochs
            )
            task, _, reuse = sums / (step + 1)
            report(f"epoch {done + 1}", (step + 1) / len(batches), f"loss {task:.4f}, reuse {percent(reuse)}")
        return dict(zip(("loss", "unsteadiness", "train_reuse"), (sums / len(batches)).tolist(), strict=True))

    def step(self, batch: Sequence[Example], progress: float) -> tuple[float, float, float]:
        """Learn from a batch; return its loss, unsteadiness and reuse."""
        args, opt = self.args, self.opt
        # the rate: a short warm-up, then a straight line down to zero; reuse comes in by and by
        opt.param_groups[0]["lr"] = args.lr * min(1.0, 0.05 + 20 * progress, 1.25 * (1 - progress))
        self.model.rnn.threshold = args.threshold * min(1.0, progress / args.ramp if args.ramp else 1.0)
        found = self.model(batch, half_at=args.half_at if args.steady else None)
        loss = found.task if found.unsteadiness is None else found.task + args.steady * found.unsteadiness
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), args.clip)
        opt.step()
        return found.task.item(), 0.0 if found.unsteadiness is None else found.unsteadiness.item(), found.reuse_fraction

    def _cut(self, example: Example) -> Example:
        """A window of a sequence that is longer than `cap`; a transcript says nothing about a window."""
        steps, cap = len(example.inputs), self.args.cap
        if not cap or steps <= cap:
            return example
        start = int(self.rng.integers(0, steps - cap + 1))
        return example._replace(inputs=example.inputs[start : start + cap])

    def save(self) -> None:
        """Write what `resume` needs, and the history."""
        states = self.model.state_dict(), self.opt.state_dict(), torch.get_rng_state(), self.rng.bit_generator.state
        with write_whole(self.checkpoint) as temporary:
            torch.save((*states, self.history, self.settings), temporary)
        with write_whole(self.args.output / "history.json") as temporary:
            temporary.write_text(json.dumps(self.history, indent=1) + "\n")

    def resume(self) -> None:
        """Go on from the last checkpoint; ConfigError where there is none, or one of another run."""
        if not self.checkpoint.is_file():
            raise ConfigError(f"{self.checkpoint} does not exist: nothing to resume")
        loaded = torch.load(self.checkpoint, weights_only=True)
        model, optimiser, torch_rng, self.rng.bit_generator.state, self.history, settings = loaded
        for name, value in self.settings.items():
            if settings.get(name) != value:
                raise ConfigError(f"{self.checkpoint} was made with {name} = {settings.get(name)}, not {value}")
        self.model.load_state_dict(model)
        self.opt.load_state_dict(optimiser)
        torch.set_rng_state(torch_rng)

    def run(self, valid: Trace) -> None:
        """Train to the last epoch."""
        while len(self.history) < self.args.epochs:
            started = time.perf_counter()
            with stage_bars() as report:
                figures = self.epoch(report)
            self.history.append(
                {"epoch": len(self.history) + 1} | figures | {"seconds": round(time.perf_counter() - started, 1)}
            )
            self.save()
            tell(f"epoch {len(self.history)}", self.model.network(), valid, self.args)


def tell(title: str, network: Network, valid: Trace, args: argparse.Namespace) -> None:
    """Print the metric on validation data without and with reuse, and how much is reused."""
    policy = policy_from(args.policy)
    plain, reused = (
        run_functional(network, valid, chosen, args.threshold, precision=args.precision, keep_outputs=False)
        for chosen in (NoReuse(), policy)
    )
    reuse = percent(reused.activity.neurons_reused() / reused.activity.neurons_total)
    values = f"{network.metric} {plain.metric_value:.2f} without reuse, {reused.metric_value:.2f} with"
    print(f"{title}: {values} {policy.name} at θ = {args.threshold:g}, which reuses {reuse}", flush=True)


def write_tuned(model: TrainableNetwork, args: argparse.Namespace, train: Trace, scales: ScalesManifest | None) -> None:
    """Write the network folder: what was calibrated for the old weights is left out."""
    manifest = read_manifest(model.folder / MANIFEST)
    how = (
        f"{args.policy} at threshold {args.threshold:g}, {args.epochs} epochs, steady {args.steady:g}, seed {args.seed}"
    )
    data = f"{len(train)} sequences of {train.name} (SHA-256 {train.digest[:12]})"
    origin = f"{manifest.name} ({manifest.provenance})" if manifest.provenance else manifest.name
    told = {
        "name": args.output.resolve().name,
        "provenance": f"{origin}, fine-tuned by scripts/finetune_reuse.py: {how}, {data}",
        "thresholds": {},
        "calibration": {},
        "scales": scales,
    }
    tensors = {name: tensor.numpy() for name, tensor in model.tensors().items()}
    write_network(args.output, manifest.model_copy(update=told), tensors, model.folder)


FLAGS = (
    ("--policy", "bnn", "reuse policy, options included"),
    ("--precision", "fp16", "what the machine holds: fp16 or fp32"),
    ("--epochs", 3, "epochs; the schedules span them"),
    ("--batch", 32, "sequences in a batch"),
    ("--cap", 0, "longest training sequence of a classifier, in steps: of longer ones a random window; 0 for no cap"),
    ("--lr", 5e-4, "peak learning rate of Adam"),
    ("--clip", 1.0, "largest norm of the gradient"),
    ("--steady", 0.3, "weight of the mean unsteadiness of products"),
    ("--half-at", 0.5, "relative change at which a neuron counts as half unsteady"),
    ("--ramp", 0.3, "share of the training in which the threshold rises to its value"),
    ("--seed", 1, "seed of batches and windows"),
)


def checked_arguments() -> argparse.Namespace:
    """Read the command line; ConfigError for a number that cannot be."""
    parser = output_parser(__doc__)
    parser.add_argument("--network", required=True, help="bundled network or network folder")
    parser.add_argument("--threshold", type=float, required=True, help="θ to train for")
    parser.add_argument("--trace", required=True, help="labelled training trace: a file, or a split as imdb-train")
    parser.add_argument("--limit", type=int, help="train on the first so many sequences only")
    parser.add_argument("--valid", required=True, help="labelled validation trace")
    parser.add_argument("--valid-limit", type=int, help="validate on the first so many sequences only")
    args = parse_with(parser, FLAGS)
    for name in ("epochs", "batch", "lr", "clip", "half_at"):
        if not getattr(args, name) > 0:
            raise ConfigError(f"{name} = {getattr(args, name)}: need a number > 0")
    for name, most in (("cap", np.inf), ("steady", np.inf), ("ramp", 1.0)):
        if not 0 <= getattr(args, name) <= most:
            raise ConfigError(f"{name} = {getattr(args, name)}: need a number from 0 to {most:g}")
    args.policy = policy_from(args.policy).name
    return args


def main() -> None:
    """Fine-tune, and write the network of the last epoch."""
    args = checked_arguments()
    torch.set_num_threads(1)  # a fixed summation order: the same seed gives the same weights
    folder = network_folder(args.network)
    if folder.resolve() == args.output.resolve() or args.output.is_file():
        what = "a file" if args.output.is_file() else "the network itself"
        raise ConfigError(f"output {args.output} is {what}: need another folder to write to")
    source, train = load_network(folder), load_trace(args.trace).limit(args.limit)
    valid = prepared(source, load_trace(args.valid).limit(args.valid_limit))
    evidence = None
    if getattr(policy_from(args.policy), "needs_scales", False):
        evidence = read_manifest(folder / MANIFEST).scales
        if evidence is None:
            source, evidence = with_scales(source, train, precision=args.precision)
    told = {"policy": args.policy, "threshold": args.threshold, "precision": args.precision}
    model = TrainableNetwork(folder, **told, scales=source.scales)
    if args.cap and source.metric == "wer":
        raise ConfigError("cap: a transcript says nothing about a part of a sequence; need cap = 0 for a CTC head")
    examples = model.examples(train)
    model.examples(valid)
    trainer = Trainer(args, model, examples)
    if args.resume:
        trainer.resume()
    args.output.mkdir(parents=True, exist_ok=True)
    tell("before", source, valid, args)
    trainer.run(valid)
    write_tuned(model, args, train, evidence)
    tell("after", load_network(args.output), valid, args)
    print(f"θ for a bound on the loss: archsim calibrate -n {args.output} -t VALIDATION -p {args.policy} --save")


if __name__ == "__main__":
    sys.exit(exit_code(main, "finetune_reuse"))
