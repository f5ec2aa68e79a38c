"""Fine-tune a network folder under the reuse it will meet on the machine.

python scripts/finetune_reuse.py --network ds2-gru --policy bnn --threshold 0.6 --epochs 1 --batch 16 \\
    --trace fsdd-train --limit 192 --valid fsdd-valid --valid-limit 80 -o ds2-tuned

Every training pass decides as the simulator does, and gradients go to the steps that evaluated the products. A second
term of the loss limits the change of products from step to step. The threshold rises from zero at the start. Do not
train on test data. The head must be a classifier (mean-linear) or CTC. Afterwards, choose θ with `archsim calibrate`.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from training.finetuning import Trainer
from training.options import output_parser, parse_with

from archsim.calibration import with_scales
from archsim.cli.console import percent
from archsim.cli.exit import exit_code
from archsim.corpora.catalogue import load_trace
from archsim.errors import ConfigError
from archsim.finetune.network import TrainableNetwork
from archsim.inference.inputs import prepared
from archsim.inference.policy_parameters import lacks_measures
from archsim.inference.run import run_inference
from archsim.ir.folder import MANIFEST, load_network, network_folder, read_manifest
from archsim.ir.manifest import ScalesManifest
from archsim.ir.network import Network
from archsim.ir.saving import check_saving, write_network
from archsim.policies import NoReuse, declaration, policy_from
from archsim.traceio.trace import Trace


def print_metric(title: str, network: Network, valid: Trace, args: argparse.Namespace) -> None:
    """Print the metric on validation data without and with reuse, and the share of reuse."""
    policy = policy_from(args.policy)
    plain, reused = (
        run_inference(network, valid, chosen, args.threshold, precision=args.precision, keep_outputs=False)
        for chosen in (NoReuse(), policy)
    )
    reuse = percent(reused.activity.neurons_reused() / reused.activity.neurons_total)
    values = f"{network.metric} {plain.metric_value:.2f} without reuse, {reused.metric_value:.2f} with"
    print(f"{title}: {values} {policy.name} at θ = {args.threshold:g}, which reuses {reuse}", flush=True)


def write_tuned(model: TrainableNetwork, args: argparse.Namespace, train: Trace, scales: ScalesManifest | None) -> None:
    """Write the network folder with the scales used in training, and without thresholds of the old weights."""
    manifest = read_manifest(model.folder / MANIFEST)
    recipe = (
        f"{args.policy} at threshold {args.threshold:g}, {args.epochs} epochs, steady {args.steady:g}, seed {args.seed}"
    )
    data = f"{len(train)} sequences of {train.name} (SHA-256 {train.digest[:12]})"
    origin = f"{manifest.name} ({manifest.provenance})" if manifest.provenance else manifest.name
    changes = {
        "name": args.output.resolve().name,
        "provenance": f"{origin}, fine-tuned by scripts/finetune_reuse.py: {recipe}, {data}",
        "thresholds": {},
        "calibration": {},
        "scales": scales,
    }
    tensors = {name: tensor.numpy() for name, tensor in model.tensors().items()}
    write_network(args.output, manifest.model_copy(update=changes), tensors, model.folder)


FLAGS = (
    ("--policy", "bnn", "reuse policy, options included"),
    ("--precision", "fp16", "number format of the machine: fp16 or fp32"),
    ("--epochs", 3, "number of epochs, which the schedules span"),
    ("--batch", 32, "sequences in a batch"),
    (
        "--cap",
        0,
        "steps of the longest training sequence of a classifier; longer ones are cut to a random window; 0 for no cap",
    ),
    ("--lr", 5e-4, "peak learning rate of Adam"),
    ("--clip", 1.0, "largest norm of the gradient"),
    ("--steady", 0.3, "weight of the mean unsteadiness of products"),
    ("--half-at", 0.5, "relative change at which a neuron counts as half unsteady"),
    ("--ramp", 0.3, "share of the training in which the threshold rises to its value"),
    ("--seed", 1, "seed of batches and windows"),
)


def checked_arguments() -> argparse.Namespace:
    """Read the command line; raise ConfigError for a number outside its range."""
    parser = output_parser(__doc__)
    parser.add_argument("--network", required=True, help="bundled network or network folder")
    parser.add_argument("--threshold", type=float, required=True, help="θ to train for")
    parser.add_argument("--trace", required=True, help="labelled training trace: a file, or a split such as imdb-train")
    parser.add_argument("--limit", type=int, help="train on the first so many sequences only")
    parser.add_argument("--valid", required=True, help="labelled validation trace")
    parser.add_argument("--valid-limit", type=int, help="validate on the first so many sequences only")
    args = parse_with(parser, FLAGS)
    for name in ("epochs", "batch", "lr", "clip", "half_at"):
        if not 0 < getattr(args, name) < np.inf:
            raise ConfigError(f"{name} = {getattr(args, name)}: need a finite number > 0")
    for name, most in (("cap", 1e9), ("steady", 1e9), ("ramp", 1.0), ("seed", 2**32 - 1)):
        if not 0 <= getattr(args, name) <= most:
            raise ConfigError(f"{name} = {getattr(args, name)}: need a number from 0 to {most:g}")
    args.policy = policy_from(args.policy).name
    return args


def main() -> None:
    """Run the fine-tuning and write the network of the last epoch."""
    args = checked_arguments()
    torch.set_num_threads(1)  # for a fixed summation order, so that a seed always gives the same weights
    folder = network_folder(args.network)
    if folder.resolve() == args.output.resolve() or args.output.is_file():
        reason = "a file" if args.output.is_file() else "the network itself"
        raise ConfigError(f"output {args.output} is {reason}: need another folder to write to")
    if args.output.is_dir():
        check_saving(args.output)
    source, train = load_network(folder), load_trace(args.trace).limit(args.limit)
    valid = prepared(source, load_trace(args.valid).limit(args.valid_limit))
    evidence, policy = None, policy_from(args.policy)
    if declaration(policy).needs_measures:
        evidence = read_manifest(folder / MANIFEST).scales
        if lacks_measures(source, policy, args.precision):
            source, evidence = with_scales(source, train, precision=args.precision)
    reuse = {"policy": args.policy, "threshold": args.threshold, "precision": args.precision}
    model = TrainableNetwork(folder, **reuse, scales=source.scales)
    if args.cap and source.metric == "wer":
        raise ConfigError("cap: a transcript says nothing about a part of a sequence; need cap = 0 for a CTC head")
    examples = model.examples(train)
    model.examples(valid)
    trainer = Trainer(args, model, examples)
    if args.resume:
        trainer.resume()
    args.output.mkdir(parents=True, exist_ok=True)
    print_metric("before", source, valid, args)
    trainer.run(lambda title, network: print_metric(title, network, valid, args))
    write_tuned(model, args, train, evidence)
    print_metric("after", load_network(args.output), valid, args)
    print(f"θ for a bound on the loss: archsim calibrate -n {args.output} -t VALIDATION -p {args.policy} --save")


if __name__ == "__main__":
    sys.exit(exit_code(main, "finetune_reuse"))
