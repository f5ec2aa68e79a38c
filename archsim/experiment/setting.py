"""Everything that determines a run, and its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archsim._version import __version__
from archsim.config.specs import ArchSpec
from archsim.config.technology import TechnologySpec
from archsim.functional.thresholds import Threshold
from archsim.ir.network import Network
from archsim.policies import ReusePolicy
from archsim.sim.accelerator import Detail
from archsim.traceio.trace import Trace


@dataclass(frozen=True)
class Setting:
    """Everything that determines a run."""

    network: Network
    trace: Trace
    arch: ArchSpec
    policy: ReusePolicy
    threshold: Threshold | None
    technology: TechnologySpec
    precision: str
    detail: Detail
    seed: int

    @property
    def machine(self) -> ArchSpec:
        """The architecture as the policy needs it: with or without the memoization unit."""
        return self.arch if self.policy.uses_memo_unit else self.arch.without_memo()

    @property
    def threshold_json(self) -> Any:
        """θ as JSON holds it: a number or nested lists."""
        return None if self.threshold is None else _plain(self.threshold)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that determines the figures."""
        parts = {
            "archsim": __version__,
            "network": self.network.digest,
            "trace": self.trace.digest,
            "arch": self.arch.model_dump(),
            "technology": self.technology.model_dump(),
            "policy": [self.policy.name, {k: repr(v) for k, v in sorted(vars(self.policy).items())}],
            "threshold": self.threshold_json,
            "precision": self.precision,
            "detail": self.detail,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _plain(threshold: Any) -> Any:
    return (
        float(threshold) if not isinstance(threshold, Sequence | np.ndarray) else [_plain(part) for part in threshold]
    )
