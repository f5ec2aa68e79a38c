"""Explorations of several number formats: loss, gains and area of every point beside fp16 without reuse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archsim.config.precision import FP16, precision_of
from archsim.errors import ConfigError
from archsim.exploration.candidates import NONE
from archsim.inference.comparison import output_change
from archsim.inference.precision_change import run_without_reuse, squares_between
from archsim.sweeps.choices import Choices
from archsim.sweeps.point import resolve_point

if TYPE_CHECKING:
    import pandas as pd

LOSSES = ("metric_loss", "metric_loss_low", "metric_loss_high")
OWN = {column: f"own_{column}" for column in (*LOSSES, "output_change", "speedup", "energy_saving")}
"""Columns that keep the figures beside the point's own precision without reuse."""


@dataclass(frozen=True)
class PrecisionCost:
    """Cost of a precision without reuse, beside fp16 without reuse."""

    loss: float
    """Loss in points of the task metric; NaN without one."""
    change: float
    """Change of the outputs (SEMANTICS 1.5); NaN where sequences differ in length."""


def checked_precisions(precisions: Iterable[str]) -> list[str]:
    """Return the precisions, fp16 first; ConfigError for an unknown one, or for several without fp16."""
    named = list(dict.fromkeys(precisions))
    for name in named:
        precision_of(name)
    if len(named) > 1 and FP16.name not in named:
        raise ConfigError(f"precisions = {named}: several are put beside fp16 without reuse, so need fp16 among them")
    return sorted(named, key=lambda name: name != FP16.name)


def precision_costs(fixed: Choices, precisions: list[str]) -> dict[str, PrecisionCost]:
    """Return the cost of each of several precisions, the first of which is fp16; none for one precision."""
    if len(precisions) < 2:
        return {}
    found, before = {}, None
    for name in precisions:
        config = resolve_point(fixed | {"policy": NONE, "precision": name})
        after = run_without_reuse(config.network, config.trace, name)
        before = before or after
        loss, change = math.nan, output_change(squares_between(before, after))
        if before.metric and before.metric_value is not None and after.metric_value is not None:
            loss = before.metric.loss(before.metric_value, after.metric_value)
        found[name] = PrecisionCost(loss, math.nan if change is None else change)
    return found


def losses_beside_fp16(points: pd.DataFrame, costs: Mapping[str, PrecisionCost]) -> pd.DataFrame:
    """Return the points with losses beside fp16 without reuse; columns `own_...` keep those of the reuse alone.

    A loss is the sum of that of the precision and that of the reuse. The change of the outputs is the most that it can
    be, which is (1 + a)·(1 + b) - 1 of the changes a by the precision and b by the reuse. Intervals are those of reuse.
    """
    own = points[[*LOSSES, "output_change"]].astype(float)
    loss, change = (points["precision"].map({p: getattr(c, of) for p, c in costs.items()}) for of in ("loss", "change"))
    beside = {column: own[column] + loss for column in LOSSES}
    # By the triangle inequality, the norm of outputs that have changed by a is at most 1 + a of those before.
    beside["output_change"] = change + (1 + change) * own["output_change"]
    return points.assign(**beside).join(own.rename(columns=OWN))


def gains_beside_fp16(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points with gains beside fp16 without reuse; columns `own_...` keep those beside their precision."""
    # The machine without reuse is the same for all widths of the memoization unit.
    plain = points[points["precision"] == FP16.name].iloc[0]
    beside = {
        "speedup": float(plain["baseline_cycles"]) / points["cycles"].astype(float),
        "energy_saving": 1 - points["energy_j"] / plain["baseline_energy_j"],
    }
    return points.assign(**beside, **{OWN[column]: points[column] for column in beside})
