"""Command group `archsim` and its entry point."""

from __future__ import annotations

import signal
import sys
from functools import partial

import click

from archsim._version import __version__
from archsim.cli.advise import advise
from archsim.cli.calibrate import calibrate
from archsim.cli.check_policy import check
from archsim.cli.exit import exit_code
from archsim.cli.explore import explore
from archsim.cli.import_ import import_file
from archsim.cli.list_ import list_things
from archsim.cli.report import report
from archsim.cli.reproduce import reproduce
from archsim.cli.run import run
from archsim.cli.show import show
from archsim.cli.sweep import sweep


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="archsim")
def archsim() -> None:
    """Simulate neuron-level memoization on an RNN accelerator: does it pay off for my network, at my accuracy?

    \b
    archsim run                                     every bundled network, next to the paper's averages
    archsim run --network imdb-lstm --threshold 0.5 one network at a threshold of your own
    archsim sweep grid.toml -o out                  a grid of networks, thresholds, machines; resumable
    archsim report out                              figures and tables of a sweep on one page
    archsim advise --network imdb-lstm              does reuse pay, by which policy, what holds it back
    archsim explore --network imdb-lstm             the best predictor and width of its unit
    archsim reproduce --quick                       every table and figure of the paper
    archsim import model.safetensors -o my-network  somebody's weights as a network
    archsim show epur                               a machine with the source of each value
    archsim check-policy mine.py:Mine               whether a policy of your own keeps its contract
    """


for _command in (run, advise, sweep, report, explore, reproduce, list_things, show, calibrate, import_file, check):
    archsim.add_command(_command)


def main() -> None:
    """Run the command line and exit with 0 (done), 1 (a run failed), 2 (bad input or usage) or 130 (interrupted)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how batch systems end a job; handled like Ctrl-C
    sys.exit(exit_code(partial(archsim.main, prog_name="archsim", standalone_mode=False)))
