"""`archsim`: the command group."""

from __future__ import annotations

import signal
import sys
from functools import partial

import click

from archsim._version import __version__
from archsim.cli.calibrate import calibrate
from archsim.cli.catalogue import list_things, show
from archsim.cli.exit import exit_code
from archsim.cli.explore import explore
from archsim.cli.report import report
from archsim.cli.reproduce import reproduce
from archsim.cli.run import run
from archsim.cli.sweep import sweep


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="archsim")
def archsim() -> None:
    """Does caching neuron outputs pay off on an RNN accelerator, for my network, at my accuracy?

    \b
    archsim run                                     every bundled network, next to the paper's averages
    archsim run --network imdb-lstm --threshold 0.5 one network at a threshold of your own
    archsim sweep grid.toml -o out                  a grid of networks, thresholds, machines; resumable
    archsim report out                              its figures and tables on one page
    archsim explore --network imdb-lstm             which predictor, how wide a unit: the front, one recommendation
    archsim reproduce --quick                       every table and figure of the paper
    archsim show epur                               the machine, each value with its source
    """


for _command in (run, sweep, report, explore, reproduce, list_things, show, calibrate):
    archsim.add_command(_command)


def main() -> None:
    """Entry point: 0 done, 1 a run failed, 2 bad input or usage, 130 interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system ends a job as Ctrl-C does
    sys.exit(exit_code(partial(archsim.main, prog_name="archsim", standalone_mode=False)))
