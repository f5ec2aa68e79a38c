"""The errors archsim raises: each message says what, where, which value, and what would be accepted.

ArchsimError
├── UsageError            bad input: the command line exits with 2
│   ├── ConfigError       an architecture, a technology table, or a parameter of a run
│   ├── NetworkError      a network folder, its manifest or its weights
│   ├── TraceError        a trace or corpus file, or arrays given as one
│   ├── UnknownNameError  a name that is in no registry
│   └── DoesNotFitError   a network that the chosen machine cannot hold
└── RunError              a run that failed: the command line exits with 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ArchsimError(Exception):
    """Root of every error archsim raises on purpose."""


class UsageError(ArchsimError):
    """The input is at fault; nothing was written."""


class ConfigError(UsageError):
    """A hardware or run parameter that cannot be."""


class NetworkError(UsageError):
    """A network that cannot be read or is not what it says."""


class TraceError(UsageError):
    """A trace that cannot be read or does not suit the network."""


class DoesNotFitError(UsageError):
    """A network whose layer outgrows a buffer of the machine."""

    def __init__(self, layer: str, buffer: str, need_bytes: int, have_bytes: int, levers: str) -> None:
        self.layer, self.buffer = layer, buffer
        self.need_bytes, self.have_bytes = need_bytes, have_bytes
        super().__init__(f"{layer} needs {need_bytes} bytes of {buffer}, the machine has {have_bytes}: {levers}")


class RunError(ArchsimError):
    """A simulation that could not finish."""


class UnknownNameError(UsageError):
    """A name nobody registered; the message lists what there is and the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}{did_you_mean(name, known)}; known: {', '.join(sorted(known))}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
