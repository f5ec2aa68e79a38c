"""Checks of decisions: their form, and what they may not depend on."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from archsim.contract.subjects import DECADES, BrokenPromiseError, Subject, first_difference
from archsim.contract.watched import DECISION, FIRST_STEP, INPUTS, WatchedPolicy
from archsim.policies import POLICIES, policy_from
from archsim.policies.options import split_policy_name

HUGE = 1e6
"""θ at which nearly everything is reused that may be."""


def _watch(subject: Subject, check: str) -> None:
    """Raise BrokenPromiseError for what a watched run notes about a check, at θ of the subject and at a huge one."""
    for threshold in (subject.threshold, HUGE):
        watched = WatchedPolicy(subject.policy)
        subject.decisions(watched, threshold=threshold)
        if check in watched.broken:
            raise BrokenPromiseError(watched.broken[check])


def check_decision(subject: Subject) -> None:
    """Check that decisions are booleans of the shape asked for, also while the batch shrinks."""
    _watch(subject, DECISION)


def check_first_step(subject: Subject) -> None:
    """Check that nothing is reused or skipped at step 0."""
    _watch(subject, FIRST_STEP)


def check_inputs(subject: Subject) -> None:
    """Check that no array is written that a pass is given: inputs, products, memo, weights."""
    _watch(subject, INPUTS)


def check_repeatable(subject: Subject) -> None:
    """Check that a second run of the same instance decides the same."""
    first, second = subject.decisions(), subject.decisions()
    for sequence in range(len(subject.trace)):
        if where := first_difference(first, second, sequence):
            raise BrokenPromiseError(f"a second run decides differently: {where}")


def check_batch(subject: Subject) -> None:
    """Check that a sequence is decided the same alone as in a batch."""
    together = subject.decisions()
    for sequence in range(len(subject.trace)):
        alone = subject.decisions(trace=subject.trace.only([sequence]))
        if where := first_difference(together, alone, sequence, 0):
            raise BrokenPromiseError(f"decides differently on a sequence alone than in a batch: {where}")


class _Separated:
    """Policy of which every pass belongs to an instance of its own, so that passes share no state."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._policy, name)

    def begin(self, context: Any) -> Any:
        return copy.deepcopy(self._policy).begin(context)


def check_passes(subject: Subject) -> None:
    """Check that passes share no state: several of a policy are in progress at once, on several threads."""
    shared, separated = subject.decisions(), subject.decisions(_Separated(subject.policy))
    for sequence in range(len(subject.trace)):
        if where := first_difference(shared, separated, sequence):
            advice = "keep what changes in the object that begin returns, not in the policy"
            raise BrokenPromiseError(f"a pass depends on other passes of the policy: {where}; {advice}")


def check_causal(subject: Subject) -> None:
    """Check that decisions do not depend on later steps, nor on whether there are any."""
    whole = subject.decisions()
    longest = max(map(len, subject.trace.sequences))
    reverse = any(direction.reverse for layer in subject.network.layers for direction in layer.directions)
    for steps in () if reverse else (1, longest // 3, longest // 2):  # a reverse pass begins at the last step
        early = subject.decisions(trace=subject.cut(steps))
        for sequence in range(len(subject.trace)):
            if where := first_difference(early, whole, sequence):
                raise BrokenPromiseError(f"decides differently if the sequences end after {steps} steps: {where}")


def check_threshold(subject: Subject) -> str | None:
    """Check that a larger θ saves no less, from decade to decade, which calibration relies on."""
    if not subject.policy.needs_threshold:
        return "has no θ"
    shares = [subject.share(threshold) for threshold in DECADES]
    for (low, before), (high, after) in zip(
        zip(DECADES, shares, strict=True), zip(DECADES[1:], shares[1:], strict=True), strict=False
    ):
        if after < before:
            raise BrokenPromiseError(f"θ = {high:g} avoids {after:.1%} of the work, θ = {low:g} avoids {before:.1%}")
    return "θ changes nothing" if len(set(shares)) == 1 else None


def check_workers(subject: Subject) -> str | None:
    """Check that workers get the same policy: by pickle, and by its name in a sweep."""
    policy = subject.policy
    try:
        unpickled = pickle.loads(pickle.dumps(policy))  # noqa: S301, bytes of its own
    except Exception as error:  # pickle raises whatever a user's class makes it raise
        raise BrokenPromiseError(f"cannot be pickled: {type(error).__name__}: {error}") from error
    copies = {"its pickled copy": unpickled}
    registered = POLICIES.items.get(split_policy_name(policy.name)[0])
    if registered is type(policy):
        copies["the policy made from its name"] = policy_from(policy.name)
    decisions = subject.decisions()
    for words, other in copies.items():
        if other.name != policy.name:
            raise BrokenPromiseError(f"{words} is called {other.name!r}, not {policy.name!r}")
        for sequence in range(len(subject.trace)):
            if where := first_difference(decisions, subject.decisions(other), sequence):
                raise BrokenPromiseError(f"{words} decides differently: {where}")
    if registered is type(policy):
        return None
    return "not registered: sweeps find a policy by name, after archsim.register_policy"
