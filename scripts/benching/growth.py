"""Growth of the time of a simulation with steps, sequences and units, as the exponent of a logarithmic fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import archsim
from benching.figures import Figure, best_s
from benching.target import THETA, target

SIZES: dict[str, tuple[Sequence[int], float]] = {
    "steps": ((400, 800, 1600, 3200), 1.1),
    "sequences": ((32, 64, 128, 256), 1.1),
    "units": ((128, 256, 512, 1024), 2.1),
}
"""Sizes measured, and the target of the exponent."""
OTHERS = {"sequences": 8, "steps": 100, "inputs": 64, "units": 128}


def growth() -> Iterator[Figure]:
    """Yield exponents, where 1 is linear and 2 is quadratic."""
    for name, (sizes, most) in SIZES.items():
        seconds = [_seconds(**OTHERS | {name: size}) for size in sizes]
        exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
        yield Figure("growth", f"time with {name}, {sizes[0]} to {sizes[-1]}", exponent, "exponent", most)


def _seconds(**sizes: Any) -> float:
    layer = target(sizes.pop("sequences"), **sizes)
    return best_s(partial(archsim.simulate, layer.network, layer.trace, threshold=THETA, precision="fp32"))
