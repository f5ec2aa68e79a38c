"""Architectures by name or from a TOML file."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from archsim.config.specs import ArchSpec, parse_arch
from archsim.errors import ConfigError, UnknownNameError


def bundled_archs() -> list[str]:
    """Names of the presets."""
    folder = files("archsim.config.presets")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def load_arch(name: str | Path) -> ArchSpec:
    """Load a preset by name, or a TOML file whose keys override the defaults.

    Raises UnknownNameError for neither, ConfigError naming file, key and value for a bad file.
    """
    if str(name) in bundled_archs():
        text = (files("archsim.config.presets") / f"{name}.toml").read_text("utf-8")
        return _parse(text, str(name), str(name))
    path = Path(name)
    if path.is_file():
        try:
            return _parse(path.read_text("utf-8"), str(path), path.stem)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not TOML: {error}") from None
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: an architecture is a TOML file")
    if path.suffix == ".toml":
        raise ConfigError(f"{path}: no such file")
    raise UnknownNameError("architecture", str(name), bundled_archs(), also="a TOML file")


def _parse(text: str, where: str, name: str) -> ArchSpec:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    return parse_arch({"name": name} | data, where)
