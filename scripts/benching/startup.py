"""How long it takes until something can be done."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benching.figures import Figure, best_s

COMMAND = Path(sys.executable).with_name("archsim")
MOST_FOR_HELP_S, MOST_FOR_IMPORT_S = 0.4, 0.6


def startup() -> Iterator[Figure]:
    """Seconds, the only figures that are no ratios."""
    for name, command, most in (
        ("archsim --help", [str(COMMAND), "--help"], MOST_FOR_HELP_S),
        ("import archsim", [sys.executable, "-c", "import archsim"], MOST_FOR_IMPORT_S),
        ("import archsim, and use it", [sys.executable, "-c", "import archsim; archsim.simulate"], None),
    ):
        seconds = best_s(lambda command=command: subprocess.run(command, check=True, capture_output=True))
        yield Figure("start", name, seconds, "s", most)
