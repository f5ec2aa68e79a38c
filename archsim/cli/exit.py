"""How errors become exit codes and one line on standard error; the scripts use it too."""

from __future__ import annotations

from collections.abc import Callable

import click

from archsim.errors import ArchsimError, UsageError

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


def exit_code(work: Callable[[], object], program: str = "archsim") -> int:
    """Run `work`: 0 done, 1 a run failed, 2 bad input or usage, 130 interrupted."""
    try:
        result = work()
        return result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return DONE
    except click.ClickException as error:
        error.show()
        return BAD_USAGE
    except UsageError as error:
        click.echo(f"{program}: {error}", err=True)
        return BAD_USAGE
    except SystemExit as error:
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return DONE  # click exits with 1 where the reader of a pipe had enough; that is no failure
    except (ArchsimError, OSError) as error:
        click.echo(f"{program}: run failed: {error}", err=True)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{program}: interrupted", err=True)
        return INTERRUPTED
