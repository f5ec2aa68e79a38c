"""Fine-tuning of a network folder under reuse: epochs, schedules, checkpoints."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from archsim.cli.console import percent, stage_bars
from archsim.errors import ConfigError
from archsim.files import write_whole
from archsim.finetune.network import Example, TrainableNetwork
from archsim.ir.network import Network
from training.batching import batches_by_length

Report = Callable[[str, float, str], None]


class Trainer:
    """State of a training run: network, optimiser, random numbers, history."""

    def __init__(self, args: argparse.Namespace, model: TrainableNetwork, train: Sequence[Example]) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.model = model
        self.train = train
        self.rng = np.random.default_rng(args.seed)
        self.opt = torch.optim.Adam(model.parameters(), lr=args.lr)
        self.history: list[dict[str, float]] = []
        self.checkpoint = args.output / "checkpoint.pt"
        paths = {"output", "resume", "valid", "valid_limit"}
        self.settings = {name: str(value) for name, value in vars(args).items() if name not in paths}

    def epoch(self, report: Report) -> dict[str, float]:
        """Run one epoch and return its mean loss, unsteadiness and reuse."""
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
        """Train on one batch and return its loss, unsteadiness and reuse."""
        args, opt = self.args, self.opt
        # learning rate: a short warm-up, then linear decay to zero; the threshold rises to its value
        opt.param_groups[0]["lr"] = args.lr * min(1.0, 0.05 + 20 * progress, 1.25 * (1 - progress))
        self.model.rnn.threshold = args.threshold * min(1.0, progress / args.ramp if args.ramp else 1.0)
        result = self.model(batch, half_at=args.half_at if args.steady else None)
        loss = result.task if result.unsteadiness is None else result.task + args.steady * result.unsteadiness
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), args.clip)
        opt.step()
        return (
            result.task.item(),
            0.0 if result.unsteadiness is None else result.unsteadiness.item(),
            result.reuse_fraction,
        )

    def _cut(self, example: Example) -> Example:
        """Return a random window of a sequence longer than `cap`; not for CTC, whose labels belong to no window."""
        steps, cap = len(example.inputs), self.args.cap
        if not cap or steps <= cap:
            return example
        start = int(self.rng.integers(0, steps - cap + 1))
        return example._replace(inputs=example.inputs[start : start + cap])

    def save(self) -> None:
        """Write the checkpoint that `resume` reads, and the history."""
        states = self.model.state_dict(), self.opt.state_dict(), torch.get_rng_state(), self.rng.bit_generator.state
        with write_whole(self.checkpoint) as temporary:
            torch.save((*states, self.history, self.settings), temporary)
        with write_whole(self.args.output / "history.json") as temporary:
            temporary.write_text(json.dumps(self.history, indent=1) + "\n")

    def resume(self) -> None:
        """Continue from the last checkpoint; raise ConfigError if there is none or it belongs to another run."""
        if not self.checkpoint.is_file():
            raise ConfigError(f"{self.checkpoint} does not exist: nothing to resume")
        try:
            loaded = torch.load(self.checkpoint, weights_only=True)
            model, optimiser, torch_rng, self.rng.bit_generator.state, self.history, settings = loaded
        except (RuntimeError, ValueError, TypeError, EOFError, UnpicklingError) as error:
            raise ConfigError(f"{self.checkpoint} is no checkpoint of this script: {error}") from None
        for name, value in self.settings.items():
            if settings.get(name) != value:
                raise ConfigError(f"{self.checkpoint} was made with {name} = {settings.get(name)}, not {value}")
        self.model.load_state_dict(model)
        self.opt.load_state_dict(optimiser)
        torch.set_rng_state(torch_rng)

    def run(self, on_epoch: Callable[[str, Network], None]) -> None:
        """Train to the last epoch, and call `on_epoch` with a title and the network after each."""
        while len(self.history) < self.args.epochs:
            started = time.perf_counter()
            with stage_bars() as report:
                figures = self.epoch(report)
            self.history.append(
                {"epoch": len(self.history) + 1} | figures | {"seconds": round(time.perf_counter() - started, 1)}
            )
            self.save()
            on_epoch(f"epoch {len(self.history)}", self.model.network())
