"""Conversion of errors to exit codes and one line on standard error, for the commands and the scripts."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from archsim.cli.console import say
from archsim.errors import ArchsimError, ArchsimWarning, UsageError

DONE, FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


def exit_code(work: Callable[[], object], program: str = "archsim") -> int:
    """Run `work` and return 0 (done), 1 (a run failed), 2 (bad input or usage) or 130 (interrupted).

    A closed pipe is no failure: the reader of the output may stop early, or never have been there.
    """
    _prepare_streams()
    streams = sys.stdout, sys.stderr
    try:
        with _plain_warnings(program):
            code = _code_of(work, program)
    except SystemExit as error:
        # If the reader of a pipe stops, rich and click exit with 1, and click also replaces the streams.
        broken = sys.stdout is not streams[0] or isinstance(error.__context__, BrokenPipeError)
        if not broken and not isinstance(error.code, int):
            raise
        code = DONE if broken else int(error.code or DONE)
    except BrokenPipeError:
        code = DONE
    sys.stdout, sys.stderr = streams
    return _flushed(code, program)


def _flushed(code: int, program: str) -> int:
    """Return `code`, or 1 if the rest of the output cannot be written; ignore a reader that is gone."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        pass
    except OSError as error:
        code = code or FAILED
        say(f"{program}: run failed: {error}", err=True)
    _drop_unwritten()
    return code


def _code_of(work: Callable[[], object], program: str) -> int:
    try:
        result = work()
        return result if isinstance(result, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return DONE
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        say(shown.getvalue().rstrip("\n"), err=True)
        return BAD_USAGE
    except UsageError as error:
        say(f"{program}: {error}", err=True)
        return BAD_USAGE
    except BrokenPipeError:
        raise
    except (ArchsimError, OSError) as error:
        say(f"{program}: run failed: {error}", err=True)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        say(f"{program}: interrupted", err=True)
        return INTERRUPTED
    except Exception as error:
        place = _users_line(error)
        if place is None:  # a mistake of archsim's, whose traceback is needed to mend it
            raise
        say(f"{program}: run failed: {place}: {type(error).__name__}: {error}", err=True)
        return FAILED


def _users_line(error: Exception) -> str | None:
    """Return where a policy, metric or machine of the user's raised an error; None if none of them did."""
    from archsim.plugins import users_line

    return users_line(error)


def _prepare_streams() -> None:
    """Make every standard stream usable for any text, and keep matplotlib from warning on it."""
    os.environ["MPLBACKEND"] = "agg"  # no window is opened, so a backend set by the user need not be installed
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns if its folders are not writable
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller, so the next file opened would take its place
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, "r" if number == 0 else "w", encoding="utf-8"))
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show θ shows a question mark


@contextmanager
def _plain_warnings(program: str) -> Iterator[None]:
    """Print warnings of archsim as one line each, as its errors are."""
    usual = warnings.formatwarning

    def format_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, ArchsimWarning):
            return f"{program}: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = format_warning
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _drop_unwritten() -> None:
    """Discard output that cannot be written, because Python would report it on exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
