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
_BUILT_IN = (NoReuse, BinaryPolicy, UnthrottledBinaryPolicy, OraclePolicy)

POLICIES: Registry[type[ReusePolicy]] = Registry("policy", "archsim.policies")
for _policy in _BUILT_IN:
    POLICIES.add(_policy.name, _policy)


def register_policy(policy: type[ReusePolicy]) -> type[ReusePolicy]:
    """Make a policy class known by its `name`; usable as a decorator.

    Raises ConfigError for a class that lacks a part of a policy, or that takes a built-in name.
    """
    _check_parts(policy, f"register_policy: {getattr(policy, '__name__', policy)!r}")
    if policy.name in {built_in.name for built_in in _BUILT_IN}:
        raise ConfigError(f"register_policy: {policy.name!r} is built in, need another name")
    return POLICIES.add(policy.name, policy)


def policy_from(policy: str | ReusePolicy) -> ReusePolicy:
    """Return the policy of this name with its defaults, or the instance given.

    Raises ConfigError for what is neither a name nor has the parts of a policy.
    """
    if isinstance(policy, str):
        return POLICIES.get(policy)()
    if isinstance(policy, type):
        raise ConfigError(f"policy is the class {policy.__name__}: need a name or an instance of it")
    _check_parts(policy, f"policy = {policy!r}")
    return policy


def _check_parts(policy: object, where: str) -> None:
    missing = [part for part in _PARTS if not hasattr(policy, part)]
    if missing:
        raise ConfigError(f"{where} has no {', '.join(missing)}: a policy has {', '.join(_PARTS)}")


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
