"""The suite: every check with the promise it stands for, and what came of it for one policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archsim.contract import decisions, hardware
from archsim.contract.subjects import BrokenPromiseError, Subject, subjects_for
from archsim.errors import ArchsimError
from archsim.plugins import users_line
from archsim.policies import declaration, policy_from
from archsim.sim.machines import MACHINES

PARTS = "parts"
BASIC = (PARTS, "decision", "first step")
"""Checks without which no run is possible, so that the others wait for them."""


@dataclass(frozen=True)
class Check:
    """Check of a promise: a function that raises BrokenPromiseError, or returns a remark."""

    name: str
    promise: str
    run: Callable[[Subject], str | None]


CHECKS = (
    Check("decision", "decides booleans of the shape it is asked for", decisions.check_decision),
    Check("first step", "reuses nothing at step 0", decisions.check_first_step),
    Check("inputs", "writes to no array that it is given", decisions.check_inputs),
    Check("repeatable", "decides the same in a second run", decisions.check_repeatable),
    Check("batch", "decides the same alone and in a batch", decisions.check_batch),
    Check("passes", "passes share no state", decisions.check_passes),
    Check("later steps", "decides the same whatever follows", decisions.check_causal),
    Check("threshold", "a larger θ saves no less", decisions.check_threshold),
    Check("details", "both levels of detail agree", hardware.check_details),
    Check("area", "its hardware takes area", hardware.check_area),
    Check("energy", "its predictions cost energy", hardware.check_energy),
    Check("memo", "its memo entries hold what it compares", hardware.check_memo),
    Check("workers", "workers make the same policy", decisions.check_workers),
)


@dataclass(frozen=True)
class CheckResult:
    """Outcome of a check."""

    name: str
    promise: str
    passed: bool | None
    """Whether the promise is kept; None if that was not checked."""
    words: str
    """Description of how it is broken, reason why it was not checked, or remark; empty if there is none."""


def check_policy(policy: Any, threshold: float | None = None) -> list[CheckResult]:
    """Return the outcome of every check of a policy: an instance, or a class that is made without arguments.

    threshold: θ to check it at; by default one at which it saves about half of the work.
    """
    made, lacking = _made(policy)
    results = [CheckResult(PARTS, "has the parts of a policy", lacking is None, lacking or "")]
    subjects = _subjects(made, threshold) if lacking is None else []
    for check in CHECKS:
        results.append(_result(check, subjects, [one for one in results if one.passed is False]))
    return results


def _result(check: Check, subjects: list[Subject], failed: list[CheckResult]) -> CheckResult:
    """Return the outcome of a check; one that cannot say more than those that have failed is not counted again."""
    basic = [one for one in failed if one.name in BASIC]
    if basic:
        return CheckResult(check.name, check.promise, None, f"not checked, because {basic[0].name!r} failed")
    passed, words = _run(check, subjects)
    same = [one for one in failed if not passed and one.words == words]
    if same:
        return CheckResult(check.name, check.promise, None, f"not checked, because {same[0].name!r} failed")
    return CheckResult(check.name, check.promise, passed, words)


def _made(policy: Any) -> tuple[Any, str | None]:
    """Return the policy, an instance if it was a class, and what it lacks, if anything."""
    try:
        made = policy_from(policy() if isinstance(policy, type) else policy)
        machine = MACHINES.get(declaration(made).machine_name)
        for name, kind in (("name", str), ("needs_threshold", bool), ("uses_memo_unit", bool)):
            if not isinstance(getattr(made, name), kind):
                return made, f"{name} = {getattr(made, name)!r}: need a {kind.__name__}"
    except Exception as error:
        return policy, _in_words(error, policy)
    kind_of_decision = declaration(made).kind.decides
    if machine.decision_kind != kind_of_decision:
        wrong = f"decides about {kind_of_decision}, but its machine {machine.name} takes {machine.decision_kind}"
        return made, wrong
    return made, None


def _subjects(policy: Any, threshold: float | None) -> list[Subject]:
    """Return the subjects; at a θ of 1 if the policy cannot run, so that none can be chosen."""
    try:
        return subjects_for(policy, threshold)
    except Exception:  # the checks meet the same error, and report it under their own names
        return subjects_for(policy, 1.0)


def _run(check: Check, subjects: list[Subject]) -> tuple[bool, str]:
    """Return whether every subject passes a check, with the first failure or the first remark in words."""
    remarks = []
    for subject in subjects:
        try:
            remarks.append(check.run(subject) or "")
        except Exception as error:
            return False, f"{subject.network.name}: {_in_words(error, subject.policy)}"
    return True, max(remarks, key=bool)


def _in_words(error: Exception, policy: Any) -> str:
    """Return an error in words, with the line in the user's code if that raised it."""
    if isinstance(error, BrokenPromiseError | ArchsimError):
        return str(error)
    line = users_line(error, policy)
    return f"{f'{line}: ' if line else ''}{type(error).__name__}: {error}"
