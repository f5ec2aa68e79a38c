"""Runners of the parts of a model: θ and scales, given for all parts or by name, for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from archsim.calibration.scored import CalibratedThreshold
from archsim.config.precision import FP16
from archsim.errors import ConfigError, UnknownNameError
from archsim.inference.policy_parameters import Threshold, lacks_measures
from archsim.inference.precision import is_integer
from archsim.inference.stack import StackRunner
from archsim.ir.network import Network, Scales
from archsim.policies import Policy


@dataclass(frozen=True, eq=False)
class PartRunners:
    """Policy with its parameters, from which the runner of each part is made."""

    policy: Policy
    threshold: Threshold | Mapping[str, Threshold] | None
    scales: Scales | Mapping[str, Scales] | None
    precision: str
    compare: bool

    def runner(self, network: Network, names: Sequence[str]) -> StackRunner:
        """Return the runner of a part, which is named as its network is; `names` are those of all parts.

        Raises ConfigError where θ or scales are needed and not given, UnknownNameError for a name of no part.
        """
        measured = self.threshold.scales if isinstance(self.threshold, CalibratedThreshold) else None
        scales = _of_part("scales", measured if self.scales is None else self.scales, network.name, names)
        threshold = _of_part("threshold", self.threshold, network.name, names)
        if threshold is None and self.policy.needs_threshold:
            need = f"a number >= 0, or a number by name: {', '.join(names)}"
            raise ConfigError(f"threshold: policy {self.policy.name!r} needs one for {network.name}: {need}")
        network = network if scales is None else replace(network, scales=scales)
        if lacks_measures(network, self.policy, self.precision):
            by_policy = lacks_measures(network, self.policy, FP16.name)
            who = f"policy {self.policy.name!r}" if by_policy else f"precision {self.precision}"
            run = "policy='none' and precision='fp32'" if is_integer(self.precision) else "policy='none'"
            source = f"session.network and session.trace of a run with {run} on calibration data"
            need = f"archsim.measure_scales(network, trace), from {source}"
            raise ConfigError(f"scales: {who} needs those of {network.name}: {need}")
        theta = 0.0 if threshold is None else threshold
        return StackRunner(network, self.policy, theta, precision=self.precision, compare=self.compare)


def _of_part(what: str, value: Any, name: str, names: Sequence[str]) -> Any:
    """Return the value of one part, from one for all or a mapping by name; UnknownNameError for a name of no part."""
    if not isinstance(value, Mapping):
        return value
    for key in value:
        if key not in names:
            raise UnknownNameError(f"attached module in {what}", str(key), names)
    return value.get(name)
