"""Commands as processes of their own; sweeps that are watched and looked into while they run."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

COMMAND = [sys.executable, "-P", "-c", "from archsim.cli.main import main; main()"]  # -P: the installed package
TIMEOUT_S = 600
"""Seconds after which a sweep counts as hanging; a first run compiles the kernels, which takes minutes."""
POINTS = 16


def environment(columns=200):
    """Return the environment of a command whose terminal has so many columns."""
    return os.environ | {"COLUMNS": str(columns)}


def archsim(*arguments, cwd=None, columns=200):
    """Run `archsim` to its end in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=environment(columns), check=False, timeout=TIMEOUT_S,
    )  # fmt: skip


def sweep(*arguments, cwd=None):
    """Run `archsim sweep` to its end in a process of its own."""
    return archsim("sweep", *arguments, cwd=cwd)


@contextmanager
def started_sweep(*arguments, cwd=None):
    """Start a sweep whose output goes to `process.log`; kill it at the end of the block if it still runs."""
    # A shell starts what runs in its background deaf to Ctrl-C, and all that this starts in turn.
    restore_interrupt = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [*COMMAND, "sweep", *map(str, arguments)]
    output = Path(arguments[arguments.index("-o") + 1])
    log = output.parent / f"{output.name}.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            cwd=cwd,
            env=environment(),
            preexec_fn=restore_interrupt,
            start_new_session=True,
        )
    process.log = log
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_until(condition, what):
    """Wait for a condition; fail after TIMEOUT_S."""
    end = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, f"waited {TIMEOUT_S} s for {what}"
        time.sleep(0.01)


def rows_of(folder, query):
    """Return rows of a sweep's database, none if there is no database yet."""
    try:
        with closing(sqlite3.connect(f"file:{folder / 'sweep.sqlite'}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []


def outcomes(folder):
    return rows_of(folder, "SELECT digest, error, seconds FROM outcomes ORDER BY digest")


def wait_for_points(process, folder, points=1):
    """Wait until some points are finished while others are not."""
    wait_until(lambda: len(outcomes(folder)) >= points or process.poll() is not None, f"{points} points")
    assert process.poll() is None and len(outcomes(folder)) < POINTS, process.log.read_text()


def exported(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".csv", ".parquet")}


def process_state(pid):
    """Return (letter of the state, parent) of a process, None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def alive(pid):
    state = process_state(pid)
    return state is not None and state[0] != "Z"


def workers_of(process):
    """Return the ids of the worker processes of a local sweep."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    children = [pid for pid in pids if (state := process_state(pid)) and state[1] == process.pid]
    return [pid for pid in children if b"spawn_main" in command_line(pid)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def write_grid(path, folder, more="", threshold=(0.1, 0.2, 0.5, 1.0), latency=(3, 5, 8, 9)):
    path.write_text(
        f'[axes]\nthreshold = {list(threshold)}\n"arch.fmu.latency_cycles" = {list(latency)}\n'
        f'[fixed]\nnetwork = "{folder}/net"\ntrace = "{folder}/trace.npz"\n{more}\n'
    )
    return path


def finish_and_compare(user_files, out, undisturbed, *options):
    """Resume a sweep; it must keep finished points and end in the bytes of an undisturbed one."""
    before = outcomes(out)
    done = sweep(user_files / "grid.toml", "-o", out, "--jobs", 2, *options)
    assert done.returncode == 0 and "16 of 16 points" in done.stdout, done.stderr
    assert set(before) <= set(outcomes(out))
    assert exported(out) == exported(undisturbed)
