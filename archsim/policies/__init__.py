"""Reuse policies: each decides, step by step, which neurons take their memoized value, or which columns are skipped.

A policy sees arrays and returns booleans; it knows neither the machine nor the clock. Users add one with
`register_policy`, in a script, in a file given as `--plugin`, or from another package through the entry-point group
`archsim.policies`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archsim.errors import ConfigError
from archsim.policies.binary import BinaryPolicy
from archsim.policies.columns import ColumnContext, ColumnPass, ColumnPolicy, ColumnStep
from archsim.policies.delta import DeltaPolicy, InputSimilarityPolicy
from archsim.policies.none import NoReuse
from archsim.policies.options import parse_options, spelled, split_policy_name
from archsim.policies.oracle import OraclePolicy
from archsim.policies.protocol import (
    Declaration,
    PassContext,
    PassPolicy,
    PolicyKind,
    ReusePolicy,
    Step,
    declaration,
)
from archsim.policies.quantised import LowBitPolicy, TernaryPolicy
from archsim.registry import Registry

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Policy = ReusePolicy | ColumnPolicy
_PARTS = ("name", "needs_threshold", "uses_memo_unit", "begin")
_BUILT_IN = (NoReuse, BinaryPolicy, TernaryPolicy, LowBitPolicy, OraclePolicy, DeltaPolicy, InputSimilarityPolicy)


def register_policy(policy: type[Policy]) -> type[Policy]:
    """Make a policy class known by its `name`; usable as a decorator.

    Raises ConfigError for a class that lacks a part of a policy, or that takes a built-in name.
    """
    return POLICIES.register(policy, f"register_policy: {getattr(policy, '__name__', policy)!r}")


def policy_from(policy: str | Policy) -> Policy:
    """Return the policy of this name, e.g. `bnn` or `lowbit:bits=4,throttle=off`, or the instance given.

    Raises ConfigError for an option it does not know, and for what is neither a name nor has the parts of a policy.
    """
    if isinstance(policy, str):
        plain, written = split_policy_name(policy)
        policy_type = POLICIES.get(plain)
        options = parse_options(policy_type, policy, written)
        made = policy_type(**options)
        if options and made.name == plain:  # a plug-in need not spell out options in its name
            made.name = spelled(policy_type, plain, **options)
        return made
    if isinstance(policy, type):
        raise ConfigError(f"policy is the class {policy.__name__}: need a name or an instance of it")
    _check_parts(policy, f"policy = {policy!r}")
    return policy


def skips_columns(policy: Policy) -> TypeIs[ColumnPolicy]:
    """Return whether a policy skips columns of weights instead of reusing neurons."""
    return declaration(policy).by_columns


def kind_of(policy: Policy) -> PolicyKind:
    """Return the traits of all policies that decide about the same thing as `policy`."""
    return declaration(policy).kind


def saves_work(policy: Policy) -> bool:
    """Return whether a policy may leave out work, so that it needs a unit that the baseline machine lacks."""
    return policy.uses_memo_unit or skips_columns(policy)


def _checked_class(policy: Any, where: str) -> type[Policy]:
    if not isinstance(policy, type):
        raise ConfigError(f"{where} is a {type(policy).__name__}: need a class, of which each run makes an instance")
    _check_parts(policy, where)
    return policy


def _check_parts(policy: object, where: str) -> None:
    missing = [part for part in _PARTS if not hasattr(policy, part)]
    if missing:
        raise ConfigError(f"{where} has no {', '.join(missing)}: a policy has {', '.join(_PARTS)}")
    if declaration(policy).by_columns and getattr(policy, "uses_memo_unit", False):
        raise ConfigError(
            f"{where} has by_columns and uses_memo_unit: columns are not memoized, need at most one of them"
        )


POLICIES: Registry[type[Policy]] = Registry("policy", "archsim.policies", _checked_class)
for _policy in _BUILT_IN:
    POLICIES.bundle(_policy.name, _policy)

__all__ = [
    "POLICIES",
    "BinaryPolicy",
    "ColumnContext",
    "ColumnPass",
    "ColumnPolicy",
    "ColumnStep",
    "Declaration",
    "DeltaPolicy",
    "InputSimilarityPolicy",
    "LowBitPolicy",
    "NoReuse",
    "OraclePolicy",
    "PassContext",
    "PassPolicy",
    "Policy",
    "PolicyKind",
    "ReusePolicy",
    "Step",
    "TernaryPolicy",
    "declaration",
    "kind_of",
    "policy_from",
    "register_policy",
    "saves_work",
    "skips_columns",
]
