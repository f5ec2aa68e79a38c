"""Reuse policies: each decides, step by step, which neurons take their memoized value.

A policy sees arrays and returns booleans; it knows neither the machine nor the clock. Users add one with
`register_policy`, or from another package through the entry-point group `archsim.policies`.
"""

from __future__ import annotations

from archsim.errors import ConfigError
from archsim.policies.binary import BinaryPolicy, UnthrottledBinaryPolicy
from archsim.policies.none import NoReuse
from archsim.policies.oracle import OraclePolicy
from archsim.policies.protocol import PassContext, PassPolicy, ReusePolicy, Step
from archsim.registry import Registry

_PARTS = ("name", "needs_threshold", "uses_memo_unit", "begin")

POLICIES: Registry[type[ReusePolicy]] = Registry("policy", "archsim.policies")
for _policy in (NoReuse, BinaryPolicy, UnthrottledBinaryPolicy, OraclePolicy):
    POLICIES.add(_policy.name, _policy)


def register_policy(policy: type[ReusePolicy]) -> type[ReusePolicy]:
    """Make a policy class known by its `name`; usable as a decorator."""
    return POLICIES.add(policy.name, policy)


def policy_from(policy: str | ReusePolicy) -> ReusePolicy:
    """Return the policy of this name with its defaults, or the instance given.

    Raises ConfigError for what is neither a name nor has the parts of a policy.
    """
    if isinstance(policy, str):
        return POLICIES.get(policy)()
    missing = [part for part in _PARTS if not hasattr(policy, part)]
    if missing or isinstance(policy, type):
        what = f"the class {policy.__name__}" if isinstance(policy, type) else repr(policy)
        raise ConfigError(
            f"policy = {what}: need a name ({', '.join(POLICIES)}) or an instance with {', '.join(_PARTS)}"
        )
    return policy


__all__ = [
    "POLICIES",
    "BinaryPolicy",
    "NoReuse",
    "OraclePolicy",
    "PassContext",
    "PassPolicy",
    "ReusePolicy",
    "Step",
    "UnthrottledBinaryPolicy",
    "policy_from",
    "register_policy",
]
