"""Number formats of fewer bits: what each would bring alone, and what the recommended policy would add to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from archsim.advising.choice import Gains, JudgedPolicy
from archsim.advising.subjects import Subject
from archsim.advising.trials import AnyResult, Cost, Trial, cost_of_change
from archsim.advising.words import change_text, cost_text, gains_text, loss_text, named
from archsim.config.arch import ArchSpec
from archsim.config.precision import FP16, INT4, INT8
from archsim.errors import UsageError
from archsim.inference.precision_change import run_without_reuse, squares_between
from archsim.inference.run import InferenceResult
from archsim.policies import NoReuse

if TYPE_CHECKING:
    from archsim.advising.advice import Advice


@dataclass(frozen=True)
class FormatGain:
    """Number format on the sequences that judge; gains are next to fp16 without reuse."""

    name: str
    gains: Gains
    """Gains of the format without reuse."""
    loss: Cost | None
    """Loss of the format without reuse, in points; None where there is no score."""
    change: Cost
    """Change of the recurrent outputs by the format without reuse."""
    with_policy: Gains | None
    """Gains of the format with the recommended policy, at the θ chosen for it in its own format; None without one."""
    trial: Trial | None
    """Run of the policy in this format, whose costs are those of the reuse alone."""


def format_gains(subject: Subject, best: JudgedPolicy | None, arch: ArchSpec) -> Iterator[FormatGain]:
    """Yield what int8 and int4 bring; nothing on a machine that is not of fp16, because it cannot be compared."""
    if arch.precision != FP16.name:
        return
    units, reference = subject.halves.judging, subject.at(FP16.name)
    base = reference.trial(NoReuse(), None, units).simulate(arch)
    before = _without_reuse(reference)
    for numbers in (INT8, INT4):
        machine, own = arch.at_precision(numbers.name), subject.at(numbers.name)
        try:
            plain = own.trial(NoReuse(), None, units).simulate(machine)
            trial = _with_policy(own, best)
            with_policy = None if trial is None else gains_between(trial.simulate(machine), base)
        except UsageError:  # the machine, or the policy, cannot have the format
            continue
        squares = [
            squares_between(before[name], after) for name, after in _without_reuse(own).items() if name in before
        ]
        loss, change = own.loss_beside(reference, units), cost_of_change(np.concatenate(squares))
        yield FormatGain(numbers.name, gains_between(plain, base), loss, change, with_policy, trial)


def _with_policy(subject: Subject, best: JudgedPolicy | None) -> Trial | None:
    """Return the run of the best policy on the sequences that judge, at the θ chosen for it; None without one."""
    if best is None or best.trial is None:
        return None
    return subject.trial(best.choice.policy, best.trial.threshold, subject.halves.judging)


def _without_reuse(subject: Subject) -> dict[str, InferenceResult]:
    """Return the outputs of each part without reuse on the sequences that judge, by its network's name."""
    parts = subject.parts(subject.halves.judging)
    return {part.network.name: run_without_reuse(part.network, part.trace, subject.precision) for part in parts}


def gains_between(result: AnyResult, base: AnyResult) -> Gains:
    """Return the gains of a result next to one without reuse in another format, heads included."""
    (energy_j, time_s), (base_j, base_s) = (_energy_and_time(of) for of in (result, base))
    more_area = result.record["area_mm2"] / base.record["area_mm2"] - 1
    return Gains(base_s / time_s, 1 - energy_j / base_j, more_area)


def _energy_and_time(result: AnyResult) -> tuple[float, float]:
    record = result.record
    head_j, head_s = record["head_energy_j"] or 0.0, record["head_time_s"] or 0.0
    return record["energy_j"] + head_j, record["time_s"] + head_s


def format_sentences(advice: Advice) -> list[str]:
    """Return a sentence per number format on what it brings alone, and what the best policy adds."""
    found = []
    for one in advice.formats:
        cost = f"at a loss of {loss_text(one.loss)} points, " if one.loss is not None else ""
        alone = f"{one.name} alone is {gains_text(one.gains)} than fp16 without reuse, {cost}"
        added = ""
        if one.with_policy is not None and one.trial is not None and advice.best is not None:
            further = cost_text(advice, advice.bound.cost(one.trial))
            added = f"; with {named(advice.best)} it is {gains_text(one.with_policy)}, further {further}"
        found.append(f"{alone}changing the outputs by {change_text(one.change)}{added}.")
    return found
