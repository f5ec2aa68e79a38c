"""What a grid file says: axes, zipped axes, presets, conditions; and the points it stands for, in order."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from archsim.config.specs import ArchSpec, fields_of
from archsim.errors import ConfigError, did_you_mean
from archsim.sweeps.axis import Condition, axis_values, check_once, matches
from archsim.validation import FrozenRecord, explain

CHOICES = (
    "network",
    "trace",
    "split",
    "limit",
    "arch",
    "policy",
    "threshold",
    "max_loss",
    "precision",
    "detail",
    "seed",
)
"""What a point may choose, besides `preset` and any field of the machine as `arch.FIELD`."""
MOST_POINTS = 1_000_000

Choices = dict[str, Any]
"""What one point chooses, by key; plain JSON values."""


class Grid(FrozenRecord):
    """A grid of points: each table of the file, by its name there."""

    axes: dict[str, Any] = Field(default_factory=dict)
    """Every combination of these, the last one changing fastest."""
    zip: tuple[dict[str, Any], ...] = ()
    """Axes that go together: the first values of all, the second of all, and so on; one group is one axis."""
    fixed: Choices = Field(default_factory=dict)
    """The same in every point, unless a preset says otherwise."""
    preset: dict[str, Choices] = Field(default_factory=dict)
    """Choices under a name, for an axis `preset`."""
    only: tuple[dict[str, Condition], ...] = ()
    """If there are any, a point must match one of them."""
    skip: tuple[dict[str, Condition], ...] = ()
    """A point that matches one of them is left out."""

    def points(self) -> list[Choices]:
        """Every point in order; ConfigError for a grid that is no grid, or has no point left."""
        axes = list(self._axes())
        size = 1
        for axis in axes:
            size *= len(axis)
        if size > MOST_POINTS:
            raise ConfigError(f"{size} points: need at most {MOST_POINTS}")
        found = [self._point(parts) for parts in product(*axes)]
        kept = [point for point in found if self._wanted(point)]
        if not kept:
            raise ConfigError(f"no point is left of {len(found)}: loosen [[only]] or [[skip]]")
        return kept

    def check(self) -> None:
        """ConfigError for a key that nobody knows, or that is set in two places."""
        known = {*CHOICES, "preset", *(f"arch.{field}" for field in fields_of(ArchSpec()))}
        places = [("axes", self.axes), *(("zip", group) for group in self.zip), ("fixed", self.fixed)]
        set_in: dict[str, str] = {}
        for where, table in places:
            for key in table:
                if key in set_in:
                    raise ConfigError(f"{key!r} is set in [{set_in[key]}] and in [{where}]: need one of them")
                set_in[key] = where
        presets = [(f"preset.{name}", table) for name, table in self.preset.items()]
        conditions = [(name, table) for name in ("only", "skip") for table in getattr(self, name)]
        for where, table in [*places, *presets, *conditions]:
            for key in table:
                if key not in known:
                    raise ConfigError(f"[{where}] unknown key {key!r}{did_you_mean(key, known)}; {_KNOWN}")
        for where, table in presets:
            for key in table:
                if key == "preset" or set_in.get(key, "fixed") != "fixed":
                    raise ConfigError(f"[{where}] sets {key!r}, which is an axis: need it in one place")

    def _axes(self) -> Iterator[list[Choices]]:
        for key, listed in self.axes.items():
            values = axis_values(key, listed)
            check_once(key, values)
            yield [{key: value} for value in values]
        for group in self.zip:
            columns = {key: axis_values(key, values) for key, values in group.items()}
            lengths = {key: len(values) for key, values in columns.items()}
            if len(set(lengths.values())) != 1:
                sizes = ", ".join(f"{key} has {n}" for key, n in lengths.items()) or "nothing in it"
                raise ConfigError(f"[[zip]] needs lists of one length: {sizes}")
            rows = list(zip(*columns.values(), strict=True))
            check_once(", ".join(columns), rows)
            yield [dict(zip(columns, row, strict=True)) for row in rows]

    def _point(self, parts: tuple[Choices, ...]) -> Choices:
        point: Choices = dict(self.fixed)
        for part in parts:
            point |= part
        if "preset" in point:
            name = point["preset"]
            if name not in self.preset:
                known = ", ".join(self.preset) or "none, write a table [preset.NAME]"
                raise ConfigError(f"preset = {name!r}{did_you_mean(str(name), self.preset)}; known: {known}")
            point |= self.preset[name]
        return point

    def _wanted(self, point: Choices) -> bool:
        if self.only and not any(matches(point, condition) for condition in self.only):
            return False
        return not any(matches(point, condition) for condition in self.skip)


_KNOWN = f"known: {', '.join(CHOICES)}, preset, and any field of the machine as arch.FIELD (archsim show epur)"


def load_grid(source: str | Path | Mapping[str, Any]) -> tuple[Grid, str]:
    """Read a grid from a TOML file, or take its tables as a dictionary; return it and its TOML text.

    Raises ConfigError naming file, table, key and value.
    """
    if isinstance(source, Mapping):
        import tomlkit

        try:
            return _parsed(dict(source), "grid"), tomlkit.dumps(dict(source))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"grid: not what TOML can say: {error}") from None
    path = Path(source)
    try:
        text = path.read_text("utf-8")
        return _parsed(tomllib.loads(text), str(path)), text
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file: a grid is a TOML file with a table [axes]") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from None


def _parsed(data: dict[str, Any], where: str) -> Grid:
    try:
        grid = Grid.model_validate(data)
        grid.check()
        grid.points()
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Grid)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return grid
