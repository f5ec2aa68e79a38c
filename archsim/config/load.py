"""Architectures by name or from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from archsim.config.specs import ArchSpec, parse_arch
from archsim.errors import ConfigError, UnknownNameError
from archsim.files import bundled_tables

PRESETS = "archsim.config.presets"


def bundled_archs() -> list[str]:
    """Names of the presets."""
    return list(bundled_tables(PRESETS))


def load_arch(name: str | Path) -> ArchSpec:
    """Load a preset by name, or a TOML file whose keys override the defaults.

    Raises UnknownNameError for neither, ConfigError naming file, key and value for a bad file.
    """
    presets = bundled_tables(PRESETS)
    if str(name) in presets:
        return _parse(presets[str(name)].read_text("utf-8"), str(name), str(name))
    if not isinstance(name, str | Path):
        raise ConfigError(f"load_arch: got a {type(name).__name__}, need a name or a path")
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
    raise UnknownNameError("architecture", str(name), presets, also="a TOML file")


def _parse(text: str, where: str, name: str) -> ArchSpec:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not TOML: {error}") from None
    return parse_arch({"name": name} | data, where)
