"""Architectures by name or from a TOML file."""

from __future__ import annotations

from pathlib import Path

from archsim.config.arch import ArchSpec, parse_arch
from archsim.errors import ConfigError, UnknownNameError
from archsim.files import bundled_tables
from archsim.reading import is_there, parse_toml, read_toml

PRESETS = "archsim.config.presets"


def bundled_archs() -> list[str]:
    """Return the names of the presets."""
    return list(bundled_tables(PRESETS))


def load_arch(name: str | Path) -> ArchSpec:
    """Load a preset by name, or a TOML file whose keys override the defaults.

    Raises UnknownNameError if it is neither, and ConfigError with file, key and value for a bad file.
    """
    presets = bundled_tables(PRESETS)
    if str(name) in presets:
        tables = parse_toml(presets[str(name)].read_text("utf-8"), str(name), ConfigError)
        return parse_arch({"name": str(name)} | tables, str(name))
    if not isinstance(name, str | Path):
        raise ConfigError(f"load_arch: got a {type(name).__name__}, need a name or a path")
    path = Path(name)
    if is_there(path) or path.suffix == ".toml":
        return parse_arch({"name": path.stem} | read_toml(path, ConfigError), str(path))
    raise UnknownNameError("architecture", str(name), presets, also="a TOML file")
