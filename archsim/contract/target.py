"""Policies as a user names them: by name, as `file.py:Class`, or as `module:Class`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from archsim.errors import ConfigError, did_you_mean
from archsim.plugins import SUFFIX, load_plugin, users_line
from archsim.policies import POLICIES, policy_from
from archsim.policies.options import split_policy_name

_FORMS = "need the name of a policy, file.py:Class, or module:Class"


def find_policy(target: str) -> Any:
    """Return a policy by its name, or the class that is named; it need not be registered, nor be a policy.

    Raises ConfigError for a file or module that cannot be loaded, or that has no such class.
    """
    place, _, name = target.rpartition(":")
    if place.endswith(SUFFIX):
        plugin = load_plugin(place, must_register=False)
        return _attribute(sys.modules[plugin.module], place, name)
    plain = split_policy_name(target)[0] if "=" in target else target
    if plain in POLICIES:
        return policy_from(target)
    if not place:
        raise ConfigError(f"unknown policy {target!r}{did_you_mean(target, POLICIES)}: {_FORMS}")
    return _attribute(_module(place, target), place, name)


def _module(place: str, target: str) -> Any:
    try:
        return import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise ConfigError(f"{target}: {place} cannot be imported: {error}") from error
        raise ConfigError(f"{target}: no module {place!r} is installed: {_FORMS}") from None
    except Exception as error:  # any failure of the user's module is reported as its own
        line = users_line(error) or place
        raise ConfigError(f"{target}: {place} cannot be imported: {line}: {type(error).__name__}: {error}") from error


def _attribute(module: Any, place: str, name: str) -> Any:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        known = ", ".join(classes) or "none"
        raise ConfigError(f"{place} has no class {name!r}{did_you_mean(name, classes)}; classes: {known}")
    return found
