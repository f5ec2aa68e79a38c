"""Worker processes that are interrupted, or killed before they start."""

import signal
import sys
from contextlib import suppress

import pytest

from archsim.cli.exit import exit_code
from archsim.cli.main import archsim as command
from archsim.cli.main import main
from archsim.errors import RunFailedError
from archsim.sweeps import pools
from archsim.sweeps.pools import LocalPool, check_jobs

needs_mask = pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="a system without signal masks")


@needs_mask
def test_workers_start_with_interrupts_blocked(monkeypatch):
    """Otherwise Ctrl-C in the first seconds would print the tracebacks of interrupted imports."""
    pool, masks = LocalPool(1), []
    monkeypatch.setattr(
        pool._executor, "submit", lambda *task: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    pool.submit(None, "cache")
    assert signal.SIGINT in masks[0] and signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
    pool.kill()


class DeadProcess:
    """Process that has ended."""

    def __init__(self, exitcode):
        self.exitcode = exitcode

    def kill(self):
        pass

    def join(self):
        pass


def with_dead_processes(pool, *exitcodes):
    pool._processes = dict(enumerate(map(DeadProcess, exitcodes)))
    return pool


def test_workers_killed_before_they_start_are_retried_twice():
    pool = LocalPool(2)
    for _ in range(pools.MAX_FAILED_STARTS - 1):
        with_dead_processes(pool, -signal.SIGKILL, -signal.SIGTERM).revive()
    with pytest.raises(RunFailedError, match="killed before they began, 3 times: out of memory") as caught:
        with_dead_processes(pool, -signal.SIGKILL).revive()
    assert "policy" not in str(caught.value) and "--jobs" in str(caught.value)


def test_retries_are_counted_afresh_after_a_worker_has_started():
    pool = LocalPool(2)
    for _ in range(3):
        for _ in range(pools.MAX_FAILED_STARTS - 1):
            with_dead_processes(pool, -signal.SIGKILL).revive()
        pool._begun.set()
        with_dead_processes(pool, -signal.SIGKILL).revive()


@pytest.mark.parametrize("needs_main, advice", [(True, True), (False, False)])
def test_workers_that_exit_by_themselves_are_not_retried(needs_main, advice):
    pool = with_dead_processes(LocalPool(2, needs_main=needs_main), 1, -signal.SIGTERM)
    with pytest.raises(RunFailedError, match="worker processes cannot start: see above") as caught:
        pool.revive()
    assert ("defines a policy" in str(caught.value)) == advice


def test_sigterm_exits_with_130_like_an_interrupt(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(sys, "argv", ["archsim", "list", "networks"])
    try:
        with suppress(SystemExit):
            main()
        assert exit_code(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == "archsim: interrupted\n"


@pytest.mark.parametrize("jobs", [1, 64, None])
def test_jobs_within_bounds_are_accepted(jobs):
    check_jobs(jobs)


def test_sweep_help_says_that_the_network_must_be_trusted(capsys):
    with suppress(SystemExit):
        command.main(["sweep", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "a network where everybody is trusted" in words and "can run code on it" in words
