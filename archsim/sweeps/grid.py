"""Grid of a sweep (axes, zipped axes, presets, conditions) and its points in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from archsim.errors import ConfigError, did_you_mean
from archsim.reading import parse_toml, read_text
from archsim.sweeps.axis import Condition, axis_values, check_once, condition_of, matches
from archsim.sweeps.choices import Choices, check_kind, check_known, keys_of
from archsim.validation import FrozenRecord, explain, plain

MAX_POINTS = 100_000
_TABLES = {"axes": "[axes]", "fixed": "[fixed]", "preset": "[preset.NAME]"}
_LISTS = ("zip", "only", "skip")


class Grid(FrozenRecord):
    """Grid of points; each field is the table of that name in the file."""

    axes: dict[str, Any] = Field(default_factory=dict)
    """Axes of which every combination is taken; the last one changes fastest."""
    zip: tuple[dict[str, Any], ...] = ()
    """Groups of axes that advance together (first values, second values, …); one group is one axis."""
    fixed: Choices = Field(default_factory=dict)
    """Choices shared by all points, unless a preset sets them."""
    preset: dict[str, Choices] = Field(default_factory=dict)
    """Choices under a name, for an axis `preset`."""
    only: tuple[dict[str, Any], ...] = ()
    """Conditions, one of which a point must match if there are any."""
    skip: tuple[dict[str, Any], ...] = ()
    """Conditions that leave a point out if it matches one of them."""

    def points(self) -> list[Choices]:
        """Return every point in order; raise ConfigError for a malformed grid, or one without a point left."""
        axes = list(self._axes())
        # Checked before the product is made, which might not fit in memory.
        size = prod(map(len, axes))
        if size > MAX_POINTS:
            raise ConfigError(f"{size} points: need at most {MAX_POINTS}")
        only, skip = (self._conditions(name) for name in ("only", "skip"))
        points = [self._point(parts) for parts in product(*axes)]
        wanted = [point for point in points if not only or any(matches(point, one) for one in only)]
        kept = [point for point in wanted if not any(matches(point, one) for one in skip)]
        if not kept:
            raise ConfigError(f"no point is left of {len(points)}: loosen [[only]] or [[skip]]")
        return kept

    def check(self) -> None:
        """Raise ConfigError for a key that is unknown or set twice, or for a value of another type."""
        axes = [("axes", self.axes), *(("zip", group) for group in self.zip)]
        set_once, presets = [*axes, ("fixed", self.fixed)], [(f"preset.{n}", table) for n, table in self.preset.items()]
        conditions = [(name, table) for name in ("only", "skip") for table in getattr(self, name)]
        check_known([*set_once, *presets, *conditions])
        set_in: dict[str, str] = {}
        for where, key in keys_of(set_once):
            if key in set_in:
                raise ConfigError(f"{key!r} is set in [{set_in[key]}] and in [{where}]: need one of them")
            set_in[key] = where
        for where, key in keys_of(presets):
            if key == "preset" or set_in.get(key, "fixed") != "fixed":
                raise ConfigError(f"[{where}] sets {key!r}, which is an axis: need it in one place")
        for where, table in [("fixed", self.fixed), *presets]:
            for key, value in table.items():
                check_kind(where, key, value)
        used = {key for _, key in keys_of([*set_once, *presets])}
        for where, key in keys_of(conditions):
            if key not in used:
                raise ConfigError(f"[[{where}]] asks for {key!r}, which the grid does not set: need it in a table")

    def _axes(self) -> Iterator[list[Choices]]:
        for key, listed in self.axes.items():
            values = _values("axes", key, listed)
            check_once(key, values)
            yield [{key: value} for value in values]
        for group in self.zip:
            columns = {key: _values("zip", key, listed) for key, listed in group.items()}
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
                raise ConfigError(f"preset = {name!r}{did_you_mean(name, self.preset)}; known: {known}")
            point |= self.preset[name]
        return point

    def _conditions(self, name: str) -> list[dict[str, Condition]]:
        return [
            {key: condition_of(f"[[{name}]] {key}", wanted) for key, wanted in table.items()}
            for table in getattr(self, name)
        ]


def _values(where: str, key: str, listed: Any) -> list[Any]:
    values = axis_values(key, listed)
    for value in values:
        check_kind(where, key, value)
    return values


def load_grid(source: str | Path | Mapping[str, Any]) -> tuple[Grid, str]:
    """Return the grid of a TOML file, or of its tables as a dictionary, and its TOML text.

    Raises ConfigError, which names file, table, key and value.
    """
    if isinstance(source, Mapping):
        from archsim.sweeps.text import toml_text

        tables = plain(source)
        grid = _parsed(tables, "grid")
        try:
            return grid, toml_text(tables)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"grid: TOML cannot hold it: {error}") from None
    if not isinstance(source, str | Path):
        raise ConfigError(f"grid is a {type(source).__name__}: need a TOML file, or its tables as a dictionary")
    path = Path(source)
    text = read_text(path, ConfigError, "a TOML file with a table [axes]")
    return _parsed(parse_toml(text, str(path), ConfigError), str(path)), text


def _parsed(data: dict[str, Any], where: str) -> Grid:
    try:
        _check_tables(data)
        grid = Grid.model_validate(data)
        grid.check()
        grid.points()
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Grid)}") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return grid


def _check_tables(data: dict[str, Any]) -> None:
    for name, written in _TABLES.items():
        if not isinstance(data.get(name, {}), dict):
            raise ConfigError(f"{name} is a {type(data[name]).__name__}: need a table of keys, written {written}")
    for name, table in data.get("preset", {}).items():
        if not isinstance(table, dict):
            kind = type(table).__name__
            raise ConfigError(f"preset.{name} is a {kind}: need a table of keys, written [preset.{name}]")
    for name in _LISTS:
        tables = data.get(name, [])
        if not isinstance(tables, list | tuple) or not all(isinstance(table, dict) for table in tables):
            raise ConfigError(f"{name} is a {type(tables).__name__}: need a list of tables, each written [[{name}]]")
