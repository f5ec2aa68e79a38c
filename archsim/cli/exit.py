"""How errors become exit codes and one line on standard error; the scripts use it too."""

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
    """Run `work`: 0 done, 1 a run failed, 2 bad input or usage, 130 interrupted.

    A reader of the output that has had enough, or that never was, is no failure.
    """
    _prepare_streams()
    streams = sys.stdout, sys.stderr
    try:
        with _plain_warnings(program):
            code = _code_of(work, program)
    except SystemExit as error:
        # Where the reader of a pipe has had enough, rich and click exit with 1; click also puts its streams aside.
        broken = sys.stdout is not streams[0] or isinstance(error.__context__, BrokenPipeError)
        if not broken and not isinstance(error.code, int):
            raise
        code = DONE if broken else int(error.code or DONE)
    except BrokenPipeError:
        code = DONE
    sys.stdout, sys.stderr = streams
    return _flushed(code, program)


def _flushed(code: int, program: str) -> int:
    """Return `code`, or 1 if what is left of the output finds no room; a reader that is gone does not matter."""
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


def _prepare_streams() -> None:
    """Make every standard stream one that can be written to, whatever the text; keep matplotlib from warning there."""
    os.environ["MPLBACKEND"] = "agg"  # nothing is shown in a window: whatever is set, it need not be there
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # nor need its folders be writable
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us: the next file opened would take its place
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, "r" if number == 0 else "w", encoding="utf-8"))
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without θ shows a question mark


@contextmanager
def _plain_warnings(program: str) -> Iterator[None]:
    """Make warnings of archsim itself one line, as its errors are."""
    usual = warnings.formatwarning

    def line_of(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, ArchsimWarning):
            return f"{program}: {message}\n"
        return usual(message, category, filename, lineno, line)

    warnings.formatwarning = line_of
    try:
        yield
    finally:
        warnings.formatwarning = usual


def _drop_unwritten() -> None:
    """Let what no reader takes go nowhere, or Python would complain of it as it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
