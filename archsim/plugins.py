"""Plug-in files: Python files that register policies, task metrics or machines.

A file runs only because the user names it, on the command line or in a call; nothing that is read from a data file is
ever executed.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any

from archsim.errors import ArchsimError, ConfigError
from archsim.policies import POLICIES
from archsim.reading import read_text
from archsim.registry import Registry
from archsim.sim.machines import MACHINES
from archsim.task_metrics.metrics import METRICS

REGISTRIES: tuple[Registry[Any], ...] = (POLICIES, METRICS, MACHINES)
SUFFIX = ".py"
Key = tuple[Registry[Any], str]
"""Registry and name of an item."""
_NOT_USERS = sys.stdlib_module_names | {"archsim", "numpy"}
"""Packages whose code is no part of a digest, because it is archsim's or changes no figure."""


@dataclass(frozen=True)
class Plugin:
    """Plug-in file as it was when it ran."""

    path: str
    """Absolute path, under which other processes load it, too."""
    digest: str
    """SHA-256 of its text."""

    @property
    def module(self) -> str:
        """Name of its module, by path, so that it is the same in all processes and that of no installed module."""
        return f"archsim_plugin_{Path(self.path).stem}_{hashlib.sha256(self.path.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class _Loaded:
    plugin: Plugin
    text: str
    keys: frozenset[Key]
    """Items that it registered."""


_LOADED: dict[str, _Loaded] = {}
"""Plug-ins that have run in this process, by path."""
_LOCK = RLock()
"""Held while a file runs, because the tasks of one worker may load it at once."""


def load_plugin(path: str | Path, *, must_register: bool = True) -> Plugin:
    """Run a plug-in file and return it; one that has not changed since it last ran does not run again.

    must_register: whether it has to register something.
    Raises ConfigError, and leaves all registries as they were, for a file that cannot be read, that raises an error,
    that registers nothing, or that takes a name of archsim or of another plug-in.
    """
    text = read_text(Path(path), ConfigError, "a Python file that registers a policy, a task metric or a machine")
    plugin = Plugin(str(Path(path).resolve()), hashlib.sha256(text.encode()).hexdigest())
    with _LOCK:
        earlier = _LOADED.get(plugin.path)
        if earlier is None or earlier.plugin != plugin:
            _LOADED[plugin.path] = _loaded_anew(plugin, text, earlier)
    if must_register and not _LOADED[plugin.path].keys:
        call = "archsim.register_policy, register_metric or register_machine"
        raise ConfigError(f"{path} registers nothing: a plug-in calls {call}")
    return plugin


def _loaded_anew(plugin: Plugin, text: str, earlier: _Loaded | None) -> _Loaded:
    """Run a plug-in in place of its earlier version, if there is one."""
    with _undone_on_failure(plugin):
        for registry, name in earlier.keys if earlier else ():
            registry.items.pop(name, None)
        before = _items()
        _run(plugin, text)
        keys = frozenset(key for key, item in _items().items() if before.get(key) is not item)
        _check_new(plugin, keys & before.keys())
    return _Loaded(plugin, text, keys)


def load_same_plugins(plugins: Iterable[Plugin]) -> None:
    """Run plug-ins that have run in another process; raise ConfigError for one that has changed since."""
    for plugin in plugins:
        if load_plugin(plugin.path, must_register=False) != plugin:
            raise ConfigError(f"{plugin.path} has changed since the run began: run it again")


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plug-in files that have run in this process, in that order."""
    return tuple(loaded.plugin for loaded in _LOADED.values())


def origin_of(defined: type) -> str:
    """Return the plug-in file that defines a class, or else the name of its module."""
    paths = {loaded.plugin.module: path for path, loaded in _LOADED.items()}
    return paths.get(defined.__module__, defined.__module__)


def sources_of(*things: object) -> list[str]:
    """Return the source texts of users' modules that define these objects, their classes, and bases of those.

    They are part of a run's digest, because archsim's version does not cover them. What such a module imports is not.
    """
    texts = {loaded.plugin.module: loaded.text for loaded in _LOADED.values()}
    sources = set()
    for module in _users_modules(things):
        try:
            sources.add(texts.get(module.__name__) or inspect.getsource(module))
        except (OSError, TypeError):  # code typed into a console has no source
            continue
    return sorted(sources)


def users_line(error: BaseException, *things: object) -> str | None:
    """Return file, line and function where an error passed users' code last; None if it passed none.

    things: objects whose code is users' code, too, beside that of everything registered.
    """
    modules = _users_modules([*_items().values(), *things])
    files = {getattr(module, "__file__", None) for module in modules} | _LOADED.keys()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else None


def _items() -> dict[Key, Any]:
    return {(registry, name): item for registry in REGISTRIES for name, item in registry.items.items()}


@contextmanager
def _undone_on_failure(plugin: Plugin) -> Iterator[None]:
    """Put back all registries, and the module of an earlier version, if loading fails."""
    for registry in REGISTRIES:
        list(registry)  # items of installed packages, which would else be taken for the plug-in's
    before = [dict(registry.items) for registry in REGISTRIES]
    module = sys.modules.get(plugin.module)
    try:
        yield
    except BaseException:
        for registry, items in zip(REGISTRIES, before, strict=True):
            registry.items = items
        sys.modules.pop(plugin.module, None)
        if module is not None:
            sys.modules[plugin.module] = module
        raise


def _run(plugin: Plugin, text: str) -> None:
    """Run the text of a plug-in as a module; raise ConfigError, with the line, for any error in it."""
    module = ModuleType(plugin.module)
    module.__file__ = plugin.path
    sys.modules[plugin.module] = module  # before it runs, because dataclasses and pickle look modules up
    # Tracebacks show the text that ran, even if the file changes later.
    linecache.cache[plugin.path] = (len(text), None, text.splitlines(keepends=True), plugin.path)
    try:
        exec(compile(text, plugin.path, "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{_place_in(plugin.path, error)}: {_named(error)}") from error


def _place_in(path: str, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path]
    if isinstance(error, SyntaxError) and error.filename == path:
        lines.append(error.lineno)
    return f"{path}, line {lines[-1]}" if lines else path


def _named(error: BaseException) -> str:
    if isinstance(error, ArchsimError):
        return str(error)
    return f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"


def _check_new(plugin: Plugin, taken: frozenset[Key]) -> None:
    """Raise ConfigError if a plug-in has replaced items that others registered."""
    for registry, name in sorted(taken, key=lambda key: key[1]):
        owners = [path for path, loaded in _LOADED.items() if (registry, name) in loaded.keys and path != plugin.path]
        owner = owners[0] if owners else "an installed package or this program"
        raise ConfigError(f"{plugin.path}: {registry.kind} {name!r} is already that of {owner}, need another name")


def _users_modules(things: Iterable[object]) -> list[ModuleType]:
    """Return the modules outside archsim and the standard library that define objects, their classes and bases."""
    names: dict[str, None] = {}
    for thing in things:
        while isinstance(thing, partial):
            thing = thing.func
        classes = (thing if isinstance(thing, type) else type(thing)).__mro__
        own = getattr(thing, "__module__", None)  # of a function, whose class says nothing
        names |= dict.fromkeys([*([own] if isinstance(own, str) else []), *(c.__module__ for c in classes)])
    users = (name for name in names if name.partition(".")[0] not in _NOT_USERS)
    return [sys.modules[name] for name in users if name in sys.modules]
