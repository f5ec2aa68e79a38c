"""θ by layer, gate or kind of gate: step by step towards the most reuse for the least change of what a network says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from archsim.calibration.trials import Point, Trials
from archsim.ir.network import Network

FACTORS = (1.5, 1.1)
"""Of a step up: long ones first, short ones for what they leave."""
BELOW = 4
"""An ascent begins at the uniform θ over this, so that a costly θ may end below it."""


@dataclass(frozen=True)
class ThresholdParams:
    """The thresholds of a network that are set apart, as one flat list of numbers."""

    count: int
    of_layer: tuple[int | tuple[int, ...], ...]
    """Which of them a layer takes: one, or one for each of its gates."""

    @classmethod
    def of(cls, network: Network, per: str) -> ThresholdParams:
        """The θ of each layer, of each gate, or of each kind of gate, alike in all layers."""
        indices: dict[object, int] = {}

        def param(name: object) -> int:
            return indices.setdefault(name, len(indices))

        of_layer: list[int | tuple[int, ...]] = []
        for index, layer in enumerate(network.layers):
            names = {"layer": None, "gate": [(index, gate) for gate in layer.cell.gates], "kind": layer.cell.gates}[per]
            of_layer.append(param(index) if names is None else tuple(param(name) for name in names))
        return cls(len(indices), tuple(of_layer))

    def arranged(self, values: list[float]) -> Any:
        """As a run takes them: a number a layer, or a list a layer."""
        return [values[own] if isinstance(own, int) else [values[param] for param in own] for own in self.of_layer]


@dataclass(frozen=True)
class _Move:
    """One θ raised by a step."""

    origin: Point
    value: float
    point: Point

    @property
    def merit(self) -> tuple[float, float]:
        """Reuse gained per change; of equals, what gains more."""
        gained = self.point.reuse_fraction - self.origin.reuse_fraction
        cost = self.point.change - self.origin.change
        if cost > 0:
            return gained / cost, gained
        return (math.inf if gained > 0 else 0.0), gained


class GreedySearch:
    """From low thresholds upwards, each step the best by merit that changes what the network says within a bound.

    That change (`change_of`) ranks the steps because the loss of a task is too coarse and noisy to. Starting low stands
    for trading: a θ that costs much stays below the uniform one, others go above it. Merits are measured anew only
    where they may be the best one, as returns diminish (lazy greedy, Minoux 1978).
    """

    def __init__(self, trials: Trials, params: ThresholdParams, start: float, highest: float, passes: int) -> None:
        self.trials, self.params, self.highest, self.last = trials, params, highest, len(trials.tried) + passes
        self.values, self.most_change = [_plain(start)] * params.count, 0.0
        self.here: Point | None = None
        self.cut_short = False
        """Whether passes ran out before everything was tried."""

    def run(self, most_change: float) -> None:
        """Go on from where it is as far as it goes; what was tried is in the trials."""
        self.here, self.most_change = self.here or self._try(self.values), most_change
        for factor in FACTORS:
            self.here = self.here and self._ascend(self.here, factor)

    def _ascend(self, here: Point, factor: float) -> Point:
        """The point from which no step leads on."""
        moves = {k: move for k in range(self.params.count) if (move := self._try_step(k, here, factor))}
        while moves:
            best = max(moves, key=lambda k: moves[k].merit)
            if moves[best].origin is here:
                self.values[best], here = moves[best].value, moves[best].point
            if move := self._try_step(best, here, factor):
                moves[best] = move
            else:
                del moves[best]
        return here

    def _try_step(self, param: int, here: Point, factor: float) -> _Move | None:
        """What a step of one θ does; None where it has come to its end."""
        value = min(_plain(self.values[param] * factor), self.highest)
        if value <= self.values[param]:
            return None
        point = self._try([*self.values[:param], value, *self.values[param + 1 :]])
        return _Move(here, value, point) if point and point.change <= self.most_change else None

    def _try(self, values: list[float]) -> Point | None:
        self.cut_short |= len(self.trials.tried) >= self.last
        return None if self.cut_short else self.trials.at(self.params.arranged(values))


def _plain(value: float) -> float:
    """Four digits: what a manifest shows is what was tried."""
    return float(f"{value:.4g}")
