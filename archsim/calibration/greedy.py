"""Greedy search for θ per layer, gate or kind of gate: most reuse for the least change of the network's outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from archsim.calibration.trials import Point, Trials
from archsim.ir.network import Network

FACTORS = (1.5, 1.1)
"""Factors by which one θ is raised: long steps first, then short ones for the remainder."""
BELOW = 4
"""Divisor of the uniform θ at the start of a search, so that a costly θ may end below the uniform one."""


@dataclass(frozen=True)
class ThresholdParams:
    """Layout of a network's free thresholds in one flat list of numbers."""

    count: int
    of_layer: tuple[int | tuple[int, ...], ...]
    """Index in the flat list per layer, or one index per gate of the layer."""

    @classmethod
    def of(cls, network: Network, per: str) -> ThresholdParams:
        """Return the layout with one θ per layer, per gate, or per kind of gate (shared by all layers)."""
        indices: dict[object, int] = {}

        def param(name: object) -> int:
            return indices.setdefault(name, len(indices))

        of_layer: list[int | tuple[int, ...]] = []
        for index, layer in enumerate(network.layers):
            names = {"layer": None, "gate": [(index, gate) for gate in layer.cell.gates], "kind": layer.cell.gates}[per]
            of_layer.append(param(index) if names is None else tuple(param(name) for name in names))
        return cls(len(indices), tuple(of_layer))

    def arranged(self, values: list[float]) -> Any:
        """Return the values as a run takes them: one number per layer, or one list per layer."""
        return [values[own] if isinstance(own, int) else [values[param] for param in own] for own in self.of_layer]


@dataclass(frozen=True)
class _Move:
    """Candidate move: one θ raised by a factor, and the points before and after."""

    origin: Point
    value: float
    point: Point

    @property
    def merit(self) -> tuple[float, float]:
        """Reuse gained per output change; among equals, the larger gain ranks higher."""
        gained = self.point.reuse_fraction - self.origin.reuse_fraction
        cost = self.point.change - self.origin.change
        if cost > 0:
            return gained / cost, gained
        return (math.inf if gained > 0 else 0.0), gained


class GreedySearch:
    """Search upwards from low thresholds, by the step of the best merit whose output change is within a bound.

    The output change (`change_of`) ranks the steps, because the loss of a task is too coarse and noisy for that. The
    search starts low, so that a costly θ can stay below the uniform one while others go above it. Merits fall as θ
    rises, so only the top-ranked move is measured again (lazy greedy, Minoux 1978).
    """

    def __init__(self, trials: Trials, params: ThresholdParams, start: float, highest: float, passes: int) -> None:
        self.trials = trials
        self.params = params
        self.highest = highest
        self.max_tried = len(trials.tried) + passes
        self.values = [_plain(start)] * params.count
        self.max_change = 0.0
        self.current: Point | None = None
        self.cut_short = False
        """Whether the allowed passes ran out before everything was tried."""

    def run(self, max_change: float) -> None:
        """Continue from the current point until no step stays within `max_change`; `trials` keeps every point tried."""
        self.max_change = max_change
        self.current = self.current or self._try(self.values)
        for factor in FACTORS:
            self.current = self.current and self._ascend(self.current, factor)

    def _ascend(self, current: Point, factor: float) -> Point:
        """Take steps of one factor from a point; return the point from which no step is possible."""
        moves = {k: move for k in range(self.params.count) if (move := self._try_step(k, current, factor))}
        while moves:
            best = max(moves, key=lambda k: moves[k].merit)
            # A merit measured from an earlier point only ranks the step; it is measured again before the step is taken.
            if moves[best].origin is current:
                self.values[best], current = moves[best].value, moves[best].point
            if move := self._try_step(best, current, factor):
                moves[best] = move
            else:
                del moves[best]
        return current

    def _try_step(self, param: int, current: Point, factor: float) -> _Move | None:
        """Try a step of one θ; return None if θ is at its end, or the step changes too much."""
        value = min(_plain(self.values[param] * factor), self.highest)
        if value <= self.values[param]:
            return None
        point = self._try([*self.values[:param], value, *self.values[param + 1 :]])
        return _Move(current, value, point) if point and point.change <= self.max_change else None

    def _try(self, values: list[float]) -> Point | None:
        self.cut_short |= len(self.trials.tried) >= self.max_tried
        return None if self.cut_short else self.trials.at(self.params.arranged(values))


def _plain(value: float) -> float:
    """Return a value of four digits, so that a manifest shows exactly the θ that was tried."""
    return float(f"{value:.4g}")
