"""Remedies, which would make reuse pay: other machines and bounds, each simulated on the sequences that judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archsim.activity import pass_shapes
from archsim.advising.bottlenecks import GATE, WEIGHTS, time_shares
from archsim.advising.choice import Bound, Gains, JudgedPolicy, gains_of
from archsim.advising.subjects import Part
from archsim.advising.trials import Cost, Trial
from archsim.config.arch import ArchSpec
from archsim.errors import UsageError
from archsim.units import MIB

NOTICEABLE = 0.05
"""Share of the time from which on a cause is worth a remedy, and improvement from which on a remedy helps."""
LOOSER = 2.0
"""Factor of the bound that a looser one is tried with."""
NO_GAINS = Gains(1.0, 0.0, 0.0)
"""Gains of a policy that has no θ within the bound."""


@dataclass(frozen=True)
class Remedy:
    """Change of the machine or the bound, with its effect on a policy by simulation."""

    change: str
    """The change in words."""
    policy: str
    before: Gains
    after: Gains
    """Gains next to the same machine without reuse, with the change in both."""
    faster: float
    """Speedup next to today's machine without reuse."""
    cost: Cost

    @property
    def helps(self) -> bool:
        """Whether energy × time × area falls noticeably."""
        return self.after.product <= (1 - NOTICEABLE) * self.before.product


def remedies(judged: JudgedPolicy, plain: Trial, parts: list[Part], arch: ArchSpec, bound: Bound) -> Iterator[Remedy]:
    """Yield the remedies for what takes time under a policy, each simulated."""
    assert judged.trial is not None and judged.result is not None and judged.gains is not None
    today = plain.simulate(arch)
    for change, trial, machine in _attempts(judged, plain, parts, arch, bound):
        try:
            without, reusing = plain.simulate(machine), trial.simulate(machine)
        except UsageError:  # the machine cannot have the change, so it is no remedy
            continue
        speedup = today.record["cycles"] / reusing.record["cycles"]
        gains = gains_of(reusing, without)
        yield Remedy(change, judged.name, judged.gains, gains, speedup, bound.cost(trial))


def looser_bounds(policies: Iterable[JudgedPolicy], plain: Trial, arch: ArchSpec, bound: Bound) -> Iterator[Remedy]:
    """Yield the effect of a looser bound on each policy that has no θ within the bound, but one within that."""
    today = plain.simulate(arch)
    for judged in policies:
        trial = _under_looser_bound(judged) if judged.real and judged.choice.trials else None
        if trial is None:
            continue
        try:
            result = trial.simulate(arch)
        except UsageError:  # the machine cannot have the policy, whatever the bound
            continue
        gains = gains_of(result, today)
        faster = today.record["cycles"] / result.record["cycles"]
        yield Remedy(_looser(trial), judged.name, NO_GAINS, gains, faster, bound.cost(trial))


def _under_looser_bound(judged: JudgedPolicy) -> Trial | None:
    """Return the trial on the judging half of the largest θ within the looser bound, if it is another θ."""
    chosen, now = judged.choice.largest(LOOSER), judged.trial
    if chosen is None or (now is not None and chosen.threshold == now.threshold):
        return None
    subject = judged.choice.subject
    return subject.trial(judged.choice.policy, chosen.threshold, subject.halves.judging)


def _looser(trial: Trial) -> str:
    theta = "" if trial.threshold is None else f" (θ = {trial.threshold:g})"
    return f"a bound {LOOSER:g} times as wide{theta}"


def _attempts(
    judged: JudgedPolicy, plain: Trial, parts: list[Part], arch: ArchSpec, bound: Bound
) -> Iterator[tuple[str, Trial, ArchSpec]]:
    """Yield each change in words, with the run and the machine to simulate."""
    assert judged.trial is not None and judged.result is not None
    shares, before = time_shares(judged.result), time_shares(plain.simulate(arch))
    if max(shares.get(WEIGHTS, 0), before.get(WEIGHTS, 0)) >= NOTICEABLE:
        capacity, needed = arch.weight_buffer.capacity_bytes, _holding_bytes(parts, arch)
        if needed > capacity:
            memory = arch.replace("weight_buffer.capacity_bytes", needed)
            was, now = (f"{size / MIB:g} MiB" for size in (capacity, needed))
            yield f"weight buffers of {now} per unit instead of {was}, which hold all weights", judged.trial, memory
    if shares.get(GATE, 0) >= NOTICEABLE and arch.dispatch != "shared":
        yield (
            "units that share the work of all gates (dispatch = shared)",
            judged.trial,
            arch.replace("dispatch", "shared"),
        )
    looser = _under_looser_bound(judged)
    if looser is not None:
        yield _looser(looser), looser, arch


def _holding_bytes(parts: list[Part], arch: ArchSpec) -> int:
    """Return a power of two of bytes, with room for the predictor, that holds one gate of every layer of a part."""
    n_weights = max(sum(s.n_units * s.n_inputs for s in pass_shapes(part.network)) for part in parts)
    largest = arch.numbers.weight_bytes(n_weights)
    return 1 << (largest + largest // 4).bit_length()
