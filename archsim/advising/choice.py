"""Choice of θ for each policy on one half of the sequences, and its judgement on the other half."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from archsim.advising.subjects import Subject
from archsim.advising.trials import AnyResult, Cost, Trial
from archsim.config.arch import ArchSpec
from archsim.errors import ConfigError, DoesNotFitError
from archsim.exploration.candidates import UNREAL, plain_policy
from archsim.exploration.threshold_search import LogGrid, last_good
from archsim.policies import Policy

GRID = LogGrid(bisections=2)
"""Values of θ that are tried, further down for some policies: neighbours of the chosen one are a fifth apart."""
WORTH = 0.9
"""Energy × time × area, next to no reuse, at which a policy pays: less gain does not repay new hardware."""


@dataclass(frozen=True)
class Bound:
    """Bound on the loss of a score in points, or on the change of the outputs as a fraction."""

    limit: float
    points: str | None
    """Name of the score; None for the change of the outputs."""

    def cost(self, trial: Trial) -> Cost:
        """Return the cost of a trial that the bound is for."""
        if self.points is None:
            return trial.change
        assert trial.loss is not None, "there is a score"
        return trial.loss

    def holds(self, trial: Trial, factor: float = 1.0) -> bool:
        """Return whether a trial costs at most `factor` times the bound; a cost that is unknown is too much."""
        return self.cost(trial).value <= factor * self.limit


class Gains(NamedTuple):
    """Gains next to the machine without reuse, heads included where the network has one."""

    speedup: float
    energy_saving: float
    more_area: float
    """Area added, as a fraction."""

    @property
    def product(self) -> float:
        """Energy × time × area next to that without reuse; smaller is better."""
        return (1 - self.energy_saving) / self.speedup * (1 + self.more_area)

    @property
    def pays(self) -> bool:
        """Whether the product is small enough to repay new hardware."""
        return self.product <= WORTH


def gains_of(result: AnyResult, plain: AnyResult) -> Gains:
    """Return the gains of a result; `plain` is the result without reuse, which has the machine's area."""
    record = result.record
    head = "" if record["speedup_with_head"] is None else "_with_head"
    more_area = record["area_mm2"] / plain.record["area_mm2"] - 1
    return Gains(record[f"speedup{head}"], record[f"energy_saving{head}"], more_area)


@dataclass
class ThetaChoice:
    """Trials of one policy on the choosing half."""

    subject: Subject
    policy: Policy
    bound: Bound
    on_trial: Callable[[], None]
    trials: dict[int, Trial] = field(default_factory=dict)
    """Trials by index in the grid of θ."""

    @property
    def grid(self) -> LogGrid:
        """Values of θ that are tried."""
        return GRID.for_policy(self.policy)

    def largest(self, factor: float = 1.0) -> Trial | None:
        """Return the trial of the largest θ that costs at most `factor` times the bound; None if none does."""
        fits = {index: self.bound.holds(trial, factor) for index, trial in self.trials.items()}
        while (index := self.grid.next_index(fits)) is not None and (self.policy.needs_threshold or not fits):
            if index not in self.trials:
                threshold = self.grid.theta(index) if self.policy.needs_threshold else None
                self.trials[index] = self.subject.trial(self.policy, threshold, self.subject.halves.choosing)
                self.on_trial()
            fits[index] = self.bound.holds(self.trials[index], factor)
        good = last_good(fits)
        return None if good is None else self.trials[good]

    @property
    def least_cost(self) -> float:
        """Smallest cost of any θ tried."""
        return min(self.bound.cost(trial).value for trial in self.trials.values())


@dataclass(frozen=True, eq=False)
class JudgedPolicy:
    """Policy at the θ that was chosen for it, judged on the other half; without trial if it has no θ."""

    name: str
    choice: ThetaChoice
    trial: Trial | None
    result: AnyResult | None
    gains: Gains | None
    rank: float
    """Energy × time × area on the choosing half; infinite without a θ."""
    reason: str = ""
    """Sentence on why there is no trial."""

    @property
    def real(self) -> bool:
        """Whether hardware can have the policy."""
        return plain_policy(self.name) not in UNREAL

    @property
    def pays(self) -> bool:
        """Whether it pays on the judging half, at a cost that is within the bound there, too."""
        if self.trial is None or self.gains is None or not self.real:
            return False
        return self.gains.pays and self.choice.bound.holds(self.trial)


def judge(choice: ThetaChoice, arch: ArchSpec, plain: AnyResult) -> JudgedPolicy:
    """Return the policy at its largest θ within the bound, with gains on the judging half next to `plain`."""
    policy, subject = choice.policy, choice.subject
    try:
        chosen = choice.largest()
        if chosen is None:
            return JudgedPolicy(policy.name, choice, None, None, None, math.inf, _no_theta(choice))
        rank = gains_of(chosen.simulate(arch), plain).product
        trial = chosen
        if subject.halves.apart:
            trial = subject.trial(policy, chosen.threshold, subject.halves.judging)
        result = trial.simulate(arch)
    except (DoesNotFitError, ConfigError) as error:  # too large for the machine, or no policy for this cell
        return JudgedPolicy(policy.name, choice, None, None, None, math.inf, str(error))
    return JudgedPolicy(policy.name, choice, trial, result, gains_of(result, plain), rank)


def _no_theta(choice: ThetaChoice) -> str:
    least, smallest = choice.least_cost, choice.grid.ends[0]
    where = f"even θ = {smallest:g}" if choice.policy.needs_threshold else "it"
    if math.isnan(least):
        return f"outputs under {where} cannot be compared with those without reuse"
    if choice.bound.points is None:
        return f"{where} changes the outputs by {100 * least:.2g} %"
    return f"{where} loses {least:.2g} points"
