"""Errors that archsim raises. Each message says what is wrong, where, which value, and what would be accepted.

ArchsimError
├── RunFailedError        the input is good, but the run failed (exit code 1)
└── UsageError            the input is bad (exit code 2)
    ├── ConfigError       an architecture, a technology table, or a parameter of a run
    ├── NetworkError      a network folder, its manifest or its weights
    ├── TraceError        a trace or corpus file, or arrays given as one
    ├── UnknownNameError  a name that is in no registry
    ├── DoesNotFitError   a network that the chosen machine cannot hold
    └── NoSuchPassError   a pass that the run did not have; also an IndexError
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any


def _with_message(kind: type[ArchsimError], message: str) -> ArchsimError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    return error


MAX_MESSAGE_CHARACTERS = 4000
"""Characters of a message that are kept; the rest is cut off."""
MAX_GUESS_CHARACTERS = 200
"""Characters of the longest name for which a similar one is sought, because the search takes quadratic time."""
_LONG_WORD = re.compile(r"\S{400,}")


class ArchsimError(Exception):
    """Base of every error that archsim raises on purpose. Long words and long messages are shortened."""

    def __init__(self, message: str = "") -> None:
        text = _LONG_WORD.sub(_shortened, message)
        super().__init__(text if len(text) <= MAX_MESSAGE_CHARACTERS else f"{text[:MAX_MESSAGE_CHARACTERS]}…")

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the message for pickle, because constructors of subclasses take other arguments than the message."""
        return _with_message, (type(self), str(self)), vars(self)


class ArchsimWarning(UserWarning):
    """A problem that does not stop a run, and that the user may want to correct."""


class RunFailedError(ArchsimError):
    """A run that could not be finished although its input is valid."""


class UsageError(ArchsimError):
    """An input that is not valid. Nothing was written."""


class ConfigError(UsageError):
    """A hardware or run parameter with a value that is not possible."""


class NetworkError(UsageError):
    """A network that cannot be read or contradicts its manifest."""


class TraceError(UsageError):
    """A trace that cannot be read or does not match the network."""


class NoSuchPassError(UsageError, IndexError):
    """A sequence, layer or direction that the run did not have."""


class DoesNotFitError(UsageError):
    """A network with a layer that is too large for a part of the machine."""

    def __init__(self, layer: str, field: str, need: int, have: int, unit: str) -> None:
        self.layer = layer
        self.field = field
        self.need = need
        self.have = have
        super().__init__(f"{layer} needs {field} >= {need} {unit}, the machine has {have}: raise it or choose another")


class UnknownNameError(UsageError):
    """A name that is not registered. The message lists the known names and suggests the most similar one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, also: str = "") -> None:
        listed = ", ".join(sorted(known))
        alternatives = f"{listed}, or {also}" if also else listed
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)}; known: {alternatives}")


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:200]}…{word[0][-100:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the most similar known name, or an empty text if none is similar."""
    by_lower = {item.lower(): item for item in known} if len(name) <= MAX_GUESS_CHARACTERS else {}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f", did you mean {by_lower[near[0]]!r}?" if near else ""


def in_brief(value: object) -> str:
    """Return a value as a message shows it: its `repr` in one line, cut after 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}..."
