"""What would make reuse pay: other machines and bounds, each simulated on the sequences that judge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from archsim.activity import pass_shapes
from archsim.advising.bottlenecks import GATE, WEIGHTS, time_shares
from archsim.advising.choice import Bound, Gains, JudgedPolicy, gains_of
from archsim.advising.subjects import Part
from archsim.advising.trials import Cost, Trial
from archsim.config.arch import ArchSpec
from archsim.errors import UsageError
from archsim.units import BYTES_PER_FP16, MIB

NOTICEABLE = 0.05
"""Share of the time from which on a cause is worth a remedy, and improvement from which on a remedy helps."""
LOOSER = 2.0
"""Factor of the bound that a looser one is tried with."""


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


def _attempts(
    judged: JudgedPolicy, plain: Trial, parts: list[Part], arch: ArchSpec, bound: Bound
) -> Iterator[tuple[str, Trial, ArchSpec]]:
    """Yield each change in words, with the run and the machine to simulate."""
    assert judged.trial is not None and judged.result is not None
    shares, before = time_shares(judged.result), time_shares(plain.simulate(arch))
    if max(shares.get(WEIGHTS, 0), before.get(WEIGHTS, 0)) >= NOTICEABLE:
        capacity, needed = arch.weight_buffer.capacity_bytes, _holding_bytes(parts)
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
    looser = judged.choice.largest(LOOSER)
    if looser is not None and looser.threshold != judged.trial.threshold:
        subject = judged.choice.subject
        trial = subject.trial(judged.choice.policy, looser.threshold, subject.halves.judging)
        yield f"a bound {LOOSER:g} times as wide (θ = {looser.threshold:g})", trial, arch


def _holding_bytes(parts: list[Part]) -> int:
    """Return a power of two of bytes, with room for the predictor, that holds one gate of every layer of a part."""
    largest = max(sum(s.n_units * s.n_inputs for s in pass_shapes(part.network)) for part in parts) * BYTES_PER_FP16
    return 1 << (largest + largest // 4).bit_length()
