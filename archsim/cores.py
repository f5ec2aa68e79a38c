"""How many cores this process may use."""

from __future__ import annotations

import os


def cores() -> int:
    """Cores of the machine, or as many of them as a batch system leaves to this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
