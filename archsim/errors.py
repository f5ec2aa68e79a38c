"""The errors archsim raises: each message says what, where, which value, and what would be accepted.

ArchsimError
├── RunFailedError        good input, but the run came to no good end: the command line exits with 1
└── UsageError            bad input: the command line exits with 2
    ├── ConfigError       an architecture, a technology table, or a parameter of a run
    ├── NetworkError      a network folder, its manifest or its weights
    ├── TraceError        a trace or corpus file, or arrays given as one
    ├── UnknownNameError  a name that is in no registry
    ├── DoesNotFitError   a network that the chosen machine cannot hold
    └── NoSuchPassError   a place in a result that the run did not have; also an IndexError
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


MOST_LETTERS = 4000
"""Length of a message from which on it is cut."""
MOST_GUESSED = 200
"""Letters of a name up to which the nearest known one is looked for; that takes their square."""
_LONG_WORD = re.compile(r"\S{400,}")


class ArchsimError(Exception):
    """Root of every error archsim raises on purpose; its message stays short, whatever a file has put in."""

    def __init__(self, message: str = "") -> None:
        text = _LONG_WORD.sub(_shortened, message)
        super().__init__(text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…")

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickle needs: the message as it is, since constructors make it of other things."""
        return _with_message, (type(self), str(self)), vars(self)


class ArchsimWarning(UserWarning):
    """Something a run can go on with, and that whoever runs it may want to mend."""


class RunFailedError(ArchsimError):
    """What was asked for could not be finished, through no fault of the input."""


class UsageError(ArchsimError):
    """The input is at fault; nothing was written."""


class ConfigError(UsageError):
    """A hardware or run parameter that cannot be."""


class NetworkError(UsageError):
    """A network that cannot be read or is not what it says."""


class TraceError(UsageError):
    """A trace that cannot be read or does not suit the network."""


class NoSuchPassError(UsageError, IndexError):
    """A sequence, layer or direction that the run did not have."""


class DoesNotFitError(UsageError):
    """A network whose layer outgrows a part of the machine."""

    def __init__(self, layer: str, field: str, need: int, have: int, unit: str) -> None:
        self.layer, self.field, self.need, self.have = layer, field, need, have
        super().__init__(f"{layer} needs {field} >= {need} {unit}, the machine has {have}: raise it or choose another")


class UnknownNameError(UsageError):
    """A name nobody registered; the message lists what there is and the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, also: str = "") -> None:
        listed = ", ".join(sorted(known))
        alternatives = f"{listed}, or {also}" if also else listed
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)}; known: {alternatives}")


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:200]}…{word[0][-100:]}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the nearest known name, or nothing."""
    by_lower = {item.lower(): item for item in known} if len(name) <= MOST_GUESSED else {}
    near = difflib.get_close_matches(name.lower(), list(by_lower), n=1)
    return f", did you mean {by_lower[near[0]]!r}?" if near else ""
