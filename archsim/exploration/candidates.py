"""Candidates of an exploration: policies, each with the machines that differ for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from archsim.calibration import no_loss
from archsim.config.arch import ArchSpec, fields_of
from archsim.errors import ConfigError, UsageError
from archsim.policies import policy_from
from archsim.policies.options import split_policy_name
from archsim.sweeps.choices import Choices
from archsim.sweeps.point import resolve_point

WIDTH = "arch.fmu.width_bits"
NONE = "none"
POLICIES = (
    *("bnn", "bnn:throttle=off", "ternary", "ternary:throttle=off"),
    "bnn:centre=on",
    *(f"lowbit:bits={bits},throttle=off{correct}" for bits in (2, 3, 4) for correct in ("", ",correct=on")),
    *("input-similarity", "delta", "delta:weighted=on"),
    *(f"delta:weighted=on,tail={bits}" for bits in (2, 3, 4)),
)
"""Predictor of the paper, predictors of more bits, and policies that skip unchanged inputs, with their options."""
WIDTHS = (256, 512, 1024, 2048)
"""Widths of a memoization unit, in bits per cycle."""
UNREAL = ("oracle",)
"""Policies that no hardware can implement: shown as a bound, never recommended."""
NO_THETA = 0.0
"""Placeholder in a grid for the θ of a policy that has none."""


@dataclass(frozen=True)
class Candidate:
    """Policy with the widths of the memoization unit that change its machine."""

    policy: str
    widths: tuple[int, ...]
    """One width if none of them changes anything; empty if the architecture has no memoization unit."""
    has_unit: bool
    has_theta: bool
    precision: str | None = None
    """Number format, where several are explored."""

    def rows(self, theta: float, widths: Iterable[int]) -> list[Choices]:
        """Return the choices of one point per width, or of a single point if there is no width."""
        machines: list[Choices] = [{WIDTH: width} for width in widths] or [{}]
        format_of: Choices = {} if self.precision is None else {"precision": self.precision}
        return [{"policy": self.policy, "threshold": theta} | format_of | machine for machine in machines]


def runnable(
    fixed: Choices, policies: Iterable[str], widths: Iterable[int], *, needs_metric: bool = True
) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates that can run, and the reason for each policy that cannot; raises as `candidates`.

    Raises the reason itself, a subclass of UsageError, if no policy can run.
    """
    found, left_out = candidates(fixed, [NONE], widths, needs_metric=needs_metric), dict[str, str]()
    for policy in policies:
        try:
            found += candidates(fixed, [policy], widths, needs_metric=needs_metric)[1:]
        except UsageError as error:
            left_out[policy] = str(error)
            last = error
    if len(found) == 1 and left_out:
        raise last
    return found, left_out


def candidates(
    fixed: Choices, policies: Iterable[str], widths: Iterable[int], *, needs_metric: bool = True
) -> list[Candidate]:
    """Return the checked candidates; `none`, the reference of all comparisons, comes first.

    Raises subclasses of UsageError for a policy or a width that cannot run, and for a task without a loss if
    `needs_metric`.
    """
    policies, widths = list(policies), list(dict.fromkeys(widths))
    if not policies or not widths:
        raise ConfigError(f"policies = {policies}, widths = {widths}: need at least one of each")
    named = dict.fromkeys(policy_from(policy).name for policy in (NONE, *policies))
    return [_candidate(fixed, policy, widths, needs_metric) for policy in named]


def _candidate(fixed: Choices, policy: str, widths: list[int], needs_metric: bool) -> Candidate:
    plain = resolve_point(fixed | {"policy": policy, "threshold": NO_THETA})
    if needs_metric and (plain.network.metric is None or plain.trace.targets is None):
        raise no_loss(plain.network, plain.trace)
    has_theta = plain.policy.needs_threshold
    if not _has_width(plain.arch):
        return Candidate(policy, (), has_unit=False, has_theta=has_theta, precision=fixed.get("precision"))
    configs = {w: resolve_point(fixed | {"policy": policy, "threshold": NO_THETA, WIDTH: w}) for w in widths}
    # Reversed, so that of widths with equal machines the first one given stays.
    machines = {config.policy_arch.model_dump_json(): w for w, config in reversed(configs.items())}
    differing = tuple(sorted(machines.values()))
    return Candidate(policy, differing, _has_width(plain.policy_arch), has_theta, fixed.get("precision"))


def _has_width(arch: ArchSpec) -> bool:
    """Return whether an architecture has the field whose widths are explored."""
    return WIDTH.removeprefix("arch.") in fields_of(arch)


def grid_of(fixed: Choices, rows: list[Choices]) -> dict[str, Any]:
    """Return the tables of a sweep's grid with exactly these points."""
    return {"fixed": fixed, "zip": [{key: [row[key] for row in rows] for key in rows[0]}]}


def plain_policy(policy: str) -> str:
    """Return a policy's name without its options."""
    return split_policy_name(policy)[0]


def predictor_of(policy: str) -> tuple[str, bool]:
    """Return a policy's name without its throttle option, and True if it throttles."""
    plain, options = split_policy_name(policy)
    throttled = options.pop("throttle", "on") == "on"
    written = ",".join(f"{key}={value}" for key, value in options.items())
    return (f"{plain}:{written}" if written else plain), throttled
