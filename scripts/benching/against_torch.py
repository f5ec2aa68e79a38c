"""How long a functional pass and a whole simulation take next to plain inference, and what the events take of it."""

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
MOST = {32: ("bnn", 3.0, 4.0), 1: ("bnn", 5.0, 5.0)}
"""By sequences in a batch: the policy with a target, that of its functional pass, and that of `simulate`."""
MOST_FOR_EVENTS = 0.25


def against_torch() -> Iterator[Figure]:
    """Ratios to torch's `nn.LSTM`, by batch."""
    for sequences, (watched, most, most_whole) in MOST.items():
        layer, where = target(sequences), f"batch {sequences} / torch"
        torch_s = best_s(layer.infer)
        for policy in POLICIES if sequences > 1 else ("none", watched):
            seconds = best_s(partial(_functional, layer, policy))
            yield Figure(
                where, f"functional pass, {policy}", seconds / torch_s, target=most if policy == watched else None
            )
        whole_s = best_s(partial(archsim.simulate, layer.network, layer.trace, threshold=THETA, precision="fp32"))
        yield Figure(where, f"simulate, {watched}", whole_s / torch_s, target=most_whole)
        yield Figure(where, "events of both machines / simulate", _events_s(layer) / whole_s, "", MOST_FOR_EVENTS)


def _functional(layer: Target, policy: str) -> ActivityRecord:
    return run_inference(layer.network, layer.trace, policy_from(policy), THETA, precision="fp32").activity


def _events_s(layer: Target) -> float:
    """The event simulation of the policy's machine and of the baseline."""
    arch = archsim.load_arch("epur")
    runs = ((_functional(layer, "bnn"), arch), (_functional(layer, "none"), arch.without_memo()))
    return sum(best_s(partial(simulate_activity, layer.network, activity, machine)) for activity, machine in runs)
