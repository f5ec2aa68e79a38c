"""Policy under watch: it decides as the policy inside does, and collects the promises that this one breaks."""

from __future__ import annotations

from typing import Any

import numpy as np

from archsim.kernels.arrays import F32, Bools
from archsim.policies import ColumnContext, ColumnStep, PassContext, Policy, Step
from archsim.policies.protocol import correction_of

DECISION, FIRST_STEP, INPUTS = "decision", "first step", "inputs"
"""Names of the checks that a watched run serves."""


class WatchedPolicy:
    """Policy around another one. A decision that breaks a promise is replaced by evaluating everything."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.broken: dict[str, str] = {}
        """First broken promise in words, by name of the check."""
        self.corrects = False
        """Whether any pass has corrected memoized products."""

    def __getattr__(self, name: str) -> Any:
        """Return what the policy inside declares."""
        return getattr(self.policy, name)

    def begin(self, context: Any) -> _WatchedPass:
        """Begin a pass of the policy inside."""
        before = _copies(context)
        begun = self.policy.begin(context)
        self.note_writes(context, before, f"begin of pass {getattr(context, 'pass_key', '')}".strip())
        return _WatchedPass(self, begun, context)

    def note(self, check: str, words: str) -> None:
        """Keep the first broken promise of each check."""
        self.broken.setdefault(check, words)

    def note_writes(self, given: Any, before: dict[str, Any], where: str) -> None:
        """Note the arrays of `given` that are no longer what they were before."""
        for name, array in before.items():
            if not np.array_equal(array, getattr(given, name), equal_nan=True):
                kind = "context" if isinstance(given, PassContext | ColumnContext) else "step"
                self.note(INPUTS, f"writes to {kind}.{name} ({where}): copy it first")


class _WatchedPass:
    """Pass of a watched policy, of either kind."""

    def __init__(self, watched: WatchedPolicy, begun: Any, context: PassContext | ColumnContext) -> None:
        self.watched = watched
        self.begun = begun
        self.context = context
        needed = ("decide",) if isinstance(context, PassContext) else ("represent", "decide")
        missing = [name for name in needed if not callable(getattr(begun, name, None))]
        if missing:
            watched.note(DECISION, f"begin returned {begun!r}, which has no {' and no '.join(missing)}")
            self.begun = None

    @property
    def correction(self) -> F32 | None:
        """Correction of the pass inside."""
        correction = None if self.begun is None else correction_of(self.begun)
        self.watched.corrects |= correction is not None
        return correction

    def represent(self, inputs: F32) -> F32:
        """Return the inputs as the pass inside represents them, or unchanged if it breaks a promise."""
        if self.begun is None:
            return inputs
        before = inputs.copy()
        values = self.begun.represent(inputs)
        if not np.array_equal(before, inputs, equal_nan=True):
            self.watched.note(INPUTS, "represent writes to its inputs: copy them first")
        if _described(values) != _described(before):
            self.watched.note(DECISION, f"represent returned {_described(values)}, need {_described(before)}")
            return before
        return values  # type: ignore[no-any-return]

    def decide(self, step: Any) -> Bools:
        """Return the decision of the pass inside, or none to reuse if it breaks a promise."""
        shape = step.shape if isinstance(step, Step) else step.values.shape
        nothing = np.zeros(shape, np.bool_)
        if self.begun is None:
            return nothing
        before = _copies(step)
        decision = self.begun.decide(step)
        self.watched.note_writes(step, before, f"step {step.index}")
        if _described(decision) != _described(nothing):
            self.watched.note(
                DECISION, f"step {step.index}: decided {_described(decision)}, need {_described(nothing)}"
            )
            return nothing
        if step.index == 0 and decision.any():
            at = "every memo is empty" if isinstance(step, Step) else "every sum is empty"
            self.watched.note(FIRST_STEP, f"decides True for {np.count_nonzero(decision)} at step 0, where {at}")
            return nothing
        if isinstance(step, Step) and not self.watched.policy.uses_memo_unit and decision.any():
            self.watched.note(DECISION, "reuses neurons but declares uses_memo_unit = False")
            return nothing
        return decision  # type: ignore[no-any-return]


def _copies(given: PassContext | ColumnContext | Step | ColumnStep) -> dict[str, Any]:
    return {name: value.copy() for name, value in vars(given).items() if isinstance(value, np.ndarray)}


def _described(value: object) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else repr(value)
