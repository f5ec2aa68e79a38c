"""The Pareto front of a table of points, and the product that says which of them to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from archsim.kernels.arrays import Bools

if TYPE_CHECKING:
    import pandas as pd

GAINS = ("energy_saving", "speedup")
COSTS = ("area_mm2",)


def pareto_front(points: pd.DataFrame) -> Bools:
    """Which points no other dominates: no worse in energy saving, speedup and area, and better in one of them."""
    merits = np.column_stack([*(points[gain] for gain in GAINS), *(-points[cost] for cost in COSTS)]).astype(float)
    ours, others = merits[:, None], merits[None, :]
    dominated = np.all(others >= ours, axis=2) & np.any(others > ours, axis=2)
    front: Bools = ~np.any(dominated, axis=1)
    return front


def energy_delay_area(points: pd.DataFrame, area_mm2: float) -> pd.Series[Any]:
    """Energy × time × area, next to the same machine without reuse, whose area is given; smaller is better."""
    return (1 - points["energy_saving"]) / points["speedup"] * (points["area_mm2"] / area_mm2)
