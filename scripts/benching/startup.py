"""Time until archsim can be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benching.figures import Figure, best_s

COMMAND = Path(sys.executable).with_name("archsim")
MAX_HELP_S, MAX_IMPORT_S = 0.4, 0.6


def startup() -> Iterator[Figure]:
    """Yield seconds, the only figures that are not ratios of times."""
    for name, command, most in (
        ("archsim --help", [str(COMMAND), "--help"], MAX_HELP_S),
        ("import archsim", [sys.executable, "-c", "import archsim"], MAX_IMPORT_S),
        ("import archsim, and use it", [sys.executable, "-c", "import archsim; archsim.simulate"], None),
    ):
        seconds = best_s(lambda command=command: subprocess.run(command, check=True, capture_output=True))
        yield Figure("start", name, seconds, "s", most)
