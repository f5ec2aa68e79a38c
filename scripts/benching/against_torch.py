"""Time of an inference run and of a whole simulation against torch, and the share of the events in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import archsim
from archsim.activity import ActivityRecord
from archsim.inference.run import run_inference
from archsim.policies import policy_from
from archsim.sim.accelerator import simulate_activity
from benching.figures import Figure, best_s
from benching.target import THETA, Target, target

POLICIES = ("none", "bnn", "ternary", "lowbit", "oracle", "delta")
MAX_RATIOS = {32: ("bnn", 3.0, 4.0), 1: ("bnn", 5.0, 5.0)}
"""Policy with targets by sequences per batch, the target of its inference run, and that of `simulate`."""
MAX_EVENTS_SHARE = 0.25


def against_torch() -> Iterator[Figure]:
    """Yield ratios to torch's `nn.LSTM` by batch."""
    for sequences, (policy_with_target, most, most_whole) in MAX_RATIOS.items():
        layer, where = target(sequences), f"batch {sequences} / torch"
        torch_s = best_s(layer.infer)
        for policy in POLICIES if sequences > 1 else ("none", policy_with_target):
            seconds = best_s(partial(_activity_of, layer, policy))
            yield Figure(
                where,
                f"functional pass, {policy}",
                seconds / torch_s,
                target=most if policy == policy_with_target else None,
            )
        whole_s = best_s(partial(archsim.simulate, layer.network, layer.trace, threshold=THETA, precision="fp32"))
        yield Figure(where, f"simulate, {policy_with_target}", whole_s / torch_s, target=most_whole)
        yield Figure(where, "events of both machines / simulate", _events_s(layer) / whole_s, "", MAX_EVENTS_SHARE)


def _activity_of(layer: Target, policy: str) -> ActivityRecord:
    return run_inference(layer.network, layer.trace, policy_from(policy), THETA, precision="fp32").activity


def _events_s(layer: Target) -> float:
    """Return the seconds of the event simulation of the policy's machine and of the baseline."""
    arch = archsim.load_arch("epur")
    runs = ((_activity_of(layer, "bnn"), arch), (_activity_of(layer, "none"), arch.without_memo()))
    return sum(best_s(partial(simulate_activity, layer.network, activity, machine)) for activity, machine in runs)
