"""`archsim`: the command group, and how errors become exit codes."""

from __future__ import annotations

import sys

import click

from archsim._version import __version__
from archsim.cli.calibrate import calibrate
from archsim.cli.catalogue import list_things, show
from archsim.cli.run import run
from archsim.errors import UsageError

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="archsim")
def archsim() -> None:
    """Does caching neuron outputs pay off on an RNN accelerator, for my network, at my accuracy?

    \b
    archsim run                                     every bundled network, next to the paper's averages
    archsim run --network imdb-lstm --threshold 0.5 one network at a threshold of your own
    archsim show epur                               the machine, each value with its source
    """


for _command in (run, list_things, show, calibrate):
    archsim.add_command(_command)


def main() -> None:
    """Entry point: 0 done, 1 a run failed, 2 bad input or usage, 130 interrupted."""
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        result = archsim.main(standalone_mode=False)
        return result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return DONE
    except click.ClickException as error:
        error.show()
        return BAD_USAGE
    except UsageError as error:
        click.echo(f"archsim: {error}", err=True)
        return BAD_USAGE
    except OSError as error:
        click.echo(f"archsim: run failed: {error}", err=True)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo("archsim: interrupted", err=True)
        return INTERRUPTED
