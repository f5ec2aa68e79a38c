"""Options of a policy in its name: `lowbit:bits=4,throttle=off` is LowBitPolicy(bits=4, throttle=False).

A name spells out what differs from the defaults, in the order of the constructor: equal policies have equal names.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

from archsim.errors import ConfigError, did_you_mean

NEEDS: dict[type, str] = {bool: "on or off", int: "a whole number", float: "a number"}
SWITCH = {"on": True, "off": False, "true": True, "false": False}


def split_policy_name(name: str) -> tuple[str, dict[str, str]]:
    """Return a policy's plain name and its options as they were written; ConfigError for what is no `key=value`."""
    plain, _, written = name.partition(":")
    options: dict[str, str] = {}
    for part in written.split(",") if written else ():
        key, equals, value = part.strip().partition("=")
        if not (equals and key and value) or key in options:
            raise ConfigError(f"policy {name!r}: option {part!r}: need key=value, each key once")
        options[key] = value
    return plain, options


def parse_options(policy: type, name: str, written: dict[str, str]) -> dict[str, Any]:
    """Return options as the constructor of `policy` takes them; ConfigError for one it does not know."""
    defaults = defaults_of(policy)
    for key in written:
        if key not in defaults:
            known = ", ".join(defaults) or "none"
            raise ConfigError(f"policy {name!r}: unknown option {key!r}{did_you_mean(key, defaults)}; known: {known}")
    return {key: _value(name, key, text, defaults[key]) for key, text in written.items()}


def spelled(policy: type, plain: str, **options: Any) -> str:
    """Return the name of a policy with these options; ConfigError for one of another kind than its default."""
    defaults = {key: value for key, value in defaults_of(policy).items() if key in options}
    for key, default in defaults.items():
        if type(options[key]) is not type(default):
            raise ConfigError(f"policy {plain!r}: {key} = {options[key]!r}: need {NEEDS[type(default)]}")
    differing = [spelled_option(key, options[key]) for key in defaults if options[key] != defaults[key]]
    return f"{plain}:{','.join(differing)}" if differing else plain


def spelled_option(key: str, value: bool | float) -> str:
    """Return an option as it stands in a name."""
    text = ("off", "on")[value] if isinstance(value, bool) else repr(value)
    return f"{key}={text}"


@lru_cache(64)
def defaults_of(policy: type) -> dict[str, Any]:
    """Return the options that a policy's constructor takes, with their defaults."""
    parameters = inspect.signature(policy).parameters.values()
    return {p.name: p.default for p in parameters if isinstance(p.default, bool | int | float)}


def _value(name: str, key: str, text: str, default: bool | float) -> bool | float:
    try:
        return SWITCH[text.lower()] if isinstance(default, bool) else type(default)(text)
    except (KeyError, ValueError):
        raise ConfigError(f"policy {name!r}: {key} = {text!r}: need {NEEDS[type(default)]}") from None
